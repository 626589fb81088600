"""Files of every kind read by other code than the loaders', and values written as such files.

The readings are written for plainness. They raise on whatever a loader must refuse, so a test fails where a loader
accepts such a file.
"""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow
import pyarrow.parquet
import yaml

from common.base.paths import ROOT
from support.mutations import as_json


def text(row: dict[str, Any], key: str) -> str:
    value = row[key]
    assert isinstance(value, str)
    value.encode()
    return value.strip()


def filled(row: dict[str, Any], key: str) -> str:
    assert text(row, key)
    return text(row, key)


def usable(rows: list[Any], parse: Callable[[Any], Any], strict: bool) -> list[Any]:
    """Rows that parse; under `strict` all must."""
    found = []
    for row in rows:
        try:
            found.append(parse(row))
        except (AssertionError, KeyError, TypeError, ValueError, AttributeError):
            assert not strict
    return found


def whole_list(content: bytes) -> list[Any]:
    rows = json.loads(content.decode("utf-8-sig"))
    assert isinstance(rows, list)
    return rows


def reference(row: Any) -> tuple[str, str, str]:
    given = row["input"]
    missing = given is None or given != given
    return filled(row, "instruction"), "" if missing else text(row, "input"), text(row, "output")


def rendered(prompt: str) -> tuple[str, str]:
    """Instruction and input of Alpaca's rendering, line by line."""
    plain, paired = "Below is an instruction that describes a task. ", "Below is an instruction that describes a task, "
    opening = prompt.lstrip()
    assert opening.startswith(plain) or opening.startswith(paired + "paired with an input ")
    lines = opening.split("\n")
    headings = [i for i, line in enumerate(lines) if line.rstrip(" ").endswith("### Instruction:")]
    assert headings
    body = lines[headings[0] + 1 :]
    marks = [i for i, line in enumerate(body) if line.strip() == "### Response:"]
    if marks and not "".join(body[marks[-1] + 1 :]).strip():
        body = body[: marks[-1]]
    if opening.startswith(plain):
        return "\n".join(body).strip(), ""
    inputs = [i for i, line in enumerate(body) if line.lstrip().rstrip(" ") == "### Input:"]
    assert inputs, f"no input: {prompt!r}"
    at = inputs[0]
    return "\n".join(body[:at]).strip(), "\n".join(body[at + 1 :]).strip()


def response(entry: Any) -> dict[str, Any]:
    score = entry["score"]
    assert type(score) in (int, float)
    assert abs(float(score)) < float("inf")
    return {
        "source": entry["source"] + text(entry, "source")[:0],
        "text": text(entry, "response"),
        "score": float(score),
    }


def comparison(row: Any) -> tuple[tuple[str, str], list[dict[str, Any]]]:
    assert isinstance(row["user_input"], str)
    row["user_input"].encode()
    prompt = rendered(row["user_input"])
    assert prompt[0]
    assert isinstance(row["responses_and_scores"], list)
    return prompt, [found for entry in row["responses_and_scores"] if (found := response(entry))["text"]]


class Cell(str):
    """A value of a CSV file, where numbers are text too."""


def whole_number(value: Any) -> int:
    if isinstance(value, Cell):
        digits = value.partition(".")[0].removeprefix("-")
        assert not value.partition(".")[2].replace("0", "")
        assert digits.isascii()
        assert digits.isdigit()
        assert len(digits) <= 18
        return int(value.partition(".")[0])
    if type(value) is float and value % 1 == 0 and -(2**53) < value < 2**53:
        return int(value)
    assert type(value) is int
    return value


IMPOSSIBLE = yaml.safe_load((ROOT / "resources/tasks/mnli.yaml").read_text(encoding="utf-8"))["answers"]["labels"][1]
IMPOSSIBLE = [IMPOSSIBLE["text"], *IMPOSSIBLE["also"]]


def question(task: str, row: Any) -> tuple[str, str, list[str], list[list[str]], int]:
    """Id, text, answers, accepted wordings and right answer, as the paper's section 5.1 asks."""
    if task == "sst2":
        identity, asked = whole_number(row["idx"]), f"Is this movie review positive?\n{filled(row, 'sentence')}\n"
        accepted = [["No", "negative"], ["Yes", "positive"]]
    elif task == "mnli":
        identity = whole_number(row["idx"])
        asked = f"{filled(row, 'premise')}\nBased on the paragraph above can we conclude that "
        asked += f"{filled(row, 'hypothesis')}?\n"
        accepted = [["Yes", "entailment"], IMPOSSIBLE, ["No", "contradiction"]]
    elif task == "copa":
        identity = whole_number(row["id"])
        choices = [filled(row, "choice1"), filled(row, "choice2")]
        listed = "\n".join(f"- {choice}" for choice in choices)
        asked = f"{filled(row, 'premise')}\nWhat is the {filled(row, 'question')}?\n{listed}\n"
        accepted = [[choice] for choice in choices]
    else:
        identity, letters = filled(row, "id"), row["choices"]["label"]
        assert isinstance(letters, list)
        assert isinstance(row["choices"]["text"], list)
        assert (
            len(letters)
            == len(row["choices"]["text"])
            == len({filled({"": letter}, "") and letter for letter in letters})
        )
        choices = [filled({"": choice}, "") for choice in row["choices"]["text"]]
        listed = "\n".join(f"- {choice}" for choice in choices)
        asked = f"Select the correct answer to the question.\n{filled(row, 'question')}\n{listed}\n"
        return identity, asked, choices, [[c] for c in choices], letters.index(filled(row, "answerKey"))
    gold = whole_number(row["label"])
    assert 0 <= gold < len(accepted)
    return str(identity), asked, [words[0] for words in accepted], accepted, gold


def json_lines(content: bytes) -> list[Any]:
    """One value a line that is not blank; what is none stands as it is and parses as no row."""
    rows: list[Any] = []
    for line in content.split(b"\n"):
        if line.strip():
            try:
                rows.append(json.loads(line.decode()))
            except (ValueError, RecursionError):
                rows.append(line)
    return rows


def csv_rows(content: bytes) -> list[Any]:
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    header = next(reader, [])
    assert len({*header}) == len(header)
    rows = [[Cell(value) for value in row] for row in reader if row]
    return [dict(zip(header, row, strict=True)) if len(row) == len(header) else None for row in rows]


def parquet_rows(content: bytes) -> list[Any]:
    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
    return [row for batch in file.iter_batches(batch_size=3) for row in batch.to_pylist()]


def libyaml(content: bytes) -> Any:
    """By libyaml, where the loaders use PyYAML's own parser."""
    return yaml.load(content.decode(), Loader=yaml.CSafeLoader)  # the safe one


def as_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode()


def encoded(rows: list[Any], suffix: str) -> bytes:
    """Rows as a file of that kind."""
    if suffix == "jsonl":
        return b"".join(as_json(row) + b"\n" for row in rows)
    if suffix == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerows([list(rows[0]), *(list(row.values()) if isinstance(row, dict) else [row] for row in rows)])
        return buffer.getvalue().encode()
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


class Laid(dict):
    """A configuration before defaults are filled in; equal to any that has all of it."""

    def __eq__(self, other: object) -> bool:
        return _has(other, dict(self))

    __hash__ = None  # type: ignore[assignment]


def _has(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and _has(whole[key], part[key]) for key in part)
    return type(whole) is type(part) and whole == part


def lay(under: Any, over: Any) -> Any:
    """Key by key; a block with a `kind` replaces the one under it."""
    if not isinstance(under, dict) or not isinstance(over, dict) or "kind" in over:
        return over
    return {**under, **{key: lay(under[key], value) if key in under else value for key, value in over.items()}}
