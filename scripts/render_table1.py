"""Table 1: hyper-parameters of SFT and CoH, read from the records of the training runs."""

import common.base.quick_start

import argparse
import sys
from pathlib import Path

from common.config.methods import METHOD_LABELS
from common.files.whole_files import read_json
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.tables.cells import cell_id, cell_line, write_csv_files
from common.tables.language import Text, add_words_argument, words_of
from common.tables.table import Table, text_of, write_table

ROWS = {
    "Epochs": "epochs",
    "Learning rate": "learning_rate",
    "Total batch size": "global_batch_size",
    "Schedule": "schedule",
    "Warm-up ratio": "warmup_ratio",
    "Gradient clipping": "max_grad_norm",
    "Longest sequence (tokens)": "max_length",
    "Weight decay": "weight_decay",
    "AdamW betas": "betas",
}


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_table1.py", arguments.settings)
    runs = [(model, method) for model in settings["models"] for method in settings["methods"] if method != "pretrained"]
    records = {run: read_json(arguments.models / run[0] / run[1] / "run.json") for run in runs}
    rows: list[list[str]] = []
    cells: list[list[object]] = []
    ids: dict[tuple[int, int], str] = {}
    for label, key in ROWS.items():
        values = {run: text_of(record["provenance"]["settings"]["training"][key]) for run, record in records.items()}
        for column, ((model, method), value) in enumerate(values.items(), start=1):
            ids[len(rows), column] = cell_id("table1", key, f"{model}/{method}")
            source = f"models/{model}/{method}/run.json"
            cells.append(cell_line("table1", key, f"{model}/{method}", value, source=source))
        rows.append([Text(label), *values.values()])
    header = ["Hyper-parameter", *(METHOD_LABELS[method] for _, method in runs)]
    trained = [method for method in settings["methods"] if method != "pretrained"]
    labels = [settings["model_info"][model]["label"] for model in settings["models"]]
    groups = [("", 1), *((label, len(trained)) for label in labels)] if trained else []
    facts = [f"{record['engine']}, {record['dtype']}, {record['processes']} process(es)" for record in records.values()]
    notes = [Text("Optimizer AdamW; {facts}.", facts="; ".join(dict.fromkeys(facts)))] if trained else []
    table = Table("Table 1. Hyper-parameters of SFT and CoH", header, rows, groups, notes=notes, cells=ids)
    write_table(table, arguments.output, "table1", words=words_of(arguments), provenance=provenance.record())
    columns = ["hyper_parameter", *("/".join(run) for run in runs)]
    write_csv_files(arguments.output, "table1", header=columns, rows=rows, cells=cells)


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--models", type=Path, required=True, help="directory of the models")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
