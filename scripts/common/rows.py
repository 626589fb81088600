"""Rows in and out of files: JSON arrays, JSONL, CSV and parquet, with bad rows counted, never lost."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from common.errors import UserError
from common.files import read_json, write_bytes


class BadRow(Exception):  # noqa: N818 - counted, not raised to people
    """A row that cannot be used; `reason` is what it is counted under."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}{': ' + detail if detail else ''}")
        self.reason = reason


class CsvText(str):
    """A value of a CSV file, where numbers are text as well."""

    __slots__ = ()


class Rejections:
    """Counts rejected rows by reason and refuses more than a configured share of them."""

    def __init__(self, path: Path):
        self.path = path
        self.reasons: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, row: int, error: BadRow) -> None:
        self.reasons[error.reason] += 1
        self.first.setdefault(error.reason, f"{self.path}, row {row}: {error}")

    def check(self, rows: int, max_share: float, key: str) -> None:
        """Raise when more than `max_share` of `rows` was rejected.

        Raises:
            UserError: with the first bad row of each reason.
        """
        rejected = sum(self.reasons.values())
        if rejected / rows > max_share:
            counts = ", ".join(f"{count} x {reason}" for reason, count in sorted(self.reasons.items()))
            remedy = f"mend these rows, or allow a larger share of bad rows with `{key}`"
            raise UserError(
                f"{rejected} of {rows} rows cannot be used ({counts})", "; ".join(self.first.values()), remedy
            )


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(row number, row) of a .json array, .jsonl, .csv or .parquet file; row numbers count from 1.

    A line that cannot be parsed is yielded as a `BadRow`, so that the caller counts it.

    Raises:
        UserError: when the file as a whole cannot be read.
    """
    if path.suffix == ".jsonl":
        yield from _read_jsonl(path)
    elif path.suffix == ".csv":
        yield from _read_csv(path)
    elif path.suffix == ".parquet":
        yield from enumerate(read_parquet(path), start=1)
    elif path.suffix == ".json":
        content = read_json(path)
        if not isinstance(content, list):
            raise UserError("a JSON file holds no array of rows", str(path), "give a file with a list at its top level")
        yield from enumerate(content, start=1)
    else:
        raise UserError(
            f"unknown kind of file `{path.suffix}`", str(path), "give a .json, .jsonl, .csv or .parquet file"
        )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError as error:
        raise UserError("a directory stands in place of a file", str(path), "name the file in it") from error
    except FileNotFoundError as error:
        raise UserError("a file is missing", str(path), "check the path in the configuration") from error


def _read_csv(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        text = _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("a file is not UTF-8", f"{path}, byte {error.start}", "convert it to UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise UserError("a column stands twice in the header", str(path), "give each column a name of its own")
        for number, values in enumerate(reader, start=1):
            if len(values) == len(header):
                yield number, {name: CsvText(value) for name, value in zip(header, values, strict=True)}
            elif values:
                yield number, BadRow("wrong number of fields", f"{len(values)} instead of {len(header)}")
    except csv.Error as error:
        raise UserError(f"a file is not valid CSV: {error}", f"{path}, line {reader.line_num}", "mend it") from error


def _read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    content = _read_bytes(path)
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield number, BadRow("not UTF-8")
        except (ValueError, RecursionError) as error:
            yield number, BadRow("not JSON", str(error))


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Rows of a parquet file.

    Raises:
        UserError: when it cannot be read.
    """
    try:
        return pyarrow.parquet.read_table(pyarrow.BufferReader(_read_bytes(path))).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"not a readable parquet file: {error}", str(path), "fetch or make it again") from error


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows atomically, columns in the given order; equal rows give equal bytes."""
    table = pyarrow.Table.from_pylist([{column: row[column] for column in columns} for row in rows])
    if not rows:
        table = pyarrow.table({column: pyarrow.array([], pyarrow.string()) for column in columns})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    write_bytes(path, sink.getvalue().to_pybytes())


def read_frame(path: Path) -> pd.DataFrame:
    """A parquet file as a data frame."""
    return pd.DataFrame(read_parquet(path))


def text_field(row: Mapping[str, Any], name: str) -> str:
    """A string field.

    Raises:
        BadRow: when it is missing or of another type.
    """
    if name not in row:
        raise BadRow("missing field", name)
    value = row[name]
    if not isinstance(value, str):
        raise BadRow("wrong type", f"{name} is {type(value).__name__}, not text")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        raise BadRow("not UTF-8", f"{name} holds half a surrogate pair")
    return value


def read_columns(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file that has at least these columns.

    Raises:
        UserError: when it cannot be read, or lacks one.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            present, rows = reader.fieldnames or [], list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"a table cannot be read: {error}", str(path), "render it again") from error
    if missing := [column for column in columns if column not in present]:
        raise UserError(f"a table lacks the columns {', '.join(missing)}", str(path), "render it again")
    return rows
