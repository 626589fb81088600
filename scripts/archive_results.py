"""Pack the results of a preset into one file, with hashes and without weights.

python scripts/archive_results.py --results results/demo --output results-demo.tar
"""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.jobs.console import Console, run_entry_point
from common.report.archives import write_archive


def work(arguments: argparse.Namespace, console: Console) -> None:
    manifest = write_archive(arguments.results, arguments.output)
    size = arguments.output.stat().st_size / 1e6
    console.say(f"{len(manifest['files'])} files, {size:.1f} MB, without weights and downloads: {arguments.output}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results folder of a preset")
    parser.add_argument("--output", type=Path, required=True, help="tar file to write")
    parser.set_defaults(log=None)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
