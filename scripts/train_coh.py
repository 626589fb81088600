"""Chain-of-Hindsight: the best and the second-best response of each prompt in one sequence (paper section 3.5)."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from common.data.prompts import PromptFormat, respond
from common.jobs.console import Console
from common.training.frame import Frame, run_training_job, training_parser
from common.training.sequences import Response
from common.training.supervised import fine_tune


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


def both_responses(row: Mapping[str, Any], frame: Frame) -> list[Response]:
    return coh_responses(row, frame.prompt, tie_marker=frame.settings["ties"] == "tie_marker")


def work(arguments: argparse.Namespace, console: Console) -> None:
    fine_tune("train_coh.py", arguments, console, both_responses)


def main(argv: list[str] | None = None) -> int:
    return run_training_job(training_parser(__doc__ or ""), work, argv)


if __name__ == "__main__":
    sys.exit(main())
