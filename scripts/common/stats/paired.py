"""Two methods compared on the same items and the same in-context examples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.stats.intervals import BOOTSTRAP_SAMPLES, wilson_interval
from common.stats.significance import mcnemar_p_value

_AT_A_TIME = 500


@dataclass(frozen=True)
class Comparison:
    """A difference of two accuracies, its 95 % interval and two-sided p-value."""

    difference: float
    interval: tuple[float, float]
    p_value: float


def compare(first: np.ndarray, second: np.ndarray, seed: int) -> Comparison:
    """`first` minus `second`.

    Interval: percentiles of the paired bootstrap over items and runs. p-value: exact McNemar for one run each; for
    means of several runs twice the smaller share of resamples on one side of zero, so that test and interval agree.
    Where every item and run differs by the same amount resampling has no spread, and Wilson's bound on the share of
    items that might differ otherwise takes its place.

    Args:
        first: booleans, shape (runs, items).
        second: the same shape; run r had the same in-context examples in both.
        seed: of the resampling.
    """
    differences = first.astype(np.float64) - second
    mean = float(differences.mean())
    resampled = paired_bootstrap(differences, seed)
    low, high = (float(end) for end in np.quantile(resampled, [0.025, 0.975]))
    if np.ptp(differences) == 0:
        slack = wilson_interval(0, differences.shape[1])[1]
        low, high = max(-1.0, mean - slack), min(1.0, mean + slack)
    if len(differences) == 1:
        p_value = mcnemar_p_value(int((differences > 0).sum()), int((differences < 0).sum()))
    else:
        p_value = bootstrap_p_value(resampled)
    return Comparison(mean, (low, high), p_value)


def compare_means(pairs: Sequence[tuple[np.ndarray, np.ndarray]], seed: int) -> Comparison:
    """The mean over several tasks of `first` minus `second`, every task with the same weight.

    The paired bootstrap resamples each task's items and runs by itself, since tasks share neither. Where no task has a
    spread, the mean of the tasks' bounds of `compare` takes its place.

    Args:
        pairs: of each task, `first` and `second` as `compare` takes them.
        seed: of the resampling.
    """
    differences = [first.astype(np.float64) - second for first, second in pairs]
    mean = float(np.mean([task.mean() for task in differences]))
    resampled = np.mean([paired_bootstrap(task, (seed, i)) for i, task in enumerate(differences)], axis=0)
    low, high = (float(end) for end in np.quantile(resampled, [0.025, 0.975]))
    if not any(np.ptp(task) for task in differences):
        slack = float(np.mean([wilson_interval(0, task.shape[1])[1] for task in differences]))
        low, high = max(-1.0, mean - slack), min(1.0, mean + slack)
    return Comparison(mean, (low, high), bootstrap_p_value(resampled))


def paired_bootstrap(differences: np.ndarray, seed: int | tuple[int, ...]) -> np.ndarray:
    """Means of resamples: runs and, crossed with them, items are drawn with replacement (Owen 2007).

    With few runs the spread over them is underestimated, by a factor (runs - 1) / runs in variance.

    Args:
        differences: shape (runs, items).
        seed: of the resampling.

    Returns:
        Shape (BOOTSTRAP_SAMPLES,).
    """
    runs, items = differences.shape
    generator = np.random.default_rng(seed)
    means = np.empty(BOOTSTRAP_SAMPLES)
    for start in range(0, BOOTSTRAP_SAMPLES, _AT_A_TIME):
        drawn_runs = generator.integers(0, runs, size=(_AT_A_TIME, runs))
        drawn_items = generator.integers(0, items, size=(_AT_A_TIME, items))
        times_drawn = (drawn_runs[:, :, None] == np.arange(runs)).sum(axis=1)
        by_item = times_drawn @ differences / runs
        means[start : start + _AT_A_TIME] = np.take_along_axis(by_item, drawn_items, axis=1).mean(axis=1)
    return means


def bootstrap_p_value(resampled: np.ndarray) -> float:
    """Two-sided p-value of a difference of zero: twice the smaller share of resamples at or beyond it, never zero."""
    rounding = 1e-9
    beyond = min(int((resampled <= rounding).sum()), int((resampled >= -rounding).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(resampled) + 1))
