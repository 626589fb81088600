"""Sampled responses of two methods, read back and set side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.parquet import read_parquet

COLUMNS = ("id", "source", "instruction", "input", "prompt", "response", "tokens", "finish", "reward")
# Where a prompt is from.
PAPER, HELDOUT = "paper", "heldout"
_ASKED = ("id", "source", "instruction", "input")
_SHARED = (*_ASKED, "prompt")
_REMEDY = "sample the responses of both methods again"


def load_samples(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of `sample_responses`.

    Raises:
        UserError: when it has no rows, lacks a column, has a value that is not a text, or names a prompt twice.
    """
    rows = read_parquet(path)
    if not rows:
        raise UserError("a file of sampled responses has no rows", str(path), _REMEDY)
    if missing := [column for column in COLUMNS if column not in rows[0]]:
        raise UserError(f"sampled responses lack {', '.join(missing)}", str(path), _REMEDY)
    seen = set()
    for number, row in enumerate(rows, start=1):
        for column in (*_SHARED, "response"):
            if not isinstance(row[column], str):
                raise UserError(f"`{column}` is not a text in sampled responses", f"{path}, row {number}", _REMEDY)
        if row["id"] in seen:
            raise UserError(f"the prompt {row['id']} appears twice", f"{path}, row {number}", _REMEDY)
        seen.add(row["id"])
    return rows


def load_stages(rl_sft: Path, ppo: Path) -> list[dict[str, dict[str, Any]]]:
    """For each prompt the row of either stage, `rl_sft` and `ppo`.

    Raises:
        UserError: when the files are not about the same prompts in the same order.
    """
    return [{"rl_sft": one, "ppo": other} for one, other in _side_by_side(rl_sft, ppo, _SHARED)]


def load_pair(first: Path, second: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """For each instruction the row of either method; their prompts may end in different markers.

    Raises:
        UserError: when the files are not about the same instructions in the same order.
    """
    return _side_by_side(first, second, _ASKED)


def _side_by_side(first: Path, second: Path, columns: Sequence[str]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows of two files, which must agree in `columns`."""
    ones, others = load_samples(first), load_samples(second)
    if len(ones) != len(others):
        what = f"{len(ones)} responses of one method face {len(others)} of the other"
        raise UserError(what, f"{first}, {second}", _REMEDY)
    for number, (one, other) in enumerate(zip(ones, others, strict=True), start=1):
        for column in columns:
            if one[column] != other[column]:
                where = f"{first} and {second}, row {number}, column {column}"
                raise UserError("the two methods answered different prompts", where, _REMEDY)
    return list(zip(ones, others, strict=True))
