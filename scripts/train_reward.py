"""Stage 2 of the RL arm: a reward model from preference pairs (paper section 3.3, equation 2)."""

import argparse
import sys
from typing import Any

from common.base.errors import UserError
from common.data.examples import reward_rows
from common.jobs.console import Console, run_entry_point
from common.training.engine import wait_for_all
from common.training.frame import Frame, training_parser
from common.training.reward import encode_pairs, initial_reward_model, reward_objective
from common.training.trl_training import Objective, Rows, train_objective


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings: dict[str, Any] = arguments.settings

    def prepare(frame: Frame, train: Rows, heldout: Rows) -> Objective:
        max_length = settings["training"]["max_length"]
        unseen = reward_rows(heldout, settings["pairs"])
        pairs = [encode_pairs(frame.tokenizer, rows, frame.prompt, max_length) for rows in (train, unseen)]
        for path, encoded in zip((arguments.train, arguments.heldout), pairs, strict=True):
            if not encoded.rows:
                raise UserError("no preference pair is left to use", str(path),
                                "raise the counts of `splits`, or `max_length`")  # fmt: skip
        initial = frame.state / "initial"
        if frame.engine.is_main:
            initial_reward_model(arguments.model, initial, settings["seed"])
        wait_for_all(frame.engine)
        return reward_objective(settings, initial, frame.tokenizer, frame.engine, pairs[0], pairs[1])

    train_objective("train_reward.py", arguments, console, prepare)


def main(argv: list[str] | None = None) -> int:
    return run_entry_point(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
