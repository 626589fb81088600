"""Stage 1 of the RL arm: supervised fine-tuning of the actor on prompts of its own (paper sections 3.1 and 3.4)."""

import common.base.quick_start

import argparse
import sys

from common.jobs.console import Console
from common.training.frame import run_training_job, training_parser
from common.training.supervised import fine_tune, reference_response


def work(arguments: argparse.Namespace, console: Console) -> None:
    fine_tune("train_rl_sft.py", arguments, console, reference_response)


def main(argv: list[str] | None = None) -> int:
    return run_training_job(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
