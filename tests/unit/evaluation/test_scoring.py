"""Verdicts on generated text, by hand-made cases and against an independent scorer."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.evaluation.scoring import NamedAnswer, first_line, generation_verdict, likelihood_verdict, strict_verdict
from common.files.parquet import write_parquet
from support import independent_scorer
from support.amounts import examples

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
    assert generation_verdict(text, SST2) == NamedAnswer(answer, ONE)


@pytest.mark.parametrize(
    "text", ["Yesterday", "nothing", "I know", "positively", "eyes", "yes_no", "no1", "nonpositive", "noé"]
)
def test_answer_inside_a_longer_word_does_not_count(text: str) -> None:
    assert generation_verdict(text, SST2) == NamedAnswer(None, NONE)


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
    assert generation_verdict(text, CSQA) == NamedAnswer(answer, ONE)


def test_answer_that_begins_another_is_told_from_it() -> None:
    assert named("The man slipped.", COPA) == 1
    assert named("The man slipped on the ice.", COPA) == 0
    assert named("the man slipped on the ice", COPA) == 0


@pytest.mark.parametrize("text", ["Yes and no", "yes, negative", "No. Yes.", "positive or negative", "bank? no, yes"])
def test_several_answers_are_unparseable(text: str) -> None:
    assert generation_verdict(text, SST2) == NamedAnswer(None, SEVERAL)


def test_shorter_answer_beside_a_longer_one_is_a_second_answer() -> None:
    assert generation_verdict("a bank, the river bank", CSQA) == NamedAnswer(None, SEVERAL)


@pytest.mark.parametrize("text", ["", "\n\n", "Maybe", "...", "-"])
def test_no_answer_is_unparseable(text: str) -> None:
    assert generation_verdict(text, SST2) == NamedAnswer(None, NONE)
    assert strict_verdict(text, SST2) == NamedAnswer(None, NONE)


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
        "I do not think it is positive",
        "It doesn't seem positive",
        "not entirely positive",
        "they aren't the positive ones",
        "it wasn't positive",
    ],
)
def test_negated_mention_names_nothing(text: str) -> None:
    assert generation_verdict(text, SST2) == NamedAnswer(None, NONE)


@pytest.mark.parametrize(
    ("text", "wordings", "verdict"),
    [
        ("Not none, impolite.", [["none"], ["impolite"]], NamedAnswer(1, ONE)),
        ("not never, always", [["never"], ["always"]], NamedAnswer(1, ONE)),
        ("not hungry and gas", [["not hungry"], ["gas"]], NamedAnswer(None, SEVERAL)),
        ("He couldn't swim, the water was shallow.", [["He couldn't swim."], ["The water was shallow."]],
         NamedAnswer(None, SEVERAL)),
        ("It's impossible to say and yes", MNLI, NamedAnswer(None, SEVERAL)),
        ("not hungry", [["not hungry"], ["gas"]], NamedAnswer(0, ONE)),
        ("never", [["never"], ["always"]], NamedAnswer(0, ONE)),
        ("no answer is never", [["never"], ["always"]], NamedAnswer(None, NONE)),
    ],
)  # fmt: skip
def test_a_negating_word_that_is_part_of_an_answer_denies_no_other(
    text: str, wordings: list[list[str]], verdict: NamedAnswer
) -> None:
    assert generation_verdict(text, wordings) == verdict
    expected = set() if verdict.answer is None else {verdict.answer}
    named = independent_scorer.named_answers(text, wordings)
    assert (named if len(named) == 1 else set()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It is not in any way that I could name positive",
        "It is not, to be fair, positive",
        "not, positive",
        "not, as they say, positive",
        "The film is hardly positive",
        "None of it is positive",
        "nobody would say positive",
        "no positive moment",
        "It lacks positive moments",
        "far from positive",
        "too long to be positive",
        "I cannot say if it is positive",
        "Is it positive?",
        "positive?!",
        "positive is wrong",
        "positive would not be my word",
        "positive? hardly.",
        "un-positive",
        "positive-ish",
        "**not** positive",
        "not (positive)",
        "isn&#39;t positive",
        "It isn`t positive",
        "neither, nor positive",
    ],
)
def test_mention_that_is_denied_doubted_or_asked_names_nothing(text: str) -> None:
    assert generation_verdict(text, SST2) == NamedAnswer(None, NONE)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("no doubt positive", 1),
        ("Yes, without question.", 1),
        ("nothing short of positive", 1),
        ("No it is not", 0),
        ("no, nothing", 0),
        ("No, never", 0),
        ("of course not, negative", 0),
        ("not funny, so negative", 0),
        ("I can't help but say positive", 1),
        ("no way positive; negative", 0),
        ("not positive but negative", 0),
        ("not only positive", 1),
        ("I'm not sure, but yes", 1),
        ("I do not know what to say: negative", 0),
        ("No, it is not positive", 0),
        ("a knot positive", 1),
        ("positive, not", 1),
        ("not negative, positive", 1),
    ],
)
def test_negation_reaches_only_the_mention_it_precedes(text: str, answer: int) -> None:
    assert generation_verdict(text, SST2) == NamedAnswer(answer, ONE)


def test_longest_match_is_negated_as_a_whole() -> None:
    assert generation_verdict("This is not an entailment.", MNLI) == NamedAnswer(None, NONE)
    assert generation_verdict("not the bank of a river", CSQA) == NamedAnswer(None, NONE)


@pytest.mark.parametrize(
    "text", ["It's impossible to say", "It\u2019s impossible to say.", "IT'S IMPOSSIBLE\tTO  SAY!"]
)
def test_typographic_apostrophe_and_spacing_do_not_matter(text: str) -> None:
    assert generation_verdict(text, MNLI) == NamedAnswer(1, ONE)
    assert named(text, [["Yes"], ["It\u2019s impossible to say"]]) == 1


def test_full_stop_of_an_answer_is_optional_in_the_text() -> None:
    for accepted in ([["Yes."], ["No."]], [["Yes"], ["No"]]):
        for text in ("No", "No.", "No, sir", "No..."):
            assert named(text, accepted) == 1


def test_leading_blank_lines_are_skipped_and_later_lines_ignored() -> None:
    assert named("\n\n  \nYes\nNo\nnegative", SST2) == 1
    assert generation_verdict("Well\nYes", SST2) == NamedAnswer(None, NONE)


@pytest.mark.parametrize("text", ["Yes, positive", "positive: yes, yes", "Yes. The review is positive."])
def test_two_wordings_of_one_answer_name_one_answer(text: str) -> None:
    assert generation_verdict(text, SST2) == NamedAnswer(1, ONE)


def test_wording_shared_by_two_answers_names_both() -> None:
    shared = [["The bank"], ["the bank."], ["the shop"]]
    assert strict_verdict("the bank", shared) == NamedAnswer(None, SEVERAL)
    assert generation_verdict("the bank", shared) == NamedAnswer(None, SEVERAL)


def test_equally_long_wordings_that_overlap_both_count() -> None:
    assert generation_verdict("old car key", [["old car"], ["car key"], ["old"]]) == NamedAnswer(None, SEVERAL)
    assert named("old car keys", [["old car"], ["car keys"]]) == 1


def test_wording_of_nothing_but_full_stops_names_nothing() -> None:
    for text in ("", ".", "...", "Yes."):
        assert generation_verdict(text, [["..."], ["No"]]) == NamedAnswer(None, NONE)
        assert strict_verdict(text, [["..."], ["No"]]) == NamedAnswer(None, NONE)


@pytest.mark.parametrize("text", ["Yes", "yes.", " YES \nNo", "\nyes...", "positive", "\u2028Positive."])
def test_strict_verdict_takes_a_whole_line(text: str) -> None:
    assert strict_verdict(text, SST2) == NamedAnswer(1, ONE)


@pytest.mark.parametrize("text", ["Yes, positive", "Yes!", "It is positive", "Yes No", "not positive", "Yes: yes"])
def test_strict_verdict_takes_nothing_more_than_the_answer(text: str) -> None:
    assert strict_verdict(text, SST2) == NamedAnswer(None, NONE)


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


SEASONS = [["봄"], ["여름"], ["봄날"]]
FEELINGS = [["예", "긍정"], ["아니요", "부정"]]
KANJI = [["春"], ["夏"], ["はい"], ["バス"]]
HANZI = [["是", "正面"], ["不是", "负面"], ["否"]]
NUMBERS = [["1"], ["10"], ["3.5"], ["true"], ["false"]]
FILLER = ["the", "a", "an", "very", "really", "at all", "all", "review", "is", "so", "of", "river", "maybe", "to",
          "but", "yesterday", "knot", "positively", "I", "say", "\u00e9t\u00e9", "it", "too", "one", "doubt", "however",
          "no", "question", "a few", "instead", "would", "be", "quite", "clearly", "or", "that", "only"]  # fmt: skip
NEGATIONS = ["not", "isn't", "isn\u2019t", "is n't", "never", "neither", "nor", "cannot", "don't", "nothing", "hardly",
             "no", "isnt", "non", "impossible", "far from", "rather than", "too", "whether", "doubt", "wrong", "few",
             "anything but", "nothing but", "not only", "no doubt", "can't help but", "or not", "is not", "it is not",
             "would not be", "of course not", "not really", "is a lie", "without a doubt"]  # fmt: skip
ASIAN = ["입니다", "에서", "적이지", "않다", "아니라", "아니다", "안", "보다", "틀림없이", "날", "은"]
ASIAN += ["です", "ではない", "に違いない", "か", "的", "不", "不是", "没有", "非常", "而是", "很", "学", "青", "ー"]
SEPARATORS = [" ", " ", " ", " ", "", "  ", ", ", ". ", "; ", " - ", "-", "/", "\t", "\n", "\n\n", ' "', "' ",
              "(", ") ", "? ", "! ", ": ", "...", "\u2014", "、", "。", "_", "*", "~~", "&nbsp;", "5"]  # fmt: skip
ALTERED = [str, str.upper, str.lower, str.title, lambda text: text + ".", lambda text: text.replace("'", "\u2019"),
           lambda text: f"**{text}**", lambda text: f"_{text}_"]  # fmt: skip


@st.composite
def lines_with_answers(draw: st.DrawFn) -> tuple[str, list[list[str]]]:
    accepted = draw(st.sampled_from([SST2, MNLI, CSQA, COPA, NUMBERS, SEASONS, FEELINGS, KANJI, HANZI]))
    wordings = [wording for answer in accepted for wording in answer]
    groups = [wordings, wordings, FILLER, NEGATIONS, *([] if "".join(wordings).isascii() else [ASIAN, ASIAN])]
    piece = st.one_of(*(st.sampled_from(group) for group in groups))
    text = draw(st.sampled_from(["", "\n", " \n\n", "Answer: "]))
    for word in draw(st.lists(piece, max_size=8)):
        text += draw(st.sampled_from(ALTERED))(word) + draw(st.sampled_from(SEPARATORS))
    return text, accepted


def stored(text: str, accepted: list[list[str]], gold: int, logprobs: list[float], tokens: list[int]) -> dict:
    """The row of an item as an evaluation stores it."""
    verdicts = generation_verdict(text, accepted).answer, strict_verdict(text, accepted).answer
    likeliest = likelihood_verdict(logprobs, tokens)
    return {
        "id": "x", "generation": text, "answer_logprobs": logprobs, "answer_tokens": tokens,
        "correct": verdicts[0] == gold, "correct_strict": verdicts[1] == gold, "correct_likelihood": likeliest == gold,
    }  # fmt: skip


@settings(deadline=None, max_examples=examples(300))
@given(lines_with_answers(), st.data())
def test_independent_scorer_agrees_under_every_scoring(case: tuple[str, list[list[str]]], data: st.DataObject) -> None:
    text, accepted = case
    logprobs = [data.draw(st.sampled_from([-1.0, -2.0, -3.0, -4.5])) for _ in accepted]
    tokens = [data.draw(st.integers(1, 4)) for _ in accepted]
    for gold in range(len(accepted)):
        row = stored(text, accepted, gold, logprobs, tokens)
        expected = independent_scorer.verdicts(row, {"accepted": accepted, "gold": gold})
        assert {name: row[name] for name in expected} == expected


@settings(deadline=None, max_examples=examples(200))
@given(lines_with_answers())
def test_independent_scorer_names_the_same_answers(case: tuple[str, list[list[str]]]) -> None:
    text, accepted = case
    named_there = independent_scorer.named_answers(text, accepted)
    found = generation_verdict(text, accepted)
    assert found.reason == {0: NONE, 1: ONE}.get(len(named_there), SEVERAL)
    assert found.answer is None or {found.answer} == named_there


@settings(deadline=None, max_examples=examples(300))
@given(st.lists(st.text("ab ", min_size=1, max_size=4), min_size=2, max_size=4), st.text("ab .", max_size=9))
def test_independent_scorer_agrees_where_wordings_overlap(wordings: list[str], text: str) -> None:
    accepted = [[wording] for wording in wordings]
    for gold in range(len(accepted)):
        row = stored(text, accepted, gold, [-1.0] * len(accepted), [1] * len(accepted))
        expected = independent_scorer.verdicts(row, {"accepted": accepted, "gold": gold})
        assert {name: row[name] for name in expected} == expected


def test_independent_scorer_finds_every_tampered_verdict(tmp_path: Path) -> None:
    question = {"id": "x", "accepted": SST2, "gold": 1}
    row = stored("Yes.", SST2, 1, [-2.0, -1.0], [1, 1])
    write_parquet(tmp_path / "data/tasks/sst2/eval.parquet", [question], tuple(question))
    for name in ("correct", "correct_strict", "correct_likelihood"):
        for tampered, found in ((row, []), ({**row, name: False}, [name])):
            write_parquet(tmp_path / "eval/m/sft/sst2/k0_seed0.parquet", [tampered], tuple(row))
            assert list(independent_scorer.check(tmp_path).values()) == [found]


@settings(deadline=None, max_examples=examples(100))
@given(lines_with_answers())
def test_strict_answer_is_also_the_generated_answer(case: tuple[str, list[list[str]]]) -> None:
    text, accepted = case
    strict = strict_verdict(text, accepted)
    assert strict.answer is None or strict == generation_verdict(text, accepted)
