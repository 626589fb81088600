"""Instruction files with damaged lines and rows in any mixture: counted, or refused with file, row and key."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.base.errors import UserError
from common.data.instructions import load_instructions
from support.amounts import examples
from support.instruction_rows import RESPONSE, comparison, reference, render, without


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
