"""Checkpoints: which one counts, and what is left when a run ends at any moment."""

from pathlib import Path

import pytest
import torch

from common.jobs.console import Console
from common.training.checkpoints import (
    MARKER,
    commit,
    discard_partial,
    find_resume,
    is_complete,
    mark_complete,
    newest_complete,
)
from common.training.engine import Engine

CONSOLE = Console("test")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """Complete checkpoints at steps 8, 9 and 10."""
    for step in (8, 9, 10):
        folder = tmp_path / f"checkpoint-{step}"
        (folder / "state").mkdir(parents=True)
        (folder / "weights").write_bytes(b"w" * step)
        (folder / "state" / "optimizer").write_bytes(b"o" * step)
        mark_complete(folder)
    return tmp_path


def torn(checkpoint: Path, way: str) -> None:
    if way == "no marker":
        (checkpoint / MARKER).unlink()
    elif way == "cut marker":
        (checkpoint / MARKER).write_bytes((checkpoint / MARKER).read_bytes()[:-5])
    elif way == "changed file":
        (checkpoint / "state" / "optimizer").write_bytes(b"o" * 9 + b"p")
    else:
        (checkpoint / "weights").unlink()


def test_newest_complete_checkpoint_counts_by_number(checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newest_complete(checkpoints, CONSOLE) == checkpoints / "checkpoint-10"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("way", ["no marker", "cut marker", "changed file", "missing file"])
def test_torn_checkpoints_are_passed_over_with_a_message(
    checkpoints: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torn(checkpoints / "checkpoint-10", way)
    assert not is_complete(checkpoints / "checkpoint-10")
    assert newest_complete(checkpoints, CONSOLE) == checkpoints / "checkpoint-9"
    told = f"[test] skipping the incomplete checkpoint {checkpoints / 'checkpoint-10'}\n"
    assert capsys.readouterr().err == told


def test_no_complete_checkpoint_means_a_fresh_start(checkpoints: Path, tmp_path: Path) -> None:
    for step in (8, 9, 10):
        torn(checkpoints / f"checkpoint-{step}", "no marker")
    assert newest_complete(checkpoints, CONSOLE) is None
    assert newest_complete(tmp_path / "absent", CONSOLE) is None


def written(directory: Path, step: int) -> Path:
    """A checkpoint as it lies before it is complete."""
    partial = directory / f"partial/checkpoint-{step}"
    partial.mkdir(parents=True)
    (partial / "weights").write_bytes(b"w" * step)
    return partial


def test_a_checkpoint_counts_only_once_it_is_committed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (3, 5, 8):
        commit(written(tmp_path, step))
    torn = written(tmp_path, 9)
    assert newest_complete(tmp_path, CONSOLE) == tmp_path / "checkpoint-8"
    discard_partial(tmp_path, CONSOLE)
    assert f"discarding {torn}: the run that wrote it ended before it was complete" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5", "checkpoint-8"]


def test_a_torn_checkpoint_never_displaces_a_whole_one(tmp_path: Path) -> None:
    for step in (3, 5):
        commit(written(tmp_path, step))
    (tmp_path / "checkpoint-7").mkdir()  # without its marker
    commit(written(tmp_path, 6))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5", "checkpoint-6", "partial"]
    assert (tmp_path / "checkpoint-6" / MARKER).exists()


def test_the_main_process_chooses_the_checkpoint_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    sent = []
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", lambda values, src: sent.append(list(values)))
    for step in (3, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}/weights").write_text(str(step))
    mark_complete(tmp_path / "checkpoint-3")
    (tmp_path / "partial/checkpoint-5").mkdir(parents=True)
    assert find_resume(tmp_path, Engine("cpu", torch.float32, True, 2, rank=1), Console("other")) is None
    assert sent.pop() == [None]
    assert capsys.readouterr().err == ""
    found = find_resume(tmp_path, Engine("cpu", torch.float32, True, 2, rank=0), Console("main"))
    assert sent == [[found]] == [[tmp_path / "checkpoint-3"]]
    told = capsys.readouterr().err
    assert "discarding" in told
    assert f"skipping the incomplete checkpoint {tmp_path / 'checkpoint-4'}" in told
    assert "[main] resuming from checkpoint-3" in told
