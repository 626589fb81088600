"""What every training script shares."""

import os
from pathlib import Path

import pytest

from common.jobs.console import Console
from common.training.frame import name_other_states


def test_state_of_other_settings_is_named_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("mine", "other"):
        (tmp_path / name / "checkpoint-1").mkdir(parents=True)
        os.truncate(os.open(tmp_path / name / "checkpoint-1/weights", os.O_CREAT | os.O_RDWR), 20_000_000)
    (tmp_path / "writer.lock").touch()
    name_other_states(tmp_path / "mine", Console("test"))
    assert capsys.readouterr().err.splitlines() == [
        f"[test] left from other settings or code: {tmp_path / 'other'}, 0.02 GB; delete it if you do not go back"
    ]
    assert (tmp_path / "other/checkpoint-1/weights").exists()
