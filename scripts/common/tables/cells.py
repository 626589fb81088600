"""A table's numbers for programs: its CSV, and a line with an id for each number, as `make trace CELL=` takes it."""

from collections.abc import Sequence
from pathlib import Path

from common.files.csv_files import to_csv
from common.files.whole_files import write_text

CELL_COLUMNS = ("cell", "table", "row", "column", "value", "stderr", "n", "source")


def cell_id(table: str, row: str, column: str) -> str:
    """The name of a number in cells.csv."""
    return f"{table}/{row}/{column}"


def cell_line(
    table: str, row: str, column: str, value: object, *, source: str, stderr: object = None, n: object = None
) -> list[object]:
    """A line of cells.csv.

    Args:
        table: name of the table.
        row: the row's key, and its column's: together they are unique in the table.
        column: key of the column.
        value: the number, or words if there is no number.
        source: files it was computed from, relative to results or project, `;` between them, `*` for any name.
        stderr: standard error of the value.
        n: what it is a mean of.
    """
    return [cell_id(table, row, column), table, row, column, value, stderr, n, source]


def write_csv_files(
    folder: Path, name: str, header: Sequence[str], rows: Sequence[Sequence[object]], cells: Sequence[Sequence[object]]
) -> None:
    """Write NAME.csv, and the table's lines of cells.csv as NAME_cells.csv."""
    write_text(folder / f"{name}.csv", to_csv(header, rows))
    write_text(folder / f"{name}_cells.csv", to_csv(CELL_COLUMNS, cells))
