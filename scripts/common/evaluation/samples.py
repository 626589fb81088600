"""Sampled responses of both stages of the RL arm, read back and set side by side."""

from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.parquet import read_parquet

COLUMNS = ("id", "source", "instruction", "input", "prompt", "response", "tokens", "finish", "reward")
# Where a prompt is from.
PAPER, HELDOUT = "paper", "heldout"
_SHARED = ("id", "source", "instruction", "input", "prompt")
_REMEDY = "sample the responses of both stages again"


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
    first, third = load_samples(rl_sft), load_samples(ppo)
    if len(first) != len(third):
        what = f"{len(first)} responses of stage 1 face {len(third)} of stage 3"
        raise UserError(what, f"{rl_sft}, {ppo}", _REMEDY)
    for number, (one, other) in enumerate(zip(first, third, strict=True), start=1):
        for column in _SHARED:
            if one[column] != other[column]:
                where = f"{rl_sft} and {ppo}, row {number}, column {column}"
                raise UserError("the two stages answered different prompts", where, _REMEDY)
    return [{"rl_sft": one, "ppo": other} for one, other in zip(first, third, strict=True)]
