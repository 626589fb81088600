"""Draw a training run: loss and learning rate, or the metrics of PPO."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.jobs.console import Console, argument_parser, run_entry_point
from common.report.svg import save_svg, smoothed

# Title, unit, and (column, label, line style) of each panel of a PPO run.
PPO_PANELS: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    ("Reward", "score", (("reward", "as scored", "-"), ("reward_clipped", "clipped", "--"))),
    ("Divergence from stage 1", "nats per token", (("kl_k3", "k3", "-"), ("kl_k1", "k1", "--"))),
    ("Critic", "score", (("value_error", "mean absolute error", "-"),)),
    ("Responses", "share", (("ended", "end in EOS", "-"), ("empty", "empty", "--"))),
    ("Entropy", "nats per token", (("entropy", "policy", "-"),)),
    ("Clipped", "share of tokens", (("policy_clipped", "ratio", "-"), ("value_clipped", "value", "--"))),
)


def draw_loss(metrics: pd.DataFrame, title: str) -> Figure:
    """Loss of each logged step, its moving mean, and the learning rate."""
    figure, left = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    left.plot(metrics["step"], metrics["loss"], color="0.6", linewidth=1, label="loss of each logged step")
    smooth, window = smoothed(metrics["loss"])
    left.plot(metrics["step"], smooth, color="0.1", linewidth=2, label=f"mean of {window} rows")
    left.set(xlabel="optimizer step", ylabel="loss (nats)", title=title)
    right = left.twinx()
    right.plot(metrics["step"], metrics["learning_rate"], color="0.4", linestyle=":", label="learning rate")
    right.set(ylabel="learning rate", ylim=(0, None))
    lines = [*left.get_lines(), *right.get_lines()]
    left.legend(lines, [str(line.get_label()) for line in lines], loc="upper right", frameon=False, fontsize=8)
    return figure


def draw_panel(axes: Axes, metrics: pd.DataFrame, panel: tuple[str, str, tuple[tuple[str, str, str], ...]]) -> None:
    """One panel: each column faintly, its moving mean over it."""
    title, unit, columns = panel
    for column, label, style in columns:
        axes.plot(metrics["step"], metrics[column], color="0.75", linewidth=1, linestyle=style)
        axes.plot(
            metrics["step"], smoothed(metrics[column])[0], color="0.1", linewidth=1.8, linestyle=style, label=label
        )
    axes.set_title(title, fontsize=9)
    axes.set_ylabel(unit, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(frameon=False, fontsize=7)


def draw_ppo(metrics: pd.DataFrame, title: str) -> Figure:
    """Reward, divergence, value error, responses, entropy and clipping, step by step."""
    figure, grid = plt.subplots(2, 3, figsize=(9.6, 5.0), layout="constrained", sharex=True)
    for axes, panel in zip(grid.flat, PPO_PANELS, strict=True):
        draw_panel(axes, metrics, panel)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel("rollout", fontsize=9)
    return figure


def work(arguments: argparse.Namespace, console: Console) -> None:
    metrics = pd.read_csv(arguments.metrics)
    settings: dict[str, Any] = arguments.settings
    if "kl_k3" in metrics:
        figure, what = draw_ppo(metrics, settings["title"]), "Reward, KL divergence and other measures of PPO"
    else:
        figure, what = draw_loss(metrics, settings["title"]), "Training loss by optimizer step"
    save_svg(figure, arguments.output, f"{what}, {settings['title']}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of a training run")
    parser.add_argument("--output", type=Path, required=True, help="SVG file to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
