"""Download one file of an evaluation task at a pinned revision of the hub."""

import common.base.quick_start

import argparse
import sys
import tempfile
from pathlib import Path

from common.base.errors import UserError
from common.data.downloads import hub_snapshot
from common.files.whole_files import write_bytes
from common.jobs.console import Console, argument_parser, run_entry_point


def work(arguments: argparse.Namespace, console: Console) -> None:
    source = arguments.settings
    console.say(f"downloading {source['file']} of {source['repository']}")
    with tempfile.TemporaryDirectory() as folder:
        patterns = [source["file"]]
        hub_snapshot(source["repository"], source["revision"], Path(folder), kind="dataset", patterns=patterns)
        found = Path(folder) / source["file"]
        if not found.is_file():
            where = f"{source['repository']} at {source['revision']}"
            raise UserError(f"the repository has no file {source['file']}", where,
                            "check `train` and `eval` of the task's source")  # fmt: skip
        write_bytes(arguments.output, found.read_bytes())


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
