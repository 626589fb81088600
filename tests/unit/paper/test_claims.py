"""Claims: which cells each speaks of, how comparisons are judged, and the verdicts on the published numbers."""

import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import check_claims
from common.paper.claim_evidence import Contrast, PublishedEvidence
from common.paper.claims import (
    asserted_cells,
    check_compared,
    check_example,
    check_lengths,
    check_preference,
    check_published,
    cut_word,
    judge,
)
from common.paper.published import Published, load_published
from support.amounts import examples
from support.paper_claims import PAPER, SHOTS, claim


def contrast(difference: float, p_value: float, worst: float | None = None) -> Contrast:
    return Contrast("here", 50 + difference, 50.0, difference, None, p_value, worst, 100)


# --- judging --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contrasts", "missing", "as_printed", "at_n"),
    [
        ([contrast(5, 0.01)], 0, "holds", "holds"),
        ([contrast(5, 0.2)], 0, "holds", "undecided"),
        ([contrast(-5, 0.2)], 0, "fails", "undecided"),
        ([contrast(-5, 0.01)], 0, "fails", "fails"),
        ([contrast(0, 1.0)], 0, "fails", "undecided"),
        ([contrast(5, 0.001), contrast(4, 0.001)], 0, "holds", "holds"),
        ([contrast(5, 0.001), contrast(4, 0.3)], 0, "holds", "undecided"),
        ([contrast(5, 0.03), contrast(4, 0.03)], 0, "holds", "undecided"),
        ([contrast(5, 0.001), contrast(-4, 0.3)], 0, "fails", "undecided"),
        ([contrast(5, 0.001), contrast(-4, 0.001)], 0, "fails", "fails"),
        ([contrast(5, 0.001)], 1, "undecided", "undecided"),
        ([contrast(-5, 0.001)], 1, "fails", "fails"),
        ([], 3, "not run", "not run"),
        ([], 0, "not comparable", "not comparable"),
    ],
)
def test_verdicts_by_hand(contrasts: list[Contrast], missing: int, as_printed: str, at_n: str) -> None:
    verdict = judge(contrasts, missing)
    assert (verdict.as_printed, verdict.at_n) == (as_printed, at_n)


@hypothesis_settings(max_examples=examples(200))
@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(0, 1)), min_size=1, max_size=8))
def test_verdicts_against_the_definition(numbers: list[tuple[float, float]]) -> None:
    verdict = judge([contrast(difference, p) for difference, p in numbers])
    ranked = sorted(p for _, p in numbers)
    clear = []
    for difference, p in numbers:
        steps = [(len(ranked) - i) * q for i, q in enumerate(ranked) if q <= p]
        clear.append((difference, max(steps) <= 0.05 and difference != 0))
    wrong = any(difference < 0 and shown for difference, shown in clear)
    right = all(difference > 0 and shown for difference, shown in clear)
    assert verdict.at_n == ("fails" if wrong else "holds" if right else "undecided")
    assert verdict.as_printed == ("holds" if all(difference > 0 for difference, _ in numbers) else "fails")


def test_verdict_says_whether_the_pairing_matters() -> None:
    assert judge([contrast(5, 0.01, 0.02)]).whatever_the_pairing is True
    assert judge([contrast(5, 0.01, 0.2)]).whatever_the_pairing is False
    assert judge([contrast(5, 0.01, 0.2), contrast(5, 0.01)]).whatever_the_pairing is None
    assert judge([contrast(5, 0.3, 0.9)]).whatever_the_pairing is None  # a better pairing might decide


# --- cells a claim speaks of ----------------------------------------------------------------------------------


def test_a_claim_without_selectors_speaks_of_every_cell(published: Published) -> None:
    assert len(asserted_cells({}, published, "Llama-7B")) == len(asserted_cells({}, published, None)) == 12


def test_the_exceptions_are_left_out_by_model(published: Published) -> None:
    test = claim(published, "coh-beats-sft-zero-shot")["test"]
    assert asserted_cells(test, published, "Llama-7B") == [("SST2", 0), ("MNLI", 0), ("CoPA", 0)]
    assert asserted_cells(test, published, "Llama-13B") == [("SST2", 0), ("MNLI", 0)]
    assert asserted_cells(test, published, None) == [("SST2", 0), ("MNLI", 0)]


def test_claim_and_exceptions_cover_every_zero_shot_cell_once(published: Published) -> None:
    names = ("coh-beats-sft-zero-shot", "sft-ahead-in-the-exceptions")
    for model in published.models:
        cells = [cell for name in names for cell in asserted_cells(claim(published, name)["test"], published, model)]
        assert sorted(cells) == sorted((task, 0) for task in published.tasks)


def test_every_claim_is_told_in_both_languages(published: Published) -> None:
    for one in published.claims:
        for words in (one["text"], one.get("reading", one["text"])):
            assert any("가" <= char <= "힣" for char in words["ko"])
            assert words["en"].isascii()
    assert {place for one in published.claims for place in one["where"]} == {"abstract", "section 5.3", "conclusion"}


# --- published verdicts ---------------------------------------------------------------------------------------

VERDICTS = {
    "three-methods-compared": ("fails", "fails"),
    "sft-beats-pretrained": ("fails", "fails"),
    "coh-beats-pretrained": ("fails", "fails"),
    "sft-beats-pretrained-on-average": ("holds", "holds"),
    "coh-beats-pretrained-on-average": ("holds", "holds"),
    "coh-beats-sft-zero-shot": ("holds", "holds"),
    "sft-ahead-in-the-exceptions": ("holds", "undecided"),
    "sst2-changes-most": ("holds", "holds"),
    "sst2-changes-most-from-pretrained": ("fails", "fails"),
    "gain-comes-from-dispreferred-data": ("not tested", "not tested"),
    "rl-follows-instructions-better": ("holds", "undecided"),
    "rl-raises-reward": ("not tested", "not tested"),
    "example-one-follows-instruction": ("holds", "holds"),
    "example-two-is-complete": ("holds", "holds"),
    "sft-answers-are-short": ("holds", "undecided"),
    "rl-is-user-friendly": ("not tested", "not tested"),
}


def test_verdicts_on_the_published_numbers(published: Published) -> None:
    evidence = PublishedEvidence(published)
    verdicts = {one["id"]: check_published(one, published, evidence) for one in published.claims}
    assert {name: (verdict.as_printed, verdict.at_n) for name, verdict in verdicts.items()} == VERDICTS


def test_contrary_cells_are_those_of_the_table(published: Published) -> None:
    cells = published.cells
    for name, first in (("sft-beats-pretrained", "sft"), ("coh-beats-pretrained", "coh")):
        verdict = check_published(claim(published, name), published, PublishedEvidence(published))
        contrary = {one.contrast.where for one in verdict.judged if one.contrast.difference <= 0}
        expected = {
            f"{model} {task} k={k}"
            for model, method, task, k in cells
            if method == first
            and float(cells[model, first, task, k].text) <= float(cells[model, "pretrained", task, k].text)
        }
        assert contrary == expected
        assert len(verdict.judged) == 24


def test_averages_and_changes_against_plain_arithmetic(published: Published) -> None:
    values = {key: float(cell.text) for key, cell in published.cells.items()}
    evidence = PublishedEvidence(published)
    averages = check_published(claim(published, "sft-beats-pretrained-on-average"), published, evidence)
    for model, one in zip(published.models, averages.judged, strict=True):
        means = [
            np.mean([values[model, method, task, k] for task in published.tasks for k in SHOTS])
            for method in ("sft", "pretrained")
        ]
        assert one.contrast.difference == pytest.approx(means[0] - means[1])
    changes = check_published(claim(published, "sst2-changes-most"), published, evidence)
    found = {one.contrast.where: one.contrast for one in changes.judged}
    assert found["Llama-7B SST2 / MNLI"].first == pytest.approx(74.43 - 27.29)
    assert found["Llama-7B SST2 / MNLI"].second == pytest.approx(54.15 - 34.8)
    assert found["Llama-13B SST2 / CSQA"].second == pytest.approx(60.44 - 56.67)


def published_with(folder: Path, old: str, new: str) -> Published:
    """The published numbers with one line of Table 3 changed."""
    paper = Path(shutil.copytree(PAPER, folder / "paper"))
    text = (paper / "table3.csv").read_text(encoding="utf-8")
    assert old in text
    (paper / "table3.csv").write_text(text.replace(old, new), encoding="utf-8")
    return load_published(paper)


def test_a_changed_table_changes_the_verdict(tmp_path: Path) -> None:
    other = published_with(tmp_path, "Llama-13B,CoH,MNLI,0,44.63", "Llama-13B,CoH,MNLI,0,42.01")
    verdict = check_published(claim(other, "coh-beats-sft-zero-shot"), other, PublishedEvidence(other))
    assert (verdict.as_printed, verdict.at_n) == ("holds", "undecided")


def test_a_larger_loss_elsewhere_is_a_larger_change(tmp_path: Path) -> None:
    other = published_with(tmp_path, "Llama-7B,CoH,CoPA,0,89.0", "Llama-7B,CoH,CoPA,0,10.0")
    verdict = check_published(claim(other, "sst2-changes-most"), other, PublishedEvidence(other))
    contrary = [one.contrast.where for one in verdict.judged if one.contrast.difference <= 0]
    assert (verdict.at_n, contrary) == ("fails", ["Llama-7B SST2 / CoPA"])


def test_a_fall_is_no_improvement_however_large(tmp_path: Path) -> None:
    other = published_with(tmp_path, "Llama-7B,CoH,SST2,0,74.43", "Llama-7B,CoH,SST2,0,0.5")
    verdict = check_published(claim(other, "sst2-changes-most"), other, PublishedEvidence(other))
    found = {one.contrast.where: one for one in verdict.judged}["Llama-7B SST2 / MNLI"]
    assert (verdict.as_printed, found.at_n) == ("fails", "fails")
    assert found.contrast.first == pytest.approx(0.5 - 27.29)


def test_an_average_shows_the_mean_of_each_method(published: Published) -> None:
    verdict = check_published(
        claim(published, "coh-beats-pretrained-on-average"), published, PublishedEvidence(published)
    )
    cells = [cell for cell in published.table3 if cell.model == "Llama-7B"]
    means = [statistics.fmean(cell.percent for cell in cells if cell.method == name) for name in ("coh", "pretrained")]
    contrast = verdict.judged[0].contrast
    assert [contrast.first, contrast.second] == pytest.approx(means)
    assert contrast.difference == pytest.approx(means[0] - means[1])


def test_more_ratings_decide(published: Published) -> None:
    assert check_preference(3, 1, 6).at_n == "undecided"
    assert check_preference(30, 10, 60).at_n == "holds"
    assert check_preference(10, 30, 60).at_n == "fails"
    assert check_preference(3, 3, 4).as_printed == "fails"


# --- examples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("wind and RISE", "Winds of change", "holds"),
        ("Winds of change", "wind and rise", "fails"),
        ("wind and rise", "rise, wind", "fails"),
        ("neither", "nor", "fails"),
    ],
)
def test_examples_name_what_is_asked_for(first: str, second: str, expected: str) -> None:
    verdict = check_example(["Wind", "Rise"], ("A", first), ("B", second))
    assert (verdict.as_printed, verdict.at_n) == (expected, expected)


def test_an_example_says_who_lacks_what() -> None:
    verdict = check_example(["Apple: Fruit", "Banana: Fruit"], ("A", "apple: fruit, banana: fruit"), ("B", "Banan"))
    assert verdict.summary.startswith("A has all that is asked for, B lacks Apple: Fruit, Banana: Fruit and breaks off")
    assert "\u201cbanan\u201d" in verdict.summary


@pytest.mark.parametrize(
    ("response", "expected"),
    [("Apple: Fruit - Banan", "banan"), ("Apple: Fruit - Banana", ""), ("Apple, Fru", "fru"), ("", ""), ("done.", "")],
)
def test_a_cut_word_is_found(response: str, expected: str) -> None:
    assert cut_word(response, ["Apple: Fruit", "Banana: Fruit"]) == expected


def test_lengths_are_counted_in_words() -> None:
    verdict = check_lengths([("a b c", "a"), ("a b", "a b"), ("a", "a b c d")])
    assert "Longer in 1 and shorter in 1 of 3 pairs (median 2 against 2 words)" in verdict.summary
    assert check_lengths([("a b", "a")] * 6).at_n == "holds"


def test_compared_pairs_need_one_common_measure() -> None:
    measures = [("table", frozenset({"sft", "coh"})), ("ratings", frozenset({"sft", "rl"}))]
    assert check_compared([["sft", "coh"], ["sft", "rl"]], measures).as_printed == "holds"
    assert check_compared([["coh", "rl"]], measures).as_printed == "fails"


# --- the report -----------------------------------------------------------------------------------------------


def test_the_published_half_needs_no_run(tmp_path: Path) -> None:
    assert check_claims.main(["--settings", "{}", "--paper", str(PAPER), "--output", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    found = {one["id"]: (one["published"]["as_printed"], one["published"]["at_n"]) for one in report["claims"]}
    assert found == VERDICTS
    assert {len(one["this_run"]) for one in report["claims"]} == {0}
    assert "table3.csv" in report["provenance"]["inputs"]
