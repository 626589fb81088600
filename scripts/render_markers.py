"""Checkpoint and marker crossed: what comes from training, and what from the words of the prompt."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.config.methods import METHOD_LABELS
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.tables.accuracy_table import AccuracyTable
from common.tables.language import Text, add_words_argument, words_of
from common.tables.scores import load_cell


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_markers.py", arguments.settings)
    labels = {"model": "Model", "method": "Checkpoint", "marker": "Asked with"}
    table = AccuracyTable("markers", labels, settings["tasks"], settings["shots"])
    for model in settings["models"]:
        for method in settings["methods"]:
            for marker in settings["markers"]:
                asked = settings["marker_words"][marker]
                if settings["usual"][method] == marker:
                    asked = Text("{marker} (its own)", marker=asked)
                words = [settings["model_info"][model]["label"], Text(METHOD_LABELS[method]), asked]
                in_grid = f"{method}/{marker}" in settings["in_grid"]
                place = f"eval/{model}/{method}" if in_grid else f"markers/{model}/{method}/{marker}"
                found = {
                    (task, k): load_cell(arguments.results / place / task, k, settings["seeds"] if k else [0])
                    for task, k in table.columns
                }
                table.add([model, method, marker], words, folder=place, found=found)
    caption = "Accuracy in % (95 % interval below) of each checkpoint asked with each marker"
    table.write(arguments.output, caption, notes=[], words=words_of(arguments), provenance=provenance.record())


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--results", type=Path, required=True, help="results directory of the preset")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
