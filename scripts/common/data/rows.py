"""Rows in and out of files: JSON arrays, JSON lines, CSV and parquet, with bad rows counted, never lost."""

import codecs
import csv
import gzip
import io
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.parquet import read_parquet
from common.files.whole_files import parse_json, read_bytes

# Longest whole number that a float holds exactly.
_EXACT = 2**53
_FORMS = {".json": "json", ".jsonl": "lines", ".ndjson": "lines", ".csv": "csv", ".parquet": "parquet"}
# The longer mark first: UTF-32's begins as UTF-16's does.
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8-sig",
          codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip


class BadRow(Exception):  # noqa: N818 - counted, not raised to people
    """A row that cannot be used; `reason` is what it is counted under."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}{': ' + detail if detail else ''}")
        self.reason = reason


class CsvText(str):
    """A value of a CSV file, where numbers are text as well."""

    __slots__ = ()


def by_reason(counts: Mapping[str, int]) -> str:
    """`3 x empty instruction, 1 x wrong type`."""
    return ", ".join(f"{count} x {reason}" for reason, count in sorted(counts.items()))


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
            remedy = f"fix these rows, or allow a larger share of bad rows with `{key}`"
            raise UserError(
                f"{rejected} of {rows} rows cannot be used ({by_reason(self.reasons)})",
                "; ".join(self.first.values()),
                remedy,
            )


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(row number, row) of a file of JSON, JSON lines, CSV or parquet; row numbers count from 1.

    The name's ending says which, in any case; `.gz` may follow it. Text is UTF-8, or what the byte order mark at its
    beginning says. A `.json` file may hold JSON lines. A line that cannot be parsed is yielded as a `BadRow`, so that
    the caller counts it.

    Raises:
        UserError: when the file as a whole cannot be read.
    """
    name = path.name.lower().removesuffix(".gz")
    form = _FORMS.get(Path(name).suffix)
    if form is None:
        raise UserError(
            f"unknown kind of file `{path.suffix}`", str(path), "give a .json, .jsonl, .csv or .parquet file"
        )
    if form == "parquet":
        yield from enumerate(read_parquet(path), start=1)
        return
    content = _utf8(_unpacked(read_bytes(path), path), path)
    if form == "csv":
        yield from _csv_rows(content, path)
    elif form == "lines" or _are_json_lines(content):
        yield from _json_lines(content)
    else:
        yield from _json_array(content, path)


def _unpacked(content: bytes, path: Path) -> bytes:
    """The content of a gzip file; any other content as it is."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"a file is not valid gzip: {error}", str(path), "fetch or make it again") from error


def _utf8(content: bytes, path: Path) -> bytes:
    """Text without its byte order mark, which says how it is encoded; without one it stays as it is."""
    mark = next((mark for mark in _MARKS if content.startswith(mark)), None)
    if mark is None or mark == codecs.BOM_UTF8:
        return content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode(_MARKS[mark]).encode()
    except UnicodeError as error:
        raise UserError(f"a file is not {_MARKS[mark].upper()}, as its first bytes say", str(path),
                        "convert it to UTF-8") from error  # fmt: skip


def _csv_rows(content: bytes, path: Path) -> Iterator[tuple[int, Any]]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("a file is not UTF-8", f"{path}, byte {error.start}", "convert it to UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise UserError("a column stands twice in the header", str(path), "give each column a name of its own")
        if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
            raise UserError(f"the columns of a CSV file are separated by {other!r}", str(path), "separate them by `,`")
        for number, values in enumerate(reader, start=1):
            if len(values) == len(header):
                yield number, {name: CsvText(value) for name, value in zip(header, values, strict=True)}
            elif values:
                yield number, BadRow("wrong number of fields", f"{len(values)} instead of {len(header)}")
    except csv.Error as error:
        raise UserError(f"a file is not valid CSV: {error}", f"{path}, line {reader.line_num}", "fix it") from error


def _json_array(content: bytes, path: Path) -> Iterator[tuple[int, Any]]:
    rows = parse_json(content, path)
    if not isinstance(rows, list):
        remedy = "give a file with a list at its top level, or a .jsonl file with one row per line"
        raise UserError("a JSON file holds no array of rows", str(path), remedy)
    yield from enumerate(rows, start=1)


def _are_json_lines(content: bytes) -> bool:
    """Whether a text of two lines or more begins with a line that is an object of its own."""
    first, _, rest = content.strip().partition(b"\n")
    if not rest:
        return False
    try:
        return isinstance(json.loads(first.decode("utf-8")), dict)
    except (ValueError, RecursionError):
        return False


def _json_lines(content: bytes) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield number, BadRow("not UTF-8")
        except (ValueError, RecursionError) as error:
            yield number, BadRow("not JSON", str(error))


def described(value: Any) -> str:
    """What a value is, for people."""
    if isinstance(value, str):
        return f"the text {value[:40]!r}" if value else "empty"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return f"the number {value}"
    names: dict[type, str] = {list: "a list", dict: "an object", bytes: "bytes"}
    return names.get(type(value), f"a value of type {type(value).__name__}")


def row_object(row: Any) -> Mapping[str, Any]:
    """A row that is an object.

    Raises:
        BadRow: when it is something else, or could not be parsed.
    """
    if isinstance(row, BadRow):
        raise row
    if not isinstance(row, Mapping):
        raise BadRow("wrong type", f"a row is {described(row)}, not an object")
    return row


def field(row: Mapping[str, Any], name: str) -> Any:
    """A field of a row.

    Raises:
        BadRow: when it is missing.
    """
    if name not in row:
        present = ", ".join(map(str, [*row][:8])) or "nothing"
        raise BadRow("missing field", f"{name} (the row has {present})")
    return row[name]


def text_field(row: Mapping[str, Any], name: str) -> str:
    """A string field.

    Raises:
        BadRow: when it is missing or of another type.
    """
    value = field(row, name)
    if not isinstance(value, str):
        raise BadRow("wrong type", f"{name} is {described(value)}, not text")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        raise BadRow("not UTF-8", f"{name} holds half a surrogate pair")
    return value


def whole_number(row: Mapping[str, Any], name: str) -> int:
    """A field that is a whole number; `1.0` is one, as a column with an empty cell is written by many programs.

    Raises:
        BadRow: when it is missing or something else.
    """
    value = field(row, name)
    number = _csv_number(value) if isinstance(value, CsvText) else value
    if isinstance(number, float) and number.is_integer() and abs(number) < _EXACT:
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise BadRow("wrong type", f"{name} is {described(value)}, not a whole number")
    return number


def _csv_number(text: str) -> int | None:
    """The whole number that a cell of a CSV file writes, `-1` or `1.0`."""
    whole, _, decimals = text.partition(".")
    digits = whole.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18) or decimals.strip("0"):
        return None
    return int(whole)


def is_missing(value: Any) -> bool:
    """Whether a value is null, or NaN as data frames write it."""
    return value is None or (isinstance(value, float) and math.isnan(value))
