"""Methods compared pair by pair on the same items: differences, intervals and p-values for each column of Table 3."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path
from typing import Any

from common.config.methods import METHOD_LABELS
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.stats.intervals import BOOTSTRAP_SAMPLES
from common.stats.significance import LEVEL, p_value_number
from common.tables.cells import cell_id, cell_line, write_csv_files
from common.tables.language import Text, add_words_argument, words_of
from common.tables.method_pairs import PairedTest, paired_tests
from common.tables.scores import Grid, load_grid, several_draws, task_titles
from common.tables.table import Table, write_table


def points(value: float) -> str:
    """A share as signed percentage points."""
    return f"{100 * value:+.1f}"


def table_row(settings: dict[str, Any], titles: dict[str, str], test: PairedTest) -> list[str]:
    """A line of the table as people read it."""
    pair = f"{METHOD_LABELS[test.first]} \u2212 {METHOD_LABELS[test.second]}"
    named = [settings["model_info"][test.model]["label"], titles[test.task], str(test.k), pair]
    if test.comparison is None:
        return [*named, Text("missing"), "", "", ""]
    low, high = test.comparison.interval
    interval = Text("{low} to {high}", low=points(low), high=points(high))
    return [
        *named,
        points(test.comparison.difference),
        interval,
        p_value_number(test.comparison.p_value),
        p_value_number(test.adjusted),
    ]


def csv_row(test: PairedTest, items: int | None, runs: int) -> list[object]:
    named: list[object] = [test.model, test.task, test.k, test.first, test.second]
    if test.comparison is None:
        return [*named, *[None] * 5, items, runs]
    values = (test.comparison.difference, *test.comparison.interval)
    tested = (test.comparison.p_value, test.adjusted)
    return [*named, *(f"{100 * value:.4f}" for value in values), *(f"{value:.6f}" for value in tested), items, runs]


def row_and_column(test: PairedTest) -> tuple[str, str]:
    """Where a difference is in cells.csv; its p-value is in the column's `/p_holm`."""
    return f"{test.model}/{test.first}-{test.second}", f"{test.task}/k{test.k}"


def cell_rows(test: PairedTest, items: int | None) -> list[list[object]]:
    """Lines of cells.csv: the difference in points and its adjusted p-value."""
    row, column = row_and_column(test)
    values: list[tuple[str, str]] = [(column, "missing"), (f"{column}/p_holm", "missing")]
    if test.comparison is not None:
        values = [(column, f"{100 * test.comparison.difference:.4f}"), (f"{column}/p_holm", f"{test.adjusted:.6f}")]
    files = [f"eval/{test.model}/{method}/{test.task}/k{test.k}_seed*" for method in (test.first, test.second)]
    source = ";".join(files)
    return [cell_line("paired", row, name, value, n=items, source=source) for name, value in values]


def notes_on_tests(settings: dict[str, Any], comparisons: int) -> list[str]:
    """How intervals and p-values were found, for so many comparisons of a model."""
    if not several_draws(settings):
        return ["Intervals: paired bootstrap over items and draws. p: exact McNemar test for one run."]
    found: list[str] = [
        Text(
            "Intervals: paired bootstrap over items and draws. p: exact McNemar test for one run, the same bootstrap "
            "for means of {draws} draws. Few draws understate how much results vary between draws.",
            draws=len(settings["seeds"]),
        )
    ]
    if 2 * comparisons > LEVEL * (BOOTSTRAP_SAMPLES + 1):
        found.append(
            "The smallest p-value of the bootstrap times a model's comparisons is above 0.05: no mean can be bold."
        )
    return found


def as_table(settings: dict[str, Any], grid: Grid, tests: list[PairedTest]) -> Table:
    """The table as people read it; significant differences are bold."""
    titles = task_titles(grid)
    rows = [table_row(settings, titles, test) for test in tests]
    bold = frozenset((i, 4) for i, test in enumerate(tests) if test.comparison and test.adjusted <= LEVEL)
    header = ["Model", "Task", "k", "Methods", "Difference", "95 % interval", "p", "p (Holm)"]
    notes = [
        "Differences in percentage points on the same items and, for k > 0, the same draws of in-context examples.",
        *notes_on_tests(settings, len(tests) // len(settings["models"])),
        "p (Holm): corrected for all comparisons of a model. Bold: at most 0.05.",
    ]
    ids = {
        (i, place): cell_id("paired", *row_and_column(test)) + part
        for i, test in enumerate(tests)
        for place, part in ((4, ""), (7, "/p_holm"))
    }
    caption = "Methods compared pair by pair, in generation-scored accuracy"
    return Table(caption, header, rows, bold=bold, notes=notes, cells=ids)


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_paired.py", arguments.settings)
    grid = load_grid(settings, arguments.eval)
    tests: list[PairedTest] = []
    for model in settings["models"]:
        tests += paired_tests({key: cell for key, cell in grid.items() if key[0] == model})
    lines, cells = [], []
    for test in tests:
        cell = grid[test.model, test.first, test.task, test.k]
        items = cell.n if cell and test.comparison else None
        lines.append(csv_row(test, items, len(settings["seeds"]) if test.k else 1))
        cells += cell_rows(test, items)
    header = ["model", "task", "k", "first", "second", "difference", "low", "high", "p", "p_holm", "n", "draws"]
    write_csv_files(arguments.output, "paired", header=header, rows=lines, cells=cells)
    table = as_table(settings, grid, tests)
    write_table(table, arguments.output, "paired", words=words_of(arguments), provenance=provenance.record())
    significant = sum(test.comparison is not None and test.adjusted <= LEVEL for test in tests)
    console.say(f"{len(tests)} comparisons, {significant} significant at 5 %: {arguments.output}/paired.md")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--eval", type=Path, required=True, help="directory of the score files")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
