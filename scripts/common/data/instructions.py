"""Loaders for the two files of GPT-4-LLM (Peng et al. 2023).

`alpaca_gpt4_data.json`: [{instruction, input, output}]. `comparison_data_v2.json`: [{user_input,
responses_and_scores: [{response, source, score}]}], where `user_input` is the prompt as Alpaca renders it, up to but
without `### Response:`.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.data.rows import BadRow, Rejections, read_rows, text_field
from common.files.whole_files import sha256_of_text

COLUMNS = ("id", "instruction", "input", "reference", "responses")

_END = r"(?:\n\s*### Response:\s*)?\s*"
_WITHOUT_INPUT = re.compile(
    r"\s*Below is an instruction that describes a task\. .*?### Instruction:[ ]*\n(?P<instruction>.*?)" + _END,
    re.DOTALL,
)
_WITH_INPUT = re.compile(
    r"\s*Below is an instruction that describes a task, paired with an input .*?"
    r"### Instruction:[ ]*\n(?P<instruction>.*?)\n\s*### Input:[ ]*\n(?P<input>.*?)" + _END,
    re.DOTALL,
)


@dataclass
class Instructions:
    """Usable prompts and the counts of all that was not taken."""

    rows: list[dict[str, Any]]
    counts: dict[str, Any] = field(default_factory=dict)


def prompt_id(instruction: str, input_text: str) -> str:
    """Sixteen hex digits that name a prompt by its text, wherever it stands in a file."""
    return sha256_of_text(f"{instruction}\0{input_text}")[:16]


def parse_rendered_prompt(text: str) -> tuple[str, str]:
    """Instruction and input of a prompt rendered as Alpaca does.

    Raises:
        BadRow: when the text is not such a rendering.
    """
    for form in (_WITHOUT_INPUT, _WITH_INPUT):
        if match := form.fullmatch(text):
            return match["instruction"].strip(), match.groupdict().get("input", "").strip()
    raise BadRow("unknown prompt format", f"user_input begins {text[:40]!r}")


def _parse_reference(row: Any) -> tuple[str, str, str]:
    if isinstance(row, BadRow):
        raise row
    if not isinstance(row, Mapping):
        raise BadRow("wrong type", f"a row is {type(row).__name__}, not an object")
    instruction = text_field(row, "instruction").strip()
    if not instruction:
        raise BadRow("empty instruction")
    return instruction, text_field(row, "input").strip(), text_field(row, "output").strip()


def _parse_response(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise BadRow("wrong type", f"a response is {type(entry).__name__}, not an object")
    score = entry.get("score")
    if "score" not in entry:
        raise BadRow("missing field", "score")
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise BadRow("wrong type", f"score is {type(score).__name__}, not a number")
    try:
        number = float(score)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadRow("wrong type", "score is not finite")
    return {"source": text_field(entry, "source"), "text": text_field(entry, "response").strip(), "score": number}


def _parse_comparison(row: Any, empty: Counter[str]) -> tuple[str, str, list[dict[str, Any]]]:
    """Prompt and non-empty responses; empty ones are counted by source in `empty`."""
    if isinstance(row, BadRow):
        raise row
    if not isinstance(row, Mapping):
        raise BadRow("wrong type", f"a row is {type(row).__name__}, not an object")
    instruction, input_text = parse_rendered_prompt(text_field(row, "user_input"))
    if not instruction:
        raise BadRow("empty instruction")
    entries = row.get("responses_and_scores")
    if not isinstance(entries, list):
        raise BadRow("missing field" if entries is None else "wrong type", "responses_and_scores")
    parsed = [_parse_response(entry) for entry in entries]
    empty.update(response["source"] for response in parsed if not response["text"])
    return instruction, input_text, [response for response in parsed if response["text"]]


def load_instructions(references: Path, comparisons: Path, max_rejected_share: float) -> Instructions:
    """Join the two files by prompt.

    Args:
        references: prompts with the response supervised fine-tuning learns.
        comparisons: prompts with scored responses.
        max_rejected_share: share of each file's rows that may be unusable.

    Returns:
        One row a prompt: id, instruction, input, reference (may be empty), responses (may be fewer than two); and
        counts of everything that was rejected, empty, repeated or found in one file only.

    Raises:
        UserError: when a file is unreadable or more of its rows are bad than allowed.
    """
    key = "instructions.max_rejected_share"
    scored, comparison_counts = _load_comparisons(comparisons, max_rejected_share, key)
    rejected = Rejections(references)
    rows, seen, total = [], Counter[str](), 0
    for number, raw in read_rows(references):
        total += 1
        try:
            instruction, input_text, output = _parse_reference(raw)
        except BadRow as error:
            rejected.add(number, error)
            continue
        identity = prompt_id(instruction, input_text)
        seen[identity] += 1
        if seen[identity] > 1:
            continue
        responses = scored.pop(identity, [])
        rows.append(
            {
                "id": identity,
                "instruction": instruction,
                "input": input_text,
                "reference": output,
                "responses": responses,
            }
        )
    rejected.check(max(total, 1), max_rejected_share, key)
    counts = {
        "prompts": len(rows),
        "references": {
            "rows": total,
            "rejected": dict(rejected.reasons),
            "repeated": sum(n - 1 for n in seen.values()),
            "empty": sum(not row["reference"] for row in rows),
        },
        "comparisons": {**comparison_counts, "without_reference": len(scored)},
        "prompts_with_fewer_than_two_responses": sum(len(row["responses"]) < 2 for row in rows),
    }
    return Instructions(rows, counts)


def _load_comparisons(path: Path, max_share: float, key: str) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    rejected, empty, repeated = Rejections(path), Counter[str](), 0
    scored: dict[str, list[dict[str, Any]]] = {}
    total = 0
    for number, raw in read_rows(path):
        total += 1
        try:
            instruction, input_text, responses = _parse_comparison(raw, empty)
        except BadRow as error:
            rejected.add(number, error)
            continue
        identity = prompt_id(instruction, input_text)
        repeated += identity in scored
        scored.setdefault(identity, responses)
    rejected.check(max(total, 1), max_share, key)
    counts = {"rows": total, "rejected": dict(rejected.reasons), "repeated": repeated, "empty_responses": dict(empty)}
    return scored, counts
