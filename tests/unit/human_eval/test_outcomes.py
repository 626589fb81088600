"""What the ratings say of each pair: counts, shares and tests against slow references; the summary read back."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.base.errors import UserError
from common.files.whole_files import write_json
from common.human_eval.outcomes import counts, outcome, read_preferences, summarise
from common.human_eval.ratings import Rating
from common.human_eval.sheet import VERDICTS, Answered, Answers, Pair, draw_sheet
from support.amounts import examples
from support.rating_sheets import ARMS, STAGES, rated, sheet_of

PAPER = {"first": 1, "similar": 6, "second": 3}
told_verdicts = st.sampled_from(VERDICTS)


@pytest.mark.parametrize(("wins", "losses"), [(3, 1), (0, 0), (5, 0), (0, 6), (4, 4), (7, 2)])
def test_sign_test_counts_all_coin_tosses(wins: int, losses: int) -> None:
    found = outcome({"first": losses, "similar": 2, "second": wins})
    tosses = [sum(toss) for toss in itertools.product((-1, 1), repeat=wins + losses)]
    extreme = sum(abs(total) >= abs(wins - losses) for total in tosses) / len(tosses)
    assert found["p_value"] == pytest.approx(extreme)
    assert found["n"] == wins + losses + 2
    assert found["decided"] == wins + losses
    assert found["second_share"] == (wins / (wins + losses) if wins + losses else None)


def test_what_follows_from_the_published_counts() -> None:
    found = outcome(PAPER)
    assert found["n"] == 10
    assert found["p_value"] == 0.625
    assert found["second_share"] == 0.75
    # Wilson's interval for 3 of 4, written out
    z2, n, share = 1.959963984540054**2, 4, 0.75
    middle, half = share + z2 / (2 * n), (z2 * (share * (1 - share) / n + z2 / (4 * n * n))) ** 0.5
    limits = [(middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)]
    assert found["second_share_interval"] == pytest.approx(limits)


def only_pair(summary: dict[str, Any]) -> dict[str, Any]:
    (found,) = summary["pairs"]
    return dict(found)


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(told_verdicts, min_size=6, max_size=6), st.integers(1, 6))
def test_asking_the_same_opinion_again_adds_no_evidence(told: list[str], raters: int) -> None:
    sheet = sheet_of(6)
    found = only_pair(summarise(sheet, rated(sheet, *[told] * raters), PAPER))
    assert found["pooled"] == outcome(counts(told)) == found["raters"]["rater0"]
    assert found["all_ratings"] == {verdict: raters * count for verdict, count in counts(told).items()}


def test_summary_of_three_raters_written_out() -> None:
    sheet = sheet_of(4)
    one, two, tie = "first", "second", "similar"
    ratings = rated(sheet, [two, two, tie, one], [two, tie, tie, two], [two, two, tie, tie])
    incomplete = Rating("d.json", "d", {sheet.items[0]["item"]: "left"}, False)
    summary = summarise(sheet, [*ratings, incomplete], PAPER)
    assert summary["raters"] == ["rater0", "rater1", "rater2"]
    assert summary["paper"] == outcome(PAPER)
    assert summary["incomplete"] == [{"file": "d.json", "alias": "d", "rated": 1}]
    found = only_pair(summary)
    assert [found[key] for key in ("model", "first", "second", "prompts")] == ["m", "rl_sft", "ppo", 4]
    assert found["pooled"] == outcome({one: 0, tie: 2, two: 2})
    assert found["all_ratings"] == {one: 1, tie: 5, two: 6}
    assert found["raters"]["rater1"] == outcome({one: 0, tie: 2, two: 2})
    assert found["agreement"]["pairs_agreeing"] == pytest.approx((3 + 1 + 3 + 0) / 12)
    assert list(found["by_prompt"].items()) == list(
        zip(
            [item["item"] for item in sheet.items],
            [
                {one: 0, tie: 0, two: 3, "majority": two},
                {one: 0, tie: 1, two: 2, "majority": two},
                {one: 0, tie: 3, two: 0, "majority": tie},
                {one: 1, tie: 1, two: 1, "majority": tie},
            ],
            strict=True,
        )
    )
    choices = [choice for rating in ratings for choice in rating.choices.values()]
    assert found["sides"] == {"left": choices.count("left"), "right": choices.count("right")}


def test_equal_responses_are_counted() -> None:
    found = [Answers("a", "do", "", "same", "same"), Answers("b", "do", "", "same", "other")]
    sheet = draw_sheet([Answered(STAGES, found, found)], 2, 1)
    assert only_pair(summarise(sheet, [], PAPER))["identical_responses"] == 1


# --- several pairs --------------------------------------------------------------------------------------------

PAIRS = [STAGES, ARMS, Pair("n", "sft", "coh")]


def of_pair(summary: dict[str, Any], pair: Pair) -> dict[str, Any]:
    (found,) = [one for one in summary["pairs"] if Pair(one["model"], one["first"], one["second"]) == pair]
    return dict(found)


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(st.lists(told_verdicts, min_size=12, max_size=12), max_size=3))
def test_the_outcome_of_a_pair_is_that_of_its_items_alone(raters: list[list[str]]) -> None:
    sheet = sheet_of(4, *PAIRS)
    summary = summarise(sheet, rated(sheet, *raters), PAPER)
    for pair in PAIRS:
        own = [i for i, item in enumerate(sheet.items) if sheet.sides[item["item"]]["pair"] == pair.name]
        found = of_pair(summary, pair)
        assert found["prompts"] == len(own) == 4
        for name, told in enumerate(raters):
            assert found["raters"][f"rater{name}"] == outcome(counts([told[i] for i in own]))
        assert set(found["by_prompt"]) == ({f"id{i}" for i in range(4)} if raters else set())


@pytest.mark.parametrize("changed", PAIRS)
def test_other_choices_on_one_pair_change_nothing_of_another(changed: Pair) -> None:
    sheet = sheet_of(5, *PAIRS)
    told = [[VERDICTS[(place + rater) % 3] for place in range(15)] for rater in range(3)]
    before = rated(sheet, *told)
    own = {item["item"] for item in sheet.items_of(changed)}
    turned = {"left": "right", "right": "similar", "similar": "left"}
    after = [
        replace(one, choices={item: turned[choice] if item in own else choice for item, choice in one.choices.items()})
        for one in before
    ]
    first, second = (summarise(sheet, ratings, PAPER) for ratings in (before, after))
    for pair in PAIRS:
        assert (of_pair(first, pair) == of_pair(second, pair)) == (pair != changed)


# --- the summary read back ------------------------------------------------------------------------------------


def test_preferences_are_found_by_model_and_methods_in_either_order(tmp_path: Path) -> None:
    sheet = sheet_of(4, *PAIRS)
    told = ["similar"] * 12
    for place, item in enumerate(sheet.items):
        if sheet.sides[item["item"]]["pair"] == ARMS.name:
            told[place] = "first" if told.count("second") == 3 else "second"
    path = tmp_path / "summary.json"
    write_json(path, summarise(sheet, rated(sheet, told), PAPER))
    assert read_preferences(path, "m", ("sft", "coh")) == {"sft": 1, "similar": 0, "coh": 3}
    assert read_preferences(path, "m", ("coh", "sft")) == {"sft": 1, "similar": 0, "coh": 3}
    assert read_preferences(path, "n", ("sft", "coh")) == {"sft": 0, "similar": 4, "coh": 0}
    for model, methods in (("m", ("sft", "dpo")), ("o", ("sft", "coh"))):
        assert read_preferences(path, model, methods) is None
    write_json(path, summarise(sheet, [], PAPER))
    assert read_preferences(path, "m", ("sft", "coh")) is None


@pytest.mark.parametrize(
    "content",
    [[], {}, {"pooled": None}, {"pairs": [3]}, {"pairs": [{"model": "m", "first": "sft", "second": "coh"}]},
     {"pairs": [{"model": "m", "first": "sft", "second": "coh", "pooled": {"first": 1}}]}],
)  # fmt: skip
def test_a_summary_without_counts_is_refused(tmp_path: Path, content: Any) -> None:
    write_json(tmp_path / "summary.json", content)
    with pytest.raises(UserError, match="lacks its counts"):
        read_preferences(tmp_path / "summary.json", "m", ("sft", "coh"))
