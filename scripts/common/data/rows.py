"""Rows in and out of files: JSON arrays, JSONL, CSV and parquet, with bad rows counted, never lost."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.parquet import read_parquet
from common.files.whole_files import read_bytes, read_json


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


def _read_csv(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        text = read_bytes(path).decode("utf-8-sig")
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
    content = read_bytes(path)
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield number, BadRow("not UTF-8")
        except (ValueError, RecursionError) as error:
            yield number, BadRow("not JSON", str(error))


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
