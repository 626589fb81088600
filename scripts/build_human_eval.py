"""Build the blind rating page: held-out prompts with two methods' responses side by side, and the key apart from it."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.evaluation.samples import HELDOUT, load_pair
from common.files.whole_files import write_json, write_text
from common.human_eval.sheet import Answered, Answers, Pair, draw_sheet, render_page
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance


def as_answers(one: Mapping[str, Any], other: Mapping[str, Any]) -> Answers:
    """Both methods' responses to a prompt."""
    return Answers(
        id=one["id"], instruction=one["instruction"], input=one["input"], first=one["response"],
        second=other["response"],
    )  # fmt: skip


def load_answers(pair: Pair, samples: Mapping[str, Path], examples: int) -> Answered:
    """What both methods of a pair answered.

    Args:
        pair: the methods.
        samples: files of sampled responses by MODEL/METHOD.
        examples: number of held-out prompts that are needed.

    Raises:
        UserError: when there are fewer, or the two did not answer the same.
    """
    first, second = (samples[f"{pair.model}/{method}"] for method in (pair.first, pair.second))
    rows = load_pair(first, second)
    heldout = [as_answers(*row) for row in rows if row[0]["source"] == HELDOUT]
    if examples > len(heldout):
        what = f"{examples} prompts asked for, {len(heldout)} held-out ones found"
        remedy = "lower `human_eval.examples`, or hold out more prompts with `splits.heldout`"
        raise UserError(what, f"{first}, {second}", remedy)
    return Answered(pair, heldout, [as_answers(*row) for row in rows])


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings = arguments.settings
    provenance = Provenance("build_human_eval.py", settings)
    samples = {f"{path.parent.name}/{path.stem}": path for path in arguments.samples}
    pairs = [Pair(**pair) for pair in settings["pairs"]]
    answered = [load_answers(pair, samples, settings["examples"]) for pair in pairs]
    sheet = draw_sheet(answered, settings["examples"], settings["seed"])
    parts = [path.read_text(encoding="utf-8") for path in (arguments.template, arguments.style, arguments.script)]
    record = provenance.record(samples, seed=settings["seed"], n=len(sheet.items))
    named = {"sheet_sha256": sheet.sha256}
    key = {"pairs": [asdict(pair) for pair in sheet.pairs], "sides": sheet.sides}
    write_text(arguments.output / "sheet.html", render_page(parts[0], parts[1], parts[2], sheet))
    write_json(arguments.output / "items.json", {**named, "items": sheet.items, "provenance": record})
    write_json(arguments.output / "key.json", {**named, **key, "provenance": record})
    console.say(f"{len(sheet.items)} prompts to rate: {arguments.output}/sheet.html (docs/human_eval.md)")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument(
        "--samples", type=Path, nargs="+", required=True, help="sampled responses, MODEL/METHOD.parquet of each"
    )
    parser.add_argument("--template", type=Path, required=True, help="the page's HTML")
    parser.add_argument("--style", type=Path, required=True, help="the page's CSS")
    parser.add_argument("--script", type=Path, required=True, help="the page's JavaScript")
    parser.add_argument("--output", type=Path, required=True, help="directory for sheet, items and key")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
