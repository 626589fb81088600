"""Ask one checkpoint one task: every number of shots and every seed, all three scorings, from one model load."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel

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
from common.models.ways import AnyGenerator, attention_of, build_generator, way_of

# Settings that say which items are answered, and at which precision, but not how.
NOT_IN_AN_ANSWER = ("items", "dtype", "precision_check_items")


@dataclass(frozen=True)
class Job:
    """One checkpoint asked one task."""

    arguments: argparse.Namespace
    evaluation: Evaluation
    inputs: dict[str, Path]
    weights_sha256: str
    way: str
    gpu: bool
    dtype: torch.dtype


def evaluate(
    evaluation: Evaluation, generator: AnyGenerator, cache: ItemCache, draw: Draw, progress: Progress
) -> list[dict[str, Any]]:
    """One row an item of a draw; items in the cache are not generated again."""
    missing = [request for request in draw.requests if request.key not in cache]
    if missing:
        for outcomes in generator.run(missing, draw.max_new_tokens):
            cache.add({key: evaluation.judge(draw, key, outcome) for key, outcome in outcomes.items()})
            progress.update(len(cache))
    return [cache[request.key] for request in draw.requests]


def answer_draws(
    job: Job, draws: Sequence[Draw], dtype: torch.dtype, console: Console
) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Rows and provenance of each draw, answered in `dtype`; the cache of answered items is kept by dtype."""
    settings = job.arguments.settings
    key = fingerprint(
        settings={name: value for name, value in settings.items() if name not in NOT_IN_AN_ANSWER},
        inputs={name: sha256_of_file(path) for name, path in job.inputs.items()},
        weights=job.weights_sha256,
        code=script_digest("evaluate_task.py"),
        way=job.way,
        dtype=str(dtype),
        gpu=job.gpu,
    )
    cache = ItemCache(job.arguments.scratch / f"{key}.jsonl")
    if len(cache):
        console.say(f"{len(cache)} items were answered before and are kept")
    model = load_model(job.arguments.model, dtype, attention_of(job.way))
    if job.gpu and (dtype == job.dtype or fits_gpu(model)):
        cast(torch.nn.Module, model).cuda()
    generator = build_generator(job.way, model, job.evaluation.tokenizer, settings["batch_tokens"])
    progress = Progress(console, sum(len(draw.requests) for draw in draws), "items", len(cache))
    for draw in draws:
        provenance = Provenance("evaluate_task.py", settings)
        rows = evaluate(job.evaluation, generator, cache, draw, progress=progress)
        facts = {"seed": draw.seed, "n": len(rows), "weights_sha256": job.weights_sha256, "dtype": name_of(dtype)}
        yield rows, provenance.record(job.inputs, **facts)
    cache.close()


def fits_gpu(model: PreTrainedModel) -> bool:
    """Whether the weights leave a fifth of the GPU's memory free."""
    needed = sum(weights.numel() * weights.element_size() for weights in model.parameters())
    return needed < 0.8 * torch.cuda.get_device_properties(0).total_memory


def check_precision(
    job: Job, draws: Sequence[Draw], answered: Sequence[list[dict[str, Any]]], console: Console
) -> list[dict[str, Any] | None]:
    """For each draw the share of sampled answers that float32 changes; None where all are float32 or none is sampled.

    The float32 model runs on the GPU if it fits there, else on the CPU.
    """
    settings = job.arguments.settings
    count = settings["precision_check_items"]
    if job.dtype == torch.float32 or not count:
        return [None] * len(draws)
    samples = [sample_draw(draw, count, settings["seed"], settings["task"]) for draw in draws]
    console.say(f"{len(samples[0].requests)} items a draw are answered again in float32")
    repeated = [rows for rows, _ in answer_draws(job, samples, torch.float32, console)]
    pairs = zip(answered, repeated, strict=True)
    return [{"dtype": name_of(job.dtype), **changed_answers(rows, again)} for rows, again in pairs]


def work(arguments: argparse.Namespace, console: Console) -> None:
    limit_threads()
    settings = arguments.settings
    inputs = {"train": arguments.task / "train.parquet", "eval": arguments.task / "eval.parquet"}
    pool, items = ([Question(**row) for row in read_parquet(path)] for path in inputs.values())
    questions = draw_items(items, settings["items"], settings["seed"], settings["task"])
    evaluation = Evaluation(
        tokenizer=load_tokenizer(arguments.model), marker=settings["marker"], task=settings["task"],
        examples=settings["examples"], extra_tokens=settings["extra_tokens"],
    )  # fmt: skip
    draws = [build_draw(evaluation, pool, questions, k=k, seed=seed) for k, seed in arguments.draws]
    gpu = uses_gpu(settings["device"])
    dtype = default_dtype(gpu) if settings["dtype"] == "auto" else getattr(torch, settings["dtype"])
    weights_sha256 = read_json(arguments.model / "run.json")["weights_sha256"]
    way = way_of(arguments.model, max(draw.longest for draw in draws))
    job = Job(
        arguments=arguments, evaluation=evaluation, inputs=inputs, weights_sha256=weights_sha256, way=way, gpu=gpu,
        dtype=dtype,
    )  # fmt: skip
    with writer_lock(arguments.scratch / "writer.lock", console):
        answered, scores = [], []
        for draw, (rows, record) in zip(draws, answer_draws(job, draws, dtype, console), strict=True):
            summary = {**summarise(rows), "k": draw.k, "seed": draw.seed, "marker": settings["marker"], "asked": way}
            console.say(f"k={draw.k} seed {draw.seed}: accuracy {100 * summary['accuracy']:.1f} % of {len(rows)}")
            answered.append(rows)
            scores.append({**summary, "provenance": record})
        checks = check_precision(job, draws, answered, console)
        for draw, rows, score, check in zip(draws, answered, scores, checks, strict=True):
            stem = arguments.output / f"k{draw.k}_seed{draw.seed}"
            write_parquet(stem.with_suffix(".parquet"), rows, tuple(rows[0]))
            found = sha256_of_file(stem.with_suffix(".parquet"))
            write_record(stem.with_suffix(".json"), {**score, "rows_sha256": found, "precision": check})


def draw_argument(text: str) -> tuple[int, int]:
    """`3:1` -> k 3, seed 1."""
    k, seed = text.split(":")
    return int(k), int(seed)


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--model", type=Path, required=True, help="model directory")
    parser.add_argument("--task", type=Path, required=True, help="directory of prepare_task")
    parser.add_argument("--draws", type=draw_argument, nargs="+", required=True, metavar="K:SEED", help="runs to make")
    parser.add_argument("--scratch", type=Path, required=True, help="directory for answered items")
    parser.add_argument("--output", type=Path, required=True, help="directory for the scores and answers")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
