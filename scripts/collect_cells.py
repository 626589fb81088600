"""Put the cells of all tables into one file, each with the id that `make trace CELL=` takes."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.base.errors import UserError
from common.files.csv_files import read_columns, to_csv
from common.files.whole_files import write_text
from common.jobs.console import Console, argument_parser, run_entry_point
from common.tables.cells import CELL_COLUMNS


def work(arguments: argparse.Namespace, console: Console) -> None:
    rows: list[list[str]] = []
    for path in arguments.cells:
        rows += [[row[column] for column in CELL_COLUMNS] for row in read_columns(path, CELL_COLUMNS)]
    names = [row[0] for row in rows]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise UserError(f"the cell {repeated} appears twice", ", ".join(map(str, arguments.cells)), "report this")
    write_text(arguments.output, to_csv(CELL_COLUMNS, rows))


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--cells", type=Path, nargs="+", required=True, help="cell files of the tables")
    parser.add_argument("--output", type=Path, required=True, help="CSV file to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
