"""Stage 1 of the RL arm: supervised fine-tuning of the actor on prompts of its own (paper sections 3.1 and 3.4)."""

import argparse
import sys

from common.jobs.console import Console, run_entry_point
from common.training.frame import training_parser
from common.training.supervised import heldout_examples, train_examples, train_supervised


def work(arguments: argparse.Namespace, console: Console) -> None:
    train_supervised("train_rl_sft.py", arguments, console, train_examples, heldout_examples)


def main(argv: list[str] | None = None) -> int:
    return run_entry_point(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
