"""How much accuracy depends on the scoring: generated text, strict match and likelihood side by side."""

import argparse
import sys
from pathlib import Path

from common.console import Console, argument_parser, run_entry_point
from common.files import write_text
from common.language import add_words_argument, words_of
from common.methods import METHOD_LABELS
from common.provenance import Provenance
from common.results import cell_row, cell_text, load_grid, task_titles
from common.tables import CELL_COLUMNS, Table, to_csv, write_table

SCORINGS = {"generation": "correct", "strict": "correct_strict", "likelihood": "correct_likelihood"}


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_sensitivity.py", arguments.settings)
    grids = {name: load_grid(settings, arguments.eval, column) for name, column in SCORINGS.items()}
    titles = task_titles(grids["generation"])
    rows: list[list[str]] = []
    cells: list[list[object]] = []
    lines: list[list[object]] = []
    ids: dict[tuple[int, int], str] = {}
    for model in settings["models"]:
        for method in settings["methods"]:
            for scoring, grid in grids.items():
                row = [settings["model_info"][model]["label"], METHOD_LABELS[method], scoring]
                line: list[object] = [model, method, scoring]
                for task in settings["tasks"]:
                    for k in settings["shots"]:
                        cell = grid[model, method, task, k]
                        source = f"eval/{model}/{method}/{task}/k{k}_seed*"
                        cells.append(
                            cell_row("sensitivity", f"{model}/{method}/{scoring}", f"{task}/k{k}", cell, source)
                        )
                        ids[len(rows), len(row)] = f"sensitivity/{model}/{method}/{scoring}/{task}/k{k}"
                        row.append(cell_text(cell))
                        line.append(None if cell is None else f"{100 * cell.mean:.2f}")
                rows.append(row)
                lines.append(line)
    columns = [(task, k) for task in settings["tasks"] for k in settings["shots"]]
    groups = [("", 3), *((titles[task], len(settings["shots"])) for task in settings["tasks"])]
    notes = [
        "generation: the one answer named in the first line of the generated text (the paper's scoring, Table 3).",
        "strict: the whole first line is an answer. likelihood: the answer with the highest log-likelihood a token.",
        f"In parentheses: lowest and highest of the {len(settings['seeds'])} draws of in-context examples.",
    ]
    caption = "Accuracy in % (95 % interval below) under three scorings of the same answers"
    titled = ["Model", "Method", "Scoring", *(f"k={k}" for _, k in columns)]
    table = Table(caption, titled, rows, groups, notes=notes, cells=ids, labels=(0, 1, 2))
    write_table(table, arguments.output, "sensitivity", words_of(arguments), provenance.record())
    header = ["model", "method", "scoring", *(f"{task}_k{k}" for task, k in columns)]
    write_text(arguments.output / "sensitivity.csv", to_csv(header, lines))
    write_text(arguments.output / "sensitivity_cells.csv", to_csv(CELL_COLUMNS, cells))


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--eval", type=Path, required=True, help="directory of the score files")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
