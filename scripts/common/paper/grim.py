"""Which percentages are means of counts: the GRIM test (Brown and Heathers 2017) for accuracies of several runs.

A mean over `runs` runs of `items` items is count / trials with trials = runs * items. Printed values are integers in
units of their last digit (83.27 at two decimals is 8327), so that all arithmetic is exact.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDINGS = ("nearest", "half_up", "half_even", "truncated")


def scale(decimals: int) -> int:
    """Units of the last digit in 100 %."""
    return int(100 * 10**decimals)


def is_reachable(units: ArrayLike, trials: ArrayLike, decimals: int, rounding: str = "nearest") -> NDArray[np.bool_]:
    """Whether a count of `trials` is printed as `units`; the arguments are broadcast.

    Args:
        units: printed values in units of the last digit.
        trials: runs times items, at least one.
        decimals: digits after the point.
        rounding: half_up, half_even or truncated; nearest accepts either way at exact halves.

    Raises:
        ValueError: for another rounding.
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"unknown rounding {rounding}")
    value, total = np.broadcast_arrays(np.asarray(units, np.int64), np.asarray(trials, np.int64))
    found = np.zeros(value.shape, dtype=bool)
    below = value * total // scale(decimals)
    for count in (below - 1, below, below + 1):
        # over = 2 * trials * (exact value - printed value)
        over = 2 * (scale(decimals) * count - value * total)
        if rounding == "truncated":
            fits = (over >= 0) & (over < 2 * total)
        elif rounding == "half_up":
            fits = (over >= -total) & (over < total)
        else:
            fits = np.abs(over) < total
            at_half = np.abs(over) == total
            fits |= at_half if rounding == "nearest" else at_half & (value % 2 == 0)
        found |= fits & (count >= 0) & (count <= total)
    return found


def count_halves(trials: int, decimals: int) -> int:
    """Counts of `trials` whose percentage lies exactly between two printed values, where roundings differ."""
    counts = np.arange(trials + 1, dtype=np.int64)
    return int((2 * scale(decimals) * counts % (2 * trials) == trials).sum())


def neighbours(units: int, trials: int, decimals: int) -> tuple[int, int]:
    """The counts next below and above a printed value."""
    below = units * trials // scale(decimals)
    return below, below + 1


def detection_power(trials: int, decimals: int) -> float:
    """Chance that a value typed at random, uniform over 0 to 100 %, is found to be unreachable."""
    values = np.arange(scale(decimals) + 1)
    return float(1 - is_reachable(values, trials, decimals).mean())


def count_fitting(units: Sequence[int], runs: Sequence[int], sizes: ArrayLike, decimals: int) -> NDArray[np.int64]:
    """How many cells each size of evaluation set can reach.

    Args:
        units: printed values, shape (cells,).
        runs: runs behind each, shape (cells,).
        sizes: items, shape (sizes,).
    """
    items = np.asarray(sizes, np.int64)
    fitting = np.zeros(items.shape, dtype=np.int64)
    for value, count in zip(units, runs, strict=True):
        fitting += is_reachable(value, count * items, decimals)
    return fitting


def is_reachable_from_rounded_runs(units: int, items: int, runs: int, run_decimals: int, decimals: int) -> bool:
    """Whether a mean of runs each of which was rounded to `run_decimals` before is printed as `units`."""
    step = scale(run_decimals)
    counts = np.arange(items + 1, dtype=np.int64)
    single = np.zeros(step + 1, dtype=np.int64)
    single[(2 * step * counts + items) // (2 * items)] = 1
    sums: NDArray[Any] = single
    for _ in range(runs - 1):
        sums = np.minimum(np.convolve(sums, single), 1)
    totals = np.flatnonzero(sums)
    over = 2 * (totals * scale(decimals) - units * runs * step)
    return bool((np.abs(over) <= runs * step).any())
