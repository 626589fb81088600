"""Turn a task's rows into questions with answers, for in-context examples (train) and for evaluation (eval)."""

import argparse
import sys
from pathlib import Path

from common.console import Console, argument_parser, run_entry_point
from common.files import write_json
from common.provenance import Provenance
from common.rows import write_parquet
from common.tasks import COLUMNS, load_questions, load_task


def work(arguments: argparse.Namespace, console: Console) -> None:
    provenance = Provenance("prepare_task.py", arguments.settings)
    task = load_task(arguments.definition)
    counts = {}
    for part, source in (("train", arguments.train), ("eval", arguments.eval)):
        questions, counts[part] = load_questions(task, source, arguments.settings["max_rejected_share"])
        write_parquet(arguments.output / f"{part}.parquet", [question.row() for question in questions], COLUMNS)
    inputs = {"definition": arguments.definition, "train": arguments.train, "eval": arguments.eval}
    record = provenance.record(inputs, n=counts["eval"]["usable"])
    summary = {"task": task.name, "title": task.title, "version": task.version, **counts, "provenance": record}
    write_json(arguments.output / "summary.json", summary)
    console.say(f"{task.title}: {counts['train']['usable']} training, {counts['eval']['usable']} evaluation questions")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--definition", type=Path, required=True, help="the task's YAML")
    parser.add_argument("--train", type=Path, required=True, help="rows of the training split")
    parser.add_argument("--eval", type=Path, required=True, help="rows of the evaluation split")
    parser.add_argument("--output", type=Path, required=True, help="directory for train, eval and summary")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
