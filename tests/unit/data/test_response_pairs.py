"""Pairs of responses for CoH and the reward model: against a slow reference, ties, and fair draws."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.examples import coh_rows, hindsight_pair, reward_rows
from support.amounts import examples
from support.prompt_rows import SEEDS, prompt_row, response, slow_pairs

RESPONSES = st.lists(
    st.builds(response, st.integers(1, 4), st.sampled_from(["gpt4", "gpt3", "opt"]), st.sampled_from(["x", "y", "z"])),
    max_size=5,
)
ROWS_OF_RESPONSES = st.builds(lambda responses: {**prompt_row(0), "responses": responses}, RESPONSES)
ROWS_WITH_PAIRS = ROWS_OF_RESPONSES.filter(lambda row: len(row["responses"]) >= 2)


def test_reward_row_names_chosen_and_rejected():
    assert reward_rows([prompt_row(1, (3, 8))], "all_distinct") == [
        {
            **{key: prompt_row(1)[key] for key in ("id", "instruction", "input")},
            "chosen": "gpt3 scored 8",
            "rejected": "gpt4 scored 3",
            "chosen_source": "gpt3",
            "rejected_source": "gpt4",
            "chosen_score": 8.0,
            "rejected_score": 3.0,
        }
    ]


def pairs_of(rows):
    keys = ("source", "", "score")
    return [
        tuple(tuple(row[f"{side}_{key}" if key else side] for key in keys) for side in ("chosen", "rejected"))
        for row in rows
    ]


@settings(deadline=None, max_examples=examples(100))
@given(rows=st.lists(ROWS_OF_RESPONSES, max_size=4))
def test_all_distinct_pairs_equal_the_slow_reference(rows):
    expected = Counter(pair for row in rows for pair in slow_pairs(row))
    assert Counter(pairs_of(reward_rows(rows, "all_distinct"))) == expected


@settings(deadline=None, max_examples=examples(100))
@given(row=ROWS_OF_RESPONSES)
def test_best_vs_worst_is_one_pair_of_the_extremes(row):
    scores = [item["score"] for item in row["responses"]]
    found = pairs_of(reward_rows([row], "best_vs_worst"))
    assert [(chosen[2], rejected[2]) for chosen, rejected in found] == (
        [(max(scores), min(scores))] if len(set(scores)) > 1 else []
    )
    assert set(found) <= set(slow_pairs(row))


@settings(deadline=None, max_examples=examples(100))
@given(row=ROWS_OF_RESPONSES)
def test_best_vs_rest_pairs_one_best_with_every_lower_one(row):
    best = max((item["score"] for item in row["responses"]), default=0)
    found = pairs_of(reward_rows([row], "best_vs_rest"))
    lower = Counter(tuple(item.values()) for item in row["responses"] if item["score"] < best)
    assert Counter(rejected for _, rejected in found) == lower
    assert len({chosen for chosen, _ in found}) == bool(lower)
    assert all(chosen[2] == best for chosen, _ in found)


@settings(deadline=None, max_examples=examples(100))
@given(row=ROWS_WITH_PAIRS, seed=SEEDS)
def test_a_hindsight_pair_is_the_top_two_responses(row, seed):
    pair = hindsight_pair(row, seed)
    top = sorted((item["score"] for item in row["responses"]), reverse=True)[:2]
    assert pair["better_score"] >= pair["worse_score"]
    assert [pair["better_score"], pair["worse_score"]] == top
    assert pair["tie"] == (top[0] == top[1])
    taken = [(pair[f"{side}_source"], pair[side], pair[f"{side}_score"]) for side in ("better", "worse")]
    assert Counter(taken) <= Counter(tuple(item.values()) for item in row["responses"])


@settings(deadline=None, max_examples=examples(100))
@given(row=ROWS_WITH_PAIRS, seed=SEEDS)
def test_a_hindsight_pair_is_the_same_each_time(row, seed):
    before = json.dumps(row)
    assert hindsight_pair(row, seed) == hindsight_pair(row, seed)
    assert json.dumps(row) == before


@pytest.mark.parametrize("responses", [0, 1])
def test_fewer_than_two_responses_give_no_pair(responses):
    row = prompt_row(1, (9,) * responses)
    assert hindsight_pair(row, 1) is None
    assert coh_rows([row], 1, "keep") == []
    assert reward_rows([row], "all_distinct") == []


def draws(scores, count=1200):
    return [hindsight_pair(prompt_row(0, scores), seed) for seed in range(count)]


def test_two_equal_bests_each_come_first_about_half_the_time():
    firsts = Counter((pair["better_source"], pair["worse_source"]) for pair in draws((8, 8, 2)))
    assert firsts.keys() == {("gpt4", "gpt3"), ("gpt3", "gpt4")}
    assert all(520 < count < 680 for count in firsts.values())


def test_equal_second_bests_are_each_taken_about_half_the_time():
    pairs = draws((6, 9, 6))
    assert {pair["better_source"] for pair in pairs} == {"gpt3"}
    seconds = Counter(pair["worse_source"] for pair in pairs)
    assert seconds.keys() == {"gpt4", "opt"}
    assert all(520 < count < 680 for count in seconds.values())


def test_three_equals_give_every_ordered_pair_about_equally_often():
    found = Counter((pair["better_source"], pair["worse_source"]) for pair in draws((5, 5, 5)))
    assert len(found) == 6
    assert all(140 < count < 260 for count in found.values())


@pytest.mark.parametrize("scores", [(9, 7, 3), (8, 8, 2)])
def test_better_first_is_about_fair_whichever_response_is_the_better(scores):
    pairs = draws(scores)
    for source in {pair["better_source"] for pair in pairs}:
        flags = [pair["better_first"] for pair in pairs if pair["better_source"] == source]
        assert 0.42 < sum(flags) / len(flags) < 0.58


def test_equals_of_different_prompts_are_drawn_apart():
    rows = [prompt_row(number, (8, 8)) for number in range(400)]
    firsts = Counter(pair["better_source"] for pair in coh_rows(rows, 1, "keep"))
    assert all(150 < count < 250 for count in firsts.values())
    assert sum(firsts.values()) == 400


@settings(deadline=None, max_examples=examples(100))
@given(rows=st.lists(ROWS_OF_RESPONSES, max_size=6), seed=SEEDS)
def test_ties_are_kept_dropped_or_kept_for_the_marker(rows, seed):
    kept, dropped, marked = (coh_rows(rows, seed, rule) for rule in ("keep", "drop", "tie_marker"))
    pairs = [hindsight_pair(row, seed) for row in rows]
    assert kept == [pair for pair in pairs if pair and pair["better"] != pair["worse"]]
    assert marked == kept
    assert dropped == [pair for pair in kept if pair["better_score"] != pair["worse_score"]]
