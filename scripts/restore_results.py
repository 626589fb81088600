"""Unpack an archive of results after checking every file in it; existing files are never overwritten.

The folder may already hold downloads, models, logs and timings, but no results.

python scripts/restore_results.py --archive results-demo.tar --results results/demo
"""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.jobs.console import Console, run_entry_point
from common.report.archives import restore_archive


def work(arguments: argparse.Namespace, console: Console) -> None:
    manifest = restore_archive(arguments.archive, arguments.results)
    console.say(f"{len(manifest['files'])} files, every hash as in the manifest: {arguments.results}")
    console.say("weights are not among them: tables and report can be rendered, models cannot be asked again")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar file of archive_results.py")
    parser.add_argument("--results", type=Path, required=True, help="folder of the results, results/<preset>")
    parser.set_defaults(log=None)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
