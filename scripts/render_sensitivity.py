"""How much accuracy depends on the scoring: generated text, strict match and likelihood side by side."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.config.methods import METHOD_LABELS
from common.evaluation.scoring import SCORINGS
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.tables.accuracy_table import AccuracyTable
from common.tables.language import Text, add_words_argument, words_of
from common.tables.scores import load_grid, several_draws


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_sensitivity.py", arguments.settings)
    grids = {name: load_grid(settings, arguments.eval, column) for name, column in SCORINGS.items()}
    labels = {"model": "Model", "method": "Method", "scoring": "Scoring"}
    table = AccuracyTable("sensitivity", labels, settings["tasks"], settings["shots"])
    for model in settings["models"]:
        for method in settings["methods"]:
            for scoring, grid in grids.items():
                words = [settings["model_info"][model]["label"], Text(METHOD_LABELS[method]), Text(scoring)]
                found = {(task, k): grid[model, method, task, k] for task, k in table.columns}
                table.add([model, method, scoring], words, folder=f"eval/{model}/{method}", found=found)
    notes = [
        "generation: the one answer named in the first line of the generated text (the paper's scoring, Table 3).",
        "strict: the whole first line is an answer. likelihood: the answer with the highest log-likelihood per token.",
    ]
    if several_draws(settings):
        draws = "In parentheses: lowest and highest of the {seeds} draws of in-context examples."
        notes.append(Text(draws, seeds=len(settings["seeds"])))
    caption = "Accuracy in % (95 % interval below) under three scorings of the same answers"
    table.write(arguments.output, caption, notes=notes, words=words_of(arguments), provenance=provenance.record())


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--eval", type=Path, required=True, help="directory of the score files")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
