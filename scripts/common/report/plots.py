"""What the figures of the report show; each function draws one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from common.config.methods import METHOD_LABELS
from common.evaluation.scoring import SCORINGS
from common.report.svg import FAINT, INK, MUTED, PAPER, smoothed
from common.tables.scores import Cell, Grid, task_titles

matplotlib.use("svg")

# Marker and fill of each method: told apart by shape, and by lightness in greyscale.
OTHERS = ("v", "P", "X", "p", "h", "8")
MARKS = {"pretrained": ("o", PAPER), "sft": ("s", FAINT), "sft_best": ("^", MUTED), "coh": ("D", INK)}
PUBLISHED = "published, same model and task"
Published = Mapping[tuple[str, str, str, int], float]


def _panels(rows: int, columns: int, height: float, **shared: Any) -> tuple[Figure, np.ndarray]:
    """A grid of axes, always two-dimensional."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(9.6, 0.75 + height * rows), layout="constrained", squeeze=False, **shared
    )
    return figure, axes


def _accuracy_axes(axes: Axes, positions: Sequence[str]) -> None:
    axes.set(ylim=(0, 100), yticks=(0, 25, 50, 75, 100), xlim=(-0.5, len(positions) - 0.5))
    axes.set_xticks(range(len(positions)), positions)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _mark(method: str) -> tuple[str, str]:
    """Marker and fill of a method; one that is not of the paper has a marker by its place among all methods."""
    return MARKS.get(method) or (OTHERS[list(METHOD_LABELS).index(method) % len(OTHERS)], FAINT)


def _draw_cell(axes: Axes, x: float, cell: Cell | None, method: str) -> None:
    """A mean with its interval; nothing where the cell is missing."""
    if cell is None:
        return
    marker, fill = _mark(method)
    low, high = cell.interval
    axes.plot([x, x], [100 * low, 100 * high], color=INK, linewidth=1.1, zorder=2)
    axes.plot(
        [x], [100 * cell.mean], marker=marker, markersize=6.5, color=INK, markerfacecolor=fill, zorder=3, clip_on=False
    )


def _offsets(methods: Sequence[str]) -> dict[str, float]:
    """How far from its number of examples each method is drawn; neighbouring numbers stay clearly apart."""
    middle, step = (len(methods) - 1) / 2, min(0.24, 0.72 / max(1, len(methods) - 1))
    return {method: step * (i - middle) for i, method in enumerate(methods)}


def _legend(figure: Figure, methods: Sequence[str], published: bool) -> None:
    def handle(label: str, **style: Any) -> Any:
        return plt.Line2D([], [], linestyle="none", color=INK, label=label, **style)

    handles = [
        handle(METHOD_LABELS[name], marker=_mark(name)[0], markersize=6.5, markerfacecolor=_mark(name)[1])
        for name in methods
    ]
    if published:
        handles.append(handle(PUBLISHED, marker="_", markersize=13, markeredgewidth=1.8))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), handletextpad=0.4)


def draw_accuracy(settings: Mapping[str, Any], grid: Grid, published: Published) -> Figure:
    """Table 3: one row of panels per model, one panel per task, methods side by side at each number of examples.

    Args:
        settings: with models, methods, tasks, shots, model_info.
        grid: cells by (model, method, task, k).
        published: the paper's accuracy in percent where model and task are the paper's own.
    """
    models, methods, tasks, shots = (settings[key] for key in ("models", "methods", "tasks", "shots"))
    figure, panels = _panels(len(models), len(tasks), 2.4, sharey=True)
    titles, offsets = task_titles(grid), _offsets(methods)
    for i, model in enumerate(models):
        for j, task in enumerate(tasks):
            axes = panels[i, j]
            _accuracy_axes(axes, [f"k={k}" for k in shots])
            for method in methods:
                for position, k in enumerate(shots):
                    x = position + offsets[method]
                    _draw_cell(axes, x, grid[model, method, task, k], method)
                    if (value := published.get((model, method, task, k))) is not None:
                        axes.plot([x - 0.11, x + 0.11], [value, value], color=INK, linewidth=1.8, zorder=4)
            if i == 0:
                axes.set_title(titles[task])
        panels[i, 0].set_ylabel(f"{_label(settings, model)}\naccuracy in %")
    _legend(figure, methods, bool(published))
    return figure


def _label(settings: Mapping[str, Any], model: str) -> str:
    return str(settings["model_info"][model]["label"])


def draw_sensitivity(settings: Mapping[str, Any], grids: Mapping[str, Grid]) -> Figure:
    """The same answers under three scorings: one row of panels per model and number of examples, one panel per task.

    Args:
        settings: with models, methods, tasks, shots, model_info.
        grids: cells by scoring.
    """
    models, methods, tasks, shots = (settings[key] for key in ("models", "methods", "tasks", "shots"))
    rows = [(model, k) for model in models for k in shots]
    figure, panels = _panels(len(rows), len(tasks), 1.9, sharey=True, sharex=True)
    titles, offsets = task_titles(grids["generation"]), _offsets(methods)
    for i, (model, k) in enumerate(rows):
        for j, task in enumerate(tasks):
            axes = panels[i, j]
            _accuracy_axes(axes, list(SCORINGS))
            axes.tick_params(axis="x", labelsize=8)
            for position, scoring in enumerate(SCORINGS):
                for method in methods:
                    cell = grids[scoring][model, method, task, k]
                    _draw_cell(axes, position + offsets[method], cell, method)
            if i == 0:
                axes.set_title(titles[task])
        place = f"k={k}" if len(models) == 1 else f"{_label(settings, model)}, k={k}"
        panels[i, 0].set_ylabel(f"{place}\naccuracy in %")
    _legend(figure, methods, published=False)
    return figure


def _draw_curve(axes: Axes, steps: pd.Series, values: pd.Series, label: str, style: str = "-") -> None:
    """Each row faintly, its moving mean over it."""
    axes.plot(steps, values, color=FAINT, linewidth=1.0)
    axes.plot(steps, smoothed(values)[0], color=INK, linestyle=style, label=label)


@dataclass(frozen=True)
class Tradeoff:
    """Where a method stands on a base model.

    Attributes:
        method: its name.
        tokens: that all its trainings read and wrote.
        accuracy: mean over tasks and numbers of examples in %; None when a score is missing.
        reward: mean over held-out prompts.
        divergence: from the base model, k3 in nats per token; None where it was not measured.
    """

    method: str
    tokens: float
    accuracy: float | None
    reward: float
    divergence: float | None


def draw_tradeoffs(bases: Mapping[str, Sequence[Tradeoff]]) -> Figure:
    """Accuracy against the tokens a method cost, and reward against its distance from the base; a row per base model.

    Args:
        bases: methods by the base model's name for people.
    """
    figure, panels = _panels(len(bases), 2, 2.8)
    methods = list(dict.fromkeys(one.method for rows in bases.values() for one in rows))
    for i, (label, rows) in enumerate(bases.items()):
        cost, distance = panels[i]
        for one in rows:
            marker, face = _mark(one.method)
            style: dict[str, Any] = {"marker": marker, "markerfacecolor": face, "color": INK, "markersize": 7}
            if one.accuracy is not None:
                cost.plot([one.tokens], [one.accuracy], **style)
            if one.divergence is not None:
                distance.plot([one.divergence], [one.reward], **style)
            if one.method == "pretrained" and one.accuracy is not None:
                cost.axhline(one.accuracy, color=MUTED, linestyle=":", linewidth=1.2, zorder=0)
        cost.set_ylabel(f"{label}\nmean accuracy in %")
        distance.set_ylabel("mean reward, held-out prompts")
        cost.xaxis.set_major_formatter(EngFormatter(sep=""))
        for axes in panels[i]:
            axes.grid(axis="both")
            axes.margins(0.12)
    panels[-1, 0].set_xlabel("tokens of all trainings")
    panels[-1, 1].set_xlabel("KL from the base, nats per token (k3)")
    _legend(figure, methods, published=False)
    return figure


def draw_learning_curves(runs: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss by optimizer step, one panel per run; panels share no axis, because models and losses differ.

    Args:
        runs: columns step and loss by the run's name for people.
    """
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    figure, panels = _panels(rows, columns, 2.1)
    for axes, (name, metrics) in zip(panels.flat, runs.items(), strict=False):
        _draw_curve(axes, metrics["step"], metrics["loss"], name)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.grid(axis="y")
    for axes in panels.flat[len(runs) :]:
        axes.set_visible(False)
    figure.supxlabel("optimizer step", fontsize=9)
    figure.supylabel("loss in nats", fontsize=9)
    return figure


def draw_ppo(metrics: pd.DataFrame) -> Figure:
    """Reward and divergence from stage 1 by rollout.

    Args:
        metrics: columns step, reward, reward_clipped, kl_k3, kl_k1.
    """
    figure, panels = _panels(1, 2, 2.6)
    scores = (("reward", "as scored", "-"), ("reward_clipped", "clipped", "--"))
    divergences = (("kl_k3", "k3 estimate", "-"), ("kl_k1", "k1 estimate", "--"))
    shown = (
        ("Score of the reward model", "mean of a rollout", scores),
        ("KL divergence from stage 1", "nats per token", divergences),
    )
    for axes, (title, unit, columns) in zip(panels[0], shown, strict=True):
        for column, label, style in columns:
            _draw_curve(axes, metrics["step"], metrics[column], label, style=style)
        axes.set(title=title, ylabel=unit, xlabel="rollout")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.legend()
    return figure


def draw_reward_accuracy(metrics: pd.DataFrame, heldout: Mapping[str, Any]) -> Figure:
    """Share of pairs the reward model orders as the scores do: by training step, and held out with its interval.

    Args:
        metrics: columns step and accuracy.
        heldout: accuracy and interval95, shares.
    """
    figure, panels = _panels(1, 2, 2.6, sharey=True, width_ratios=(3, 1))
    curve, final = panels[0]
    _draw_curve(curve, metrics["step"], 100 * metrics["accuracy"], "training batches")
    low, high = (100 * end for end in heldout["interval95"])
    final.plot([0, 0], [low, high], color=INK, linewidth=1.3)
    final.plot([0], [100 * heldout["accuracy"]], marker="D", color=INK, markersize=7)
    for axes in panels[0]:
        axes.axhline(50, color=MUTED, linestyle=":", linewidth=1.2)
        axes.set_ylim(0, 100)
        axes.grid(axis="y")
    curve.set(title="Training batches", xlabel="optimizer step", ylabel="pairs in the right order, %")
    final.set(title="Held-out pairs", xticks=[], xlim=(-1, 1))
    curve.annotate("guessing", (1, 50), (-4, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                   ha="right", color=MUTED, fontsize=8)  # fmt: skip
    return figure
