"""Make a trained checkpoint ready for the Hugging Face hub: its files, and a model card written from its records."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.base.errors import UserError
from common.files.links import link_files
from common.files.whole_files import new_directory, read_json, write_text
from common.jobs.console import Console, argument_parser, run_entry_point
from common.report.model_card import Checkpoint, model_card
from common.tables.scores import Cell, load_cell

CARD = "README.md"
# Snakemake dates a directory by an empty file in it, which `hf upload` leaves out then.
IGNORED = ".snakemake_timestamp\n"


def load_scores(arguments: argparse.Namespace) -> dict[tuple[str, int], Cell]:
    """The scores of the checkpoint by (task, k).

    Raises:
        UserError: when one is missing.
    """
    seeds: dict[int, list[int]] = {}
    for k, seed in arguments.settings["draws"]:
        seeds.setdefault(k, []).append(seed)
    scores = {}
    for task in (source["task"] for source in arguments.settings["tasks"]):
        for k, drawn in seeds.items():
            folder = arguments.scores / task
            cell = load_cell(folder, k, drawn)
            if cell is None:
                raise UserError(f"scores with k = {k} are missing", str(folder), "evaluate the checkpoint again")
            scores[task, k] = cell
    return scores


def work(arguments: argparse.Namespace, console: Console) -> None:
    if not list(arguments.model.glob("*.safetensors")):
        remedy = "train it again, or leave it out: an archive of results holds no weights"
        raise UserError("a checkpoint holds no weights to share", str(arguments.model), remedy)
    checkpoint = Checkpoint(
        settings=arguments.settings,
        run=read_json(arguments.model / "run.json"),
        base=read_json(arguments.base / "run.json"),
        instructions=read_json(arguments.instructions),
        splits=read_json(arguments.splits),
        scores=load_scores(arguments),
        samples=read_json(arguments.samples) if arguments.samples else None,
        chat_template=(arguments.model / "chat_template.jinja").exists(),
    )
    with new_directory(arguments.output) as folder:
        link_files(arguments.model, folder, leave_out=frozenset({CARD}))
        write_text(folder / CARD, model_card(checkpoint, arguments.template))
        write_text(folder / ".gitignore", IGNORED)
    console.say(f"to share it: hf upload USER/NAME {arguments.output}")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--model", type=Path, required=True, help="model directory of the checkpoint")
    parser.add_argument("--base", type=Path, required=True, help="model directory of its base model")
    parser.add_argument("--instructions", type=Path, required=True, help="record of the prepared instructions")
    parser.add_argument("--splits", type=Path, required=True, help="manifest of the splits")
    parser.add_argument("--scores", type=Path, required=True, help="directory of its scores, one folder per task")
    parser.add_argument("--samples", type=Path, help="record of its sample responses")
    parser.add_argument("--template", type=Path, required=True, help="template of the card's body")
    parser.add_argument("--output", type=Path, required=True, help="directory to write")
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
