"""Describe a run as a Workflow Run RO-Crate: a folder with the workflow, its configuration, tables, figures, report."""

import common.base.quick_start

import argparse
import datetime
import sys
import tempfile
from pathlib import Path

from common.files.whole_files import new_directory, write_json
from common.jobs.console import Console, argument_parser, run_entry_point
from common.report.crate import build_crate
from common.report.run_records import provenance_records, run_summary


def utc(told: str) -> str:
    """`2026-01-01 10:00 UTC` as ISO 8601."""
    return datetime.datetime.strptime(told, "%Y-%m-%d %H:%M UTC").replace(tzinfo=datetime.UTC).isoformat()


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, results = arguments.settings, arguments.results
    facts = run_summary(settings, provenance_records(results, settings))
    run = {
        "preset": settings["preset"],
        "models": [model["label"] for model in settings["models"].values()],
        "commits": [one["text"] for one in facts["commits"]],
        "hardware": [one["text"] for one in facts["hardware"]],
        "start": utc(facts["first"]),
        "end": utc(facts["last"]),
    }
    files = {path.relative_to(results).as_posix(): path for path in arguments.files}
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "configuration.json"
        write_json(configuration, settings["configuration"])
        with new_directory(arguments.output) as target:
            build_crate(run, arguments.workflow, configuration, files).write(target)
    console.say(f"{len(files)} files of the run described: {arguments.output}/ro-crate-metadata.json")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--results", type=Path, required=True, help="results folder of the preset")
    parser.add_argument("--workflow", type=Path, nargs="+", required=True, help="Snakefile, then its rule files")
    parser.add_argument(
        "--files", type=Path, nargs="+", required=True, help="files of the run, below the results folder"
    )
    parser.add_argument("--output", type=Path, required=True, help="directory to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
