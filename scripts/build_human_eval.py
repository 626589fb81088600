"""Build the blind rating page: held-out prompts with both stages' responses side by side, and the key apart from it."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.evaluation.samples import HELDOUT, load_stages
from common.files.whole_files import write_json, write_text
from common.human_eval.sheet import Pair, draw_sheet, render_page
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance


def as_pair(stages: Mapping[str, Mapping[str, Any]]) -> Pair:
    """Both stages' responses to a prompt."""
    first, third = stages["rl_sft"], stages["ppo"]
    return Pair(
        id=first["id"], instruction=first["instruction"], input=first["input"], stage1=first["response"],
        stage3=third["response"],
    )  # fmt: skip


def heldout_pairs(rows: Sequence[Mapping[str, Mapping[str, Any]]], examples: int, where: str) -> list[Pair]:
    """The pairs that may be shown.

    Raises:
        UserError: when there are fewer than `examples`.
    """
    heldout = [as_pair(stages) for stages in rows if stages["rl_sft"]["source"] == HELDOUT]
    if examples > len(heldout):
        remedy = "lower `human_eval.examples`, or hold out more prompts with `splits.heldout`"
        raise UserError(f"{examples} prompts asked for, {len(heldout)} held-out ones found", where, remedy)
    return heldout


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings = arguments.settings
    provenance = Provenance("build_human_eval.py", settings)
    inputs = {"stage1": arguments.stage1, "stage3": arguments.stage3}
    rows = load_stages(arguments.stage1, arguments.stage3)
    heldout = heldout_pairs(rows, settings["examples"], f"{arguments.stage1}, {arguments.stage3}")
    sheet = draw_sheet(heldout, [as_pair(stages) for stages in rows], settings["examples"], settings["seed"])
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
