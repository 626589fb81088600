"""Parquet files: rows in, rows out, equal rows equal bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from common.base.errors import UserError
from common.files.whole_files import read_bytes, write_bytes


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Rows of a parquet file.

    Raises:
        UserError: when it cannot be read.
    """
    try:
        return pyarrow.parquet.read_table(pyarrow.BufferReader(read_bytes(path))).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"not a readable parquet file: {error}", str(path), "fetch or make it again") from error


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows atomically, columns in the given order; equal rows give equal bytes."""
    table = pyarrow.Table.from_pylist([{column: row[column] for column in columns} for row in rows])
    if not rows:
        table = pyarrow.table({column: pyarrow.array([], pyarrow.string()) for column in columns})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    write_bytes(path, sink.getvalue().to_pybytes())


def read_frame(path: Path) -> pd.DataFrame:
    """A parquet file as a data frame."""
    return pd.DataFrame(read_parquet(path))
