"""Draws of items and few-shot examples: by seed, task and item, none twice and each about equally often."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.base.errors import UserError
from common.base.keyed_random import keyed_random
from common.data.questions import Question, draw_examples, draw_items
from support.amounts import examples


def questions(number):
    return [Question(str(i), f"Question {i}?\n", ["No", "Yes"], [["No"], ["Yes"]], i % 2) for i in range(number)]


def places(drawn):
    return [int(question.id) for question in drawn]


@pytest.mark.parametrize("number", [0, 1, 30])
def test_all_items_are_drawn_when_no_count_is_given(number):
    assert draw_items(questions(number), None, 1, "sst2") == questions(number)


@settings(deadline=None, max_examples=examples(100))
@given(number=st.integers(0, 30), wanted=st.integers(0, 30), seed=st.integers(0, 9))
def test_items_are_drawn_once_each_in_file_order(number, wanted, seed):
    if wanted > number:
        with pytest.raises(UserError) as caught:
            draw_items(questions(number), wanted, seed, "sst2")
        assert caught.value.what == f"{wanted} items asked for, {number} usable ones found"
        assert caught.value.where == "task sst2"
    else:
        drawn = places(draw_items(questions(number), wanted, seed, "sst2"))
        assert len(drawn) == wanted
        assert drawn == sorted(set(drawn))
        assert drawn == places(draw_items(questions(number), wanted, seed, "sst2"))


def test_items_depend_on_seed_and_task():
    pool = questions(200)
    draws = {tuple(places(draw_items(pool, 20, seed, name))) for seed in range(10) for name in ("sst2", "mnli")}
    assert len(draws) == 20


def test_every_item_is_drawn_about_equally_often():
    found = Counter(place for seed in range(1000) for place in places(draw_items(questions(10), 3, seed, "sst2")))
    assert sorted(found) == list(range(10))
    assert all(240 < drawn < 360 for drawn in found.values())


@settings(deadline=None, max_examples=examples(100))
@given(number=st.integers(0, 20), k=st.integers(0, 20), seed=st.integers(0, 9))
def test_examples_are_questions_with_their_right_answers_and_none_twice(number, k, seed):
    pool = questions(number)
    if k > number:
        with pytest.raises(UserError) as caught:
            draw_examples(pool, k, seed, "sst2")
        assert caught.value.what == f"{k} examples asked for, {number} training rows found"
    else:
        drawn = draw_examples(pool, k, seed, "sst2")
        assert len(set(drawn)) == len(drawn) == k
        assert set(drawn) <= {(question.question, question.answers[question.gold]) for question in pool}
        assert drawn == draw_examples(pool, k, seed, "sst2")


@settings(deadline=None, max_examples=examples(100))
@given(number=st.integers(1, 20), k=st.integers(0, 20), seed=st.integers(0, 9), data=st.data())
def test_examples_for_an_item_never_hold_the_item(number, k, seed, data):
    pool = questions(number)
    item = pool[data.draw(st.integers(0, number - 1))]
    if k > number - 1:
        with pytest.raises(UserError):
            draw_examples(pool, k, seed, "sst2", item)
    else:
        drawn = draw_examples(pool, k, seed, "sst2", item)
        assert item.question not in [question for question, _ in drawn]
        assert len(set(drawn)) == len(drawn) == k
        assert drawn == draw_examples(pool, k, seed, "sst2", item)


def test_an_item_is_known_by_its_question_even_under_another_id():
    pool = questions(4)
    item = Question("elsewhere", pool[2].question, ["No", "Yes"], [["No"], ["Yes"]], 0)
    drawn = {question for seed in range(50) for question, _ in draw_examples(pool, 3, seed, "sst2", item)}
    assert drawn == {pool[0].question, pool[1].question, pool[3].question}


@pytest.mark.parametrize("item", [None, questions(3)[1]], ids=["shared", "per item"])
def test_examples_depend_on_seed_and_task(item):
    pool = questions(200)
    draws = {tuple(draw_examples(pool, 3, seed, name, item)) for seed in range(10) for name in ("sst2", "mnli")}
    assert len(draws) == 20


def test_examples_for_an_item_depend_on_the_item():
    pool = questions(200)
    assert len({tuple(draw_examples(pool, 3, 1, "sst2", item)) for item in pool[:20]}) == 20


def test_zero_examples_need_no_training_row():
    assert draw_examples([], 0, 1, "sst2") == []
    assert draw_examples(questions(1), 0, 1, "sst2", questions(1)[0]) == []


def test_every_question_is_an_example_about_equally_often():
    found = Counter(example for seed in range(1000) for example, _ in draw_examples(questions(10), 3, seed, "sst2"))
    assert len(found) == 10
    assert all(240 < drawn < 360 for drawn in found.values())


def test_keyed_random_is_the_same_on_every_machine():
    assert keyed_random("examples", "sst2", 3, 1).getrandbits(64) == 7467374736309144705
    assert keyed_random("a", 1).random() != keyed_random("a", 2).random()
    assert keyed_random("a", 12).random() != keyed_random("a1", 2).random()
