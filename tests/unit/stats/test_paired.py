"""Methods compared on the same items: the bootstrap against enumeration and simulation, and the table people read."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import render_paired
from common.base.errors import UserError
from common.files.parquet import write_parquet
from common.files.whole_files import canonical_json, sha256_of_file, write_json, write_record
from common.stats.intervals import wilson_interval
from common.stats.paired import bootstrap_p_value, compare, paired_bootstrap
from common.stats.significance import holm, mcnemar_p_value
from common.tables.method_pairs import best_cells, paired_tests
from common.tables.scores import Cell
from support.amounts import examples


def runs(*rows: str) -> np.ndarray:
    """`runs("101", "111")` -> booleans, one row a run."""
    return np.array([[char == "1" for char in row] for row in rows])


def every_resample(differences: np.ndarray) -> np.ndarray:
    """Means of all equally likely resamples of runs and items, one by one."""
    count, items = differences.shape
    return np.array([
        sum(differences[r, i] for r in drawn_runs for i in drawn_items) / (count * items)
        for drawn_runs in itertools.product(range(count), repeat=count)
        for drawn_items in itertools.product(range(items), repeat=items)
    ])  # fmt: skip


# --- bootstrap ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 5), (2, 4), (3, 3)])
def test_bootstrap_has_the_distribution_of_all_resamples(shape: tuple[int, int]) -> None:
    differences = np.random.default_rng(1).integers(-1, 2, size=shape).astype(float)
    drawn, exact = paired_bootstrap(differences, 0), every_resample(differences)
    for value in np.unique(exact.round(9)):
        assert (drawn <= value + 1e-6).mean() == pytest.approx((exact <= value + 1e-6).mean(), abs=0.02)
    assert set(drawn.round(9)) <= set(exact.round(9))


def test_bootstrap_keeps_runs_and_items_whole() -> None:
    only_runs = np.array([[1.0] * 6, [0.0] * 6])
    assert set(paired_bootstrap(only_runs, 0)) == {0.0, 0.5, 1.0}
    only_items = np.array([[1.0, 0.0]] * 4)
    assert set(paired_bootstrap(only_items, 0)) == {0.0, 0.5, 1.0}


def test_bootstrap_depends_on_the_seed_alone() -> None:
    differences = np.random.default_rng(2).normal(size=(3, 20))
    assert np.array_equal(paired_bootstrap(differences, 5), paired_bootstrap(differences, 5))
    assert not np.array_equal(paired_bootstrap(differences, 5), paired_bootstrap(differences, 6))


def test_bootstrap_variance_is_that_of_items_and_runs_together() -> None:
    generator = np.random.default_rng(3)
    differences = generator.normal(size=(8, 1)) + generator.normal(size=(1, 60)) + generator.normal(size=(8, 60))
    of_runs, of_items = differences.mean(axis=1).var() / 8, differences.mean(axis=0).var() / 60
    assert paired_bootstrap(differences, 0).var() == pytest.approx(of_runs + of_items, rel=0.1)


def test_p_value_counts_resamples_beyond_zero_on_the_rarer_side() -> None:
    assert bootstrap_p_value(np.array([-1.0, 1, 1, 1, 1, 1, 1, 1, 1])) == 2 * 2 / 10
    assert bootstrap_p_value(np.array([0.0, 1, 1, 1, 1, 1, 1, 1, 1])) == 2 * 2 / 10
    assert bootstrap_p_value(np.array([1.0] * 99)) == 2 / 100
    assert bootstrap_p_value(np.zeros(9)) == 1.0
    assert bootstrap_p_value(np.array([1e-17] * 9)) == 1.0


# --- comparison -----------------------------------------------------------------------------------------------


def test_one_run_is_tested_with_mcnemar() -> None:
    comparison = compare(runs("1111111100"), runs("0000001111"), 0)
    assert comparison.p_value == mcnemar_p_value(6, 2)
    assert comparison.difference == pytest.approx(0.4)


def test_interval_is_the_percentiles_of_all_resamples() -> None:
    first, second = runs("1101", "1011"), runs("0100", "0011")
    comparison = compare(first, second, 0)
    exact = every_resample(first.astype(float) - second)
    assert comparison.interval == pytest.approx(np.quantile(exact, [0.025, 0.975]), abs=0.07)
    assert comparison.difference == exact.mean() == 3 / 8


@settings(deadline=None, max_examples=examples(15))
@given(st.integers(0, 10**6), st.sampled_from([1, 3]))
def test_swapping_the_methods_swaps_signs_alone(seed: int, count: int) -> None:
    first, second = np.random.default_rng(seed).random((2, count, 25)) < 0.6
    there, back = compare(first, second, seed), compare(second, first, seed)
    assert there.difference == -back.difference
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert there.p_value == back.p_value
    assert there.interval[0] <= there.difference <= there.interval[1]


@pytest.mark.parametrize("count", [1, 3])
def test_equal_answers_are_no_difference_but_not_a_certain_one(count: int) -> None:
    correct = np.random.default_rng(0).random((count, 30)) < 0.5
    comparison = compare(correct, correct, 0)
    slack = wilson_interval(0, 30)[1]
    assert (comparison.difference, comparison.p_value) == (0.0, 1.0)
    assert comparison.interval == (-slack, slack)


def test_opposite_answers_are_as_different_as_can_be() -> None:
    right, wrong = np.ones((3, 30), bool), np.zeros((3, 30), bool)
    comparison = compare(right, wrong, 0)
    assert comparison.p_value == pytest.approx(2 / 10_001)
    assert comparison.interval == (1 - wilson_interval(0, 30)[1], 1.0)
    assert compare(right[:1], wrong[:1], 0).p_value == pytest.approx(2 / 2**30)


def test_test_of_means_and_interval_agree() -> None:
    generator = np.random.default_rng(7)
    for shift in np.linspace(0, 0.3, 12):
        first, second = generator.random((3, 40)) < 0.5 + shift, generator.random((3, 40)) < 0.5
        comparison = compare(first, second, 0)
        outside = not comparison.interval[0] <= 0 <= comparison.interval[1]
        assert abs(comparison.p_value - 0.05) < 0.01 or (comparison.p_value < 0.05) == outside


def test_p_values_are_rarely_small_when_nothing_differs() -> None:
    generator = np.random.default_rng(6)
    samples = generator.random((100, 2, 3, 30)) < 0.5
    assert sum(compare(first, second, 0).p_value <= 0.1 for first, second in samples) <= 20


# --- tests of a whole table -----------------------------------------------------------------------------------


def cell(generator: np.random.Generator, share: float, count: int = 3) -> Cell:
    return Cell(generator.random((count, 40)) < share, tuple(map(str, range(40))), "T")


def test_every_pair_of_every_column_is_tested_and_corrected_together() -> None:
    generator = np.random.default_rng(0)
    shares = {"a": 0.2, "b": 0.5, "c": 0.9}
    cells = {("m", method, "t", k): cell(generator, shares[method], 3 if k else 1) for method in shares for k in (0, 2)}
    tests = paired_tests(cells)
    pairs = [("b", "a"), ("c", "a"), ("c", "b")]
    assert [(test.k, test.first, test.second) for test in tests] == [(k, *pair) for k in (0, 2) for pair in pairs]
    expected = [
        compare(cells["m", t.first, "t", t.k].correct, cells["m", t.second, "t", t.k].correct, 0) for t in tests
    ]
    assert [test.comparison for test in tests] == expected
    assert [test.adjusted for test in tests] == holm([comparison.p_value for comparison in expected])


def test_a_missing_cell_is_neither_tested_nor_counted() -> None:
    generator = np.random.default_rng(0)
    cells = {("m", "a", "t", 0): cell(generator, 0.1, 1), ("m", "b", "t", 0): cell(generator, 0.9, 1)}
    (whole,) = paired_tests(cells)
    tests = paired_tests({**cells, ("m", "c", "t", 0): None})
    assert [test.comparison is None for test in tests] == [False, True, True]
    assert tests[0].adjusted == whole.adjusted < 0.05
    assert best_cells({**cells, ("m", "c", "t", 0): None}) == {("m", "b", "t", 0)}


def test_best_is_what_every_test_says_is_better() -> None:
    generator = np.random.default_rng(5)
    for _ in range(10):
        shares = dict(zip("abc", generator.random(3), strict=True))
        cells = {("m", method, "t", k): cell(generator, shares[method]) for method in shares for k in (1, 2)}
        tests = paired_tests(cells)
        expected = set()
        for k, method in itertools.product((1, 2), "abc"):
            mine = [test for test in tests if test.k == k and method in (test.first, test.second)]
            signs = [1 if test.first == method else -1 for test in mine]
            if all(s * t.comparison.difference > 0 and t.adjusted <= 0.05 for s, t in zip(signs, mine, strict=True)):
                expected.add(("m", method, "t", k))
        assert best_cells(cells) == expected


def test_methods_asked_different_items_are_an_error() -> None:
    generator = np.random.default_rng(0)
    one, other = cell(generator, 0.5), cell(generator, 0.5)
    other = Cell(other.correct, (*other.ids[1:], "new"), "T")
    with pytest.raises(UserError, match="two methods were asked different items"):
        paired_tests({("m", "a", "t", 3): one, ("m", "b", "t", 3): other})


# --- the table ------------------------------------------------------------------------------------------------

SETTINGS = {
    "models": ["small"], "methods": ["pretrained", "sft", "coh"], "tasks": ["sst2"], "shots": [0, 2], "seeds": [4, 9],
    "model_info": {"small": {"label": "Small"}},
}  # fmt: skip
PATTERNS = {
    ("pretrained", 0): ["000000000011"], ("sft", 0): ["111111111111"], ("coh", 0): ["000000000011"],
    ("pretrained", 2): ["110000000000", "100000000000"], ("sft", 2): ["111111000000", "110110110110"],
}  # fmt: skip


def render(folder: Path) -> tuple[int, dict[str, list[dict[str, str]]]]:
    options = ["--eval", str(folder / "eval"), "--output", str(folder / "tables")]
    code = render_paired.main(["--settings", canonical_json(SETTINGS), *options])
    names = ("paired.csv", "paired_cells.csv")
    return code, {name: list(csv.DictReader((folder / "tables" / name).open(newline=""))) for name in names}


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    for (method, k), patterns in PATTERNS.items():
        for seed, pattern in zip((4, 9) if k else (0,), patterns, strict=True):
            stem = tmp_path / f"eval/small/{method}/sst2/k{k}_seed{seed}"
            rows = [{"id": str(i), "correct": char == "1"} for i, char in enumerate(pattern)]
            write_parquet(stem.with_suffix(".parquet"), rows, ("id", "correct"))
            digest = sha256_of_file(stem.with_suffix(".parquet"))
            write_record(
                stem.with_suffix(".json"), {"correct": pattern.count("1"), "unparseable": 0.0, "rows_sha256": digest}
            )
    write_json(tmp_path / "data/tasks/sst2/summary.json", {"title": "SST_2"})
    return tmp_path


def test_table_shows_each_pair_with_interval_and_both_p_values(scores: Path) -> None:
    code, written = render(scores)
    assert code == 0
    lines = {(line["k"], line["first"], line["second"]): line for line in written["paired.csv"]}
    assert len(lines) == 6
    line = lines["0", "sft", "pretrained"]
    assert (line["difference"], line["n"], line["draws"]) == ("83.3333", "12", "1")
    assert float(line["p"]) == pytest.approx(mcnemar_p_value(10, 0), abs=1e-6)
    assert float(line["p_holm"]) == pytest.approx(4 * mcnemar_p_value(10, 0), abs=1e-6)
    means = lines["2", "sft", "pretrained"]
    expected = compare(runs(*PATTERNS["sft", 2]), runs(*PATTERNS["pretrained", 2]), 0)
    assert [means[end] for end in ("low", "high")] == [f"{100 * end:.4f}" for end in expected.interval]
    assert means["draws"] == "2"
    shown = " ".join((scores / "tables/paired.md").read_text(encoding="utf-8").split())
    assert "| Small | SST\\_2 | 0 | SFT \u2212 Pretrained | **+83.3** | +58.3 to +100.0 | 0.002 | 0.008 |" in shown
    assert "| CoH \u2212 Pretrained | +0.0 | -24.2 to +24.2 | 1.000 | 1.000 |" in shown


def test_missing_scores_are_said_to_be_missing(scores: Path) -> None:
    _, written = render(scores)
    missing = [line for line in written["paired.csv"] if line["difference"] == ""]
    assert [(line["k"], line["first"], line["second"]) for line in missing] == [
        ("2", "coh", "pretrained"), ("2", "coh", "sft"),
    ]  # fmt: skip
    assert (scores / "tables/paired.md").read_text().count("missing") == 2


def test_every_comparison_is_among_the_cells(scores: Path) -> None:
    _, written = render(scores)
    cells = {cell["cell"]: cell for cell in written["paired_cells.csv"]}
    assert len(cells) == 12
    assert cells["paired/small/sft-pretrained/sst2/k0"]["value"] == "83.3333"
    assert float(cells["paired/small/sft-pretrained/sst2/k0/p_holm"]["value"]) < 0.05
    assert cells["paired/small/coh-sft/sst2/k2"]["value"] == "missing"
    patterns = {f"{part}.json" for cell in cells.values() for part in cell["source"].split(";")}
    sources = {path for pattern in patterns for path in scores.glob(pattern)}
    assert len(sources) == 3 + 2 * 2
    assert all("correct" in json.loads(path.read_text()) for path in sources)


@pytest.mark.parametrize(
    ("seeds", "comparisons", "told", "untold"),
    [
        ([1, 2, 3], 36, "means of 3 draws", "no mean can be bold"),
        ([1, 2, 3], 251, "no mean can be bold", "one run."),
        ([1], 251, "McNemar test for one run.", "bold"),
    ],
)
def test_notes_say_only_what_was_done(seeds: list[int], comparisons: int, told: str, untold: str) -> None:
    notes = " ".join(render_paired.notes_on_tests({"seeds": seeds, "shots": [0, 1]}, comparisons))
    assert told in notes
    assert untold not in notes
