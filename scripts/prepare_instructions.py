"""Join GPT-4-LLM's two files into one row a prompt, with every rejected row counted."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from common.data.instructions import COLUMNS, Instructions, load_instructions
from common.data.rows import by_reason
from common.files.parquet import write_parquet
from common.files.whole_files import write_json
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance


def work(arguments: argparse.Namespace, console: Console) -> None:
    provenance = Provenance("prepare_instructions.py", arguments.settings)
    loaded = load_instructions(arguments.references, arguments.comparisons, arguments.settings["max_rejected_share"])
    write_parquet(arguments.output, loaded.rows, COLUMNS)
    inputs = {"references": arguments.references, "comparisons": arguments.comparisons}
    write_json(arguments.summary, {**loaded.counts, "provenance": provenance.record(inputs, n=len(loaded.rows))})
    for name, path in inputs.items():
        if markers := loaded.counts[name]["no_input"]:
            found = ", ".join(f"{marker!r} {count}" for marker, count in markers.items())
            console.say(f"{path}: inputs that only say that there is none were taken as none: {found}")
    for left in left_out(loaded):
        console.say(left)
    console.say(f"{len(loaded.rows)} prompts")


def left_out(loaded: Instructions) -> Iterator[str]:
    """A line for each kind of rows or responses that were not taken; the summary has their counts by reason."""
    references, comparisons = loaded.counts["references"], loaded.counts["comparisons"]
    for name, counts in (("references", references), ("comparisons", comparisons)):
        if counts["rejected"]:
            yield f"{name}: rows left out: {by_reason(counts['rejected'])}"
        if counts["repeated"]:
            yield f"{name}: rows left out because their prompt came before: {counts['repeated']}"
    if loaded.other_responses:
        yield (
            f"warning: of these, {loaded.other_responses} held other responses than the first row of the prompt, which"
            " are lost; put all responses to a prompt into one row"
        )
    if empty := sum(comparisons["empty_responses"].values()):
        yield f"comparisons: empty responses left out: {empty}"
    if comparisons["without_reference"]:
        yield f"comparisons: rows left out because their prompt has no reference: {comparisons['without_reference']}"
    if references["empty"]:
        yield f"references: empty, and left out by SFT: {references['empty']}"


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--references", type=Path, required=True, help="alpaca_gpt4_data.json or the like")
    parser.add_argument("--comparisons", type=Path, required=True, help="comparison_data_v2.json or the like")
    parser.add_argument("--output", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--summary", type=Path, required=True, help="JSON file of counts to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
