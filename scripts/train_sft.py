"""Supervised fine-tuning on the reference response of each prompt (paper section 3.2, equation 1)."""

import argparse
import sys
from typing import Any

from common.console import Console, run_entry_point
from common.prompts import PromptFormat
from common.sequences import sft_responses
from common.splits import sft_rows
from common.supervised import Examples, train_supervised
from common.training_frame import training_parser


def train_examples(rows: list[dict[str, Any]], prompt: PromptFormat) -> Examples:
    return [(row["id"], sft_responses(row, prompt)) for row in rows]


def heldout_examples(rows: list[dict[str, Any]], prompt: PromptFormat) -> Examples:
    return train_examples(sft_rows(rows), prompt)


def work(arguments: argparse.Namespace, console: Console) -> None:
    train_supervised("train_sft.py", arguments, console, train_examples, heldout_examples)


def main(argv: list[str] | None = None) -> int:
    return run_entry_point(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
