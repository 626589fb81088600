"""Build the blind rating page: held-out prompts with both stages' responses side by side, and the key apart from it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.console import Console, argument_parser, run_entry_point
from common.errors import UserError
from common.files import write_json, write_text
from common.human_eval import Pair, draw_sheet, render_page
from common.provenance import Provenance
from common.rows import read_parquet

COLUMNS = ("id", "source", "instruction", "input", "prompt", "response", "tokens", "finish", "reward")
TEXTS = ("id", "source", "instruction", "input", "prompt", "response")
SHARED = ("id", "source", "instruction", "input", "prompt")
HELDOUT = "heldout"
REMEDY = "sample the responses of both stages again"


def load_samples(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of `sample_responses`.

    Raises:
        UserError: when it has no rows, lacks a column, has a text that is none, or names a prompt twice.
    """
    rows = read_parquet(path)
    if not rows:
        raise UserError("a file of sampled responses has no rows", str(path), REMEDY)
    if missing := [column for column in COLUMNS if column not in rows[0]]:
        raise UserError(f"sampled responses lack {', '.join(missing)}", str(path), REMEDY)
    seen = set()
    for number, row in enumerate(rows, start=1):
        for column in TEXTS:
            if not isinstance(row[column], str):
                raise UserError(f"`{column}` is no text in sampled responses", f"{path}, row {number}", REMEDY)
        if row["id"] in seen:
            raise UserError(f"the prompt {row['id']} stands twice", f"{path}, row {number}", REMEDY)
        seen.add(row["id"])
    return rows


def paired(stage1: Path, stage3: Path) -> list[tuple[str, Pair]]:
    """(source, pair) of every prompt.

    Raises:
        UserError: when the files are not about the same prompts in the same order.
    """
    first, second = load_samples(stage1), load_samples(stage3)
    if len(first) != len(second):
        raise UserError(
            f"{len(first)} responses of stage 1 face {len(second)} of stage 3", f"{stage1}, {stage3}", REMEDY
        )
    for number, (one, other) in enumerate(zip(first, second, strict=True), start=1):
        for column in SHARED:
            if one[column] != other[column]:
                where = f"{stage1} and {stage3}, row {number}, column {column}"
                raise UserError("the two stages answered different prompts", where, REMEDY)
    return [
        (one["source"], Pair(one["id"], one["instruction"], one["input"], one["response"], other["response"]))
        for one, other in zip(first, second, strict=True)
    ]


def heldout_pairs(pairs: Sequence[tuple[str, Pair]], examples: int, where: str) -> list[Pair]:
    """The pairs that may be shown.

    Raises:
        UserError: when there are fewer than `examples`.
    """
    heldout = [pair for source, pair in pairs if source == HELDOUT]
    if examples > len(heldout):
        remedy = "lower `human_eval.examples`, or hold out more prompts with `splits.heldout`"
        raise UserError(f"{examples} prompts asked for, {len(heldout)} held-out ones found", where, remedy)
    return heldout


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings = arguments.settings
    provenance = Provenance("build_human_eval.py", settings)
    inputs = {"stage1": arguments.stage1, "stage3": arguments.stage3}
    pairs = paired(arguments.stage1, arguments.stage3)
    heldout = heldout_pairs(pairs, settings["examples"], f"{arguments.stage1}, {arguments.stage3}")
    sheet = draw_sheet(heldout, [pair for _, pair in pairs], settings["examples"], settings["seed"])
    parts = [path.read_text(encoding="utf-8") for path in (arguments.template, arguments.style, arguments.script)]
    record = provenance.record(inputs, seed=settings["seed"], n=len(sheet.items))
    named = {"sheet_sha256": sheet.sha256}
    write_text(arguments.output / "sheet.html", render_page(parts[0], parts[1], parts[2], sheet))
    write_json(arguments.output / "items.json", {**named, "items": sheet.items, "provenance": record})
    write_json(arguments.output / "key.json", {**named, "sides": sheet.sides, "provenance": record})
    console.say(f"{len(sheet.items)} prompts to rate: {arguments.output}/sheet.html (docs/human_eval.md)")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--stage1", type=Path, required=True, help="sampled responses of stage 1")
    parser.add_argument("--stage3", type=Path, required=True, help="sampled responses of stage 3")
    parser.add_argument("--template", type=Path, required=True, help="the page's HTML")
    parser.add_argument("--style", type=Path, required=True, help="the page's CSS")
    parser.add_argument("--script", type=Path, required=True, help="the page's JavaScript")
    parser.add_argument("--output", type=Path, required=True, help="directory for sheet, items and key")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
