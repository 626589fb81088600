"""Supervised fine-tuning on the best-scored response instead of the reference.

Not an arm of the paper: it parts what CoH learns from the scores from what it learns from the second response, since
its targets are exactly CoH's preferred ones.
"""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from common.jobs.console import Console
from common.training.frame import Frame, run_training_job, training_parser
from common.training.sequences import Response, sft_responses
from common.training.supervised import fine_tune


def best_response(row: Mapping[str, Any], frame: Frame) -> list[Response]:
    """The better response of a pair of the coh split, as the one response of its prompt."""
    return sft_responses({**row, "response": row["better"]}, frame.prompt)


def work(arguments: argparse.Namespace, console: Console) -> None:
    fine_tune("train_sft_best.py", arguments, console, best_response)


def main(argv: list[str] | None = None) -> int:
    return run_training_job(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
