"""Supervised fine-tuning on the reference response of each prompt (paper section 3.2, equation 1)."""

import common.base.quick_start

import argparse
import sys

from common.jobs.console import Console
from common.training.frame import run_training_job, training_parser
from common.training.supervised import fine_tune, reference_response


def work(arguments: argparse.Namespace, console: Console) -> None:
    fine_tune("train_sft.py", arguments, console, reference_response)


def main(argv: list[str] | None = None) -> int:
    return run_training_job(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
