"""How prompts are written: filled templates, the configured format and few-shot prompts, letter by letter."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from common.base.paths import ROOT
from common.base.templates import fill
from common.data.prompts import PromptFormat, few_shot_prompt, respond
from support.amounts import examples

MARKERS = ("Response:", "better response:")
EXAMPLES = [("Is it warm?\n", "Yes"), ("Is it wet?\n", "No"), ("Is it late?\n", "It's impossible to say")]
QUESTION = "Is it cold?\n"


@pytest.fixture(params=["config.yaml", "config/paper.yaml"])
def block(request):
    return yaml.safe_load((ROOT / request.param).read_text(encoding="utf-8"))["prompt"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("no field", "no field"),
        ("{a}", "1"),
        ("{a}{b}{a}", "1two1"),
        ("{{a}} is {a}", "{a} is 1"),
        ("line\n{b}\n", "line\ntwo\n"),
    ],
)
def test_fill_puts_values_in_place(template, expected):
    assert fill(template, {"a": 1, "b": "two"}) == expected


@settings(deadline=None, max_examples=examples(100))
@given(value=st.text())
def test_fill_takes_values_letter_by_letter(value):
    assert fill("<{a}>", {"a": value}) == f"<{value}>"
    assert fill("<{a}>", {"a": "{a} {b} {{" + value}) == "<{a} {b} {{" + value + ">"


@pytest.mark.parametrize(
    "template",
    [
        "{a.__class__}",
        "{a.__class__.__mro__}",
        "{a[0]}",
        "{a!r}",
        "{a:>10}",
        "{a:{b}}",
        "{}",
        "{0}",
        "{ a }",
        "{a b}",
        "{",
        "}",
        "{a",
    ],
)
def test_fill_refuses_all_but_plain_names(template):
    with pytest.raises(ValueError, match=r".+"):
        fill(template, {"a": "x", "b": "y"})


@pytest.mark.parametrize("name", ["a.b", "a[0]", "a b", "", "0"])
def test_fill_refuses_other_names_even_when_a_field_has_them(name):
    with pytest.raises(ValueError, match="is not a plain field name"):
        fill(f"{{{name}}}", {name: "x"})


def test_fill_names_an_unknown_field_and_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown field `\{c\}`; known are a, b"):
        fill("{c}", {"b": 1, "a": 2})


def test_prompt_without_input(block):
    assert PromptFormat.from_settings(block).prompt("Name a colour.", "") == "Name a colour.\n"


def test_prompt_with_input(block):
    prompt = PromptFormat.from_settings(block).prompt("Translate.", "Guten {Tag}")
    assert prompt == "Translate.\nInput: Guten {Tag}\n"


def test_prompt_keeps_braces_of_the_instruction(block):
    text = "Explain {input}, {0} and {instruction.__class__}."
    assert PromptFormat.from_settings(block).prompt(text, "") == text + "\n"


def test_format_takes_the_configured_templates_and_markers():
    markers = {"response": "R", "better": "B", "worse": "W", "tie": "T"}
    settings_block = {"without_input": "I {instruction}", "with_input": "{input} / {instruction}", "markers": markers}
    prompt_format = PromptFormat.from_settings(settings_block)
    assert prompt_format.prompt("do", "") == "I do"
    assert prompt_format.prompt("do", "it") == "it / do"
    assert prompt_format.markers == markers


def test_format_does_not_follow_later_changes_of_the_settings(block):
    prompt_format = PromptFormat.from_settings(block)
    block["markers"]["better"] = "changed"
    assert prompt_format.markers["better"] == "better response:"


def test_configured_markers(block):
    assert block["markers"] == {
        "response": "Response:",
        "better": "better response:",
        "worse": "worse response:",
        "tie": "equally good response:",
    }


@pytest.mark.parametrize("marker", MARKERS)
def test_a_response_follows_its_marker_after_one_space(marker):
    assert respond(marker, "Yes") == marker + " Yes"


def test_zero_shot_prompt_sft():
    assert few_shot_prompt([], QUESTION, "Response:") == "Is it cold?\nResponse:"


def test_zero_shot_prompt_coh():
    assert few_shot_prompt([], QUESTION, "better response:") == "Is it cold?\nbetter response:"


def test_one_shot_prompt_sft():
    expected = "Is it warm?\nResponse: Yes\n\nIs it cold?\nResponse:"
    assert few_shot_prompt(EXAMPLES[:1], QUESTION, "Response:") == expected


def test_one_shot_prompt_coh():
    expected = "Is it warm?\nbetter response: Yes\n\nIs it cold?\nbetter response:"
    assert few_shot_prompt(EXAMPLES[:1], QUESTION, "better response:") == expected


def test_three_shot_prompt_sft():
    expected = (
        "Is it warm?\nResponse: Yes\n\n"
        "Is it wet?\nResponse: No\n\n"
        "Is it late?\nResponse: It's impossible to say\n\n"
        "Is it cold?\nResponse:"
    )
    assert few_shot_prompt(EXAMPLES, QUESTION, "Response:") == expected


def test_three_shot_prompt_coh():
    expected = (
        "Is it warm?\nbetter response: Yes\n\n"
        "Is it wet?\nbetter response: No\n\n"
        "Is it late?\nbetter response: It's impossible to say\n\n"
        "Is it cold?\nbetter response:"
    )
    assert few_shot_prompt(EXAMPLES, QUESTION, "better response:") == expected


@settings(deadline=None, max_examples=examples(100))
@given(
    examples=st.lists(st.tuples(st.text(), st.text()), max_size=3), question=st.text(), marker=st.sampled_from(MARKERS)
)
def test_the_prompt_ends_with_the_marker_and_no_space(examples, question, marker):
    prompt = few_shot_prompt(examples, question, marker)
    assert prompt.endswith(question + marker)
    assert not prompt[-1].isspace()


@settings(deadline=None, max_examples=examples(100))
@given(examples=st.lists(st.tuples(st.text("ab \n"), st.text("ab \n")), max_size=3), question=st.text("ab \n"))
def test_prompts_of_two_methods_differ_in_the_marker_alone(examples, question):
    sft, coh = (few_shot_prompt(examples, question, marker) for marker in ("Q:", "Z:"))
    assert sft.replace("Q:", "Z:") == coh
    assert sft.count("Q:") == len(examples) + 1


@settings(deadline=None, max_examples=examples(100))
@given(examples=st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=3), question=st.text())
def test_the_question_itself_stands_as_it_does_without_examples(examples, question):
    zero_shot = few_shot_prompt([], question, "Response:")
    shots = "".join(few_shot_prompt([], text, "Response:") + " " + answer + "\n\n" for text, answer in examples)
    assert few_shot_prompt(examples, question, "Response:") == shots + zero_shot
