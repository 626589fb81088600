"""Split the prompts over the methods' stages as the paper counts them, with a manifest."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.data.splits import COLUMNS, heldout_examples, manifest, split
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import sha256_of_file, write_json
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance


def work(arguments: argparse.Namespace, console: Console) -> None:
    provenance = Provenance("split_instructions.py", arguments.settings)
    seed, settings = arguments.settings["seed"], arguments.settings["splits"]
    rows = read_parquet(arguments.instructions)
    splits = split(rows, settings, seed)
    unseen = heldout_examples(splits["heldout"], settings, seed)
    files = {**splits, **{f"heldout_{name}": part for name, part in unseen.items()}}
    for name, part in files.items():
        write_parquet(arguments.output / f"{name}.parquet", part, COLUMNS[name.removeprefix("heldout_")])
    summary = manifest(splits, rows, settings, seed)
    summary["hashes"] = {name: sha256_of_file(arguments.output / f"{name}.parquet") for name in files}
    summary["provenance"] = provenance.record({"instructions": arguments.instructions}, n=len(rows), seed=seed)
    write_json(arguments.output / "manifest.json", summary)
    if summary["prompts_in_other_spellings"]:
        console.say(
            f"{summary['prompts_in_other_spellings']} prompts differ from another in case or spacing alone; both are in"
            " the same part of every split"
        )
    if identical := summary["left_out"]["coh_identical_responses"]:
        console.say(f"{identical} prompts are left out of CoH: their two best responses are one text")
    console.say(", ".join(f"{name} {len(part)}" for name, part in splits.items()))


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--instructions", type=Path, required=True, help="parquet file of prepare_instructions")
    parser.add_argument("--output", type=Path, required=True, help="directory for the splits and manifest.json")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
