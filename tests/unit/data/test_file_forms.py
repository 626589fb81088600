"""Files as people have them: byte order marks, JSON lines called `.json`, gzip, `1.0` for 1, rows without an id."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import prepare_task
from common.base.errors import EXIT_BAD_INPUT, UserError
from common.base.paths import ROOT
from common.data.instructions import load_instructions
from common.data.rows import BadRow, read_rows
from common.data.task_definitions import Task, load_questions, load_task
from common.files.parquet import write_parquet

ROWS = [{"idx": 4, "sentence": "a wärm film", "label": 1}, {"idx": 9, "sentence": "dull\u2028plot", "label": 0}]
SST2 = load_task(ROOT / "resources/tasks/sst2.yaml")
MARKED = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16": b"",
    "utf-32": b"",
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
}


def as_lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_csv(rows: list[Any]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return buffer.getvalue()


TEXTS = {
    "a.jsonl": as_lines(ROWS), "a.JSONL": as_lines(ROWS), "a.ndjson": as_lines(ROWS), "b.json": as_lines(ROWS),
    "c.json": json.dumps(ROWS), "d.Json": json.dumps(ROWS, indent=2, ensure_ascii=False), "e.CSV": as_csv(ROWS),
    "f.csv": as_csv(ROWS), "g.json": "\n\n" + as_lines(ROWS).replace("\n", "\r\n"),
}  # fmt: skip


def questions(path: Path, task: Task = SST2) -> list[tuple[str, str, int]]:
    return [(q.id, q.question.split("\n")[1], q.gold) for q in load_questions(task, path, 0.0)[0]]


def failure(path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        load_questions(SST2, path, 0.0)
    assert str(path) in caught.value.where
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_text_file_is_read_whatever_its_name_encoding_and_packing(
    tmp_path: Path, name: str, encoding: str, packed: bool
) -> None:
    content = MARKED[encoding] + TEXTS[name].encode(encoding)
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert questions(path) == [("4", "a wärm film", 1), ("9", "dull\u2028plot", 0)]


def test_gzip_is_known_by_its_bytes_as_well(tmp_path: Path) -> None:
    path = tmp_path / "download.json"
    path.write_bytes(gzip.compress(TEXTS["c.json"].encode()))
    assert len(questions(path)) == 2


def test_parquet_in_upper_case_is_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ROWS, list(ROWS[0]))
    path = (tmp_path / "a.parquet").rename(tmp_path / "B.PARQUET")
    assert len(questions(path)) == 2


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.json"])
def test_gzip_that_is_cut_off_or_damaged_is_refused(tmp_path: Path, name: str) -> None:
    path, whole = tmp_path / name, gzip.compress(TEXTS["a.jsonl"].encode())
    for content in (whole[:5], whole[:-9], whole[:20] + b"\0\0\0" + whole[23:]):
        path.write_bytes(content)
        assert failure(path).what.startswith("a file is not valid gzip")


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xff\xfe\0\0"])
def test_text_that_is_not_what_its_mark_says_is_refused(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(mark + b"\x00\xd8\xd8")
    assert failure(path).what.startswith("a file is not UTF-")


def test_instructions_are_read_with_byte_order_marks(tmp_path: Path) -> None:
    references, comparisons = tmp_path / "a.json", tmp_path / "b.json"
    references.write_text(as_lines([{"instruction": n, "input": "", "output": n} for n in "ab"]), encoding="utf-8-sig")
    comparisons.write_text("[]", encoding="utf-8-sig")
    assert [row["instruction"] for row in load_instructions(references, comparisons, 0.0).rows] == ["a", "b"]


@pytest.mark.parametrize("content", ['{"rows": []}', '{"idx": 1}\n', "{\n}\n", '{\n"idx": 1\n}'])
def test_one_object_is_no_list_of_rows(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    assert failure(path).what == "a JSON file holds no array of rows"


def test_a_damaged_line_of_json_lines_is_one_bad_row_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"idx": 1}\n{"idx": \n{"idx": 3}\n')
    found = list(read_rows(path))
    assert [number for number, _ in found] == [1, 2, 3]
    assert [isinstance(row, BadRow) for _, row in found] == [False, True, False]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_csv_file_with_other_separators_is_told(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(as_csv(ROWS).replace(",", mark))
    assert failure(path).what == f"the columns of a CSV file are separated by {mark!r}"


@pytest.mark.parametrize("label", ["1.0", "1.", "1.000", "1"])
def test_csv_labels_with_decimals_of_zero_are_whole_numbers(tmp_path: Path, label: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"idx,sentence,label\n7.0,fine,{label}\n")
    assert questions(path) == [("7", "fine", 1)]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_labels_of_a_column_with_gaps_are_whole_numbers(tmp_path: Path, suffix: str) -> None:
    path, rows = tmp_path / f"a.{suffix}", [{**row, "label": float(row["label"])} for row in ROWS]
    gap = {**ROWS[0], "label": None if suffix == "parquet" else float("nan")}
    if suffix == "parquet":
        write_parquet(path, [*rows, gap], list(gap))
    else:
        path.write_text(as_lines([*rows, gap]), encoding="utf-8")
    found, counts = load_questions(SST2, path, 0.5)
    assert [question.gold for question in found] == [1, 0]
    assert counts["rejected"] == {"wrong type": 1}


@pytest.mark.parametrize(
    ("label", "told"),
    [("", "label is empty"), ("0.5", "label is the text '0.5'"), ("pos", "label is the text 'pos'")],
)
def test_a_csv_label_that_is_no_whole_number_is_told_as_it_stands(tmp_path: Path, label: str, told: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"idx,sentence,label\n7,fine,{label}\n")
    assert f"row 1: wrong type: {told}, not a whole number" in failure(path).where


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "null"),
        (True, "true"),
        ("1", "the text '1'"),
        ([1], "a list"),
        ({"a": 1}, "an object"),
        (0.5, "the number 0.5"),
    ],
)
def test_values_are_told_in_words(tmp_path: Path, value: Any, told: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**ROWS[0], "label": value}))
    assert f"label is {told}, not a whole number" in failure(path).where


def test_a_missing_field_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"idx": 1, "text": "fine", "label": 1}')
    assert "missing field: sentence (the row has idx, text, label)" in failure(path).where


def test_rows_without_an_id_are_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"sentence": "fine", "label": 1}')
    assert "missing field: idx; if rows have no id, write `id: row_number`" in failure(path).where


def numbered(folder: Path, **changes: Any) -> Task:
    content = yaml.safe_load((ROOT / "resources/tasks/sst2.yaml").read_text(encoding="utf-8"))
    del content["fields"]["idx"]
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump({**content, "id": "row_number", **changes}), encoding="utf-8")
    return load_task(path)


def test_the_row_number_can_be_the_id(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"sentence": "one", "label": 1}\n\n{"sentence": "two"}\n{"sentence": "three", "label": 0}\n')
    found, counts = load_questions(numbered(tmp_path), path, 0.5)
    assert [question.id for question in found] == ["1", "4"]
    assert counts["rejected"] == {"missing field": 1}


def test_a_field_called_row_number_is_a_field(tmp_path: Path) -> None:
    path, fields = tmp_path / "a.jsonl", {"row_number": "integer", "sentence": "string", "label": "integer"}
    path.write_text('{"row_number": 77, "sentence": "one", "label": 1}\n')
    assert questions(path, numbered(tmp_path, fields=fields))[0][0] == "77"


COPA = {"id": 1, "premise": "It rained.", "question": "effect", "label": 0}


@pytest.mark.parametrize(
    ("choices", "twice"),
    [(("He ran.", "He ran"), True), (("He ran.", "HE  RAN."), True), (("caf\u00e9", "cafe\u0301"), True),
     (("He ran.", "He ran off."), False)],
)  # fmt: skip
def test_an_option_that_stands_twice_is_counted_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], choices: tuple[str, str], twice: bool
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(as_lines([{**COPA, "choice1": choices[0], "choice2": choices[1]}]), encoding="utf-8")
    arguments = ["--settings", '{"task": "copa", "max_rejected_share": 0}', "--train", str(path), "--eval", str(path)]
    definition = ["--definition", str(ROOT / "resources/tasks/copa.yaml"), "--output", str(tmp_path / "task")]
    assert prepare_task.main([*arguments, *definition]) == 0
    assert json.loads((tmp_path / "task/summary.json").read_text())["eval"]["same_answers"] == int(twice)
    told = capsys.readouterr().err
    assert ("warning: in 1 of 1 eval questions an option stands twice" in told) == twice


def test_a_script_ends_with_bad_input_and_three_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("idx,sentence,label\n7,fine,maybe\n")
    arguments = ["--settings", '{"task": "sst2", "max_rejected_share": 0}', "--train", str(path), "--eval", str(path)]
    definition = ["--definition", str(ROOT / "resources/tasks/sst2.yaml"), "--output", str(tmp_path / "task")]
    assert prepare_task.main([*arguments, *definition]) == EXIT_BAD_INPUT
    told = capsys.readouterr().err.strip().splitlines()[-3:]
    assert [line.split(":")[0].strip() for line in told] == ["error", "where", "what to do"]
