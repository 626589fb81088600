"""Turn a task's rows into questions with answers, for in-context examples (train) and for evaluation (eval)."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.base.errors import UserError
from common.data.rows import by_reason
from common.data.task_definitions import COLUMNS, load_questions, load_task, same_answers
from common.files.parquet import write_parquet
from common.files.whole_files import write_json
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance


def work(arguments: argparse.Namespace, console: Console) -> None:
    provenance = Provenance("prepare_task.py", arguments.settings)
    task = load_task(arguments.definition)
    if task.name != arguments.settings["task"]:
        what = f"a task is called {task.name} in its definition and {arguments.settings['task']} in the configuration"
        raise UserError(what, f"{arguments.definition}, key name", "give it the same name in both")
    counts, asked = {}, {}
    for part, source in (("train", arguments.train), ("eval", arguments.eval)):
        questions, counts[part] = load_questions(task, source, arguments.settings["max_rejected_share"])
        asked[part] = [question.question for question in questions]
        write_parquet(arguments.output / f"{part}.parquet", [question.row() for question in questions], COLUMNS)
        if twice := [question.id for question in questions if same_answers(question)]:
            console.say(
                f"warning: in {len(twice)} of {len(questions)} {part} questions an option stands twice, first in that"
                f" of id {twice[0]!r}; a text that names it counts as naming several answers ({source})"
            )
    pool = set(asked["train"])
    shared = sum(question in pool for question in asked["eval"])
    inputs = {"definition": arguments.definition, "train": arguments.train, "eval": arguments.eval}
    record = provenance.record(inputs, n=counts["eval"]["usable"])
    facts = {"task": task.name, "title": task.title, "version": task.version, **counts, "in_both": shared}
    write_json(arguments.output / "summary.json", {**facts, "provenance": record})
    if shared:
        console.say(
            f"warning: {shared} of {len(asked['eval'])} evaluation questions stand in the training split as well; with"
            " `examples: per_item` no question is its own example"
        )
    for part, found in counts.items():
        if found["rejected"]:
            console.say(f"{part}: rows left out: {by_reason(found['rejected'])}")
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
