"""Tables of accuracies with a column for each task and number of examples: as people read them, as CSV, as cells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.files.csv_files import to_csv
from common.files.whole_files import write_text
from common.tables.grid import Cell, cell_row, cell_text
from common.tables.language import Words
from common.tables.table import CELL_COLUMNS, Table, write_table

Column = tuple[str, int]


def percent(share: float | None) -> str | None:
    """A share as percent with two decimals."""
    return None if share is None else f"{100 * share:.2f}"


@dataclass
class ScoreTable:
    """Filled a row at a time, then written.

    Attributes:
        name: of the table, and of its files.
        labels: titles of the columns before the accuracies, by their names in the CSV.
        tasks: in the order of the columns.
        shots: numbers of examples of each task.
        parts: what the CSV says of a cell, by the suffix of the column's name.
    """

    name: str
    labels: Mapping[str, str]
    tasks: Sequence[str]
    shots: Sequence[int]
    parts: Mapping[str, Callable[[Cell], object]] = field(default_factory=lambda: {"": lambda cell: percent(cell.mean)})
    _rows: list[list[str]] = field(default_factory=list)
    _lines: list[list[object]] = field(default_factory=list)
    _cells: list[list[object]] = field(default_factory=list)
    _ids: dict[tuple[int, int], str] = field(default_factory=dict)
    _bold: set[tuple[int, int]] = field(default_factory=set)
    _titles: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[Column]:
        """(task, k) of every accuracy of a row."""
        return [(task, k) for task in self.tasks for k in self.shots]

    def add(
        self,
        key: Sequence[str],
        words: Sequence[str],
        folder: str,
        found: Mapping[Column, Cell | None],
        bold: frozenset[Column] = frozenset(),
    ) -> None:
        """Append a row.

        Args:
            key: names of the row in the CSV and in its cells' ids, one a label column.
            words: the same as people read them.
            folder: of the scores, relative to the results, one folder a task in it.
            found: the cell of each column; None where a score is missing.
            bold: columns set in bold.
        """
        row, line = list(words), list[object](key)
        for task, k in self.columns:
            cell, place = found[task, k], (len(self._rows), len(row))
            source = f"{folder}/{task}/k{k}_seed*"
            self._cells.append(cell_row(self.name, "/".join(key), f"{task}/k{k}", cell, source))
            self._ids[place] = str(self._cells[-1][0])
            if (task, k) in bold:
                self._bold.add(place)
            self._titles[task] = cell.title if cell else self._titles.get(task, task)
            row.append(cell_text(cell))
            line += [part(cell) if cell else None for part in self.parts.values()]
        self._rows.append(row)
        self._lines.append(line)

    def write(
        self, output: Path, caption: str, notes: Sequence[str], words: Words, provenance: Mapping[str, Any]
    ) -> None:
        """Write every rendering, the CSV and the cells."""
        groups = [("", len(self.labels)), *((self._titles[task], len(self.shots)) for task in self.tasks)]
        header = [*self.labels.values(), *(f"k={k}" for _, k in self.columns)]
        table = Table(
            caption=caption,
            header=header,
            rows=self._rows,
            groups=groups,
            bold=frozenset(self._bold),
            notes=notes,
            cells=self._ids,
        )
        write_table(table, output, self.name, words, provenance)
        named = [f"{task}_k{k}{suffix}" for task, k in self.columns for suffix in self.parts]
        write_text(output / f"{self.name}.csv", to_csv([*self.labels, *named], self._lines))
        write_text(output / f"{self.name}_cells.csv", to_csv(CELL_COLUMNS, self._cells))
