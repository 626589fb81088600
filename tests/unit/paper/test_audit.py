"""The audit: its arithmetic against slow references, and its findings as they come out of the published table."""

import itertools
import json
import math
import shutil
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import audit_paper
from common.base.paths import ROOT
from common.paper import grim, proportions
from common.paper.audit_digits import (
    check_power,
    check_reachable_cells,
    check_repeated_rows,
    check_runs,
    check_sizes,
    doubtful_cells,
    unreachable_cells,
)
from common.paper.audit_inference import (
    check_below_chance,
    check_noise,
    check_prompt_counts,
    check_ratings,
    check_sentences,
)
from common.paper.published import Published, load_published
from common.stats.significance import mcnemar_p_value
from support.amounts import examples

PAPER = ROOT / "resources/paper"
MODES = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "truncated": ROUND_DOWN}


def changed(tmp_path: Path, name: str, old: str, new: str) -> Published:
    """The published numbers with one text replaced."""
    folder = Path(shutil.copytree(PAPER, tmp_path / "paper"))
    text = (folder / name).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    return load_published(folder)


# --- reachable values -----------------------------------------------------------------------------------------


def printed(count: int, trials: int, decimals: int, mode: str) -> int:
    """A percentage as it is printed, in units of its last digit, by exact decimal arithmetic."""
    exact = Fraction(100 * 10**decimals * count, trials)
    whole, rest = divmod(exact.numerator, exact.denominator)
    # Halves decide the rounding, so the rest is told to the decimal module as below, at or above one half.
    position = Decimal("0") if rest == 0 else Decimal("0.5") + (2 * rest > exact.denominator) * Decimal("0.25")
    if 0 < 2 * rest < exact.denominator:
        position = Decimal("0.25")
    return int((Decimal(whole) + position).quantize(Decimal(1), rounding=mode))


@pytest.mark.parametrize("rounding", MODES)
@hypothesis_settings(max_examples=examples(60), deadline=None)
@given(st.integers(1, 300), st.integers(0, 2))
def test_reachable_values_are_those_some_count_is_printed_as(rounding: str, trials: int, decimals: int) -> None:
    expected = {printed(count, trials, decimals, MODES[rounding]) for count in range(trials + 1)}
    values = np.arange(grim.scale(decimals) + 1)
    assert set(np.flatnonzero(grim.is_reachable(values, trials, decimals, rounding))) == expected


@hypothesis_settings(max_examples=examples(60), deadline=None)
@given(st.integers(1, 300), st.integers(0, 2))
def test_nearest_accepts_halves_either_way(trials: int, decimals: int) -> None:
    modes = (ROUND_HALF_UP, ROUND_HALF_DOWN)
    expected = {printed(count, trials, decimals, mode) for count in range(trials + 1) for mode in modes}
    values = np.arange(grim.scale(decimals) + 1)
    assert set(np.flatnonzero(grim.is_reachable(values, trials, decimals))) == expected


@pytest.mark.parametrize("rounding", grim.ROUNDINGS)
def test_nothing_outside_0_to_100_percent_is_reachable(rounding: str) -> None:
    values = [-100, -10, -1, 101, 110, 200]
    assert not grim.is_reachable(values, 300, 0, rounding).any()


def test_an_unknown_rounding_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown rounding"):
        grim.is_reachable([1], 10, 2, "upwards")


@hypothesis_settings(max_examples=examples(100), deadline=None)
@given(st.integers(1, 400), st.integers(0, 2))
def test_halves_are_the_counts_on_which_roundings_differ(trials: int, decimals: int) -> None:
    up, down = (
        [printed(c, trials, decimals, mode) for c in range(trials + 1)] for mode in (ROUND_HALF_UP, ROUND_HALF_DOWN)
    )
    assert grim.count_halves(trials, decimals) == sum(a != b for a, b in zip(up, down, strict=True))


@hypothesis_settings(max_examples=examples(100), deadline=None)
@given(st.integers(1, 5000), st.data())
def test_neighbours_enclose_the_printed_value(trials: int, data: st.DataObject) -> None:
    units = data.draw(st.integers(0, 10000))
    below, above = grim.neighbours(units, trials, 2)
    assert above == below + 1
    assert Fraction(10000 * below, trials) <= units < Fraction(10000 * above, trials)


@hypothesis_settings(max_examples=examples(40), deadline=None)
@given(st.integers(1, 400))
def test_power_is_the_share_of_values_no_count_reaches(trials: int) -> None:
    reached = {printed(c, trials, 1, m) for c in range(trials + 1) for m in (ROUND_HALF_UP, ROUND_HALF_DOWN)}
    assert grim.detection_power(trials, 1) == pytest.approx(1 - len(reached) / 1001)


def test_a_size_fits_the_cells_it_made() -> None:
    generator = np.random.default_rng(3)
    runs = [1, 3, 3, 3, 1, 3]
    units = [printed(int(generator.integers(0, n * 137 + 1)), n * 137, 2, ROUND_HALF_UP) for n in runs]
    sizes = list(range(1, 400))
    counts = grim.count_fitting(units, runs, sizes, 2)
    slow = [sum(bool(grim.is_reachable(u, n * size, 2)) for u, n in zip(units, runs, strict=True)) for size in sizes]
    assert counts.tolist() == slow
    assert counts[136] == len(runs)
    assert sum(counts == len(runs)) < 20


@hypothesis_settings(max_examples=examples(40), deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 1), st.data())
def test_runs_rounded_first_against_all_combinations(
    items: int, runs: int, run_decimals: int, data: st.DataObject
) -> None:
    single = [Fraction(printed(c, items, run_decimals, ROUND_HALF_UP), 10**run_decimals) for c in range(items + 1)]
    means = {sum(choice, Fraction(0)) / runs for choice in itertools.product(single, repeat=runs)}
    near = data.draw(st.sampled_from(sorted(means)))
    for units in range(max(0, int(near * 10) - 2), min(1000, int(near * 10) + 3) + 1):
        expected = any(abs(mean * 10 - units) <= Fraction(1, 2) for mean in means)
        assert grim.is_reachable_from_rounded_runs(units, items, runs, run_decimals, 1) == expected


# --- tests on published counts --------------------------------------------------------------------------------


def test_two_proportion_test_against_its_formula() -> None:
    a, b, n = 0.5493, 0.5091, 1221
    pooled = (a * n + b * n) / (2 * n)
    z = (a - b) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / n))
    tail = sum(math.exp(-x * x / 2) for x in np.arange(abs(z), 12, 1e-4)) * 1e-4 / math.sqrt(2 * math.pi)
    assert proportions.two_proportion_p_value(a, b, n) == pytest.approx(2 * tail, abs=1e-4)
    assert proportions.two_proportion_p_value(1.0, 1.0, n) == 1.0


@hypothesis_settings(max_examples=examples(100), deadline=None)
@given(st.integers(1, 14), st.data())
def test_worst_pairing_of_one_run_against_all_pairings(items: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, items)), data.draw(st.integers(0, items))
    both = range(max(0, a + b - items), min(a, b) + 1)
    expected = max(mcnemar_p_value(a - shared, b - shared) for shared in both)
    assert proportions.worst_pairing_p_value(a / items, b / items, items, 1) == pytest.approx(expected)


@hypothesis_settings(max_examples=examples(100), deadline=None)
@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_no_pairing_of_several_runs_gives_a_larger_p_value(items: int, runs: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = (generator.random((runs, items)) < generator.random() for _ in range(2))
    difference = first.mean(axis=0) - second.mean(axis=0)
    deviation = difference.std() / math.sqrt(items)
    here = proportions.normal_p_value(difference.mean() / deviation) if deviation else float(difference.mean() == 0)
    worst = proportions.worst_pairing_p_value(float(first.mean()), float(second.mean()), items, 2)
    assert worst >= here - 1e-9


@pytest.mark.parametrize(("share", "trials"), [(0.1728, 1221), (0.5091, 1221), (0.9, 500)])
def test_chance_of_equal_counts_against_the_sum_of_squares(share: float, trials: int) -> None:
    logs = [
        math.lgamma(trials + 1) - math.lgamma(i + 1) - math.lgamma(trials - i + 1)
        + i * math.log(share) + (trials - i) * math.log1p(-share)
        for i in range(trials + 1)
    ]  # fmt: skip
    assert proportions.same_value_chance(share, trials) == pytest.approx(sum(math.exp(2 * x) for x in logs), rel=0.01)


@pytest.mark.parametrize(("successes", "trials"), [(3, 4), (3, 10), (0, 4), (4, 4), (7, 30)])
def test_exact_interval_leaves_a_fortieth_in_each_tail(successes: int, trials: int) -> None:
    low, high = proportions.exact_interval(successes, trials)

    def at_least(count: int, share: float) -> float:
        return sum(math.comb(trials, i) * share**i * (1 - share) ** (trials - i) for i in range(count, trials + 1))

    assert low == 0 if successes == 0 else at_least(successes, low) == pytest.approx(0.025, abs=1e-9)
    assert high == 1 if successes == trials else 1 - at_least(successes + 1, high) == pytest.approx(0.025, abs=1e-9)


def test_ratings_needed_is_the_first_number_with_the_power() -> None:
    def power(n: int, share: float) -> float:
        outcomes = range(n + 1)
        return sum(
            math.comb(n, wins) * share**wins * (1 - share) ** (n - wins)
            for wins in outcomes
            if 2 * wins > n and 2 * sum(math.comb(n, i) for i in outcomes if i >= wins) / 2**n <= 0.05
        )

    needed = proportions.ratings_needed(0.75, 0.8)
    assert power(needed, 0.75) >= 0.8
    assert all(power(n, 0.75) < 0.8 for n in range(1, needed))


@pytest.mark.slow
def test_a_preference_too_small_to_find_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1,000"):
        proportions.ratings_needed(0.501, 0.9)


def test_least_unanimous_is_six() -> None:
    assert proportions.least_unanimous() == 6
    assert 2 / 2**6 <= 0.05 < 2 / 2**5


# --- findings in the published table --------------------------------------------------------------------------


def test_two_cells_are_no_mean_over_the_evaluation_set(published: Published) -> None:
    assert [(cell.name, cell.text) for cell in unreachable_cells(published)] == [
        ("Llama-7B Pretrained SST2 k=1", "83.27"),
        ("Llama-13B CoH CoPA k=1", "96.3"),
    ]
    finding = check_reachable_cells(published)
    assert "70 of 72 cells are reachable" in finding.answer
    assert finding.data["halves"] == 0
    first, second = finding.data["unreachable"]
    assert (first["below"]["count"], first["above"]["count"], first["trials"]) == (2178, 2179, 2616)
    assert first["decimals_that_reach_it"] == []
    assert (second["below"]["count"], second["trials"]) == (1444, 1500)
    assert second["decimals_that_reach_it"] == [1]
    assert second["runs_that_reach_it"] == [2, 4, 6]


def test_the_finding_follows_the_table(tmp_path: Path) -> None:
    mended = changed(tmp_path, "table3.csv", "SST2,1,83.27", "SST2,1,83.26")
    assert [cell.text for cell in unreachable_cells(mended)] == ["96.3"]


def test_the_finding_follows_the_assumed_size(tmp_path: Path) -> None:
    other = changed(tmp_path, "audit.yaml", "items: 500", "items: 1000")
    assert [cell.text for cell in unreachable_cells(other)] == ["83.27"]


def test_power_is_high_but_for_mnli(published: Published) -> None:
    finding = check_power(published)
    assert finding.data["MNLI"]["3"] == 0
    assert finding.data["MNLI"]["1"] == pytest.approx(1 - 9816 / 10001, abs=1e-3)
    assert finding.data["CoPA"] == {"1": pytest.approx(1 - 501 / 10001), "3": pytest.approx(1 - 1501 / 10001)}
    assert min(min(finding.data[task].values()) for task in ("SST2", "CSQA", "CoPA")) > 0.6
    assert "For MNLI the test has almost no power" in finding.answer


def test_only_the_assumed_sizes_and_their_doubles_fit(published: Published) -> None:
    fits = check_sizes(published).data
    assert {task: fit["fitting"] for task, fit in fits.items()} == {"SST2": 17, "CSQA": 18, "MNLI": 18, "CoPA": 17}
    assert fits["SST2"]["as_good_near"] == [872, 1744]
    assert fits["CSQA"]["as_good_near"] == [1221, 2442]
    assert fits["CoPA"]["as_good_near"] == [500, 1000]
    assert fits["CSQA"]["smallest_complete"] == 1221
    assert len(fits["MNLI"]["as_good_near"]) > 1000
    assert fits["SST2"]["others"] == {"SST-2 test": 9}


def test_three_runs_fit_and_other_numbers_do_not(published: Published) -> None:
    reached = check_runs(published).data["reached"]
    assert reached["3"] == 46
    assert max(reached[runs] for runs in ("1", "2", "4", "5")) <= 26


def test_one_row_is_repeated(published: Published) -> None:
    finding = check_repeated_rows(published)
    assert [(entry["rows"], entry["task"], entry["values"]) for entry in finding.data["repeated"]] == [
        (["Llama-7B Pretrained", "Llama-13B Pretrained"], "CSQA", ["17.28", "44.17", "50.91"])
    ]
    assert finding.data["repeated"][0]["chance"] < 1e-5
    assert not any("17.28" in text for text in finding.data["single"])
    assert len(doubtful_cells(published)) == 8


def test_a_row_that_differs_in_one_cell_is_not_repeated(tmp_path: Path) -> None:
    other = changed(tmp_path, "table3.csv", "Llama-13B,Pretrained,CSQA,3,50.91", "Llama-13B,Pretrained,CSQA,3,50.92")
    finding = check_repeated_rows(other)
    assert finding.data["repeated"] == []
    assert sum("17.28" in text or "44.17" in text for text in finding.data["single"]) == 2
    assert "No row repeats another" in finding.answer


def test_equal_rows_of_two_tasks_are_no_repetition(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PAPER, tmp_path / "paper"))
    text = (folder / "table3.csv").read_text(encoding="utf-8")
    for k, copa, sst2 in ((0, "77.4", "27.29"), (1, "93.47", "83.22"), (3, "93.47", "91.51")):
        old = f"Llama-7B,SFT,CoPA,{k},{copa}\n"
        assert text.count(old) == 1
        text = text.replace(old, f"Llama-7B,SFT,CoPA,{k},{sst2}\n")
    (folder / "table3.csv").write_text(text, encoding="utf-8")
    assert [entry["task"] for entry in check_repeated_rows(load_published(folder)).data["repeated"]] == ["CSQA"]


def test_means_of_several_runs_are_not_counted_as_cells_below_chance(tmp_path: Path) -> None:
    other = changed(tmp_path, "table3.csv", "Llama-7B,SFT,CoPA,1,93.47", "Llama-7B,SFT,CoPA,1,12.0")
    assert len(check_below_chance(other).data["cells"]) == 5


def test_cells_below_chance_are_counted_in_items(published: Published) -> None:
    cells = check_below_chance(published).data["cells"]
    assert (cells[0]["cell"], cells[0]["right"], cells[0]["items"]) == ("Llama-7B Pretrained SST2 k=0", 1, 872)
    assert len(cells) == 5


def test_noise_is_that_of_two_independent_shares(published: Published) -> None:
    widths = check_noise(published).data
    assert widths["CoPA"] == pytest.approx(196.0 * math.sqrt(0.5 / 500), abs=0.01)
    assert sorted(widths, key=widths.__getitem__) == ["MNLI", "CSQA", "SST2", "CoPA"]


def test_ten_ratings_decide_nothing(published: Published) -> None:
    data = check_ratings(published).data
    assert data["p_value"] == 0.625
    assert data["smallest_p_value"] == 0.125
    assert data["exact_interval"] == pytest.approx([0.1941, 0.9937], abs=1e-4)
    assert data["needed"] == {"0.75": 30, "0.6": 199}
    assert "in 10 of 16 cases" in check_ratings(published).by_hand


def test_splits_add_up(published: Published, tmp_path: Path) -> None:
    finding = check_prompt_counts(published)
    assert finding.data == {"total": 52000, "pairs_per_prompt": 2.0255, "most_pairs": 3}
    other = changed(tmp_path, "audit.yaml", "heldout: 2000", "heldout: 2500")
    assert "add up to 52,500, not to 52,000" in check_prompt_counts(other).answer


def test_contradicted_sentences_name_their_cells(published: Published) -> None:
    claims = {entry["claim"]: entry for entry in check_sentences(published).data["claims"]}
    assert set(claims) == {
        "three-methods-compared", "sft-beats-pretrained", "coh-beats-pretrained", "sst2-changes-most-from-pretrained",
    }  # fmt: skip
    assert "Llama-13B SST2 k=0" in claims["sft-beats-pretrained"]["contrary"]
    assert len(claims["sft-beats-pretrained"]["contrary"]) == 7
    assert len(claims["coh-beats-pretrained"]["contrary"]) == 3


# --- the report -----------------------------------------------------------------------------------------------


def run_audit(folder: Path, output: Path) -> dict[str, Any]:
    assert audit_paper.main(["--settings", "{}", "--paper", str(folder), "--output", str(output)]) == 0
    return json.loads((output / "audit.json").read_text(encoding="utf-8"))


def test_the_report_says_question_method_finding_and_how_to_check(tmp_path: Path) -> None:
    report = run_audit(PAPER, tmp_path)
    assert [entry["name"] for entry in report["findings"]] == [
        "reachable", "power", "sizes", "runs", "repeated", "below_chance", "noise", "ratings", "prompts", "sentences",
    ]  # fmt: skip
    assert {"rule", "commit", "inputs", "versions"} <= report["provenance"].keys()
    assert "table3.csv" in report["provenance"]["inputs"]
    text = (tmp_path / "audit.md").read_text(encoding="utf-8")
    assert text.count("\n## ") == text.count("*Question.*") == text.count("*Method.*") == text.count("*Finding.*") == 10
    assert "2,178 of 2,616 is 83.2569 %" in text
    assert "| Llama-13B CoH CoPA k=1       | 96.3" in text
    assert "scripts/audit_paper.py" in text


@pytest.mark.slow
def test_two_audits_say_the_same(tmp_path: Path) -> None:
    run_audit(PAPER, tmp_path / "a")
    run_audit(PAPER, tmp_path / "b")
    assert (tmp_path / "a/audit.md").read_bytes() == (tmp_path / "b/audit.md").read_bytes()


def test_a_table_without_faults_gives_a_report_without_faults(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PAPER, tmp_path / "paper"))
    text = (folder / "table3.csv").read_text(encoding="utf-8")
    for old, new in (
        ("83.27", "83.26"),
        (",96.3\n", ",96.27\n"),
        ("Llama-13B,Pretrained,CSQA,0,17.28", "Llama-13B,Pretrained,CSQA,0,17.2"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "table3.csv").write_text(text, encoding="utf-8")
    report = run_audit(folder, tmp_path / "out")
    answers = {entry["name"]: entry["answer"] for entry in report["findings"]}
    assert "72 of 72 cells" in answers["reachable"]
    assert "Not reachable by rounding: none." in answers["reachable"]
    assert answers["repeated"].startswith("No row repeats another")


def test_a_damaged_table_ends_with_words_and_exit_code_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(PAPER, tmp_path / "paper"))
    (folder / "table3.csv").write_text("nonsense")
    assert audit_paper.main(["--settings", "{}", "--paper", str(folder), "--output", str(tmp_path / "out")]) == 2
    assert "what to do" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
