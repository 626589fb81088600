"""Loaders for the two files of GPT-4-LLM (Peng et al. 2023).

`alpaca_gpt4_data.json`: [{instruction, input, output}]. `comparison_data_v2.json`: [{user_input,
responses_and_scores: [{response, source, score}]}], where `user_input` is the prompt as Alpaca renders it, up to but
without `### Response:`.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

from common.data.missing_inputs import says_no_input
from common.data.rows import BadRow, Rejections, described, field, is_missing, read_rows, row_object, text_field
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
    """Usable prompts and the counts of all that was not taken.

    Attributes:
        rows: one a prompt.
        counts: of what was not taken, by file and reason.
        other_responses: rows of a prompt that came before with other responses; the first row of each was taken.
    """

    rows: list[dict[str, Any]]
    counts: dict[str, Any] = dataclass_field(default_factory=dict)
    other_responses: int = 0


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
    raise BadRow(
        "unknown prompt format",
        f"user_input begins {text[:40]!r}, not as Alpaca's template does: 'Below is an instruction ...'",
    )


def _without_marker(input_text: str, no_input: Counter[str]) -> str:
    """The input, or nothing where it is a marker for none; such markers are counted by their spelling."""
    if input_text and says_no_input(input_text):
        no_input[input_text] += 1
        return ""
    return input_text


def _visible(text: str) -> str:
    """The text without space around it; nothing where it is only space and what has no width, as U+200B."""
    return text.strip() if any(not char.isspace() and unicodedata.category(char) != "Cf" for char in text) else ""


def _parse_reference(row: Any, no_input: Counter[str]) -> tuple[str, str, str]:
    row = row_object(row)
    instruction = _visible(text_field(row, "instruction"))
    if not instruction:
        raise BadRow("empty instruction")
    missing, output = is_missing(field(row, "input")), _visible(text_field(row, "output"))
    input_text = "" if missing else _visible(text_field(row, "input"))
    no_input.update(["null"] * missing)
    return instruction, _without_marker(input_text, no_input), output


def _parse_response(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise BadRow("wrong type", f"a response is {described(entry)}, not an object")
    score = field(entry, "score")
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise BadRow("wrong type", f"score is {described(score)}, not a number")
    try:
        number = float(score)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadRow("wrong type", "score is not finite")
    return {"source": text_field(entry, "source"), "text": _visible(text_field(entry, "response")), "score": number}


def _parse_comparison(row: Any, empty: Counter[str], no_input: Counter[str]) -> tuple[str, str, list[dict[str, Any]]]:
    """Prompt and non-empty responses; empty ones are counted by source in `empty`."""
    row = row_object(row)
    instruction, input_text = parse_rendered_prompt(text_field(row, "user_input"))
    if not instruction:
        raise BadRow("empty instruction")
    entries = field(row, "responses_and_scores")
    if not isinstance(entries, list):
        raise BadRow("wrong type", f"responses_and_scores is {described(entries)}, not a list")
    parsed = [_parse_response(entry) for entry in entries]
    empty.update(response["source"] for response in parsed if not response["text"])
    return instruction, _without_marker(input_text, no_input), [response for response in parsed if response["text"]]


def load_instructions(references: Path, comparisons: Path, max_rejected_share: float) -> Instructions:
    """Join the two files by prompt.

    Args:
        references: prompts with the response supervised fine-tuning learns.
        comparisons: prompts with scored responses.
        max_rejected_share: share of each file's rows that may be unusable.

    Returns:
        One row a prompt: id, instruction, input, reference (may be empty), responses (may be fewer than two); and
        counts of everything that was rejected, empty, repeated, a marker for no input or found in one file only.

    Raises:
        UserError: when a file is unreadable or more of its rows are bad than allowed.
    """
    key = "instructions.max_rejected_share"
    scored, comparison_counts, other_responses = _load_comparisons(comparisons, max_rejected_share, key)
    rejected, no_input = Rejections(references), Counter[str]()
    rows, seen, total = [], Counter[str](), 0
    for number, raw in read_rows(references):
        total += 1
        try:
            instruction, input_text, output = _parse_reference(raw, no_input)
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
            "no_input": dict(no_input),
        },
        "comparisons": {**comparison_counts, "without_reference": len(scored)},
        "prompts_with_fewer_than_two_responses": sum(len(row["responses"]) < 2 for row in rows),
    }
    return Instructions(rows, counts, other_responses)


def _load_comparisons(
    path: Path, max_share: float, key: str
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any], int]:
    rejected, empty, no_input = Rejections(path), Counter[str](), Counter[str]()
    repeated = other_responses = 0
    scored: dict[str, list[dict[str, Any]]] = {}
    total = 0
    for number, raw in read_rows(path):
        total += 1
        try:
            instruction, input_text, responses = _parse_comparison(raw, empty, no_input)
        except BadRow as error:
            rejected.add(number, error)
            continue
        identity = prompt_id(instruction, input_text)
        repeated += identity in scored
        other_responses += scored.setdefault(identity, responses) != responses
    rejected.check(max(total, 1), max_share, key)
    counts = {
        "rows": total,
        "rejected": dict(rejected.reasons),
        "repeated": repeated,
        "empty_responses": dict(empty),
        "no_input": dict(no_input),
    }
    return scored, counts, other_responses
