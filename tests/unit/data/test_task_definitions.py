"""Definitions of tasks: their keys, templates and answers, and each mistake in them refused with a reason."""

import pytest
import yaml

from common.base.errors import UserError
from common.base.paths import ROOT
from common.data.task_definitions import load_task
from support.task_rows import NAMES, ROWS, task


def definition(name):
    return yaml.safe_load((ROOT / f"resources/tasks/{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def refused(new_path):
    """A function that gives the message with which a definition is refused."""

    def message(content):
        path = new_path(".yaml")
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        with pytest.raises(UserError) as caught:
            load_task(path)
        assert str(path) in caught.value.where
        return caught.value.what

    return message


@pytest.mark.parametrize(
    ("name", "title", "version"), [("sst2", "SST2", 1), ("csqa", "CSQA", 1), ("mnli", "MNLI", 2), ("copa", "CoPA", 1)]
)
def test_definitions_carry_name_title_and_version(name, title, version):
    loaded = task(name)
    assert (loaded.name, loaded.title, loaded.version) == (name, title, version)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["name", "title", "version", "fields", "id", "prompt", "answers"])
def test_a_definition_without_a_key_is_refused(refused, name, key):
    content = definition(name)
    del content[key]
    assert refused(content) == f"a task definition is not valid: missing key `{key}`"


def test_the_option_template_may_be_left_out(new_path):
    path, content = new_path(".yaml"), definition("copa")
    del content["option"]
    path.write_text(yaml.safe_dump(content))
    question = load_task(path).question(ROWS["copa"]).question
    assert question.endswith("\nThe toilet filled with water.\nWater flowed from the spout.\n")


@pytest.mark.parametrize("key", ["Prompt", "options", "metric", 3])
def test_an_unknown_key_is_refused(refused, key):
    assert refused({**definition("sst2"), key: "x"}) == f"a task definition is not valid: unknown key `{key}`"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "it is no mapping"),
        ("- a\n- b\n", "it is no mapping"),
        ("name: [unclosed", "cannot be read"),
        ("name: a\n\tb: c\n", "cannot be read"),
        ("when: 2023-99-99\n", "cannot be read"),
    ],
)
def test_a_file_that_is_no_definition_is_refused(refused, content, complaint):
    assert complaint in refused(content)


def test_a_definition_that_is_not_utf8_is_refused(new_path):
    path = new_path(".yaml")
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(UserError, match="a task definition cannot be read"):
        load_task(path)


def test_a_missing_definition_is_told_by_its_path(new_path):
    path = new_path(".yaml")
    with pytest.raises(UserError, match="a task definition is missing") as caught:
        load_task(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("name", "", "name: not a text"),
        ("name", 3, "name: not a text"),
        ("title", None, "title: not a text"),
        ("id", ["idx"], "id: not a text"),
        ("id", "index", "id: `index` is not among the fields"),
        ("prompt", "", "prompt: not a text"),
        ("prompt", ["x"], "prompt: not a text"),
        ("option", None, "option: not a text"),
        ("version", "one", "version"),
        ("version", None, "version"),
        ("fields", {}, "fields: each must be one of string, integer, choices"),
        ("fields", ["idx"], "fields: each must be one of string, integer, choices"),
        ("fields", {"idx": "float"}, "fields: each must be one of string, integer, choices"),
        ("fields", {"idx": ["string"]}, "fields: each must be one of string, integer, choices"),
        ("fields", {3: "string"}, "fields: each must be one of string, integer, choices"),
        ("answers", None, "answers.kind: must be labels or choices"),
        ("answers", ["Yes", "No"], "answers.kind: must be labels or choices"),
        ("answers", {}, "answers.kind: must be labels or choices"),
    ],
)
def test_a_key_of_the_wrong_kind_is_refused(refused, key, value, complaint):
    assert complaint in refused({**definition("sst2"), key: value})


TWO_LABELS = {0: {"text": "No"}, 1: {"text": "Yes"}}


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ({"kind": "regression"}, "answers.kind"),
        ({"kind": "labels", "labels": TWO_LABELS}, "answers.field"),
        ({"kind": "labels", "field": "gold", "labels": TWO_LABELS}, "answers.field"),
        ({"kind": "labels", "field": ["label"], "labels": TWO_LABELS}, "answers.field"),
        ({"kind": "labels", "field": "label"}, "answers.labels"),
        ({"kind": "labels", "field": "label", "labels": ["No", "Yes"]}, "answers.labels"),
        ({"kind": "labels", "field": "label", "labels": {0: {"text": "No"}}}, "answers.labels: needs two or more"),
        ({"kind": "labels", "field": "label", "labels": {**TWO_LABELS, 1: "Yes"}}, "answers.labels.1"),
        ({"kind": "labels", "field": "label", "labels": {**TWO_LABELS, 1: {}}}, "answers.labels.1"),
        ({"kind": "labels", "field": "label", "labels": {**TWO_LABELS, 1: {"text": ""}}}, "answers.labels.1"),
        ({"kind": "labels", "field": "label", "labels": {**TWO_LABELS, 1: {"text": True}}}, "answers.labels.1"),
        (
            {"kind": "labels", "field": "label", "labels": {**TWO_LABELS, 1: {"text": "Yes", "also": "yes"}}},
            "answers.labels.1.also",
        ),
        (
            {"kind": "labels", "field": "label", "labels": {**TWO_LABELS, 1: {"text": "Yes", "also": [1]}}},
            "answers.labels.1.also",
        ),
    ],
)
def test_bad_labels_are_refused(refused, answers, complaint):
    assert complaint in refused({**definition("sst2"), "answers": answers})


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ({"kind": "choices", "gold": "label"}, "answers.texts: must name fields"),
        ({"kind": "choices", "texts": [], "gold": "label"}, "answers.texts: must name fields"),
        ({"kind": "choices", "texts": 3, "gold": "label"}, "answers.texts: must name fields"),
        ({"kind": "choices", "texts": ["choice1", "choice3"], "gold": "label"}, "answers.texts: must name fields"),
        ({"kind": "choices", "texts": [["choice1", "choice2"]], "gold": "label"}, "answers.texts"),
        ({"kind": "choices", "texts": "choice1", "gold": "label"}, "answers.texts: one field of kind choices"),
        ({"kind": "choices", "texts": ["choice1", "label"], "gold": "label"}, "answers.texts"),
        ({"kind": "choices", "texts": ["choice1"], "gold": "label"}, "answers.texts"),
        ({"kind": "choices", "texts": ["choice1", "choice2"]}, "answers.gold: must name a field"),
        ({"kind": "choices", "texts": ["choice1", "choice2"], "gold": "right"}, "answers.gold: must name a field"),
        ({"kind": "choices", "texts": ["choice1", "choice2"], "gold": ["label"]}, "answers.gold"),
    ],
)
def test_bad_choices_are_refused(refused, answers, complaint):
    assert complaint in refused({**definition("copa"), "answers": answers})


@pytest.mark.parametrize(
    "answers",
    [
        {"kind": "choices", "texts": ["choices"], "gold": "answerKey"},
        {"kind": "choices", "texts": ["question", "choices"], "gold": "answerKey"},
    ],
)
def test_a_field_of_choices_within_a_list_is_refused(refused, answers):
    assert "answers.texts" in refused({**definition("csqa"), "answers": answers})


@pytest.mark.parametrize(
    "answers",
    [
        {"kind": "labels", "field": "choices", "labels": {"A": {"text": "a"}, "B": {"text": "b"}}},
        {"kind": "choices", "texts": "choices", "gold": "choices"},
    ],
)
def test_choices_cannot_be_the_label_themselves(refused, answers):
    assert "answers" in refused({**definition("csqa"), "answers": answers})


def test_a_field_that_options_would_hide_is_refused(refused):
    content = definition("sst2")
    content["fields"] = {**content["fields"], "options": "string"}
    assert "options" in refused(content)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{review}", "prompt: unknown field `{review}`"),
        ("{text}", "prompt: unknown field `{text}`"),
        ("{sentence.__class__}", "prompt: `{sentence.__class__}` is not a plain field name"),
        ("{sentence[0]}", "prompt: `{sentence[0]}` is not a plain field name"),
        ("{sentence!r}", "prompt: `{sentence}` is not a plain field name"),
        ("{sentence:>9}", "prompt: `{sentence}` is not a plain field name"),
        ("{}", "prompt: `{}` is not a plain field name"),
        ("{sentence", "prompt: "),
        ("sentence}", "prompt: "),
    ],
)
def test_bad_prompt_templates_are_refused(refused, template, complaint):
    assert complaint in refused({**definition("sst2"), "prompt": template})


@pytest.mark.parametrize("template", ["- {sentence}", "{options}", "{text.__class__}", "{text[0]}", "{text!s}", "{"])
def test_bad_option_templates_are_refused(refused, template):
    assert "not valid: option: " in refused({**definition("sst2"), "option": template})
