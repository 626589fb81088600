"""Stage 2 of the RL arm: a reward model from preference pairs (paper section 3.3, equation 2)."""

import common.base.quick_start

import argparse
import sys

from common.base.errors import UserError
from common.files.parquet import read_parquet
from common.jobs.console import Console
from common.training.engine import wait_for_all
from common.training.frame import run_training_job, training_frame, training_parser
from common.training.reward import encode_pairs, initial_reward_model, reward_objective
from common.training.trl_training import run_training, save_trained


def work(arguments: argparse.Namespace, console: Console) -> None:
    models, data = {"model": arguments.model}, {"train": arguments.train, "heldout": arguments.heldout}
    with training_frame("train_reward.py", arguments, console, models=models, data=data) as frame:
        max_length = frame.settings["training"]["max_length"]
        train, heldout = (
            encode_pairs(frame.tokenizer, read_parquet(path), frame.prompt, max_length) for path in data.values()
        )
        for path, pairs in zip(data.values(), (train, heldout), strict=True):
            if not pairs.rows:
                raise UserError("no preference pair is left to use", str(path),
                                "raise the counts of `splits`, or `max_length`")  # fmt: skip
        initial = frame.state / "initial"
        if frame.engine.is_main:
            initial_reward_model(arguments.model, initial, frame.settings["seed"])
        wait_for_all(frame.engine)
        objective = reward_objective(frame, initial, train, heldout)
        trained = run_training(frame, objective)
        save_trained(frame, objective, trained)


def main(argv: list[str] | None = None) -> int:
    return run_training_job(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
