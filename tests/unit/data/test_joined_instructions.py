"""The two instruction files joined by prompt, every row that is not taken counted by its reason, and the script."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prepare_instructions
from common.base.errors import EXIT_BAD_INPUT
from common.base.paths import ROOT
from common.data.instructions import COLUMNS, load_instructions, prompt_id
from common.files.parquet import read_parquet
from support.amounts import examples
from support.instruction_rows import RESPONSE, WITH_INPUT, comparison, reference, render, without

DEMO = ROOT / "resources/demo/instructions"


@pytest.fixture(scope="module")
def load(new_path):
    """A function that writes both lists of rows as JSON and loads them."""

    def write_and_load(references, comparisons, max_rejected_share=1.0):
        first, second = new_path(".json"), new_path(".json")
        first.write_text(json.dumps(references))
        second.write_text(json.dumps(comparisons))
        return load_instructions(first, second, max_rejected_share)

    return write_and_load


def test_rows_are_joined_by_prompt_wherever_they_stand(load):
    references = [reference("One"), reference("Two", "with input", "2"), reference("Three", "", "3")]
    better, worse = {"response": " b ", "source": "gpt4", "score": 9}, {"response": "w", "source": "opt", "score": 2.5}
    comparisons = [comparison("Two", "with input", [worse, better]), comparison("One", "", [better])]
    loaded = load(references, comparisons, 0.0)
    assert loaded.rows == [
        {
            "id": prompt_id("One", ""),
            "instruction": "One",
            "input": "",
            "reference": "Done",
            "responses": [{"source": "gpt4", "text": "b", "score": 9.0}],
        },
        {
            "id": prompt_id("Two", "with input"),
            "instruction": "Two",
            "input": "with input",
            "reference": "2",
            "responses": [{"source": "opt", "text": "w", "score": 2.5}, {"source": "gpt4", "text": "b", "score": 9.0}],
        },
        {"id": prompt_id("Three", ""), "instruction": "Three", "input": "", "reference": "3", "responses": []},
    ]
    assert loaded.counts == {
        "prompts": 3,
        "references": {"rows": 3, "rejected": {}, "repeated": 0, "empty": 0, "no_input": {}},
        "comparisons": {
            "rows": 2, "rejected": {}, "repeated": 0, "empty_responses": {}, "no_input": {}, "without_reference": 0,
        },
        "prompts_with_fewer_than_two_responses": 2,
    }  # fmt: skip


def test_the_same_instruction_with_another_input_is_another_prompt(load):
    loaded = load([reference("Add", "1 2"), reference("Add", "3 4"), reference("Add")], [comparison("Add", "3 4")])
    assert [len(row["responses"]) for row in loaded.rows] == [0, 2, 0]


def test_comparisons_without_a_reference_are_counted(load):
    loaded = load([reference("One")], [comparison("One"), comparison("Two"), comparison("Three")])
    assert loaded.counts["comparisons"]["without_reference"] == 2
    assert loaded.counts["prompts"] == 1


def test_of_repeated_rows_the_first_is_taken_and_the_rest_counted(load):
    references = [reference("One", "", "first"), reference(" One ", "\n", "second"), reference("One", "", "third")]
    comparisons = [comparison("One", "", [RESPONSE] * 3), comparison("One", "", [RESPONSE])]
    loaded = load(references, comparisons)
    assert [(row["reference"], len(row["responses"])) for row in loaded.rows] == [("first", 3)]
    assert loaded.counts["references"]["repeated"] == 2
    assert loaded.counts["comparisons"]["repeated"] == 1


def test_what_is_not_taken_is_said_and_most_of_all_other_responses(load):
    references = [reference("One"), reference("Two", "", ""), reference("Two")]
    second = {**RESPONSE, "response": "another"}
    comparisons = [
        comparison("One", "", [RESPONSE]), comparison("One", "", [RESPONSE]), comparison("One", "", [second]),
        comparison("Two", "", [{**RESPONSE, "response": ""}]), comparison("Three"),
    ]  # fmt: skip
    loaded = load(references, comparisons)
    assert loaded.other_responses == 1
    assert list(prepare_instructions.left_out(loaded)) == [
        "references: rows left out because their prompt came before: 1",
        "comparisons: rows left out because their prompt came before: 2",
        "warning: of these, 1 held other responses than the first row of the prompt, which are lost; put all responses"
        " to a prompt into one row",
        "comparisons: empty responses left out: 1",
        "comparisons: rows left out because their prompt has no reference: 1",
        "references: empty, and left out by SFT: 1",
    ]  # fmt: skip
    assert list(prepare_instructions.left_out(load([reference("One")], [comparison("One")]))) == []


@pytest.mark.parametrize("nothing", ["\u200b", "\ufeff \u2060", "\u00a0\n", "\u00ad"])
def test_a_text_that_shows_nothing_is_empty(load, nothing):
    responses = [RESPONSE, {**RESPONSE, "response": nothing}]
    loaded = load([reference("One", nothing, nothing), reference(nothing)], [comparison("One", "", responses)])
    assert [(row["input"], row["reference"], len(row["responses"])) for row in loaded.rows] == [("", "", 1)]
    assert loaded.counts["references"]["rejected"] == {"empty instruction": 1}
    assert load([reference("One", "\u200d👩", "a\u200bb")], []).rows[0]["reference"] == "a\u200bb"


def test_empty_references_are_kept_and_counted(load):
    loaded = load([reference("One", "", " \n"), reference("Two")], [])
    assert [row["reference"] for row in loaded.rows] == ["", "Done"]
    assert loaded.counts["references"]["empty"] == 1


def test_empty_responses_are_left_out_and_counted_by_source(load):
    responses = [RESPONSE, {**RESPONSE, "response": "  "}, {**RESPONSE, "response": "", "source": "opt"}]
    loaded = load([reference("One"), reference("Two")], [comparison(text, "", responses) for text in ("One", "Two")])
    assert [len(row["responses"]) for row in loaded.rows] == [1, 1]
    assert loaded.counts["comparisons"]["empty_responses"] == {"gpt4": 2, "opt": 2}
    assert loaded.counts["prompts_with_fewer_than_two_responses"] == 2


@pytest.mark.parametrize(("responses", "too_few"), [(0, 1), (1, 1), (2, 0), (3, 0)])
def test_prompts_with_fewer_than_two_responses_are_counted(load, responses, too_few):
    loaded = load([reference()], [comparison(responses=[RESPONSE] * responses)])
    assert loaded.counts["prompts_with_fewer_than_two_responses"] == too_few
    assert len(loaded.rows) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (None, "wrong type"),
        ("text", "wrong type"),
        (["Do it", "", "Done"], "wrong type"),
        ({}, "missing field"),
        (without(reference(), "instruction"), "missing field"),
        (without(reference(), "input"), "missing field"),
        (without(reference(), "output"), "missing field"),
        ({**reference(), "instruction": None}, "wrong type"),
        ({**reference(), "input": 3}, "wrong type"),
        ({**reference(), "output": 3}, "wrong type"),
        ({**reference(), "output": ["Done"]}, "wrong type"),
        (reference(""), "empty instruction"),
        (reference(" \n\t"), "empty instruction"),
        (reference("half \ud83d"), "not UTF-8"),
        (reference("One", "", "\udc00"), "not UTF-8"),
    ],
)
def test_bad_references_are_counted_by_reason(load, row, reason):
    loaded = load([reference("Before"), row, reference("After")], [])
    assert [kept["instruction"] for kept in loaded.rows] == ["Before", "After"]
    assert loaded.counts["references"]["rejected"] == {reason: 1}
    assert loaded.counts["references"]["rows"] == 3


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (7, "wrong type"),
        ([], "wrong type"),
        ({}, "missing field"),
        (without(comparison(), "user_input"), "missing field"),
        ({**comparison(), "user_input": None}, "wrong type"),
        ({**comparison(), "user_input": render("half \ud83d")}, "not UTF-8"),
        ({**comparison(), "user_input": "Do it"}, "unknown prompt format"),
        (comparison(" "), "empty instruction"),
        ({**comparison(), "user_input": WITH_INPUT.format(instruction="", input="x")}, "empty instruction"),
        (without(comparison(), "responses_and_scores"), "missing field"),
        ({**comparison(), "responses_and_scores": {"response": "x"}}, "wrong type"),
        ({**comparison(), "responses_and_scores": "fine"}, "wrong type"),
    ],
)
def test_bad_comparisons_are_counted_by_reason(load, row, reason):
    loaded = load([reference("Before"), reference("After")], [comparison("Before"), row, comparison("After")])
    assert [len(kept["responses"]) for kept in loaded.rows] == [2, 2]
    assert loaded.counts["comparisons"]["rejected"] == {reason: 1}
    assert loaded.counts["comparisons"]["rows"] == 3
    assert loaded.counts["comparisons"]["without_reference"] == 0


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("fine", "wrong type"),
        (None, "wrong type"),
        (without(RESPONSE, "score"), "missing field"),
        (without(RESPONSE, "source"), "missing field"),
        (without(RESPONSE, "response"), "missing field"),
        ({**RESPONSE, "score": None}, "wrong type"),
        ({**RESPONSE, "score": "8"}, "wrong type"),
        ({**RESPONSE, "score": True}, "wrong type"),
        ({**RESPONSE, "score": float("nan")}, "wrong type"),
        ({**RESPONSE, "score": float("inf")}, "wrong type"),
        ({**RESPONSE, "score": float("-inf")}, "wrong type"),
        ({**RESPONSE, "score": 10**400}, "wrong type"),
        ({**RESPONSE, "source": 4}, "wrong type"),
        ({**RESPONSE, "response": None}, "wrong type"),
        ({**RESPONSE, "response": "half \ud83d"}, "not UTF-8"),
    ],
)
def test_a_comparison_with_a_bad_response_is_counted_by_reason(load, response, reason):
    loaded = load([reference()], [comparison("Do it", "", [RESPONSE, response, RESPONSE])])
    assert loaded.counts["comparisons"]["rejected"] == {reason: 1}
    assert loaded.rows[0]["responses"] == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "x", "\ud800", render("x")]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["response", "score"]), inner),
    max_leaves=5,
)
ANY_RESPONSES = st.lists(
    JSON_VALUES
    | st.fixed_dictionaries({}, optional=dict.fromkeys(["response", "source", "score"], JSON_VALUES | st.just("y")))
)
ANY_REFERENCES = st.lists(
    JSON_VALUES
    | st.fixed_dictionaries({}, optional=dict.fromkeys(["instruction", "input", "output"], JSON_VALUES | st.just("y")))
)
ANY_COMPARISONS = st.lists(
    JSON_VALUES
    | st.fixed_dictionaries(
        {}, optional={"user_input": JSON_VALUES, "responses_and_scores": JSON_VALUES | ANY_RESPONSES}
    )
)


@settings(deadline=None, max_examples=examples(100))
@given(references=ANY_REFERENCES, comparisons=ANY_COMPARISONS)
def test_any_json_rows_are_counted_and_never_a_bug(load, references, comparisons):
    counts = load(references, comparisons).counts
    rejected = sum(counts["references"]["rejected"].values())
    assert counts["prompts"] + rejected + counts["references"]["repeated"] == len(references)
    assert counts["comparisons"]["rows"] == len(comparisons)


def test_the_demo_has_no_bad_row():
    loaded = load_instructions(DEMO / "alpaca_gpt4_data.json", DEMO / "comparison_data_v2.json", 0.0)
    assert loaded.counts["prompts"] == loaded.counts["references"]["rows"] == loaded.counts["comparisons"]["rows"]
    assert loaded.counts["comparisons"]["without_reference"] == 0
    assert loaded.counts["prompts_with_fewer_than_two_responses"] == 0


def run_script(folder, references, comparisons, share=0.0):
    paths = {"references": folder / "references.json", "comparisons": folder / "comparisons.json"}
    paths["references"].write_text(json.dumps(references))
    paths["comparisons"].write_text(json.dumps(comparisons))
    arguments = ["--settings", json.dumps({"max_rejected_share": share})]
    for name, path in {**paths, "output": folder / "rows.parquet", "summary": folder / "summary.json"}.items():
        arguments += [f"--{name}", str(path)]
    return prepare_instructions.main(arguments)


def test_the_script_writes_rows_and_counts(tmp_path):
    assert run_script(tmp_path, [reference(), None], [comparison()], 0.5) == 0
    rows = read_parquet(tmp_path / "rows.parquet")
    assert [tuple(row) for row in rows] == [COLUMNS]
    assert [response["score"] for response in rows[0]["responses"]] == [8.0, 8.0]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["references"] == {
        "rows": 2, "rejected": {"wrong type": 1}, "repeated": 0, "empty": 0, "no_input": {},
    }  # fmt: skip
    assert summary["provenance"]["n"] == 1


def test_the_script_ends_with_bad_input_and_names_file_and_row(tmp_path, capsys):
    assert run_script(tmp_path, [reference(), None], [comparison()], 0.0) == EXIT_BAD_INPUT
    assert f"{tmp_path / 'references.json'}, row 2: wrong type" in capsys.readouterr().err
    assert not (tmp_path / "rows.parquet").exists()
