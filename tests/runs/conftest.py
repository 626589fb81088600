"""What several tests of whole runs are given."""

from pathlib import Path

import pytest

from support.split_files import write_splits


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits of 46 demo prompts: 37 to train on, so that the last global batch is not full, and 9 held out."""
    folder = tmp_path_factory.mktemp("splits")
    settings = {"prompts": 46, "heldout": 9, "rl_sft": 10, "rl_reward": 10, "rl_prompts": 10,
                "fine_tune_on_heldout": False, "ties": "keep", "pairs": "all_distinct"}  # fmt: skip
    write_splits(folder, settings, seed=1)
    return folder
