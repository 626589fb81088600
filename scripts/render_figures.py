"""Draw the report's figures: accuracy, learning curves, PPO, reward model, sensitivity to the scoring."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

from common.config.methods import METHOD_LABELS
from common.evaluation.scoring import SCORINGS
from common.files.whole_files import read_json
from common.jobs.console import Console, argument_parser, run_entry_point
from common.paper.matching import counterparts
from common.paper.published import load_published
from common.report.plots import draw_accuracy, draw_learning_curves, draw_ppo, draw_reward_accuracy, draw_sensitivity
from common.report.svg import STYLE, save_svg
from common.tables.scores import Grid, load_grid, task_titles

STAGE_LABELS = {"rl_sft": "stage 1 (SFT)", "reward": "stage 2 (reward)"}


def published_values(settings: Mapping[str, Any], paper: Path) -> dict[tuple[str, str, str, int], float]:
    """The paper's accuracies in percent for the models and tasks that are the paper's own; no others."""
    models, tasks = counterparts(settings)
    return {
        (models[cell.model], cell.method, tasks[cell.task], cell.k): cell.percent
        for cell in load_published(paper).table3
        if cell.model in models and cell.task in tasks
    }


def tell_grid(settings: Mapping[str, Any], grid: Grid) -> str:
    """Every mean of a grid in words."""
    titles = task_titles(grid)
    told = [
        f"{settings['model_info'][model]['label']}, {METHOD_LABELS[method]}, {titles[task]}, k={k}: "
        + (f"{100 * cell.mean:.1f}" if cell else "missing")
        for (model, method, task, k), cell in grid.items()
    ]
    return "Accuracy in %. " + "; ".join(told) + "."


def tell_curve(name: str, values: pd.Series) -> str:
    return f"{name}: {values.iloc[0]:.3f} at first, {values.iloc[-1]:.3f} at the end"


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, results = arguments.settings, arguments.results
    grids = {name: load_grid(settings, results / "eval", column) for name, column in SCORINGS.items()}
    actor, reward = (settings["rl"][role]["name"] for role in ("actor", "reward"))
    without_loss = ("pretrained", "ppo")
    runs = [
        (model, method) for model in settings["models"] for method in settings["methods"] if method not in without_loss
    ]
    runs += [(actor, "rl_sft"), (reward, "reward")]
    labels = {name: info["label"] for name, info in settings["model_info"].items()}
    labels |= {role["name"]: role["label"] for role in settings["rl"].values()}
    curves = {
        f"{labels[model]}\n{STAGE_LABELS.get(method) or METHOD_LABELS[method]}": pd.read_csv(
            results / "training" / model / method / "metrics.csv"
        )
        for model, method in runs
    }
    ppo = pd.read_csv(results / "training" / actor / "ppo" / "metrics.csv")
    heldout = read_json(results / "models" / reward / "reward" / "run.json")["heldout_pairs"]
    steps = pd.read_csv(results / "training" / reward / "reward" / "metrics.csv")
    low, high = heldout["interval95"]
    losses = [tell_curve(name.replace("\n", ", "), metrics["loss"]) for name, metrics in curves.items()]
    matplotlib.rcParams.update(STYLE)
    figures = {
        "accuracy": (
            draw_accuracy(settings, grids["generation"], published_values(settings, arguments.paper)),
            "Accuracy by task, method and number of in-context examples, with 95 % intervals",
            tell_grid(settings, grids["generation"]),
        ),
        "learning_curves": (
            draw_learning_curves(curves),
            "Training loss by optimizer step",
            f"Loss. {'; '.join(losses)}.",
        ),
        "ppo": (
            draw_ppo(ppo),
            f"PPO: reward and KL divergence from stage 1 by rollout, {labels[actor]}",
            f"{tell_curve('Reward', ppo['reward'])}; {tell_curve('KL divergence', ppo['kl_k3'])}.",
        ),
        "reward_accuracy": (
            draw_reward_accuracy(steps, heldout),
            f"Reward model: share of pairs in the right order, {labels[reward]}",
            f"Held out: {100 * heldout['accuracy']:.1f} % of {heldout['pairs']} pairs, 95 % interval {100 * low:.1f} "
            f"to {100 * high:.1f}. Guessing gives 50 %.",
        ),
        "sensitivity": (
            draw_sensitivity(settings, grids),
            "Accuracy under three scorings of the same answers, with 95 % intervals",
            " ".join(f"{name}: {tell_grid(settings, grid)}" for name, grid in grids.items()),
        ),
    }
    for name, (figure, title, description) in figures.items():
        save_svg(figure, arguments.output / f"{name}.svg", title, description)
    console.say(f"{len(figures)} figures: {arguments.output}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--results", type=Path, required=True, help="results directory of the preset")
    parser.add_argument("--paper", type=Path, required=True, help="directory of the published numbers")
    parser.add_argument("--output", type=Path, required=True, help="directory for the figures")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
