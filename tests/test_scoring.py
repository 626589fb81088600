"""Verdicts on generated text, by hand-made cases and against an independent scorer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.scoring import Verdict, first_line, generation_verdict, likelihood_verdict, strict_verdict
from independent_scorer import named_answers

SST2 = [["No", "negative"], ["Yes", "positive"]]
MNLI = [["Yes", "entailment"], ["It's impossible to say", "neutral"], ["No", "contradiction"]]
CSQA = [["bank"], ["river bank"], ["the bank of a river"], ["Dr. No"], ["re-use"]]
COPA = [["The man slipped on the ice."], ["The man slipped."]]
ONE, NONE, SEVERAL = "one", "none", "several"


def named(text: str, accepted: list[list[str]]) -> int | None:
    return generation_verdict(text, accepted).answer


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Yes\nNo", "Yes"),
        ("\n \t\n  Yes  \nNo", "Yes"),
        ("\r\n\r\nYes\r\nNo", "Yes"),
        ("", ""),
        (" \n\t\n", ""),
    ],
)
def test_first_line_is_the_first_one_with_visible_text(text: str, line: str) -> None:
    assert first_line(text) == line


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes", 1),
        ("yes.", 1),
        ("YES!", 1),
        ("(Yes)", 1),
        ("'yes'", 1),
        ("Answer: yes, it is.", 1),
        ("The review is positive", 1),
        ("no", 0),
        ("No; the review is negative.", 0),
    ],
)
def test_answer_is_found_whatever_its_case_and_neighbours(text: str, answer: int) -> None:
    assert generation_verdict(text, SST2) == Verdict(answer, ONE)


@pytest.mark.parametrize(
    "text", ["Yesterday", "nothing", "I know", "positively", "eyes", "yes_", "no1", "nonpositive", "noé"]
)
def test_answer_inside_a_longer_word_does_not_count(text: str) -> None:
    assert generation_verdict(text, SST2) == Verdict(None, NONE)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("bank", 0),
        ("a river bank", 1),
        ("The bank of a river", 2),
        ("the bank", 0),
        ("It was Dr. No.", 3),
        ("re-use", 4),
    ],
)
def test_longest_of_overlapping_answers_counts(text: str, answer: int) -> None:
    assert generation_verdict(text, CSQA) == Verdict(answer, ONE)


def test_answer_that_begins_another_is_told_from_it() -> None:
    assert named("The man slipped.", COPA) == 1
    assert named("The man slipped on the ice.", COPA) == 0
    assert named("the man slipped on the ice", COPA) == 0


@pytest.mark.parametrize("text", ["Yes and no", "yes, negative", "No. Yes.", "positive or negative", "bank? no, yes"])
def test_several_answers_are_unparseable(text: str) -> None:
    assert generation_verdict(text, SST2) == Verdict(None, SEVERAL)


def test_shorter_answer_beside_a_longer_one_is_a_second_answer() -> None:
    assert generation_verdict("a bank, the river bank", CSQA) == Verdict(None, SEVERAL)


@pytest.mark.parametrize("text", ["", "\n\n", "Maybe", "...", "-"])
def test_no_answer_is_unparseable(text: str) -> None:
    assert generation_verdict(text, SST2) == Verdict(None, NONE)
    assert strict_verdict(text, SST2) == Verdict(None, NONE)


@pytest.mark.parametrize(
    "text",
    [
        "not positive",
        "The review isn't positive",
        "The review isn\u2019t positive.",
        "This is n't positive",
        "not a very positive review",
        "It is not at all positive",
        "NOT  REALLY  POSITIVE",
        "never positive",
        "neither positive nor negative",
        "they aren't the positive ones",
        "it wasn't positive",
    ],
)
def test_negated_mention_names_nothing(text: str) -> None:
    assert generation_verdict(text, SST2) == Verdict(None, NONE)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("not positive but negative", 0),
        ("No, it is not positive", 0),
        ("not, positive", 1),
        ("a knot positive", 1),
        ("positive, not", 1),
        ("not negative, positive", 1),
    ],
)
def test_negation_reaches_only_the_mention_it_precedes(text: str, answer: int) -> None:
    assert generation_verdict(text, SST2) == Verdict(answer, ONE)


def test_longest_match_is_negated_as_a_whole() -> None:
    assert generation_verdict("This is not an entailment.", MNLI) == Verdict(None, NONE)
    assert generation_verdict("not the bank of a river", CSQA) == Verdict(None, NONE)


@pytest.mark.parametrize(
    "text", ["It's impossible to say", "It\u2019s impossible to say.", "IT'S IMPOSSIBLE\tTO  SAY!"]
)
def test_typographic_apostrophe_and_spacing_do_not_matter(text: str) -> None:
    assert generation_verdict(text, MNLI) == Verdict(1, ONE)
    assert named(text, [["Yes"], ["It\u2019s impossible to say"]]) == 1


def test_full_stop_of_an_answer_is_optional_in_the_text() -> None:
    for accepted in ([["Yes."], ["No."]], [["Yes"], ["No"]]):
        for text in ("No", "No.", "No, sir", "No..."):
            assert named(text, accepted) == 1


def test_leading_blank_lines_are_skipped_and_later_lines_ignored() -> None:
    assert named("\n\n  \nYes\nNo\nnegative", SST2) == 1
    assert generation_verdict("Well\nYes", SST2) == Verdict(None, NONE)


@pytest.mark.parametrize("text", ["Yes, positive", "positive: yes, yes", "Yes. The review is positive."])
def test_two_wordings_of_one_answer_name_one_answer(text: str) -> None:
    assert generation_verdict(text, SST2) == Verdict(1, ONE)


def test_wording_shared_by_two_answers_names_both() -> None:
    shared = [["The bank"], ["the bank."], ["the shop"]]
    assert strict_verdict("the bank", shared) == Verdict(None, SEVERAL)
    assert generation_verdict("the bank", shared) == Verdict(None, SEVERAL)
    assert named_answers("the bank", shared) == {0, 1}


@pytest.mark.parametrize("text", ["Yes", "yes.", " YES \nNo", "\nyes...", "positive", "\u2028Positive."])
def test_strict_verdict_takes_a_whole_line(text: str) -> None:
    assert strict_verdict(text, SST2) == Verdict(1, ONE)


@pytest.mark.parametrize("text", ["Yes, positive", "Yes!", "It is positive", "Yes No", "not positive", "Yes: yes"])
def test_strict_verdict_takes_nothing_more_than_the_answer(text: str) -> None:
    assert strict_verdict(text, SST2) == Verdict(None, NONE)


def test_strict_verdict_reads_apostrophes_and_full_stops_alike() -> None:
    assert strict_verdict("it\u2019s  impossible to say.", MNLI).answer == 1
    assert strict_verdict("the man slipped", COPA).answer == 1
    assert strict_verdict("The man slipped on the ice.", COPA).answer == 0


def test_likelihood_verdict_divides_by_tokens() -> None:
    assert likelihood_verdict([-2.0, -3.0], [1, 2]) == 1
    assert likelihood_verdict([-2.0, -3.0], [1, 1]) == 0
    assert likelihood_verdict([-9.0, -1.0, -4.0], [9, 2, 4]) == 1


def test_likelihood_verdict_takes_the_first_of_equals() -> None:
    assert likelihood_verdict([-3.0, -2.0, -4.0], [2, 2, 4]) == 1
    assert likelihood_verdict([-1.0, -1.0, -1.0], [1, 1, 1]) == 0


FILLER = ["the", "a", "an", "very", "really", "at all", "at", "all", "review", "is", "so", "of", "river", "maybe",
          "yesterday", "nothing", "knot", "positively", "I", "say", "impossible", "\u00e9t\u00e9"]  # fmt: skip
NEGATIONS = ["not", "isn't", "isn\u2019t", "is n't", "never", "neither", "nor", "aren't", "wasn't", "cannot", "don't"]
SEPARATORS = [" ", " ", " ", "  ", ", ", ". ", "; ", " - ", "-", "/", "\t", "\n", "\n\n", ' "', "' ", "("]
ALTERED = [str, str.upper, str.lower, str.title, lambda text: text + ".", lambda text: text.replace("'", "\u2019")]


@st.composite
def lines_with_answers(draw: st.DrawFn) -> tuple[str, list[list[str]]]:
    accepted = draw(st.sampled_from([SST2, MNLI, CSQA, COPA]))
    wordings = [wording for answer in accepted for wording in answer]
    piece = st.one_of(*(st.sampled_from(group) for group in (wordings, wordings, FILLER, NEGATIONS)))
    text = draw(st.sampled_from(["", "\n", " \n\n", "Answer: "]))
    for word in draw(st.lists(piece, max_size=8)):
        text += draw(st.sampled_from(ALTERED))(word) + draw(st.sampled_from(SEPARATORS))
    return text, accepted


@settings(deadline=None, max_examples=200)
@given(lines_with_answers())
def test_independent_scorer_agrees(case: tuple[str, list[list[str]]]) -> None:
    text, accepted = case
    expected = named_answers(text, accepted)
    verdict = generation_verdict(text, accepted)
    assert verdict.reason == (NONE if not expected else ONE if len(expected) == 1 else SEVERAL)
    assert verdict.answer == (min(expected) if len(expected) == 1 else None)


@settings(deadline=None, max_examples=100)
@given(lines_with_answers())
def test_strict_answer_is_also_the_generated_answer(case: tuple[str, list[list[str]]]) -> None:
    text, accepted = case
    strict = strict_verdict(text, accepted)
    assert strict.answer is None or strict == generation_verdict(text, accepted)
