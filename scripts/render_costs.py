"""What each row of Table 5 cost: the trainings behind it, their prompts and tokens, and the hours they took."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config.methods import METHOD_LABELS
from common.files.parquet import read_parquet
from common.files.whole_files import read_json
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.tables.cells import cell_id, cell_line, write_csv_files
from common.tables.language import Text, add_words_argument, words_of
from common.tables.table import Table, write_table

COLUMNS = ("prompts", "tokens", "hours")


@dataclass(frozen=True)
class Cost:
    """What the trainings behind a checkpoint took.

    Attributes:
        trainings: `model/method` of each, in order.
        prompts: distinct ones in the data of all trainings.
        tokens: read and written by all trainings, over all epochs.
        hours: of all trainings, times their processes (one per GPU).
    """

    trainings: Sequence[str]
    prompts: int
    tokens: int
    hours: float


def cost_of(
    chain: Sequence[tuple[str, str]], records: Mapping[str, Mapping[str, Any]], prompts: Mapping[str, set[str]]
) -> Cost:
    """The cost of one row.

    Args:
        chain: trainings, each with the split it learnt from.
        records: run.json by training.
        prompts: ids by split.
    """
    used = [records[training] for training, _ in chain]
    return Cost(
        trainings=[training for training, _ in chain],
        prompts=len(set().union(*(prompts[split] for _, split in chain))),
        tokens=sum(record["tokens_seen"]["total"] for record in used),
        hours=sum(record["provenance"]["seconds"] * record["processes"] for record in used) / 3600,
    )


def notes(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a reader must know beside the numbers."""
    machines = dict.fromkeys(", ".join(_machine(record)) for record in records.values())
    found: list[str] = [
        "Prompts: distinct ones in the data of all trainings a row needs. Tokens: read and written by these trainings, "
        "over all epochs. Equal prompts are not equal tokens.",
        Text(
            "Hours: from the records of the jobs, times their processes. Machine: {machines}.",
            machines="; ".join(machines),
        ),
    ]
    resumed = [name for name, record in records.items() if record["resumed_from_step"]]
    if resumed:
        said = "These trainings were stopped and resumed, and only the hours after the last stop are counted: {names}."
        found.append(Text(said, names=", ".join(resumed)))
    return found


def _machine(record: Mapping[str, Any]) -> list[str]:
    hardware = record["provenance"]["hardware"]
    gpus = hardware.get("gpus") or []
    return [f"{len(gpus)} x {gpus[0]}"] if gpus else [hardware["cpu"], hardware.get("cpu_capability", "")]


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_costs.py", arguments.settings)
    chains = [[(f"{model}/{name}", split) for model, name, split in row["trainings"]] for row in settings["rows"]]
    trainings = dict.fromkeys(training for chain in chains for training, _ in chain)
    splits = dict.fromkeys(split for chain in chains for _, split in chain)
    records = {name: read_json(arguments.models / name / "run.json") for name in trainings}
    prompts = {split: {row["id"] for row in read_parquet(arguments.splits / f"{split}.parquet")} for split in splits}
    rows, lines, cells = [], [], []
    ids: dict[tuple[int, int], str] = {}
    for place, (row, chain) in enumerate(zip(settings["rows"], chains, strict=True)):
        model, method, cost = row["model"], row["method"], cost_of(chain, records, prompts)
        key = f"{model}/{method}"
        values = [str(cost.prompts), str(cost.tokens), f"{cost.hours:.4f}"]
        steps = ", ".join(METHOD_LABELS[name.split("/")[1]] for name in cost.trainings) or "\u2013"
        shown = [f"{cost.prompts:,}", f"{cost.tokens:,}", f"{cost.hours:.3g}"]
        rows.append([settings["labels"][model], Text(METHOD_LABELS[method]), steps, *shown])
        lines.append([model, method, " ".join(cost.trainings), *values])
        if cost.trainings:  # else nothing was spent
            source = ";".join(f"models/{name}/run.json" for name in cost.trainings)
            told = zip(COLUMNS, values, strict=True)
            cells += [cell_line("costs", key, name, value, source=source) for name, value in told]
            ids |= {(place, i): cell_id("costs", key, name) for i, name in enumerate(COLUMNS, start=3)}
    header = ["Model", "Method", "Trainings", "Prompts", "Tokens", "Hours"]
    table = Table("What each row of Table 5 cost", header, rows, notes=notes(records), cells=ids)
    write_table(table, arguments.output, "costs", words=words_of(arguments), provenance=provenance.record())
    write_csv_files(
        arguments.output, "costs", header=["model", "method", "trainings", *COLUMNS], rows=lines, cells=cells
    )
    console.say(f"{len(rows)} rows: {arguments.output}/costs.md")


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--models", type=Path, required=True, help="directory of the models")
    parser.add_argument("--splits", type=Path, required=True, help="directory of the splits")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
