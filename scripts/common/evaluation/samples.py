"""Responses of checkpoints to the same prompts, read back and set side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.parquet import read_parquet

# `prompt` ends with the marker that the checkpoint was asked with. The last three are about another response, drawn at
# temperature 1: its tokens, and the sums over them of both estimates of the divergence from the base model.
COLUMNS = ("id", "source", "instruction", "input", "prompt", "response", "tokens", "finish", "reward", "drawn_tokens",
           "kl_k1", "kl_k3")  # fmt: skip
# Where a prompt is from.
PAPER, HELDOUT = "paper", "heldout"
_ASKED = ("id", "source", "instruction", "input")
_REMEDY = "delete both files and run again: the responses are sampled anew"


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
        for column in (*_ASKED, "prompt", "response"):
            if not isinstance(row[column], str):
                raise UserError(f"`{column}` is not a text in sampled responses", f"{path}, row {number}", _REMEDY)
        if row["id"] in seen:
            raise UserError(f"the prompt {row['id']} appears twice", f"{path}, row {number}", _REMEDY)
        seen.add(row["id"])
    return rows


def load_stages(rl_sft: Path, ppo: Path) -> list[dict[str, dict[str, Any]]]:
    """For each prompt the row of either stage, `rl_sft` and `ppo`.

    Raises:
        UserError: when the files are not about the same prompts, in the same words and order.
    """
    return _side_by_side({"rl_sft": rl_sft, "ppo": ppo}, (*_ASKED, "prompt"))


def load_pair(first: Path, second: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """For each prompt the rows of two methods; each may have been asked with its own marker.

    Raises:
        UserError: when the files are not about the same prompts in the same order.
    """
    rows = _side_by_side({"the first method": first, "the second": second}, _ASKED)
    return [(row["the first method"], row["the second"]) for row in rows]


def load_together(paths: Mapping[str, Path]) -> list[dict[str, dict[str, Any]]]:
    """For each prompt the row of every method; each method may have been asked with its own marker.

    Args:
        paths: files of `sample_responses` by method.

    Raises:
        UserError: when the files are not about the same prompts in the same order.
    """
    return _side_by_side(paths, _ASKED)


def _side_by_side(paths: Mapping[str, Path], shared: Sequence[str]) -> list[dict[str, dict[str, Any]]]:
    (one, first), *others = ((method, load_samples(path)) for method, path in paths.items())
    rows: list[dict[str, dict[str, Any]]] = [{one: row} for row in first]
    for method, found in others:
        files = f"{paths[one]} and {paths[method]}"
        if len(found) != len(first):
            raise UserError(f"{len(first)} responses of {one} face {len(found)} of {method}", files, _REMEDY)
        for number, (row, together) in enumerate(zip(found, rows, strict=True), start=1):
            for column in shared:
                if row[column] != together[one][column]:
                    where = f"{files}, row {number}, column {column}"
                    raise UserError(f"{one} and {method} answered different prompts", where, _REMEDY)
            together[method] = row
    return rows
