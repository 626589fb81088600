"""The files of split_instructions, without its process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.base.paths import ROOT
from common.data.instructions import load_instructions
from common.data.splits import COLUMNS, heldout_examples, split
from common.files.parquet import write_parquet


def write_splits(folder: Path, settings: Mapping[str, Any], seed: int) -> dict[str, list[dict[str, Any]]]:
    """The demo's prompts split by `settings`, held-out examples included, one parquet file each; the rows by name."""
    demo = ROOT / "resources/demo/instructions"
    rows = load_instructions(demo / "alpaca_gpt4_data.json", demo / "comparison_data_v2.json", 0.0).rows
    parts = split(rows, settings, seed)
    parts |= {f"heldout_{name}": part for name, part in heldout_examples(parts["heldout"], settings, seed).items()}
    for name, part in parts.items():
        write_parquet(folder / f"{name}.parquet", part, COLUMNS[name.removeprefix("heldout_")])
    return parts
