"""What published counts and percentages can show when the items behind them are not available."""

import math
from collections.abc import Callable

from common.stats.intervals import Z95
from common.stats.significance import LEVEL, mcnemar_p_value


def normal_p_value(z: float) -> float:
    """Two-sided p-value of a standard normal deviate."""
    return math.erfc(abs(z) / math.sqrt(2))


def two_proportion_p_value(first: float, second: float, items: int) -> float:
    """Two-sided z-test of two shares over `items` items each, taken as independent samples (pooled variance).

    Two systems answering the same items are paired; as the pairing is not published this is an approximation.
    """
    pooled = (first + second) / 2
    variance = 2 * pooled * (1 - pooled) / items
    return normal_p_value((first - second) / math.sqrt(variance)) if variance > 0 else 1.0


def difference_deviation(first: float, second: float, items: int) -> float:
    """Standard error of a difference of two shares over `items` items each, taken as independent samples."""
    return math.sqrt((first * (1 - first) + second * (1 - second)) / items)


def worst_pairing_p_value(first: float, second: float, items: int, runs: int) -> float:
    """The largest p-value a paired test could give, over every way the two systems' right items may overlap.

    The items on which they differ number at most min(a + b, 2 - a - b) of all. One run: exact McNemar test.
    Means of several runs: a normal approximation with that bound on the variance.

    Args:
        first: share of right answers.
        second: the same of the other system.
        items: size of the evaluation set, the same in each run.
        runs: runs behind each share.
    """
    if runs == 1:
        a, b = round(first * items), round(second * items)
        differing, ahead = min(a + b, 2 * items - a - b), abs(a - b)
        return mcnemar_p_value((differing + ahead) // 2, (differing - ahead) // 2)
    difference = first - second
    variance = min(first + second, 2 - first - second) - difference**2
    return normal_p_value(difference * math.sqrt(items / variance)) if variance > 0 else float(difference == 0)


def same_value_chance(share: float, trials: int) -> float:
    """Chance that two independent counts of the same binomial agree exactly (normal approximation).

    The sum of squared probabilities, 1 / (2 sqrt(pi trials p (1 - p))).
    """
    return 1 / (2 * math.sqrt(math.pi * trials * share * (1 - share)))


def binomial_tail(least: int, trials: int, share: float) -> float:
    """Probability of at least `least` successes."""
    terms = (math.comb(trials, i) * share**i * (1 - share) ** (trials - i) for i in range(least, trials + 1))
    return math.fsum(terms)


def exact_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion that never covers less than 95 % (Clopper and Pearson 1934)."""
    low = 0.0 if successes == 0 else _root(lambda share: binomial_tail(successes, trials, share) - 0.025)
    high = 1.0
    if successes < trials:
        high = _root(lambda share: 0.025 - (1 - binomial_tail(successes + 1, trials, share)))
    return low, high


def _root(increasing: Callable[[float], float]) -> float:
    """Where a function that increases on [0, 1] crosses zero, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return (low + high) / 2


def least_unanimous() -> int:
    """Fewest decided ratings that reach the 5 % level when all agree (exact sign test)."""
    return next(n for n in range(1, 100) if mcnemar_p_value(n, 0) <= LEVEL)


def ratings_needed(share: float, power: float) -> int:
    """Fewest decided ratings with which the exact sign test finds a true preference `share` with this power.

    Raises:
        ValueError: when no number up to 1,000 suffices.
    """
    least = least_unanimous()  # wins that reach the 5 % level; more ratings never need fewer
    for n in range(least, 1001):
        while mcnemar_p_value(least, n - least) > LEVEL:
            least += 1
        if binomial_tail(least, n, share) >= power:
            return n
    raise ValueError("more than 1,000 ratings would be needed")


def resolvable_difference(items: int) -> float:
    """Half-width of the 95 % interval of a difference of two shares near one half, independent samples."""
    return Z95 * math.sqrt(2 * 0.25 / items)
