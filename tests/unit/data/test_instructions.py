"""Instructions: rendered prompts parsed, the two files joined, every row that is not taken counted by its reason."""

import json
from collections import Counter
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prepare_instructions
from common.base.errors import EXIT_BAD_INPUT, UserError
from common.base.paths import ROOT
from common.data.instructions import COLUMNS, load_instructions, parse_rendered_prompt, prompt_id
from common.data.rows import BadRow
from common.files.parquet import read_parquet
from support.amounts import examples

DEMO = ROOT / "resources/demo/instructions"
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n"
)
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n"
)
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
RESPONSE = {"response": "fine", "source": "gpt4", "score": 8}


def render(instruction, input_text="", ending=""):
    """A prompt as Alpaca renders it; braces in the texts stay as they are."""
    if input_text:
        head, middle, tail = WITH_INPUT.replace("{input}", "{instruction}").split("{instruction}")
        return head + instruction + middle + input_text + tail + ending
    head, tail = WITHOUT_INPUT.split("{instruction}")
    return head + instruction + tail + ending


def reference(instruction="Do it", input_text="", output="Done"):
    return {"instruction": instruction, "input": input_text, "output": output}


def comparison(instruction="Do it", input_text="", responses=(RESPONSE, RESPONSE)):
    return {"user_input": render(instruction, input_text), "responses_and_scores": list(responses)}


def without(row, key):
    return {name: value for name, value in row.items() if name != key}


@pytest.fixture(scope="module")
def new_path(tmp_path_factory):
    """A function that gives a fresh path with a suffix."""
    folder, numbers = tmp_path_factory.mktemp("instructions"), count()
    return lambda suffix: folder / f"{next(numbers)}{suffix}"


@pytest.fixture(scope="module")
def load(new_path):
    """A function that writes both lists of rows as JSON and loads them."""

    def write_and_load(references, comparisons, max_rejected_share=1.0):
        first, second = new_path(".json"), new_path(".json")
        first.write_text(json.dumps(references))
        second.write_text(json.dumps(comparisons))
        return load_instructions(first, second, max_rejected_share)

    return write_and_load


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


def test_jsonl_lines_that_cannot_be_read_are_counted_by_reason(new_path):
    references, comparisons = new_path(".jsonl"), new_path(".json")
    lines = [json.dumps(reference("One")).encode(), b'{"instruction": "\xff"}', b'{"instruction": "cut o']
    references.write_bytes(b"\n".join(lines))
    comparisons.write_text("[]")
    loaded = load_instructions(references, comparisons, 1.0)
    assert loaded.counts["references"] == {
        "rows": 3,
        "rejected": {"not UTF-8": 1, "not JSON": 1},
        "repeated": 0,
        "empty": 0,
        "no_input": {},
    }


def test_blank_lines_are_not_counted_as_rows(new_path):
    references, comparisons = new_path(".jsonl"), new_path(".jsonl")
    references.write_text(f"\n{json.dumps(reference('One'))}\n\n{json.dumps(reference('Two'))}\n\n")
    comparisons.write_text(f"\n\n{json.dumps(comparison('One'))}\n")
    counts = load_instructions(references, comparisons, 0.0).counts
    assert (counts["references"]["rows"], counts["comparisons"]["rows"]) == (2, 1)


@pytest.mark.parametrize("damaged", ["references", "comparisons"])
def test_past_the_allowed_share_the_file_row_and_key_are_told(new_path, damaged):
    paths = {"references": new_path(".json"), "comparisons": new_path(".json")}
    rows = {
        "references": [reference(f"Task {i}") for i in range(8)],
        "comparisons": [comparison(f"Task {i}") for i in range(8)],
    }
    rows[damaged][2], rows[damaged][5] = {}, None
    for name, path in paths.items():
        path.write_text(json.dumps(rows[name]))
    assert load_instructions(**paths, max_rejected_share=0.25).counts[damaged]["rejected"] == {
        "missing field": 1,
        "wrong type": 1,
    }
    with pytest.raises(UserError) as caught:
        load_instructions(**paths, max_rejected_share=0.24)
    assert caught.value.what.startswith("2 of 8 rows cannot be used (1 x missing field, 1 x wrong type)")
    assert f"{paths[damaged]}, row 3: missing field" in caught.value.where
    assert f"{paths[damaged]}, row 6: wrong type" in caught.value.where
    assert "instructions.max_rejected_share" in caught.value.remedy


@pytest.mark.parametrize("damaged", ["references", "comparisons"])
@pytest.mark.parametrize("content", [None, b'[{"instruction": "cut o', b'["\xff"]', b'{"rows": []}'])
def test_a_file_that_cannot_be_read_as_a_whole_is_told_by_its_path(new_path, damaged, content):
    paths = {"references": new_path(".json"), "comparisons": new_path(".json")}
    for name, path in paths.items():
        if name != damaged:
            path.write_text("[]")
        elif content is not None:
            path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_instructions(**paths, max_rejected_share=1.0)
    assert str(paths[damaged]) in caught.value.where


def good_reference(number, position):
    return reference(f"Task {number}", f"input {number}" * (number % 2), f"Answer at {position}")


def good_comparison(number, position):
    responses = [{**RESPONSE, "response": f"{word} at {position}"} for word in ("better", "worse")]
    return comparison(f"Task {number}", f"input {number}" * (number % 2), responses)


DAMAGED_LINES = {b'{"cut": "o': "not JSON", b'"\xff"': "not UTF-8"}
DAMAGES = {
    "references": [
        ("missing field", lambda row: without(row, "output")),
        ("wrong type", lambda row: {**row, "input": ["x"]}),
        ("wrong type", lambda row: list(row)),
        ("empty instruction", lambda row: {**row, "instruction": "\n"}),
        ("not UTF-8", lambda row: {**row, "output": "\ud800"}),
    ],
    "comparisons": [
        ("missing field", lambda row: without(row, "responses_and_scores")),
        ("missing field", lambda row: {**row, "responses_and_scores": [without(RESPONSE, "score")]}),
        ("wrong type", lambda row: {**row, "responses_and_scores": [{**RESPONSE, "score": "9"}]}),
        ("unknown prompt format", lambda row: {**row, "user_input": row["user_input"][10:]}),
        ("empty instruction", lambda row: {**row, "user_input": render("")}),
        ("not UTF-8", lambda row: {**row, "user_input": row["user_input"] + "\ud800"}),
    ],
}
GOOD_ROWS = {"references": good_reference, "comparisons": good_comparison}


@st.composite
def mixtures(draw, name, suffix):
    """Encoded rows with, for each, the number of a good row or the reason of a damaged one."""
    encoded, expected = [], []
    for position in range(draw(st.integers(0, 10))):
        number = draw(st.integers(0, 5))
        row = GOOD_ROWS[name](number, position)
        kind = draw(st.sampled_from(["good", "damaged", "line"] if suffix == ".jsonl" else ["good", "damaged"]))
        if kind == "line":
            line, reason = draw(st.sampled_from(sorted(DAMAGED_LINES.items())))
        elif kind == "damaged":
            reason, damage = draw(st.sampled_from(DAMAGES[name]))
            line = json.dumps(damage(row)).encode()
        else:
            reason, line = number, json.dumps(row).encode()
        encoded.append(line)
        expected.append(reason)
    return encoded, expected


def write_encoded(path, lines):
    path.write_bytes(b"\n".join(lines) if path.suffix == ".jsonl" else b"[" + b",".join(lines) + b"]")


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@settings(deadline=None, max_examples=examples(100))
@given(data=st.data())
def test_in_any_mixture_each_row_is_used_rejected_or_repeated(new_path, suffix, data):
    paths = {name: new_path(suffix) for name in GOOD_ROWS}
    expected = {}
    for name, path in paths.items():
        lines, expected[name] = data.draw(mixtures(name, suffix))
        write_encoded(path, lines)
    loaded = load_instructions(**paths, max_rejected_share=1.0)
    firsts = {name: first_positions(found) for name, found in expected.items()}
    for name, found in expected.items():
        counts = loaded.counts[name]
        assert counts["rows"] == len(found)
        assert counts["rejected"] == Counter(item for item in found if isinstance(item, str))
        assert len(firsts[name]) + sum(counts["rejected"].values()) + counts["repeated"] == len(found)
    assert [row["reference"] for row in loaded.rows] == [f"Answer at {at}" for at in firsts["references"].values()]
    for row, number in zip(loaded.rows, firsts["references"], strict=True):
        at = firsts["comparisons"].get(number)
        assert row["instruction"] == f"Task {number}"
        assert [response["text"] for response in row["responses"]] == (
            [] if at is None else [f"better at {at}", f"worse at {at}"]
        )
    assert loaded.counts["comparisons"]["without_reference"] == len(
        firsts["comparisons"].keys() - firsts["references"].keys()
    )


def first_positions(found):
    """Position of the first good row by number, in file order."""
    positions = {}
    for position, item in enumerate(found):
        if isinstance(item, int):
            positions.setdefault(item, position)
    return positions


@settings(deadline=None, max_examples=examples(100))
@given(data=st.data(), percent=st.integers(0, 100))
def test_a_mixture_is_refused_exactly_when_its_bad_share_is_past_the_limit(new_path, data, percent):
    paths = {name: new_path(".json") for name in GOOD_ROWS}
    past = []
    for name, path in paths.items():
        lines, found = data.draw(mixtures(name, ".json"))
        write_encoded(path, lines)
        bad = sum(isinstance(item, str) for item in found)
        if 100 * bad > percent * len(found):
            past.append(path)
    try:
        load_instructions(**paths, max_rejected_share=percent / 100)
    except UserError as error:
        refused = [path for path in paths.values() if str(path) in error.where]
    else:
        refused = []
    assert bool(refused) == bool(past)
    assert set(refused) <= set(past)


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


@settings(deadline=None, max_examples=examples(100))
@given(
    content=st.binary(max_size=100) | st.sampled_from([b"[]", b"[{}]", b"[[1]]", b'{"a": 1}']),
    suffix=st.sampled_from([".json", ".jsonl", ".csv", ".parquet"]),
)
def test_any_file_is_read_or_told_as_a_user_error(new_path, content, suffix):
    references, comparisons = new_path(suffix), new_path(".json")
    references.write_bytes(content)
    comparisons.write_text("[]")
    try:
        where = str(references)
        prompts = load_instructions(references, comparisons, 0.0).counts["prompts"]
    except UserError as error:
        where, prompts = error.where, 0
    assert where.startswith(str(references))
    assert prompts == 0


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
