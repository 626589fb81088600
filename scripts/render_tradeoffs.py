"""Draw what each method of Table 5 gains and costs: accuracy against tokens, reward against distance from the base."""

import common.base.quick_start

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

from common.config.methods import METHOD_LABELS
from common.jobs.console import Console, argument_parser, run_entry_point
from common.report.plots import Tradeoff, draw_tradeoffs
from common.report.svg import STYLE, save_svg


def tradeoff(row: Mapping[Any, Any], method: str) -> Tradeoff:
    """A method's place, from its row of table5.csv and costs.csv; NaN is a number that does not exist."""
    accuracies = [value for name, value in row.items() if name[:1] == "k" and name[1:].isdecimal()]
    accuracy, divergence = sum(accuracies) / len(accuracies), row["kl_k3"]
    return Tradeoff(
        method=method,
        tokens=row["tokens_cost"],
        accuracy=None if math.isnan(accuracy) else accuracy,
        reward=row["reward"],
        divergence=None if math.isnan(divergence) else divergence,
    )


def tell(label: str, one: Tradeoff) -> str:
    accuracy = "missing" if one.accuracy is None else f"{one.accuracy:.1f} %"
    divergence = "not measured" if one.divergence is None else f"{one.divergence:.4f}"
    name = f"{label}, {METHOD_LABELS[one.method]}"
    return f"{name}: {one.tokens:,.0f} tokens, accuracy {accuracy}, reward {one.reward:.3f}, KL {divergence}"


def work(arguments: argparse.Namespace, console: Console) -> None:
    matplotlib.rcParams.update(STYLE)
    costs = pd.read_csv(arguments.costs)[["model", "method", "tokens"]]
    rows = pd.read_csv(arguments.table5).merge(costs, on=["model", "method"], suffixes=("", "_cost"))
    bases: dict[str, list[Tradeoff]] = {}
    for row in rows.to_dict("records"):
        label = arguments.settings["model_info"][row.pop("model")]["label"]
        bases.setdefault(label, []).append(tradeoff(row, row.pop("method")))
    told = [tell(label, one) for label, methods in bases.items() for one in methods]
    title = "Accuracy by tokens of training, and reward by divergence from the base model, for each method"
    save_svg(draw_tradeoffs(bases), arguments.output, title, "; ".join(told) + ".")
    console.say(f"{len(rows)} methods: {arguments.output}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--table5", type=Path, required=True, help="table5.csv")
    parser.add_argument("--costs", type=Path, required=True, help="costs.csv")
    parser.add_argument("--output", type=Path, required=True, help="SVG file to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
