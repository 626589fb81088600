"""What several tests of whole runs are given."""

from pathlib import Path

import pytest

from common.base.paths import ROOT
from common.data.instructions import load_instructions
from common.data.splits import COLUMNS, heldout_examples, split
from common.files.parquet import write_parquet


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits of 46 demo prompts: 37 to train on, so that the last global batch is not full, and 9 held out."""
    folder = tmp_path_factory.mktemp("splits")
    demo = ROOT / "resources/demo/instructions"
    rows = load_instructions(demo / "alpaca_gpt4_data.json", demo / "comparison_data_v2.json", 0.0).rows
    settings = {"prompts": 46, "heldout": 9, "rl_sft": 10, "rl_reward": 10, "rl_prompts": 10,
                "fine_tune_on_heldout": False, "ties": "keep", "pairs": "all_distinct"}  # fmt: skip
    parts = split(rows, settings, seed=1)
    for name, part in parts.items():
        write_parquet(folder / f"{name}.parquet", part, COLUMNS[name])
    for name, part in heldout_examples(parts["heldout"], settings, seed=1).items():
        write_parquet(folder / f"heldout_{name}.parquet", part, COLUMNS[name])
    return folder
