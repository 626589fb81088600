"""Supervised fine-tuning on the best-scored response instead of the reference.

Not an arm of the paper: it parts what CoH learns from the scores from what it learns from the second response, since
its targets are exactly CoH's preferred ones.
"""

import common.base.quick_start

import argparse
import sys
from typing import Any

from common.data.prompts import PromptFormat
from common.files.parquet import read_parquet
from common.jobs.console import Console
from common.training.frame import run_training_job, training_frame, training_parser
from common.training.supervised import Examples, encode_examples, reference_examples, supervised_objective
from common.training.trl_training import run_training, save_trained


def best_examples(rows: list[dict[str, Any]], prompt: PromptFormat) -> Examples:
    """The better response of each pair of the coh split, as the one response of its prompt."""
    return reference_examples([{**row, "response": row["better"]} for row in rows], prompt)


def work(arguments: argparse.Namespace, console: Console) -> None:
    models, data = {"model": arguments.model}, {"train": arguments.train, "heldout": arguments.heldout}
    with training_frame("train_sft_best.py", arguments, console, models=models, data=data) as frame:
        train, heldout = (best_examples(read_parquet(path), frame.prompt) for path in data.values())
        encoded, unseen = encode_examples(frame, train, heldout)
        objective = supervised_objective(frame, arguments.model, encoded, unseen)
        trained = run_training(frame, objective)
        save_trained(frame, objective, trained)


def main(argv: list[str] | None = None) -> int:
    return run_training_job(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
