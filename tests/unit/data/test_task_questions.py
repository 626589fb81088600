"""Questions of the tasks letter by letter, rows that make none counted by reason, and the script."""

import csv
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prepare_task
from common.base.errors import EXIT_BAD_INPUT, UserError
from common.base.paths import ROOT
from common.data.questions import Question
from common.data.rows import BadRow, CsvText
from common.data.task_definitions import COLUMNS, load_questions
from common.files.parquet import read_parquet, write_parquet
from support.amounts import examples
from support.task_rows import NAMES, ROWS, task

IMPOSSIBLE = [
    "It's impossible to say", "neutral", "It is impossible to say",
    *(f"impossible to {verb}" for verb in ("say", "tell", "know", "determine")),
    *(f"not possible to {verb}" for verb in ("say", "tell", "know", "determine")),
    "isn't possible to say", "isn't possible to tell", "no way to tell", "no way to know",
    "cannot say", "can't say", "cannot tell", "can't tell", "cannot be said", "can't be said",
    "cannot be determined", "can't be determined",
]  # fmt: skip


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
