"""Table 2: hyper-parameters of the RL arm's three stages, read from the records of the training runs."""

import common.base.quick_start

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.files.whole_files import read_json
from common.jobs.console import Console, argument_parser, run_entry_point
from common.jobs.provenance import Provenance
from common.tables.cells import cell_id, cell_line, write_csv_files
from common.tables.language import Text, add_words_argument, words_of
from common.tables.table import Table, text_of, write_table

STAGES = ("Stage 1 (SFT)", "Stage 2 (RM)", "Stage 3 (RL)")
# Label, key of stages 1 and 2, keys of stage 3.
ROWS: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
    ("Epochs", "epochs", ("epochs",)),
    ("Learning rate", "learning_rate", ("actor_learning_rate", "critic_learning_rate")),
    ("Total batch size", "global_batch_size", ("global_batch_size",)),
    ("Gradient clipping", "max_grad_norm", ("max_grad_norm",)),
    ("KL beta", None, ("kl_beta",)),
    ("Clip reward", None, ("clip_reward",)),
    ("Clip range", None, ("clip_range",)),
    ("gamma", None, ("gamma",)),
    ("lambda", None, ("lambda",)),
    ("Schedule", "schedule", ("schedule",)),
    ("Warm-up ratio", "warmup_ratio", ("warmup_ratio",)),
    ("AdamW betas", "betas", ("betas",)),
    ("Updates per rollout", None, ("updates_per_rollout",)),
    ("Sampling temperature", None, ("temperature",)),
    ("Longest response (tokens)", None, ("max_new_tokens",)),
)


def work(arguments: argparse.Namespace, console: Console) -> None:
    settings, provenance = arguments.settings, Provenance("render_table2.py", arguments.settings)
    folders = {
        "rl_sft": f"{settings['actor']}/rl_sft",
        "reward": f"{settings['reward']}/reward",
        "ppo": f"{settings['actor']}/ppo",
    }
    blocks: dict[str, Mapping[str, Any]] = {}
    for method, folder in folders.items():
        used = read_json(arguments.models / folder / "run.json")["provenance"]["settings"]
        blocks[method] = used["ppo"] if method == "ppo" else used["training"]
    rows: list[list[str]] = []
    cells: list[list[object]] = []
    ids: dict[tuple[int, int], str] = {}
    for label, key, keys in ROWS:
        names = {method: [key] if key else [] for method in blocks} | {"ppo": list(keys)}
        values = {method: ", ".join(text_of(block[name]) for name in names[method]) for method, block in blocks.items()}
        for place, (method, value) in enumerate(values.items(), start=1):
            row, column = key or keys[0], folders[method]
            ids[len(rows), place] = cell_id("table2", row, column)
            cells.append(cell_line("table2", row, column, value or "-", source=f"models/{column}/run.json"))
        rows.append([Text(label), *(value or "-" for value in values.values())])
    labels = settings["labels"]
    notes: list[str] = [
        Text(
            "Actor: {actor}; reward model and critic: {reward}. In stage 3 the first learning rate is the actor's, the "
            "second the critic's.",
            actor=labels["actor"],
            reward=labels["reward"],
        )
    ]
    if blocks["ppo"]["updates_per_rollout"] == 1:
        notes.append(
            "Each rollout is used for one update, so the policy's ratio is 1 and the clip range has no effect."
        )
    header = ["Hyper-parameter", *STAGES]
    table = Table("Table 2. Hyper-parameters of the RL arm", header, rows, notes=notes, cells=ids)
    write_table(table, arguments.output, "table2", words=words_of(arguments), provenance=provenance.record())
    columns = ["hyper_parameter", *folders.values()]
    write_csv_files(arguments.output, "table2", header=columns, rows=rows, cells=cells)


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--models", type=Path, required=True, help="directory of the models")
    parser.add_argument("--output", type=Path, required=True, help="directory for the renderings")
    add_words_argument(parser)
    return run_entry_point(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
