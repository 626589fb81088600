"""Tables of accuracies with a column for each task and number of examples: as people read them, as CSV, as cells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.tables.cells import cell_line, write_csv_files
from common.tables.language import Text, Words
from common.tables.scores import Cell
from common.tables.table import Table, write_table

Column = tuple[str, int]


def percent(share: float | None) -> str | None:
    """A share as percent; with four decimals, so that who rounds to one rounds the share itself."""
    return None if share is None else f"{100 * share:.4f}"


@dataclass
class AccuracyTable:
    """Filled row by row, then written.

    Attributes:
        name: of the table, and of its files.
        labels: titles of the columns before the accuracies, by their names in the CSV.
        tasks: in the order of the columns.
        shots: numbers of examples of each task.
        parts: what the CSV says about a cell, by the suffix of the column's name.
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
            key: names of the row in the CSV and in its cells' ids, one per label column.
            words: the same as people read them.
            folder: of the scores, relative to the results, with one folder per task.
            found: the cell of each column; None where a score is missing.
            bold: columns set in bold.
        """
        row, line = list(words), list[object](key)
        for task, k in self.columns:
            cell, place = found[task, k], (len(self._rows), len(row))
            self._cells.append(self._cell_line("/".join(key), task, k=k, cell=cell, folder=folder))
            self._ids[place] = str(self._cells[-1][0])
            if (task, k) in bold:
                self._bold.add(place)
            self._titles[task] = cell.title if cell else self._titles.get(task, task)
            row.append(cell_text(cell))
            line += [part(cell) if cell else None for part in self.parts.values()]
        self._rows.append(row)
        self._lines.append(line)

    def _cell_line(self, row: str, task: str, *, k: int, cell: Cell | None, folder: str) -> list[object]:
        """A line of cells.csv, value and standard error in percent."""
        column, source = f"{task}/k{k}", f"{folder}/{task}/k{k}_seed*"
        if cell is None:
            return cell_line(self.name, row, column, "missing", source=source)
        value, stderr = f"{100 * cell.mean:.4f}", f"{100 * cell.stderr:.4f}"
        return cell_line(self.name, row, column, value, stderr=stderr, n=cell.n, source=source)

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
        write_table(table, output, self.name, words=words, provenance=provenance)
        named = [f"{task}_k{k}{suffix}" for task, k in self.columns for suffix in self.parts]
        write_csv_files(output, self.name, header=[*self.labels, *named], rows=self._lines, cells=self._cells)


def cell_text(cell: Cell | None) -> str:
    """Mean and interval in percent, and of several draws the lowest and highest; a missing cell says so."""
    if cell is None:
        return "missing"
    lines = [f"{100 * cell.mean:.1f}", _percent_range(*cell.interval)]
    if len(cell.draws) > 1:
        lines.append(f"({_percent_range(cell.draws.min(), cell.draws.max())})")
    return "\n".join(lines)


def _percent_range(low: float, high: float) -> str:
    return f"{100 * low:.0f}\u2013{100 * high:.0f}"


def precision_note(cells: Iterable[Cell | None]) -> Text | None:
    """A sentence on how many answers a lower precision changed; None where all is fp32."""
    checks = [check for cell in cells if cell for check in cell.precision_checks]
    items = sum(check["items"] for check in checks)
    if not items:
        return None
    changed = {
        key: sum(check["items"] * check["changed"][key] for check in checks) / items
        for key in ("text", "generation", "likelihood")
    }
    return Text(
        "Answered in {dtype}; of {items} answers repeated in float32, changed were {text} % of the texts, {generation} "
        "% of the generation verdicts, {likelihood} % of the likelihood verdicts.",
        dtype=checks[0]["dtype"],
        items=items,
        **{key: f"{100 * share:.1f}" for key, share in changed.items()},
    )
