"""Chain-of-Hindsight: the best and the second-best response of each prompt in one sequence (paper section 3.5)."""

import argparse
import sys
from typing import Any

from common.console import Console, run_entry_point
from common.method import Examples, train_method, training_parser
from common.prompts import PromptFormat
from common.sequences import coh_responses
from common.splits import coh_rows


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings = arguments.settings
    tie_marker = settings["ties"] == "tie_marker"

    def train_examples(rows: list[dict[str, Any]], prompt: PromptFormat) -> Examples:
        return [(row["id"], coh_responses(row, prompt, tie_marker)) for row in rows]

    def heldout_examples(rows: list[dict[str, Any]], prompt: PromptFormat) -> Examples:
        return train_examples(coh_rows(rows, settings["seed"], settings["ties"]), prompt)

    train_method("train_coh.py", arguments, console, train_examples, heldout_examples, settings["loss_on"])


def main(argv: list[str] | None = None) -> int:
    return run_entry_point(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
