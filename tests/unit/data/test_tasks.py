"""Tasks: questions letter by letter, definitions and rows refused with a reason, draws by seed."""

import csv
import json
from collections import Counter
from functools import cache
from itertools import count

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import prepare_task
from common.base.errors import EXIT_BAD_INPUT, UserError
from common.base.keyed_random import keyed_random
from common.base.paths import ROOT
from common.data.questions import Question, draw_examples, draw_items
from common.data.rows import BadRow, CsvText
from common.data.task_definitions import COLUMNS, load_questions, load_task
from common.files.parquet import read_parquet, write_parquet
from support.amounts import examples

NAMES = ("sst2", "csqa", "mnli", "copa")
ROWS = {
    "sst2": {"idx": 7, "sentence": "a warm , funny film . ", "label": 1},
    "csqa": {
        "id": "1a2b",
        "question": "Where would you store bread?",
        "choices": {"label": ["A", "B", "C"], "text": ["sea", " bread bin ", "roof"]},
        "answerKey": "B",
    },
    "mnli": {"premise": "A man sleeps.", "hypothesis": "Someone is awake", "label": 2, "idx": 11},
    "copa": {
        "id": 1001,
        "premise": "The man turned on the tap.",
        "question": "effect",
        "choice1": "The toilet filled with water.",
        "choice2": "Water flowed from the spout.",
        "label": 1,
    },
}
IMPOSSIBLE = [
    "It's impossible to say", "neutral", "It is impossible to say",
    *(f"impossible to {verb}" for verb in ("say", "tell", "know", "determine")),
    *(f"not possible to {verb}" for verb in ("say", "tell", "know", "determine")),
    "isn't possible to say", "isn't possible to tell", "no way to tell", "no way to know",
    "cannot say", "can't say", "cannot tell", "can't tell", "cannot be said", "can't be said",
    "cannot be determined", "can't be determined",
]  # fmt: skip


def definition(name):
    return yaml.safe_load((ROOT / f"resources/tasks/{name}.yaml").read_text(encoding="utf-8"))


@cache
def task(name):
    return load_task(ROOT / f"resources/tasks/{name}.yaml")


@pytest.fixture(scope="module")
def new_path(tmp_path_factory):
    """A function that gives a fresh path with a suffix."""
    folder, numbers = tmp_path_factory.mktemp("tasks"), count()
    return lambda suffix: folder / f"{next(numbers)}{suffix}"


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


@pytest.fixture(scope="module")
def load(new_path):
    """A function that writes rows as JSONL and loads a task's questions."""

    def write_and_load(name, rows, max_rejected_share=0.0):
        path = new_path(".jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_questions(task(name), path, max_rejected_share)

    return write_and_load


def test_sst2_question():
    assert task("sst2").question(ROWS["sst2"]) == Question(
        id="7",
        question="Is this movie review positive?\na warm , funny film .\n",
        answers=["No", "Yes"],
        accepted=[["No", "negative"], ["Yes", "positive"]],
        gold=1,
    )


def test_csqa_question():
    assert task("csqa").question(ROWS["csqa"]) == Question(
        id="1a2b",
        question=(
            "Select the correct answer to the question.\nWhere would you store bread?\n- sea\n- bread bin\n- roof\n"
        ),
        answers=["sea", "bread bin", "roof"],
        accepted=[["sea"], ["bread bin"], ["roof"]],
        gold=1,
    )


def test_mnli_question():
    assert task("mnli").question(ROWS["mnli"]) == Question(
        id="11",
        question=("A man sleeps.\nBased on the paragraph above can we conclude that Someone is awake?\n"),
        answers=["Yes", "It's impossible to say", "No"],
        accepted=[["Yes", "entailment"], IMPOSSIBLE, ["No", "contradiction"]],
        gold=2,
    )


def test_copa_question():
    assert task("copa").question(ROWS["copa"]) == Question(
        id="1001",
        question=(
            "The man turned on the tap.\nWhat is the effect?\n"
            "- The toilet filled with water.\n- Water flowed from the spout.\n"
        ),
        answers=["The toilet filled with water.", "Water flowed from the spout."],
        accepted=[["The toilet filled with water."], ["Water flowed from the spout."]],
        gold=1,
    )


@pytest.mark.parametrize(
    ("name", "title", "version"), [("sst2", "SST2", 1), ("csqa", "CSQA", 1), ("mnli", "MNLI", 2), ("copa", "CoPA", 1)]
)
def test_definitions_carry_name_title_and_version(name, title, version):
    loaded = task(name)
    assert (loaded.name, loaded.title, loaded.version) == (name, title, version)


@pytest.mark.parametrize(
    ("name", "field", "labels"),
    [("sst2", "label", [0, 1]), ("mnli", "label", [0, 1, 2]), ("copa", "label", [0, 1]), ("csqa", "answerKey", "ABC")],
)
def test_gold_is_the_place_of_the_label(name, field, labels):
    golds = [task(name).question({**ROWS[name], field: label}).gold for label in labels]
    assert golds == list(range(len(labels)))


def test_braces_in_a_row_stay_as_they_are():
    row = {**ROWS["copa"], "premise": "{label} {options}", "choice1": "{text.__class__}"}
    question = task("copa").question(row).question
    assert question.startswith("{label} {options}\nWhat is the effect?\n- {text.__class__}\n")


def test_the_demo_rows_all_become_questions():
    for name, folder in zip(NAMES, ("sst2", "commonsense_qa", "mnli", "balanced_copa"), strict=True):
        for path in sorted((ROOT / "resources/demo" / folder).glob("*.jsonl")):
            questions, counts = load_questions(task(name), path, 0.0)
            assert counts == {"rows": len(questions), "usable": len(questions), "rejected": {}, "same_answers": 0}


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


def rejection(name, row):
    with pytest.raises(BadRow) as caught:
        task(name).question(row)
    return caught.value.reason


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, row in ROWS.items() for field in row])
def test_a_row_without_a_field_is_a_bad_row(name, field):
    row = {key: value for key, value in ROWS[name].items() if key != field}
    assert rejection(name, row) == "missing field"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("row", [None, 3, "text", [], [["idx", 7]]])
def test_a_row_that_is_no_object_is_a_bad_row(name, row):
    assert rejection(name, row) == "wrong type"


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("sst2", {"sentence": None}, "wrong type"),
        ("sst2", {"sentence": 3}, "wrong type"),
        ("sst2", {"sentence": " \n"}, "empty field"),
        ("sst2", {"sentence": "half \ud83d"}, "not UTF-8"),
        ("sst2", {"label": "1"}, "wrong type"),
        ("sst2", {"label": True}, "wrong type"),
        ("sst2", {"label": 1.5}, "wrong type"),
        ("sst2", {"label": float("nan")}, "wrong type"),
        ("sst2", {"label": float("inf")}, "wrong type"),
        ("sst2", {"label": 2.0}, "unknown label"),
        ("sst2", {"idx": 2.0**53}, "wrong type"),
        ("sst2", {"label": None}, "wrong type"),
        ("sst2", {"label": -1}, "unknown label"),
        ("sst2", {"label": 2}, "unknown label"),
        ("sst2", {"idx": None}, "wrong type"),
        ("mnli", {"label": -1}, "unknown label"),
        ("mnli", {"label": 3}, "unknown label"),
        ("mnli", {"premise": ""}, "empty field"),
        ("mnli", {"hypothesis": "\t"}, "empty field"),
        ("copa", {"label": 2}, "unknown label"),
        ("copa", {"label": -1}, "unknown label"),
        ("copa", {"label": "0"}, "wrong type"),
        ("copa", {"choice2": ""}, "empty field"),
        ("copa", {"question": None}, "wrong type"),
        ("csqa", {"answerKey": "D"}, "unknown label"),
        ("csqa", {"answerKey": ""}, "empty field"),
        ("csqa", {"answerKey": 1}, "wrong type"),
        ("csqa", {"id": ""}, "empty field"),
        ("csqa", {"choices": None}, "wrong type"),
        ("csqa", {"choices": ["sea", "roof"]}, "wrong type"),
        ("csqa", {"choices": {"label": ["A", "B"]}}, "wrong type"),
        ("csqa", {"choices": {"label": "AB", "text": ["sea", "roof"]}}, "wrong type"),
        ("csqa", {"choices": {"label": ["A", "B"], "text": ["sea"]}}, "wrong type"),
        ("csqa", {"choices": {"label": ["A", "B"], "text": ["sea", " "]}}, "wrong type"),
        ("csqa", {"choices": {"label": ["A", ""], "text": ["sea", "roof"]}}, "wrong type"),
        ("csqa", {"choices": {"label": ["A", 2], "text": ["sea", "roof"]}}, "wrong type"),
        ("csqa", {"choices": {"label": ["A", "B"], "text": ["sea", None]}}, "wrong type"),
        ("csqa", {"choices": {"label": [], "text": []}}, "unknown label"),
        ("csqa", {"choices": {"label": ["A", "B"], "text": ["sea", "half \ud83d"]}}, "not UTF-8"),
    ],
)
def test_bad_rows_are_rejected_by_reason(name, changes, reason):
    assert rejection(name, {**ROWS[name], **changes}) == reason


def test_a_label_that_names_two_choices_is_a_bad_row():
    choices = {"label": ["A", "B", "B"], "text": ["sea", "bin", "roof"]}
    with pytest.raises(BadRow):
        task("csqa").question({**ROWS["csqa"], "choices": choices})


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.sampled_from(["", " ", "A", "B", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["label", "text"]), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=examples(100))
@given(data=st.data())
def test_any_row_is_a_question_or_a_bad_row(name, data):
    changed = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(ROWS[name], ANY_VALUE)))
    try:
        question = task(name).question({**ROWS[name], **changed})
    except BadRow as error:
        outcome = error.reason
    else:
        outcome = "question"
        assert question.answers == [wordings[0] for wordings in question.accepted]
        assert 0 <= question.gold < len(question.answers)
        assert question.id
    assert outcome in {"question", "missing field", "wrong type", "empty field", "unknown label", "not UTF-8"}


def sst2_rows(number):
    return [{**ROWS["sst2"], "idx": index, "sentence": f"film {index}"} for index in range(number)]


def test_questions_come_in_file_order_with_counts(load):
    questions, counts = load("sst2", sst2_rows(5))
    assert [question.id for question in questions] == ["0", "1", "2", "3", "4"]
    assert counts == {"rows": 5, "usable": 5, "rejected": {}, "same_answers": 0}


def test_bad_rows_are_counted_up_to_the_allowed_share(load):
    rows = sst2_rows(8)
    rows[1], rows[4] = {**rows[1], "label": 9}, None
    questions, counts = load("sst2", rows, 0.25)
    assert [question.id for question in questions] == ["0", "2", "3", "5", "6", "7"]
    assert counts == {"rows": 8, "usable": 6, "rejected": {"unknown label": 1, "wrong type": 1}, "same_answers": 0}


def test_past_the_allowed_share_the_file_row_and_key_are_told(load):
    rows = sst2_rows(8)
    rows[1], rows[4] = {**rows[1], "label": 9}, None
    with pytest.raises(UserError) as caught:
        load("sst2", rows, 0.24)
    assert caught.value.what == "2 of 8 rows cannot be used (1 x unknown label, 1 x wrong type)"
    assert ".jsonl, row 2: unknown label: 9; known are 0, 1" in caught.value.where
    assert ".jsonl, row 5: wrong type" in caught.value.where
    assert "`tasks.sst2.max_rejected_share`" in caught.value.remedy


@pytest.mark.parametrize("rows", [[], [None], [{}, {}]])
def test_a_file_without_a_usable_row_is_refused(load, rows):
    with pytest.raises(UserError, match="a file has no usable row"):
        load("sst2", rows, 1.0)


@pytest.mark.parametrize("places", [(0, 1), (0, 4), (3, 4)])
def test_an_id_that_stands_twice_is_refused(load, places):
    rows = sst2_rows(5)
    rows[places[1]]["idx"] = rows[places[0]]["idx"] = 77
    with pytest.raises(UserError, match="id '77' stands twice"):
        load("sst2", rows)


@settings(deadline=None, max_examples=examples(100))
@given(kinds=st.lists(st.sampled_from(["good", "label", "field", "row"]), max_size=12))
def test_each_row_of_a_mixture_is_usable_or_rejected(load, kinds):
    rows = sst2_rows(len(kinds))
    damaged = {"label": lambda row: {**row, "label": 5}, "field": lambda row: {"idx": row["idx"]}, "row": list}
    mixture = [damaged.get(kind, dict)(row) for kind, row in zip(kinds, rows, strict=True)]
    good = [str(index) for index, kind in enumerate(kinds) if kind == "good"]
    reasons = {"label": "unknown label", "field": "missing field", "row": "wrong type"}
    try:
        questions, counts = load("sst2", mixture, 1.0)
    except UserError:
        questions, counts = [], None
    assert [question.id for question in questions] == good
    assert counts == (
        {
            "rows": len(kinds),
            "usable": len(good),
            "rejected": Counter(reasons[kind] for kind in kinds if kind != "good"),
            "same_answers": 0,
        }
        if good
        else None
    )


def copa_csv(path, rows):
    fields = list(ROWS["copa"])
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(fields)
        writer.writerows([{**ROWS["copa"], **row}[field] for field in fields] for row in rows)


def test_csv_rows_with_integers_as_text_become_questions(new_path):
    path = new_path(".csv")
    copa_csv(path, [{}, {"id": "2", "label": "0", "choice1": "12", "premise": 'He said "no", twice.'}])
    questions, counts = load_questions(task("copa"), path, 0.0)
    assert questions[0] == task("copa").question(ROWS["copa"])
    assert (questions[1].id, questions[1].gold, questions[1].answers[0]) == ("2", 0, "12")
    assert questions[1].question.startswith('He said "no", twice.\n')
    assert counts["usable"] == 2


@pytest.mark.parametrize(
    "label", ["", "one", "1.5", ".0", "1.0.0", "1.0e0", "1e0", " 1", "+1", "0x1", "--1", "\u0661", "9" * 19]
)
def test_csv_text_that_is_no_integer_is_a_bad_row(label):
    assert rejection("copa", {**ROWS["copa"], "label": CsvText(label)}) == "wrong type"


@pytest.mark.parametrize(("label", "reason"), [("-1", "unknown label"), ("2", "unknown label")])
def test_csv_integers_are_checked_as_labels(label, reason):
    assert rejection("copa", {**ROWS["copa"], "label": CsvText(label)}) == reason


def test_csv_rows_of_another_width_are_counted(new_path):
    path = new_path(".csv")
    copa_csv(path, [{}, {"id": 2}])
    path.write_text(path.read_text() + "3,cut off\n")
    counts = load_questions(task("copa"), path, 0.5)[1]
    assert counts == {"rows": 3, "usable": 2, "rejected": {"wrong number of fields": 1}, "same_answers": 0}


@pytest.mark.parametrize("name", ["sst2", "mnli", "copa", "csqa"])
def test_parquet_rows_become_the_same_questions(new_path, name):
    path = new_path(".parquet")
    write_parquet(path, [ROWS[name]], list(ROWS[name]))
    assert load_questions(task(name), path, 0.0)[0] == [task(name).question(ROWS[name])]


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


def run_script(folder, name, train, evaluation, share=0.0, key=None):
    paths = {"train": folder / "train.jsonl", "eval": folder / "eval.jsonl"}
    for path, rows in ((paths["train"], train), (paths["eval"], evaluation)):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["--settings", json.dumps({"task": key or name, "max_rejected_share": share})]
    paths |= {"definition": ROOT / f"resources/tasks/{name}.yaml", "output": folder / "task"}
    for option, path in paths.items():
        arguments += [f"--{option}", str(path)]
    return prepare_task.main(arguments)


def test_the_script_writes_questions_and_counts(tmp_path):
    assert run_script(tmp_path, "sst2", [*sst2_rows(3), None], sst2_rows(2), 0.25) == 0
    written = read_parquet(tmp_path / "task/train.parquet")
    assert [tuple(row) for row in written] == [COLUMNS] * 3
    assert [Question(**row) for row in written] == [task("sst2").question(row) for row in sst2_rows(3)]
    summary = json.loads((tmp_path / "task/summary.json").read_text())
    assert summary["train"] == {"rows": 4, "usable": 3, "rejected": {"wrong type": 1}, "same_answers": 0}
    assert summary["eval"] == {"rows": 2, "usable": 2, "rejected": {}, "same_answers": 0}
    assert summary["provenance"]["n"] == 2
    assert summary["in_both"] == 2


def test_questions_in_both_splits_are_told(tmp_path, capsys):
    assert run_script(tmp_path, "sst2", sst2_rows(3), sst2_rows(2)) == 0
    assert "warning: 2 of 2 evaluation questions stand in the training split as well" in capsys.readouterr().err


def test_a_task_of_another_name_is_refused(tmp_path, capsys):
    assert run_script(tmp_path, "sst2", sst2_rows(3), sst2_rows(2), key="mood") == EXIT_BAD_INPUT
    assert "a task is called sst2 in its definition and mood in the configuration" in capsys.readouterr().err


def test_the_script_ends_with_bad_input_and_names_file_and_row(tmp_path, capsys):
    assert run_script(tmp_path, "sst2", sst2_rows(3), [*sst2_rows(2), None]) == EXIT_BAD_INPUT
    assert f"{tmp_path / 'eval.jsonl'}, row 3: wrong type" in capsys.readouterr().err
