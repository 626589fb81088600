"""Print every prompt a task sends, exactly as a model gets it.

python scripts/show_prompts.py --task sst2 --k 1 --seed 1
"""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.methods import METHOD_LABELS
from common.config.settings import task_files, usual_marker
from common.data.prompts import few_shot_prompt
from common.data.questions import draw_examples, draw_items
from common.data.task_definitions import load_questions, load_task
from common.jobs.console import count, reader_may_leave


def prompts(arguments: argparse.Namespace) -> list[tuple[str, str, str]]:
    """(id, prompt, right answer) of every item."""
    config = load_configuration(ROOT / "config.yaml", arguments.configfile, {})
    if arguments.task not in config["tasks"]:
        raise UserError(f"no task `{arguments.task}`", "tasks", f"choose one of {', '.join(config['tasks'])}")
    block, evaluation = config["tasks"][arguments.task], config["evaluation"]
    task = load_task(ROOT / block["definition"])
    files = task_files(config, arguments.task, f"results/{config['preset']}/downloads")
    pool, questions = (
        load_questions(task, ROOT / files[part], block["max_rejected_share"])[0] for part in ("train", "eval")
    )
    marker = config["prompt"]["markers"][arguments.marker or usual_marker(config, arguments.method)]
    per_item = evaluation["examples"] == "per_item"
    return [
        (
            item.id,
            few_shot_prompt(
                draw_examples(pool, arguments.k, arguments.seed, arguments.task, item=item if per_item else None),
                item.question,
                marker,
            ),
            item.answers[item.gold],
        )
        for item in draw_items(questions, evaluation["items"], config["seed"], arguments.task)
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="name of the task")
    parser.add_argument("--k", type=count, required=True, help="number of in-context examples")
    parser.add_argument("--seed", type=int, default=1, help="seed of the examples")
    parser.add_argument("--method", default="pretrained", choices=list(METHOD_LABELS), help="whose marker to ask with")
    parser.add_argument("--marker", choices=["response", "better", "worse"], help="or this marker")
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="configuration overlays")
    arguments = parser.parse_args(argv)
    try:
        with reader_may_leave():
            for identity, prompt, answer in prompts(arguments):
                print(f"=== {identity} (right answer: {answer})\n{prompt}\n")
    except UserError as error:
        print(error, file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
