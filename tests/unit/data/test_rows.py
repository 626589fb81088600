"""Readers and writers of rows: whole files come back equal, damage is told by file and row."""

import csv
import json

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.base.errors import EXIT_BAD_INPUT, UserError
from common.data.rows import BadRow, CsvText, Rejections, read_rows, text_field
from common.files.parquet import read_frame, read_parquet, write_parquet
from support.amounts import examples

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")
ROWS = [
    {"id": "a", "text": 'comma, "quote" and\nline break'},
    {"id": "b", "text": "één \u2028 \U0001f600"},
    {"id": "c", "text": ""},
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON_VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
SCORED_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(),
            "count": st.integers(-(2**63), 2**63 - 1),
            "tie": st.booleans(),
            "responses": st.lists(
                st.fixed_dictionaries({"text": st.text(), "score": st.floats(allow_nan=False)}), max_size=3
            ),
        }
    ),
    max_size=6,
)


def write_csv(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_rows(path, rows):
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        write_csv(path, ["id", "text"], [[row["id"], row["text"]] for row in rows])
    else:
        write_parquet(path, rows, ["id", "text"])


def failure(path):
    with pytest.raises(UserError) as caught:
        list(read_rows(path))
    assert str(path) in caught.value.where
    assert caught.value.remedy
    assert caught.value.code == EXIT_BAD_INPUT
    return caught.value


def reasons(rows):
    return [(number, row.reason) for number, row in rows if isinstance(row, BadRow)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_reads_every_row_numbered_from_one(new_path, suffix):
    path = new_path(suffix)
    write_rows(path, ROWS)
    assert list(read_rows(path)) == list(enumerate(ROWS, start=1))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_is_told_by_its_path(new_path, suffix):
    assert failure(new_path(suffix)).what == "a file is missing"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_directory_in_place_of_a_file_is_a_user_error(new_path, suffix):
    path = new_path(suffix)
    path.mkdir()
    failure(path)


@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".zip", ""])
def test_an_unknown_suffix_is_refused(new_path, suffix):
    path = new_path(suffix)
    path.write_text("[]")
    assert failure(path).what == f"unknown kind of file `{suffix}`"


@pytest.mark.parametrize("content", ["{}", '{"rows": []}', "3", "null", '"rows"'])
def test_json_without_a_top_level_array_is_refused(new_path, content):
    path = new_path(".json")
    path.write_text(content)
    assert failure(path).what == "a JSON file holds no array of rows"


def test_json_cut_off_anywhere_is_refused(new_path):
    path = new_path(".json")
    whole = json.dumps(ROWS).encode()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert failure(path).what.startswith("a file is not valid JSON")


def test_parquet_cut_off_anywhere_is_refused(new_path):
    path = new_path(".parquet")
    write_rows(path, ROWS)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 17), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert failure(path).what.startswith("not a readable parquet file")


def test_jsonl_cut_off_within_its_last_line_loses_that_line_only(new_path):
    path = new_path(".jsonl")
    write_rows(path, ROWS)
    path.write_bytes(path.read_bytes()[:-4])
    found = list(read_rows(path))
    assert found[:2] == [(1, ROWS[0]), (2, ROWS[1])]
    assert reasons(found) == [(3, "not JSON")]


def test_csv_cut_off_within_quotes_is_refused(new_path):
    path = new_path(".csv")
    path.write_text('id,text\na,one\nb,"two')
    assert failure(path).where == f"{path}, line 3"


def test_csv_cut_off_between_fields_loses_that_row_only(new_path):
    path = new_path(".csv")
    path.write_text("id,text\na,one\nb")
    found = list(read_rows(path))
    assert found[0] == (1, {"id": "a", "text": "one"})
    assert reasons(found) == [(2, "wrong number of fields")]


@pytest.mark.parametrize(("content", "position"), [(b'["\xff"]', 2), (b'[{"id": "\xe9"}]', 9)])
def test_json_that_is_not_utf8_is_refused_with_the_byte(new_path, content, position):
    path = new_path(".json")
    path.write_bytes(content)
    error = failure(path)
    assert (error.what, error.where) == ("a file is not UTF-8", f"{path}, byte {position}")


def test_csv_that_is_not_utf8_is_refused_with_the_byte(new_path):
    path = new_path(".csv")
    path.write_bytes(b"id\ncaf\xe9\n")
    error = failure(path)
    assert (error.what, error.where) == ("a file is not UTF-8", f"{path}, byte 6")


def test_a_jsonl_line_that_is_not_utf8_is_one_bad_row(new_path):
    path = new_path(".jsonl")
    path.write_bytes(b'{"id": "a"}\n{"id": "\xff"}\n{"id": "c"}\n')
    found = list(read_rows(path))
    assert reasons(found) == [(2, "not UTF-8")]
    assert [found[0], found[2]] == [(1, {"id": "a"}), (3, {"id": "c"})]


def test_parquet_text_that_is_not_utf8_is_refused(new_path):
    path = new_path(".parquet")
    offsets = pyarrow.array([0, 2], pyarrow.int32()).buffers()[1]
    text = pyarrow.Array.from_buffers(pyarrow.string(), 1, [None, offsets, pyarrow.py_buffer(b"\xff\xfe")])
    pyarrow.parquet.write_table(pyarrow.table({"id": text}), path)
    assert failure(path).what.startswith("not a readable parquet file")


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("content", ["[" * 100_000, f"[{'9' * 5000}]"], ids=["nested too deeply", "huge integer"])
def test_json_python_cannot_hold_is_never_a_bug(new_path, suffix, content):
    path = new_path(suffix)
    path.write_text(content)
    if suffix == ".json":
        failure(path)
    else:
        assert [number for number, _ in reasons(read_rows(path))] == [1]


def test_blank_lines_of_jsonl_are_no_rows_but_count_as_lines(new_path):
    path = new_path(".jsonl")
    path.write_text('\n{"id": 1}\r\n   \n\n{"id": 2}')
    assert list(read_rows(path)) == [(2, {"id": 1}), (5, {"id": 2})]


@pytest.mark.parametrize(("line", "fields"), [("1", 1), ("1,2,3", 3), (",,,", 4)])
def test_csv_rows_of_another_width_are_bad_rows(new_path, line, fields):
    path = new_path(".csv")
    path.write_text(f"id,text\na,one\n{line}\nb,two\n")
    found = list(read_rows(path))
    assert reasons(found) == [(2, "wrong number of fields")]
    assert str(found[1][1]) == f"wrong number of fields: {fields} instead of 2"
    assert [row["id"] for number, row in found if number != 2] == ["a", "b"]


def test_csv_values_stay_text_and_are_marked_as_such(new_path):
    path = new_path(".csv")
    path.write_text("\ufeffid,text\n007,1.5\n\n-3,true\n", encoding="utf-8")
    values = [row for _, row in read_rows(path)]
    assert values == [{"id": "007", "text": "1.5"}, {"id": "-3", "text": "true"}]
    assert {type(value) for row in values for value in row.values()} == {CsvText}


def test_csv_with_one_header_twice_is_refused(new_path):
    path = new_path(".csv")
    path.write_text("id,id\n1,2\n")
    failure(path)


@pytest.mark.parametrize("content", ["", "id,text\n"])
def test_csv_without_rows_has_no_rows(new_path, content):
    path = new_path(".csv")
    path.write_text(content)
    assert list(read_rows(path)) == []


@settings(deadline=None, max_examples=examples(100))
@given(rows=st.lists(JSON_VALUES, max_size=5), suffix=st.sampled_from([".json", ".jsonl"]), escape=st.booleans())
def test_json_round_trip(new_path, rows, suffix, escape):
    path = new_path(suffix)
    lines = [json.dumps(row, ensure_ascii=escape) for row in rows]
    text = "[" + ",".join(lines) + "]" if suffix == ".json" else "\n".join(lines)
    path.write_text(text, encoding="utf-8")
    assert list(read_rows(path)) == list(enumerate(rows, start=1))


@settings(deadline=None, max_examples=examples(100))
@given(rows=st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(st.text(), min_size=width, max_size=width))))
def test_csv_round_trip(new_path, rows):
    path = new_path(".csv")
    header = [f"column{index}" for index in range(len(rows[0]) if rows else 1)]
    write_csv(path, header, rows)
    expected = [dict(zip(header, row, strict=True)) for row in rows]
    assert list(read_rows(path)) == list(enumerate(expected, start=1))


@settings(deadline=None, max_examples=examples(100))
@given(rows=SCORED_ROWS)
def test_parquet_round_trip_with_equal_bytes(new_path, rows):
    first, second = new_path(".parquet"), new_path(".parquet")
    columns = ["id", "count", "tie", "responses"]
    write_parquet(first, rows, columns)
    write_parquet(second, [dict(reversed(row.items())) for row in rows], columns)
    assert read_parquet(first) == rows
    assert list(read_rows(first)) == list(enumerate(rows, start=1))
    assert first.read_bytes() == second.read_bytes()


@settings(deadline=None, max_examples=examples(100))
@given(content=st.binary(max_size=200), suffix=st.sampled_from(SUFFIXES))
def test_any_bytes_give_rows_or_a_user_error(new_path, content, suffix):
    path = new_path(suffix)
    path.write_bytes(content)
    try:
        numbers = [number for number, _ in read_rows(path)]
    except UserError as error:
        where = error.where
    else:
        where = str(path)
        assert numbers == sorted(set(numbers))
    assert where.startswith(str(path))


def test_parquet_columns_stand_in_the_order_asked_for(new_path):
    path = new_path(".parquet")
    write_parquet(path, [{"b": "2", "unused": "9", "a": "1"}], ["a", "b"])
    assert pyarrow.parquet.read_schema(path).names == ["a", "b"]
    assert read_parquet(path) == [{"a": "1", "b": "2"}]


def test_parquet_without_rows_keeps_its_columns(new_path):
    path = new_path(".parquet")
    write_parquet(path, [], ["a", "b"])
    assert read_parquet(path) == []
    assert pyarrow.parquet.read_schema(path).names == ["a", "b"]


def test_parquet_as_a_frame(new_path):
    path = new_path(".parquet")
    write_parquet(path, ROWS, ["id", "text"])
    assert read_frame(path).to_dict("records") == ROWS


def test_a_text_field_is_returned_unchanged():
    assert text_field({"a": " é\U0001f600\n"}, "a") == " é\U0001f600\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "missing field"),
        ({"A": "x"}, "missing field"),
        ({"a": None}, "wrong type"),
        ({"a": 1}, "wrong type"),
        ({"a": True}, "wrong type"),
        ({"a": ["x"]}, "wrong type"),
        ({"a": b"x"}, "wrong type"),
        ({"a": "half \ud83d pair"}, "not UTF-8"),
        ({"a": "\udfff"}, "not UTF-8"),
    ],
)
def test_a_text_field_that_is_no_text_is_a_bad_row(row, reason):
    with pytest.raises(BadRow) as caught:
        text_field(row, "a")
    assert caught.value.reason == reason
    assert " a" in str(caught.value)


def rejections(path, rejected):
    found = Rejections(path)
    for number in range(1, rejected + 1):
        found.add(number, BadRow("missing field" if number % 2 else "wrong type", f"detail {number}"))
    return found


def test_too_many_bad_rows_are_told_with_the_first_of_each_reason(new_path):
    path = new_path(".json")
    with pytest.raises(UserError) as caught:
        rejections(path, 5).check(20, 0.2, "some.key")
    assert caught.value.what == "5 of 20 rows cannot be used (3 x missing field, 2 x wrong type)"
    assert caught.value.where == (f"{path}, row 1: missing field: detail 1; {path}, row 2: wrong type: detail 2")
    assert "`some.key`" in caught.value.remedy


def test_without_bad_rows_no_share_is_too_small(new_path):
    found = rejections(new_path(".json"), 0)
    found.check(1, 0.0, "some.key")
    assert not found.reasons


def test_one_bad_row_is_past_a_share_of_zero(new_path):
    with pytest.raises(UserError):
        rejections(new_path(".json"), 1).check(1_000_000, 0.0, "some.key")


def test_exactly_the_allowed_share_is_allowed(new_path):
    refused = []
    for rejected in range(101):
        try:
            rejections(new_path(".json"), rejected).check(100, rejected / 100, "some.key")
        except UserError:
            refused.append(rejected)
    assert refused == []


def test_one_more_than_the_allowed_share_is_refused(new_path):
    for rejected in range(1, 101):
        with pytest.raises(UserError):
            rejections(new_path(".json"), rejected).check(100, (rejected - 1) / 100, "some.key")
