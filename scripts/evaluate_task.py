"""Ask one checkpoint one task: every number of shots and every seed, all three scorings, from one model load."""

import argparse
import sys
from pathlib import Path
from typing import Any, cast

import torch

from common.attention import IMPLEMENTATION
from common.console import Console, Progress, argument_parser, run_entry_point
from common.digest import script_digest
from common.evaluation import Draw, Evaluation, build_draw, summarise
from common.files import read_json, sha256_of_file, write_json
from common.generation import Generator
from common.models import default_dtype, limit_threads, load_model, load_tokenizer
from common.provenance import Provenance
from common.rows import read_parquet, write_parquet
from common.scratch import ItemCache, fingerprint, writer_lock
from common.tasks import Question, draw_items


def evaluate(
    evaluation: Evaluation, generator: Generator, cache: ItemCache, draw: Draw, progress: Progress
) -> list[dict[str, Any]]:
    """One row an item of a draw; items in the cache are not generated again."""
    missing = [request for request in draw.requests if request.key not in cache]
    if missing:
        for outcomes in generator.run(missing, draw.max_new_tokens):
            cache.add({key: evaluation.judge(draw, key, outcome) for key, outcome in outcomes.items()})
            progress.update(len(cache))
    return [cache[request.key] for request in draw.requests]


def work(arguments: argparse.Namespace, console: Console) -> None:
    limit_threads()
    settings = arguments.settings
    run_record = read_json(arguments.model / "run.json")
    inputs = {"train": arguments.task / "train.parquet", "eval": arguments.task / "eval.parquet"}
    pool, items = ([Question(**row) for row in read_parquet(path)] for path in inputs.values())
    questions = draw_items(items, settings["items"], settings["seed"], settings["task"])
    tokenizer = load_tokenizer(arguments.model)
    evaluation = Evaluation(
        tokenizer, settings["marker"], settings["task"], settings["examples"], settings["extra_tokens"]
    )
    draws = [build_draw(evaluation, pool, questions, k, seed) for k, seed in arguments.draws]
    key = fingerprint(
        settings={name: value for name, value in settings.items() if name != "items"},
        inputs={name: sha256_of_file(path) for name, path in inputs.items()},
        weights=run_record["weights_sha256"],
        code=script_digest("evaluate_task.py"),
    )
    with writer_lock(arguments.scratch / "writer.lock", console):
        cache = ItemCache(arguments.scratch / f"{key}.jsonl")
        if len(cache):
            console.say(f"{len(cache)} items were answered before and are kept")
        gpu = settings["device"] == "auto" and torch.cuda.is_available()
        dtype = default_dtype(gpu)
        model = load_model(arguments.model, dtype, IMPLEMENTATION)
        if gpu:
            cast(torch.nn.Module, model).cuda()
        generator = Generator(model, tokenizer, settings["batch_tokens"])
        progress = Progress(console, sum(len(draw.requests) for draw in draws), "items", len(cache))
        for draw in draws:
            provenance = Provenance("evaluate_task.py", settings)
            rows = evaluate(evaluation, generator, cache, draw, progress)
            stem = arguments.output / f"k{draw.k}_seed{draw.seed}"
            columns = tuple(rows[0])
            write_parquet(stem.with_suffix(".parquet"), rows, columns)
            record = provenance.record(
                inputs, seed=draw.seed, n=len(rows), weights_sha256=run_record["weights_sha256"],
                dtype=str(dtype).removeprefix("torch."),
            )  # fmt: skip
            summary = {**summarise(rows), "k": draw.k, "seed": draw.seed, "marker": settings["marker"]}
            write_json(stem.with_suffix(".json"), {**summary, "provenance": record})
            console.say(f"k={draw.k} seed {draw.seed}: accuracy {100 * summary['accuracy']:.1f} % of {len(rows)}")
        cache.close()


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
