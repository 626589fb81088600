"""Intervals and paired comparisons of accuracies and losses."""

import math
from collections.abc import Sequence

import numpy as np

Z95 = 1.959963984540054
BOOTSTRAP_SAMPLES = 10_000


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
    for start in range(0, BOOTSTRAP_SAMPLES, 500):
        draws = generator.integers(0, len(items), size=(500, len(items)))
        means[start : start + 500] = items[draws].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
