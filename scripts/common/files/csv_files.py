"""CSV tables."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.base.errors import UserError


def read_columns(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file that has at least these columns.

    Raises:
        UserError: when it cannot be read, or lacks one.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            present, rows = reader.fieldnames or [], list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"a table cannot be read: {error}", str(path), "render it again") from error
    if missing := [column for column in columns if column not in present]:
        raise UserError(f"a table lacks the columns {', '.join(missing)}", str(path), "render it again")
    return rows


def to_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Plain CSV; a missing value is an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return buffer.getvalue()


def records_to_csv(columns: Sequence[str], records: Sequence[Mapping[str, object]]) -> str:
    """Plain CSV of these columns; a missing value is an empty field, and keys without a column are left out."""
    return to_csv(columns, [[record.get(column) for column in columns] for record in records])
