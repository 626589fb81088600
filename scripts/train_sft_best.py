"""Supervised fine-tuning on the best-scored response instead of the reference.

Not an arm of the paper: it parts what CoH learns from the scores from what it learns from the second response, since
its targets are exactly CoH's preferred ones.
"""

import argparse
import sys
from typing import Any

from common.data.examples import coh_rows
from common.data.prompts import PromptFormat
from common.jobs.console import Console, run_entry_point
from common.training.frame import training_parser
from common.training.sequences import sft_responses
from common.training.supervised import Examples, train_supervised


def train_examples(rows: list[dict[str, Any]], prompt: PromptFormat) -> Examples:
    return [(row["id"], sft_responses({**row, "response": row["better"]}, prompt)) for row in rows]


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings = arguments.settings

    def heldout_examples(rows: list[dict[str, Any]], prompt: PromptFormat) -> Examples:
        return train_examples(coh_rows(rows, settings["seed"], settings["ties"]), prompt)

    train_supervised("train_sft_best.py", arguments, console, train_examples, heldout_examples)


def main(argv: list[str] | None = None) -> int:
    return run_entry_point(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
