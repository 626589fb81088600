"""Table 3: accuracy of every model and method on every task and number of shots, with intervals."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path
from typing import Any

from common.config.methods import METHOD_LABELS
from common.files.whole_files import read_json
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.tables.accuracy_table import AccuracyTable, percent, precision_note
from common.tables.language import Text, add_words_argument, words_of
from common.tables.method_pairs import best_cells
from common.tables.scores import Grid, load_grid, several_draws

# What the CSV says of a cell, shares in percent; one run has no standard deviation.
PARTS = {
    "": lambda cell: percent(cell.mean),
    "_low": lambda cell: percent(cell.interval[0]),
    "_high": lambda cell: percent(cell.interval[1]),
    "_n": lambda cell: cell.n,
    "_lowest_draw": lambda cell: percent(cell.draws.min()),
    "_highest_draw": lambda cell: percent(cell.draws.max()),
    "_sd_of_draws": lambda cell: percent(cell.spread),
}


def fill_table(settings: dict[str, Any], cells: Grid) -> AccuracyTable:
    """One row per model and method; a cell is bold if it beats every other method of its model."""
    labels = {"model": "Model", "method": "Method"}
    table = AccuracyTable("table3", labels, settings["tasks"], settings["shots"], parts=PARTS)
    for model in settings["models"]:
        best = best_cells({key: cell for key, cell in cells.items() if key[0] == model})
        for method in settings["methods"]:
            found = {(task, k): cells[model, method, task, k] for task, k in table.columns}
            bold = frozenset((task, k) for task, k in table.columns if (model, method, task, k) in best)
            words = [settings["model_info"][model]["label"], Text(METHOD_LABELS[method])]
            table.add([model, method], words, folder=f"eval/{model}/{method}", found=found, bold=bold)
    return table


def notes(settings: dict[str, Any], cells: Grid, models: Path) -> list[str]:
    """What a reader must know beside the numbers."""
    items = {key[2]: cell.n for key, cell in cells.items() if cell}
    counts = ", ".join(f"{task} {items.get(task, 'missing')}" for task in settings["tasks"])
    lines: list[str] = [Text("Items: {counts}. Every cell is one run.", counts=counts)]
    if several_draws(settings):
        lines = [
            Text(
                "Items: {counts}. k = 0 is one run; k > 0 is the mean of {seeds} draws of examples over the same "
                "items, in parentheses the lowest and highest of them.",
                counts=counts,
                seeds=len(settings["seeds"]),
            )
        ]
    if len(settings["methods"]) > 1:
        lines.append(
            "Intervals: Wilson for one run, bootstrap over items for means. Bold: better than every other method at "
            "the 5 % level (McNemar or paired bootstrap over items and draws, Holm-corrected within a model: table "
            "`paired`)."
        )
    else:
        lines.append("Intervals: Wilson for one run, bootstrap over items for means.")
    for model in settings["models"]:
        label = settings["model_info"][model]["label"]
        for method in settings["methods"]:
            record = models / model / method / "run.json"
            if method != "pretrained" and record.exists():
                tokens = read_json(record)["tokens_seen"]
                lines.append(
                    Text(
                        "{label}, {method}: {total} tokens seen in training, {target} of them with loss.",
                        label=label,
                        method=Text(METHOD_LABELS[method]),
                        total=f"{tokens['total']:,}",
                        target=f"{tokens['target']:,}",
                    )
                )
        if note := settings["model_info"][model].get("note"):
            lines.append(Text("{label} is {note}.", label=label, note=note))
        if changed := precision_note(cell for key, cell in cells.items() if key[0] == model):
            lines.append(Text("{label}: {sentence}", label=label, sentence=changed))
    return lines + list(settings["notes"])


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_table3.py", arguments.settings)
    cells = load_grid(settings, arguments.eval)
    caption = "Table 3. Accuracy in % (95 % interval below) by number k of in-context examples"
    table, said = fill_table(settings, cells), notes(settings, cells, arguments.models)
    table.write(arguments.output, caption, notes=said, words=words_of(arguments), provenance=provenance.record())
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
