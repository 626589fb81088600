"""Checkpoint and marker crossed: what comes from training and what from the words a model is asked with."""

import argparse
import sys
from pathlib import Path

from common.console import Console, argument_parser, run_entry_point
from common.files import write_text
from common.language import add_words_argument, words_of
from common.methods import METHOD_LABELS
from common.provenance import Provenance
from common.results import cell_row, cell_text, load_cell
from common.tables import CELL_COLUMNS, Table, to_csv, write_table


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_markers.py", arguments.settings)
    columns = [(task, k) for task in settings["tasks"] for k in settings["shots"]]
    rows: list[list[str]] = []
    cells: list[list[object]] = []
    lines: list[list[object]] = []
    titles: dict[str, str] = {}
    ids: dict[tuple[int, int], str] = {}
    for model in settings["models"]:
        for method in settings["methods"]:
            for marker in settings["markers"]:
                usual = settings["usual"][method] == marker
                in_grid = f"{method}/{marker}" in settings["in_grid"]
                place = f"eval/{model}/{method}" if in_grid else f"markers/{model}/{method}/{marker}"
                row = [
                    settings["model_info"][model]["label"],
                    METHOD_LABELS[method],
                    settings["marker_words"][marker] + (" (its own)" if usual else ""),
                ]
                line: list[object] = [model, method, marker]
                for task, k in columns:
                    cell = load_cell(arguments.results / place / task, k, settings["seeds"] if k else [0])
                    titles[task] = cell.title if cell else titles.get(task, task)
                    source = f"{place}/{task}/k{k}_seed*"
                    cells.append(cell_row("markers", f"{model}/{method}/{marker}", f"{task}/k{k}", cell, source))
                    ids[len(rows), len(row)] = f"markers/{model}/{method}/{marker}/{task}/k{k}"
                    row.append(cell_text(cell))
                    line.append(None if cell is None else f"{100 * cell.mean:.2f}")
                rows.append(row)
                lines.append(line)
    groups = [("", 3), *((titles[task], len(settings["shots"])) for task in settings["tasks"])]
    header = ["Model", "Checkpoint", "Asked with", *(f"k={k}" for _, k in columns)]
    caption = "Accuracy in % (95 % interval below) of each checkpoint asked with each marker"
    table = Table(caption, header, rows, groups, cells=ids, labels=(0, 1, 2))
    write_table(table, arguments.output, "markers", words_of(arguments), provenance.record())
    names = ["model", "method", "marker", *(f"{task}_k{k}" for task, k in columns)]
    write_text(arguments.output / "markers.csv", to_csv(names, lines))
    write_text(arguments.output / "markers_cells.csv", to_csv(CELL_COLUMNS, cells))


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--results", type=Path, required=True, help="results directory of the preset")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
