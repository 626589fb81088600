"""Stage 2 of the RL arm: a reward model from preference pairs (paper section 3.3, equation 2)."""

import argparse
import sys
from typing import Any

import torch

from common.console import Console, run_entry_point
from common.errors import UserError
from common.method import Frame, Rows, train_objective, training_parser
from common.reward_training import encode_pairs, initial_reward_model, reward_objective
from common.splits import reward_rows
from common.training import Objective


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings: dict[str, Any] = arguments.settings

    def prepare(frame: Frame, train: Rows, heldout: Rows) -> Objective:
        max_length = settings["training"]["max_length"]
        unseen = reward_rows(heldout, settings["pairs"])
        pairs = [encode_pairs(frame.tokenizer, rows, frame.prompt, max_length) for rows in (train, unseen)]
        for name, encoded in zip(("train", "heldout"), pairs, strict=True):
            if not encoded.rows:
                raise UserError("no preference pair is left to use", f"split of {name}",
                                "raise `splits` counts or `max_length`")  # fmt: skip
        initial = frame.state / "initial"
        if frame.engine.is_main:
            initial_reward_model(arguments.model, initial, settings["seed"])
        if frame.engine.processes > 1:
            torch.distributed.barrier()
        return reward_objective(settings, initial, frame.tokenizer, frame.engine.device, pairs[0], pairs[1])

    train_objective("train_reward.py", arguments, console, prepare)


def main(argv: list[str] | None = None) -> int:
    return run_entry_point(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
