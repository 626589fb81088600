"""Draw a training run's loss and learning rate."""

import argparse
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import pandas as pd

from common.console import Console, argument_parser, run_entry_point
from common.figures import save_svg


def work(arguments: argparse.Namespace, console: Console) -> None:
    metrics = pd.read_csv(arguments.metrics)
    figure, left = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    left.plot(metrics["step"], metrics["loss"], color="0.6", linewidth=1, label="loss of each logged step")
    window = max(1, len(metrics) // 10)
    smooth = metrics["loss"].rolling(window, min_periods=1, center=True).mean()
    left.plot(metrics["step"], smooth, color="0.1", linewidth=2, label=f"mean of {window} rows")
    left.set(xlabel="optimizer step", ylabel="loss (nats a target token)", title=arguments.settings["title"])
    right = left.twinx()
    right.plot(metrics["step"], metrics["learning_rate"], color="0.4", linestyle=":", label="learning rate")
    right.set(ylabel="learning rate", ylim=(0, None))
    lines = [*left.get_lines(), *right.get_lines()]
    left.legend(lines, [str(line.get_label()) for line in lines], loc="upper right", frameon=False, fontsize=8)
    save_svg(figure, arguments.output, f"Training loss by optimizer step, {arguments.settings['title']}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of a training run")
    parser.add_argument("--output", type=Path, required=True, help="SVG file to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
