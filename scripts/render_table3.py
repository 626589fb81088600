"""Table 3: accuracy of every model and method on every task and number of shots, with intervals."""

import argparse
import sys
from pathlib import Path
from typing import Any

from common.console import Console, argument_parser, run_entry_point
from common.files import read_json, write_text
from common.language import add_words_argument, words_of
from common.methods import METHOD_LABELS
from common.provenance import Provenance
from common.results import (
    Cell,
    Grid,
    best_cells,
    cell_row,
    cell_text,
    load_grid,
    precision_note,
    task_titles,
)
from common.tables import CELL_COLUMNS, Table, to_csv, write_table


def csv_text(settings: dict[str, Any], cells: Grid) -> str:
    """One line a model and method; per cell mean, interval, n, and the spread of the draws; empty when missing."""
    header = ["model", "method"]
    parts = ("", "_low", "_high", "_n", "_lowest_draw", "_highest_draw", "_sd_of_draws")
    for task in settings["tasks"]:
        for k in settings["shots"]:
            header += [f"{task}_k{k}{part}" for part in parts]
    rows = []
    for model in settings["models"]:
        for method in settings["methods"]:
            row: list[object] = [model, method]
            for task in settings["tasks"]:
                for k in settings["shots"]:
                    cell = cells[model, method, task, k]
                    row += [None] * len(parts) if cell is None else cell_values(cell)
            rows.append(row)
    return to_csv(header, rows)


def cell_values(cell: Cell) -> list[object]:
    """What the CSV says of a cell, shares in percent; one run has no standard deviation."""
    shares = (cell.mean, *cell.interval, cell.draws.min(), cell.draws.max(), cell.spread)
    percents = [None if share is None else f"{100 * share:.2f}" for share in shares]
    return [*percents[:3], cell.n, *percents[3:]]


def cells_csv(cells: Grid) -> str:
    """One line a cell, with its id."""
    rows = [
        cell_row("table3", f"{model}/{method}", f"{task}/k{k}", cell, f"eval/{model}/{method}/{task}/k{k}_seed*")
        for (model, method, task, k), cell in cells.items()
    ]
    return to_csv(CELL_COLUMNS, rows)


def as_table(settings: dict[str, Any], cells: Grid, models: Path) -> Table:
    """The table as people read it."""
    rows: list[list[str]] = []
    bold: set[tuple[int, int]] = set()
    ids: dict[tuple[int, int], str] = {}
    for model in settings["models"]:
        best = best_cells({key: cell for key, cell in cells.items() if key[0] == model})
        for method in settings["methods"]:
            row = [settings["model_info"][model]["label"], METHOD_LABELS[method]]
            for task in settings["tasks"]:
                for k in settings["shots"]:
                    cell = cells[model, method, task, k]
                    if (model, method, task, k) in best:
                        bold.add((len(rows), len(row)))
                    ids[len(rows), len(row)] = f"table3/{model}/{method}/{task}/k{k}"
                    row.append(cell_text(cell))
            rows.append(row)
    titles = task_titles(cells)
    groups = [("", 2)] + [(titles[task], len(settings["shots"])) for task in settings["tasks"]]
    header = ["Model", "Method"] + [f"k={k}" for _ in settings["tasks"] for k in settings["shots"]]
    caption = "Table 3. Accuracy in % (95 % interval below) by number k of in-context examples"
    return Table(caption, header, rows, groups, frozenset(bold), notes(settings, cells, models), ids, labels=(0, 1))


def notes(settings: dict[str, Any], cells: Grid, models: Path) -> list[str]:
    """What a reader must know beside the numbers."""
    items = {key[2]: cell.n for key, cell in cells.items() if cell}
    counts = ", ".join(f"{task} {items.get(task, 'missing')}" for task in settings["tasks"])
    seeds = len(settings["seeds"])
    lines = [
        f"Items: {counts}. k = 0 is one run; k > 0 is the mean of {seeds} draws of examples over the same items, in "
        "parentheses the lowest and highest of them.",
        "Intervals: Wilson for one run, bootstrap over items for means. Bold: better than every other method at the "
        "5 % level (McNemar or paired bootstrap over items and draws, Holm-corrected within a model: table `paired`).",
    ]
    for model in settings["models"]:
        label = settings["model_info"][model]["label"]
        for method in settings["methods"]:
            record = models / model / method / "run.json"
            if method != "pretrained" and record.exists():
                tokens = read_json(record)["tokens_seen"]
                seen = f"{tokens['total']:,} tokens seen in training, {tokens['target']:,} of them with loss"
                lines.append(f"{label}, {METHOD_LABELS[method]}: {seen}.")
        if note := settings["model_info"][model].get("note"):
            lines.append(f"{label} is {note}.")
        if changed := precision_note(cell for key, cell in cells.items() if key[0] == model):
            lines.append(f"{label}: {changed}")
    return lines + list(settings["notes"])


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_table3.py", arguments.settings)
    cells = load_grid(settings, arguments.eval)
    write_text(arguments.output / "table3.csv", csv_text(settings, cells))
    write_text(arguments.output / "table3_cells.csv", cells_csv(cells))
    table = as_table(settings, cells, arguments.models)
    write_table(table, arguments.output, "table3", words_of(arguments), provenance.record())
    missing = sum(cell is None for cell in cells.values())
    console.say(f"{len(cells)} cells, {missing} missing: {arguments.output}/table3.md")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--eval", type=Path, required=True, help="directory of the score files")
    parser.add_argument("--models", type=Path, required=True, help="directory of the models, for the tokens they saw")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
