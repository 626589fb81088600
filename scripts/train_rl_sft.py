"""Stage 1 of the RL arm: supervised fine-tuning of the actor on prompts of its own (paper sections 3.1 and 3.4)."""

import common.base.quick_start

import argparse
import sys

from common.files.parquet import read_parquet
from common.jobs.console import Console
from common.training.frame import run_training_job, training_frame, training_parser
from common.training.supervised import encode_examples, reference_examples, supervised_objective
from common.training.trl_training import run_training, save_trained


def work(arguments: argparse.Namespace, console: Console) -> None:
    models, data = {"model": arguments.model}, {"train": arguments.train, "heldout": arguments.heldout}
    with training_frame("train_rl_sft.py", arguments, console, models=models, data=data) as frame:
        train, heldout = (reference_examples(read_parquet(path), frame.prompt) for path in data.values())
        encoded, unseen = encode_examples(frame, train, heldout)
        objective = supervised_objective(frame, arguments.model, encoded, unseen)
        trained = run_training(frame, objective)
        save_trained(frame, objective, trained)


def main(argv: list[str] | None = None) -> int:
    return run_training_job(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
