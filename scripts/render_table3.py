"""Table 3: accuracy of every model and method on every task and number of shots, with intervals."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.console import Console, argument_parser, run_entry_point
from common.files import read_json, write_text
from common.results import Cell, best_cells, load_cell
from common.tables import CELL_COLUMNS, Table, to_csv, write_table

LABELS = {"pretrained": "Pretrained", "sft": "SFT", "coh": "CoH"}


def load_cells(settings: dict[str, Any], folder: Path) -> dict[tuple[str, str, str, int], Cell | None]:
    """Every cell by (model, method, task, k); None where a score file is missing."""
    cells = {}
    for model, method, task, k in _grid(settings):
        cells[model, method, task, k] = load_cell(folder / model / method / task, k, settings["seeds"] if k else [0])
    return cells


def _grid(settings: dict[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    for model in settings["models"]:
        for method in settings["methods"]:
            for task in settings["tasks"]:
                for k in settings["shots"]:
                    yield model, method, task, k


def csv_text(settings: dict[str, Any], cells: dict[tuple[str, str, str, int], Cell | None]) -> str:
    """One line a model and method; per cell the mean, the interval's ends and n, empty when missing."""
    header = ["model", "method"]
    for task in settings["tasks"]:
        for k in settings["shots"]:
            header += [f"{task}_k{k}", f"{task}_k{k}_low", f"{task}_k{k}_high", f"{task}_k{k}_n"]
    rows = []
    for model in settings["models"]:
        for method in settings["methods"]:
            row: list[object] = [model, method]
            for task in settings["tasks"]:
                for k in settings["shots"]:
                    cell = cells[model, method, task, k]
                    row += [None] * 4 if cell is None else [f"{100 * v:.2f}" for v in (cell.mean, *cell.interval)] + [cell.n]
            rows.append(row)
    return to_csv(header, rows)


def cells_csv(settings: dict[str, Any], cells: dict[tuple[str, str, str, int], Cell | None]) -> str:
    """One line a cell, with its id."""
    rows = []
    for (model, method, task, k), cell in cells.items():
        source = f"eval/{model}/{method}/{task}/k{k}_seed*"
        values = ["missing", None, None] if cell is None else [f"{100 * cell.mean:.4f}", f"{100 * cell.stderr:.4f}", cell.n]
        rows.append([f"table3/{model}/{method}/{task}/k{k}", "table3", f"{model}/{method}", f"{task}/k{k}", *values, source])
    return to_csv(CELL_COLUMNS, rows)


def as_table(settings: dict[str, Any], cells: dict[tuple[str, str, str, int], Cell | None], models: Path) -> Table:
    """The table as people read it."""
    rows, bold = [], set()
    for model in settings["models"]:
        best = best_cells({key: cell for key, cell in cells.items() if key[0] == model})
        for method in settings["methods"]:
            row = [settings["models"][model]["label"], LABELS.get(method, method)]
            for task in settings["tasks"]:
                for k in settings["shots"]:
                    cell = cells[model, method, task, k]
                    if (model, method, task, k) in best:
                        bold.add((len(rows), len(row)))
                    row.append("missing" if cell is None else f"{100 * cell.mean:.1f}\n{100 * cell.interval[0]:.0f}\u2013{100 * cell.interval[1]:.0f}")
            rows.append(row)
    titles = {task: next((c.title for key, c in cells.items() if key[2] == task and c), task) for task in settings["tasks"]}
    groups = [("", 2)] + [(titles[task], len(settings["shots"])) for task in settings["tasks"]]
    header = ["Model", "Method"] + [f"k={k}" for _ in settings["tasks"] for k in settings["shots"]]
    caption = "Table 3. Accuracy in % (95 % interval below) by number k of in-context examples"
    return Table(caption, header, rows, groups, frozenset(bold), notes(settings, cells, models))


def notes(settings: dict[str, Any], cells: dict[tuple[str, str, str, int], Cell | None], models: Path) -> list[str]:
    """What a reader must know beside the numbers."""
    items = {task: sorted({cell.n for key, cell in cells.items() if key[2] == task and cell}) for task in settings["tasks"]}
    counts = ", ".join(f"{task} {'/'.join(map(str, n)) or 'missing'}" for task, n in items.items())
    seeds = len(settings["seeds"])
    lines = [
        f"Items: {counts}. k = 0 is one run; k > 0 is the mean of {seeds} draws of examples over the same items.",
        "Intervals: Wilson for one run, bootstrap over items for means. Bold: better than both other methods at the "
        "5 % level (McNemar or paired permutation test, Holm-corrected within a model); nothing bold, nothing significant.",
    ]
    for model in settings["models"]:
        for method in settings["methods"]:
            record = models / model / method / "run.json"
            if method != "pretrained" and record.exists():
                tokens = read_json(record)["tokens_seen"]
                lines.append(
                    f"{settings['models'][model]['label']}, {LABELS.get(method, method)}: {tokens['total']:,} tokens seen in "
                    f"training, {tokens['target']:,} of them with loss."
                )
        if note := settings["models"][model].get("note"):
            lines.append(f"{settings['models'][model]['label']} is {note}.")
    return lines + list(settings["notes"])


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings = arguments.settings
    cells = load_cells(settings, arguments.eval)
    write_text(arguments.output / "table3.csv", csv_text(settings, cells))
    write_text(arguments.output / "table3_cells.csv", cells_csv(settings, cells))
    write_table(as_table(settings, cells, arguments.models), arguments.output, "table3")
    missing = sum(cell is None for cell in cells.values())
    console.say(f"{len(cells)} cells, {missing} missing: {arguments.output}/table3.md")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--eval", type=Path, required=True, help="directory of the score files")
    parser.add_argument("--models", type=Path, required=True, help="directory of the models, for the tokens they saw")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
