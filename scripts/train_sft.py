"""Supervised fine-tuning on the reference response of each prompt (paper section 3.2, equation 1)."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from common.console import Console, run_entry_point
from common.method import Examples, train_method, training_parser
from common.prompts import PromptFormat, respond
from common.sequences import Response
from common.splits import sft_rows


def sft_responses(row: Mapping[str, Any], prompt: PromptFormat) -> list[Response]:
    """The one response of supervised fine-tuning (paper section 3.2); the row has `response`."""
    before = prompt.prompt(row["instruction"], row["input"]) + prompt.markers["response"]
    return [Response(before, respond("", row["response"]), "response")]


def train_examples(rows: list[dict[str, Any]], prompt: PromptFormat) -> Examples:
    return [(row["id"], sft_responses(row, prompt)) for row in rows]


def heldout_examples(rows: list[dict[str, Any]], prompt: PromptFormat) -> Examples:
    return train_examples(sft_rows(rows), prompt)


def work(arguments: argparse.Namespace, console: Console) -> None:
    train_method("train_sft.py", arguments, console, train_examples, heldout_examples)


def main(argv: list[str] | None = None) -> int:
    return run_entry_point(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
