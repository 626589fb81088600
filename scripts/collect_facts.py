"""Keep what a finished run found, in a form that `make verify` compares other runs with."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.files.whole_files import write_record
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.report.run_facts import run_facts


def work(arguments: argparse.Namespace, console: Console) -> None:
    provenance = Provenance("collect_facts.py", arguments.settings)
    facts = run_facts(arguments.results)
    write_record(arguments.output, {**facts, "provenance": provenance.record()})
    size = arguments.output.stat().st_size / 1e3
    console.say(f"{len(facts['tables'])} tables, {len(facts['scores'])} score files, {size:.0f} kB: {arguments.output}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--results", type=Path, required=True, help="results folder of the preset")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
