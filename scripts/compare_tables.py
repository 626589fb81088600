"""Published cells beside ours: difference, interval and a verdict by the configured tolerance."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.config.methods import METHOD_LABELS
from common.files.csv_files import read_columns
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.paper.comparison import (
    DIFFERS,
    NOT_RUN,
    Compared,
    compare_accuracies,
    compare_hyper_parameters,
)
from common.paper.published import load_published
from common.tables.cells import CELL_COLUMNS, cell_id, cell_line, write_csv_files
from common.tables.language import Text, add_words_argument, words_of
from common.tables.table import Table, write_table

CSV_HEADER = ("table", "row", "column", "published", "ours", "difference", "low", "high", "n", "verdict", "source")


def cell_text(one: Compared) -> str:
    """Published value, ours with its interval, difference and verdict, one per line."""
    verdict = Text(one.verdict)
    if one.verdict == NOT_RUN:
        return Text("{published}\n{verdict}", published=one.published, verdict=verdict)
    low, high = one.interval or (0.0, 0.0)
    ours = f"{float(one.ours):.1f} ({low:.0f}\u2013{high:.0f})"
    if one.difference is None:
        return Text("\u2013\n{ours}\n{verdict}", ours=ours, verdict=verdict)
    return Text(
        "{published}\n{ours}\n{points} {verdict}",
        published=one.published,
        ours=ours,
        points=f"{one.difference:+.1f}",
        verdict=verdict,
    )


def as_table(settings: Mapping[str, Any], compared: Sequence[Compared]) -> Table:
    """Table 3 side by side, as people read it."""
    rows: dict[str, dict[str, Compared]] = {}
    for one in compared:
        if one.table == "table3":
            rows.setdefault(one.row, {})[one.heading] = one
    headings = list(dict.fromkeys(heading for found in rows.values() for heading in found))
    labels = {name: info["label"] for name, info in settings["model_info"].items()}
    lines, ids = [], {}
    for i, (row, found) in enumerate(rows.items()):
        model, method = row.rsplit("/", 1)
        named = [labels.get(model, model), Text(METHOD_LABELS[method])]
        lines.append([*named, *(cell_text(found[heading]) if heading in found else "" for heading in headings)])
        for place, heading in enumerate(headings, start=len(named)):
            if heading in found:
                ids[i, place] = cell_id("comparison", f"table3/{row}", f"{found[heading].column}/verdict")
    caption = "Published accuracies (first line) beside ours (second line, 95 % interval), in %"
    header = ["Model", "Method", *headings]
    return Table(caption, header, lines, notes=notes(settings, compared), cells=ids)


def notes(settings: Mapping[str, Any], compared: Sequence[Compared]) -> list[str]:
    """How the verdicts come about, and how often each was given."""
    points, widest = (settings["tolerance"][key] for key in ("tolerance_points", "widest_interval_points"))
    lines: list[str] = [
        Text(
            "reproduced: within {points} points of the published value, or that value inside our 95 % interval "
            "(widened by its rounding) where the interval is at most {widest} points wide; undecided: inside a wider "
            "interval; differs: neither.",
            points=f"{points:g}",
            widest=f"{widest:g}",
        ),
        "not run: no model of this run is the paper's, or its score is missing. not comparable: a model or data set "
        "the paper does not have; shown for its own sake, never compared.",
    ]
    titles = {"table3": "Accuracies", "table1": "Hyper-parameters of Table 1", "table2": "Hyper-parameters of Table 2"}
    for table, title in titles.items():
        verdicts = [one.verdict for one in compared if one.table == table]
        counts = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in dict.fromkeys(verdicts))
        lines.append(Text("{title}: {counts}.", title=Text(title), counts=counts or "none"))
    other = [one for one in compared if one.table != "table3" and one.verdict == DIFFERS]
    lines += [
        Text(
            "{row} of {column}: {ours}, published {published}.",
            row=one.row,
            column=one.column,
            ours=one.ours,
            published=one.published,
        )
        for one in other
    ]
    return lines


def csv_rows(compared: Sequence[Compared]) -> list[list[object]]:
    rows: list[list[object]] = []
    for one in compared:
        low, high = one.interval or (None, None)
        difference = None if one.difference is None else f"{one.difference:.4f}"
        values = [one.published, one.ours, difference, low, high, one.n, one.verdict, one.source]
        rows.append([one.table, one.row, one.column, *values])
    return rows


def cell_rows(compared: Sequence[Compared]) -> list[list[object]]:
    """Lines of cells.csv: the verdict and, where there is one, the difference in points."""
    lines: list[list[object]] = []
    for one in compared:
        row = f"{one.table}/{one.row}"
        source = "; ".join(filter(None, (f"resources/paper/{one.table}.csv", one.source)))
        values = [("verdict", one.verdict)]
        values += [] if one.difference is None else [("difference", f"{one.difference:.4f}")]
        for name, value in values:
            column = f"{one.column}/{name}"
            lines.append(cell_line("comparison", row, column, value, n=one.n or None, source=source))
    return lines


def work(arguments: argparse.Namespace, console: Console) -> None:
    provenance = Provenance("compare_tables.py", arguments.settings)
    settings, published = arguments.settings, load_published(arguments.paper)
    ours = {(row["model"], row["method"]): row for row in read_columns(arguments.table3, ("model", "method"))}
    hyper_parameters = [row for path in arguments.hyper_parameters for row in read_columns(path, CELL_COLUMNS)]
    compared = compare_accuracies(settings, published, ours)
    compared += compare_hyper_parameters(settings, published, hyper_parameters)
    table = as_table(settings, compared)
    write_table(table, arguments.output, "comparison", words=words_of(arguments), provenance=provenance.record())
    rows, cells = csv_rows(compared), cell_rows(compared)
    write_csv_files(arguments.output, "comparison", header=CSV_HEADER, rows=rows, cells=cells)
    console.say(" ".join(table.notes[2:5]))


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--paper", type=Path, required=True, help="directory of the published numbers")
    parser.add_argument("--table3", type=Path, required=True, help="table3.csv of the run")
    parser.add_argument(
        "--hyper-parameters", type=Path, nargs="*", default=[], help="table1_cells.csv, table2_cells.csv"
    )
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
