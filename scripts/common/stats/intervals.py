"""Intervals of accuracies and losses."""

import math
from collections.abc import Sequence

import numpy as np

Z95 = 1.959963984540054
BOOTSTRAP_SAMPLES = 10_000
AT_ONCE = 500  # of them, which bounds the memory that drawing takes


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927).

    Args:
        successes: number of correct items.
        n: number of items, at least one.
    """
    share, z2 = successes / n, Z95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def bootstrap_interval(values: Sequence[float] | np.ndarray, seed: int) -> tuple[float, float]:
    """95 % percentile interval of a mean over items, by resampling items (Efron 1979).

    Args:
        values: shape (items,), or (runs, items): the mean over runs is taken, then items are resampled, so that
            the runs' dependence through shared items is kept.
        seed: of the resampling.
    """
    items = np.atleast_2d(np.asarray(values, dtype=np.float64)).mean(axis=0)
    generator = np.random.default_rng(seed)
    means = np.empty(BOOTSTRAP_SAMPLES)
    for start in range(0, BOOTSTRAP_SAMPLES, AT_ONCE):
        draws = generator.integers(0, len(items), size=(AT_ONCE, len(items)))
        means[start : start + AT_ONCE] = items[draws].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def cluster_interval(values: Sequence[float] | np.ndarray, clusters: Sequence[str], seed: int) -> tuple[float, float]:
    """95 % percentile interval of a mean, by resampling clusters of values that depend on each other.

    Args:
        values: shape (n,).
        clusters: the cluster of each value, such as the prompt of a pair.
        seed: of the resampling.
    """
    names = sorted(set(clusters))
    index = {name: i for i, name in enumerate(names)}
    member = np.array([index[name] for name in clusters])
    sums = np.bincount(member, weights=np.asarray(values, dtype=np.float64), minlength=len(names))
    counts = np.bincount(member, minlength=len(names))
    generator, means = np.random.default_rng(seed), np.empty(BOOTSTRAP_SAMPLES)
    for start in range(0, BOOTSTRAP_SAMPLES, AT_ONCE):
        draws = generator.integers(0, len(names), size=(AT_ONCE, len(names)))
        means[start : start + AT_ONCE] = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def mean_interval(correct: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % interval of an accuracy: Wilson for one run, bootstrap over items for the mean of several.

    Where every run got every item right (or wrong) resampling has no spread, so Wilson over the items is taken.

    Args:
        correct: booleans, shape (runs, items), the same items in each run.
        seed: of the resampling.
    """
    runs, items = correct.shape
    if runs == 1 or correct.all() or not correct.any():
        return wilson_interval(int(correct[0].sum()), items)
    return bootstrap_interval(correct, seed)
