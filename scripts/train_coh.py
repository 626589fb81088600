"""Chain-of-Hindsight: the best and the second-best response of each prompt in one sequence (paper section 3.5)."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from common.data.prompts import PromptFormat, respond
from common.files.parquet import read_parquet
from common.jobs.console import Console
from common.training.frame import run_training_job, training_frame, training_parser
from common.training.sequences import Response
from common.training.supervised import encode_examples, supervised_objective
from common.training.trl_training import run_training, save_trained


def coh_responses(row: Mapping[str, Any], prompt: PromptFormat, tie_marker: bool) -> list[Response]:
    """Both responses of Chain-of-Hindsight in one sequence (paper section 3.5), in the order the split drew.

    Args:
        row: a row of the coh split.
        prompt: prompt format with the markers better, worse and tie.
        tie_marker: write tied pairs with the tie marker, as the original CoH has a template for them.
    """
    tied = tie_marker and row["tie"]
    better = (prompt.markers["tie" if tied else "better"], row["better"], "better")
    worse = (prompt.markers["tie" if tied else "worse"], row["worse"], "worse")
    first, second = (better, worse) if row["better_first"] else (worse, better)
    start = prompt.prompt(row["instruction"], row["input"])
    return [
        Response(start + first[0], respond("", first[1]), first[2]),
        Response("\n" + second[0], respond("", second[1]), second[2]),
    ]


def work(arguments: argparse.Namespace, console: Console) -> None:
    models, data = {"model": arguments.model}, {"train": arguments.train, "heldout": arguments.heldout}
    with training_frame("train_coh.py", arguments, console, models=models, data=data) as frame:
        tie_marker = frame.settings["ties"] == "tie_marker"
        train, heldout = (
            [(row["id"], coh_responses(row, frame.prompt, tie_marker)) for row in read_parquet(path)]
            for path in data.values()
        )
        encoded, unseen = encode_examples(frame, train, heldout, frame.settings["loss_on"])
        objective = supervised_objective(frame, arguments.model, encoded, unseen)
        trained = run_training(frame, objective)
        save_trained(frame, objective, trained)


def main(argv: list[str] | None = None) -> int:
    return run_training_job(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
