"""Prompts as Alpaca renders them: instruction and input come back whole, other formats are refused; their ids."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.instructions import parse_rendered_prompt, prompt_id
from common.data.rows import BadRow
from support.amounts import examples
from support.instruction_rows import WITH_INPUT, WITHOUT_INPUT, render

ENDINGS = ("", "### Response:", "### Response: ", "### Response:\n")
ODD_TEXTS = [
    "Explain the heading '### Response:' to a beginner.",
    "Explain it.\n\n### Response:\nis a heading; what follows it?",
    "### Instruction:\nnested",
    "Write '### Input: x' on one line.",
    "Below is an instruction that describes a task. Mend it.",
    "Use {instruction}, {input} and (?P<name>.*) with \\d and \\n.",
    "first\n\n\n\nlast",
    "tab\there\r\nand \u2028 there",
    "# A\n## B\n### C",
    "\u00e9\U0001f600",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_parses_a_prompt_without_input(ending):
    assert parse_rendered_prompt(render("Name a colour.", "", ending)) == ("Name a colour.", "")


@pytest.mark.parametrize("ending", ENDINGS)
def test_parses_a_prompt_with_input(ending):
    assert parse_rendered_prompt(render("Translate.", "Guten Tag", ending)) == ("Translate.", "Guten Tag")


@pytest.mark.parametrize("ending", ENDINGS)
def test_parses_an_input_heading_without_text(ending):
    text = WITH_INPUT.format(instruction="Name a colour.", input="") + ending
    assert parse_rendered_prompt(text) == ("Name a colour.", "")


def test_surrounding_space_is_taken_off():
    assert parse_rendered_prompt("\n " + render("  Translate. \n", "\n\tTag  ", "### Response:")) == (
        "Translate.",
        "Tag",
    )


@pytest.mark.parametrize("ending", ["", "### Response:"])
@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_instructions_without_input_come_back_whole(text, ending):
    assert parse_rendered_prompt(render(text, "", ending)) == (text, "")


@pytest.mark.parametrize("ending", ["", "### Response:"])
@pytest.mark.parametrize("text", [*ODD_TEXTS, "a\n\n### Input:\nb"])
def test_odd_inputs_come_back_whole(text, ending):
    assert parse_rendered_prompt(render("Translate.", text, ending)) == ("Translate.", text)


@pytest.mark.parametrize("ending", ["", "### Response:"])
@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_instructions_with_input_come_back_whole(text, ending):
    assert parse_rendered_prompt(render(text, "x", ending)) == (text, "x")


def test_an_input_heading_within_an_instruction_without_input_is_part_of_it():
    text = "Mend this prompt:\n### Input:\nSummarise."
    assert parse_rendered_prompt(render(text, "", "### Response:")) == (text, "")


@settings(deadline=None, max_examples=examples(100))
@given(instruction=st.text(min_size=1), input_text=st.text(), ending=st.sampled_from(ENDINGS))
def test_rendering_and_parsing_is_a_round_trip(instruction, input_text, ending):
    text = render(instruction, input_text.strip(), ending)
    assert parse_rendered_prompt(text) == (instruction.strip(), input_text.strip())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Name a colour.",
        "### Instruction:\nName a colour.",
        "Below is an instruction that describes a task.",
        "Below is an instruction that describes a task.\n\n### Instruction: Name a colour.",
        "Hello. " + WITHOUT_INPUT,
        "Human: Name a colour.\n\nAssistant:",
    ],
)
def test_other_formats_are_bad_rows(text):
    with pytest.raises(BadRow) as caught:
        parse_rendered_prompt(text)
    assert caught.value.reason == "unknown prompt format"


def test_prompt_ids_follow_the_text_alone():
    assert prompt_id("a", "b") == prompt_id("a", "b")
    assert len({prompt_id(*pair) for pair in [("a", "b"), ("ab", ""), ("", "ab"), ("a", ""), ("A", "b")]}) == 5
    assert len(prompt_id("a", "b")) == 16
    assert int(prompt_id("a", "b"), 16) >= 0
