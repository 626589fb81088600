"""Ask one checkpoint its tasks: every number of shots and every seed, all three scorings, from one model load."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.data.questions import Question, draw_items
from common.evaluation.answer_cache import ItemCache
from common.evaluation.draws import Draw, Evaluation, build_draw, changed_answers, sample_draw, summarise
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import read_json, sha256_of_file, write_record
from common.jobs.console import Console, Progress, argument_parser, run_entry_point
from common.jobs.digest import script_digest
from common.jobs.provenance import Provenance
from common.jobs.scratch import fingerprint, writer_lock
from common.models.devices import default_dtype, limit_threads, name_of, uses_gpu
from common.models.loading import load_model, load_tokenizer
from common.models.packed_weights import pack_weights
from common.models.ways import AnyGenerator, attention_of, build_generator, way_of

# Settings that say which items are answered, and at which precision, but not how.
NOT_IN_AN_ANSWER = ("items", "dtype", "precision_check_items")
Row = dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """The model that is asked, and how.

    Attributes:
        model: its directory.
        settings: of the job.
        scratch: directory for answered items.
        weights_sha256: of the model.
        way: how it is asked, see `ways.py`.
        gpu: whether it runs on a GPU.
        dtype: of the weights.
    """

    model: Path
    settings: dict[str, Any]
    scratch: Path
    weights_sha256: str
    way: str
    gpu: bool
    dtype: torch.dtype


@dataclass(frozen=True)
class AskedTask:
    """One task with the prompts of its draws, and where its scores go."""

    settings: dict[str, Any]
    evaluation: Evaluation
    inputs: dict[str, Path]
    draws: list[Draw]
    output: Path


@dataclass(frozen=True)
class Answered:
    """The rows of one draw and their provenance."""

    rows: list[Row]
    record: dict[str, Any]


def prepare_prompts(
    settings: dict[str, Any], tokenizer: PreTrainedTokenizerFast, *, folder: Path, draws: Sequence[tuple[int, int]],
    output: Path,
) -> AskedTask:  # fmt: skip
    """The prompts of every (k, seed) of a task, whose name is that of its folder."""
    inputs = {"train": folder / "train.parquet", "eval": folder / "eval.parquet"}
    pool, items = ([Question(**row) for row in read_parquet(path)] for path in inputs.values())
    questions = draw_items(items, settings["items"], settings["seed"], folder.name)
    evaluation = Evaluation(
        tokenizer=tokenizer, marker=settings["marker"], task=folder.name,
        examples=settings["examples"], extra_tokens=settings["extra_tokens"],
    )  # fmt: skip
    built = [build_draw(evaluation, pool, questions, k=k, seed=seed) for k, seed in draws]
    return AskedTask({**settings, "task": folder.name}, evaluation, inputs, built, output)


def open_cache(checkpoint: Checkpoint, task: AskedTask, dtype: torch.dtype) -> ItemCache:
    """The items of a task that were answered before by the same weights and code in `dtype`."""
    key = fingerprint(
        settings={name: value for name, value in task.settings.items() if name not in NOT_IN_AN_ANSWER},
        inputs={name: sha256_of_file(path) for name, path in task.inputs.items()},
        weights=checkpoint.weights_sha256,
        code=script_digest("evaluate_task.py"),
        way=checkpoint.way,
        dtype=str(dtype),
        gpu=checkpoint.gpu,
    )
    return ItemCache(checkpoint.scratch / f"{key}.jsonl")


def load_generator(checkpoint: Checkpoint, dtype: torch.dtype) -> AnyGenerator:
    """The model in `dtype`, on the GPU where it is to run there or fits."""
    model = load_model(checkpoint.model, dtype, attention_of(checkpoint.way))
    if checkpoint.gpu and (dtype == checkpoint.dtype or fits_gpu(model)):
        cast(torch.nn.Module, model).cuda()
    if not checkpoint.gpu:  # beside a GPU the CPU repeats some answers in float32, with little memory to spare
        pack_weights(model)
    tokenizer, batch_tokens = load_tokenizer(checkpoint.model), checkpoint.settings["batch_tokens"]
    return build_generator(checkpoint.way, model, tokenizer, batch_tokens)


def fits_gpu(model: PreTrainedModel) -> bool:
    """Whether the weights leave a fifth of the GPU's memory free."""
    needed = sum(weights.numel() * weights.element_size() for weights in model.parameters())
    return needed < 0.8 * torch.cuda.get_device_properties(0).total_memory


def answer_tasks(
    checkpoint: Checkpoint, tasks: Sequence[AskedTask], dtype: torch.dtype, console: Console
) -> list[list[Answered]]:
    """Answers to every draw of every task in `dtype`; items in a task's cache are not generated again."""
    caches = [open_cache(checkpoint, task, dtype) for task in tasks]
    wanted = [{request.key for draw in task.draws for request in draw.requests} for task in tasks]

    def known() -> int:
        return sum(key in cache for cache, keys in zip(caches, wanted, strict=True) for key in keys)

    if kept := known():
        console.say(f"{kept} items were answered before and are kept")
    generator = load_generator(checkpoint, dtype)
    progress = Progress(console, sum(map(len, wanted)), "items", kept)
    facts = {"weights_sha256": checkpoint.weights_sha256, "dtype": name_of(dtype)}
    answered = []
    for task, cache in zip(tasks, caches, strict=True):
        of_task = []
        for draw in task.draws:
            provenance = Provenance("evaluate_task.py", task.settings)
            for _ in answer_missing(task.evaluation, generator, cache, draw):
                progress.update(known())
            rows = [cache[request.key] for request in draw.requests]
            record = provenance.record(task.inputs, seed=draw.seed, n=len(rows), **facts)
            of_task.append(Answered(rows, record))
        answered.append(of_task)
        cache.close()
    return answered


def answer_missing(evaluation: Evaluation, generator: AnyGenerator, cache: ItemCache, draw: Draw) -> Iterator[None]:
    """Fill the cache with the answers of a draw that it lacks, a batch at a time."""
    missing = [request for request in draw.requests if request.key not in cache]
    if missing:
        for outcomes in generator.run(missing, draw.max_new_tokens):
            cache.add({key: evaluation.judge(draw, key, outcome) for key, outcome in outcomes.items()})
            yield


def check_precision(
    checkpoint: Checkpoint, tasks: Sequence[AskedTask], answered: Sequence[list[Answered]], console: Console
) -> list[list[Row | None]]:
    """For each draw the share of sampled answers that float32 changes; None where all are float32 or none is sampled.

    The float32 model runs on the GPU if it fits there, else on the CPU.
    """
    count, seed = checkpoint.settings["precision_check_items"], checkpoint.settings["seed"]
    if checkpoint.dtype == torch.float32 or not count:
        return [[None] * len(task.draws) for task in tasks]
    samples = [
        replace(task, draws=[sample_draw(draw, count, seed, task.evaluation.task) for draw in task.draws])
        for task in tasks
    ]
    console.say(f"{count} items per draw are answered again in float32")
    repeated = answer_tasks(checkpoint, samples, torch.float32, console)
    return [
        [
            {"dtype": name_of(checkpoint.dtype), **changed_answers(first.rows, again.rows)}
            for first, again in zip(*of_task, strict=True)
        ]
        for of_task in zip(answered, repeated, strict=True)
    ]


def write_scores(
    task: AskedTask, answered: Sequence[Answered], checks: Sequence[Row | None], *, way: str, console: Console
) -> None:
    """Summary and rows of each draw of a task."""
    for draw, answers, check in zip(task.draws, answered, checks, strict=True):
        rows = answers.rows
        summary = {**summarise(rows), "k": draw.k, "seed": draw.seed, "marker": task.evaluation.marker, "asked": way}
        accuracy = f"accuracy {100 * summary['accuracy']:.1f} % of {len(rows)}"
        console.say(f"{task.evaluation.task}, k={draw.k} seed {draw.seed}: {accuracy}")
        stem = task.output / f"k{draw.k}_seed{draw.seed}"
        write_parquet(stem.with_suffix(".parquet"), rows, tuple(rows[0]))
        found = sha256_of_file(stem.with_suffix(".parquet"))
        score = {**summary, "provenance": answers.record, "rows_sha256": found, "precision": check}
        write_record(stem.with_suffix(".json"), score)


def work(arguments: argparse.Namespace, console: Console) -> None:
    limit_threads()
    settings, model = arguments.settings, arguments.model
    gpu, tokenizer = uses_gpu(settings["device"]), load_tokenizer(model)
    tasks = [
        prepare_prompts(settings, tokenizer, folder=folder, draws=arguments.draws, output=output)
        for folder, output in zip(arguments.task, arguments.output, strict=True)
    ]
    checkpoint = Checkpoint(
        model=model,
        settings=settings,
        scratch=arguments.scratch,
        weights_sha256=read_json(model / "run.json")["weights_sha256"],
        way=way_of(model, max(draw.longest for task in tasks for draw in task.draws)),
        gpu=gpu,
        dtype=default_dtype(gpu) if settings["dtype"] == "auto" else getattr(torch, settings["dtype"]),
    )
    with writer_lock(checkpoint.scratch / "writer.lock", console):
        answered = answer_tasks(checkpoint, tasks, checkpoint.dtype, console)
        checks = check_precision(checkpoint, tasks, answered, console)
        for task, answers, check in zip(tasks, answered, checks, strict=True):
            write_scores(task, answers, check, way=checkpoint.way, console=console)


def draw_argument(text: str) -> tuple[int, int]:
    """`3:1` -> k 3, seed 1."""
    k, seed = text.split(":")
    return int(k), int(seed)


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--model", type=Path, required=True, help="model directory")
    parser.add_argument("--task", type=Path, nargs="+", required=True, help="directories of prepare_task")
    parser.add_argument("--draws", type=draw_argument, nargs="+", required=True, metavar="K:SEED", help="runs to make")
    parser.add_argument("--scratch", type=Path, required=True, help="directory for answered items")
    parser.add_argument(
        "--output", type=Path, nargs="+", required=True, help="directories for the scores, one per task"
    )
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
