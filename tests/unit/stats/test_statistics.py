"""Intervals and tests against published values, brute force and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.stats.intervals import bootstrap_interval, mean_interval, wilson_interval
from common.stats.significance import holm, mcnemar_p_value, p_value_number, p_value_text
from support.amounts import examples


def score_test_limit(successes: int, n: int, upper: bool) -> float:
    """The limit of the score interval by bisection: where the test of `p` is just significant at 5 %."""
    share = successes / n
    inside, outside = share, 1.0 if upper else 0.0
    for _ in range(100):
        middle = (inside + outside) / 2
        accepted = (share - middle) ** 2 <= 1.959963984540054**2 * middle * (1 - middle) / n
        inside, outside = (middle, outside) if accepted else (inside, middle)
    return inside


def enumerated_mcnemar(wins: int, losses: int) -> float:
    """Share of all outcomes of fair coins at least as uneven as the one observed."""
    outcomes = [abs(sum(signs)) for signs in itertools.product((-1, 1), repeat=wins + losses)]
    return sum(uneven >= abs(wins - losses) for uneven in outcomes) / len(outcomes)


def runs(*rows: str) -> np.ndarray:
    """`runs("101", "111")` -> booleans, one row a run."""
    return np.array([[char == "1" for char in row] for row in rows])


# --- Wilson ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 64, 872])
def test_wilson_inverts_the_score_test(n: int) -> None:
    for successes in {0, 1, n // 3, n // 2, n - 1, n}:
        expected = score_test_limit(successes, n, upper=False), score_test_limit(successes, n, upper=True)
        assert wilson_interval(successes, n) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=examples(200))
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_stays_in_range_and_mirrors(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson_interval(successes, n)
    rounding = 1e-12
    assert 0 <= low <= successes / n + rounding
    assert successes / n - rounding <= high <= 1
    assert low < high
    assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


# --- bootstrap ------------------------------------------------------------------------------------------------


def test_bootstrap_covers_the_true_mean_about_19_times_in_20() -> None:
    generator = np.random.default_rng(1)
    simulated = [generator.random(40) < 0.6 for _ in range(150)]
    intervals = [bootstrap_interval(sample, seed) for seed, sample in enumerate(simulated)]
    coverage = np.mean([low <= 0.6 <= high for low, high in intervals])
    assert 0.89 <= coverage <= 0.99


def test_bootstrap_width_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(2).normal(3.0, 2.0, size=400)
    low, high = bootstrap_interval(values, seed=0)
    half = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_bootstrap_depends_on_the_seed_alone() -> None:
    values = [0.0, 1.0, 1.0, 0.5, 0.25, 0.1, 0.9]
    assert bootstrap_interval(values, 3) == bootstrap_interval(values, 3)
    continuous = np.random.default_rng(0).normal(size=30)
    assert bootstrap_interval(continuous, 3) != bootstrap_interval(continuous, 4)


def test_bootstrap_resamples_items_not_runs() -> None:
    first = np.random.default_rng(5).random(50) < 0.5
    assert bootstrap_interval(np.stack([first] * 3), 0) == bootstrap_interval(first, 0)


def test_bootstrap_of_equal_values_is_that_value() -> None:
    assert bootstrap_interval([2.5] * 8, 0) == (2.5, 2.5)


def test_mean_interval_of_one_run_is_wilson() -> None:
    assert mean_interval(runs("1101"), 0) == wilson_interval(3, 4)


@pytest.mark.parametrize(("correct", "right"), [(runs("11111", "11111"), 5), (runs("00000", "00000", "00000"), 0)])
def test_mean_interval_without_spread_is_wilson_over_items(correct: np.ndarray, right: int) -> None:
    assert mean_interval(correct, 0) == wilson_interval(right, 5)


def test_mean_interval_of_several_runs_is_bootstrap_over_items() -> None:
    correct = runs("110100", "111000", "100111")
    low, high = mean_interval(correct, 9)
    assert (low, high) == bootstrap_interval([1.0, 2 / 3, 1 / 3, 2 / 3, 1 / 3, 1 / 3], 9)
    assert low < correct.mean() < high


# --- McNemar --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wins", "losses"), [(w, n - w) for n in range(11) for w in range(n + 1)])
def test_mcnemar_equals_enumeration(wins: int, losses: int) -> None:
    assert mcnemar_p_value(wins, losses) == pytest.approx(enumerated_mcnemar(wins, losses), abs=1e-12)


def test_mcnemar_of_many_items_does_not_overflow() -> None:
    assert mcnemar_p_value(1000, 1000) == 1.0
    assert 0 < mcnemar_p_value(1100, 900) < 1e-4


# --- Holm -----------------------------------------------------------------------------------------------------


def test_holm_on_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float]) -> None:
    rejected: set[int] = set()
    for i in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        if (len(p_values) - len(rejected)) * p_values[i] > 0.05:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [(0.625, "0.625", "p = 0.625"), (1.0, "1.000", "p = 1.000"), (0.001, "0.001", "p = 0.001"),
     (0.00099, "<0.001", "p < 0.001"), (0.0, "<0.001", "p < 0.001")],
)  # fmt: skip
def test_a_p_value_is_written_with_three_decimals_and_never_as_zero(value: float, number: str, text: str) -> None:
    assert p_value_number(value) == number
    assert p_value_number(value, below="< ") == number.replace("<", "< ")
    assert p_value_text(value) == text
