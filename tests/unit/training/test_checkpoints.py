"""Checkpoints: which one counts, and what is left when a run ends at any moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from common.base.checkpoint_times import FIRST_SECONDS
from common.base.errors import UserError
from common.files.whole_files import read_json
from common.jobs.console import Console
from common.training import checkpoints as module
from common.training.checkpoints import MARKER, CheckpointClock, commit, discard_partial, find_resume, is_complete
from common.training.engine import Engine
from support.frames import CPU

CONSOLE = Console("test")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """Complete checkpoints at steps 9 and 10."""
    for step in (9, 10):
        folder = tmp_path / f"partial/checkpoint-{step}"
        (folder / "state").mkdir(parents=True)
        (folder / "weights").write_bytes(b"w" * step)
        (folder / "state" / "optimizer").write_bytes(b"o" * step)
        commit(folder, CPU)
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
    assert find_resume(checkpoints, CPU, CONSOLE) == checkpoints / "checkpoint-10"
    assert capsys.readouterr().err == "[test] resuming from checkpoint-10\n"


@pytest.mark.parametrize("way", ["no marker", "cut marker", "changed file", "missing file"])
def test_torn_checkpoints_are_passed_over_with_a_message(
    checkpoints: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torn(checkpoints / "checkpoint-10", way)
    assert not is_complete(checkpoints / "checkpoint-10", CPU)
    assert find_resume(checkpoints, CPU, CONSOLE) == checkpoints / "checkpoint-9"
    told = f"[test] skipping the incomplete checkpoint {checkpoints / 'checkpoint-10'}\n"
    told += "[test] resuming from checkpoint-9\n"
    assert capsys.readouterr().err == told


def test_no_complete_checkpoint_means_a_fresh_start(checkpoints: Path, tmp_path: Path) -> None:
    for step in (9, 10):
        torn(checkpoints / f"checkpoint-{step}", "no marker")
    assert find_resume(checkpoints, CPU, CONSOLE) is None
    assert find_resume(tmp_path / "absent", CPU, CONSOLE) is None


def written(directory: Path, step: int) -> Path:
    """A checkpoint as it lies before it is complete."""
    partial = directory / f"partial/checkpoint-{step}"
    partial.mkdir(parents=True)
    (partial / "weights").write_bytes(b"w" * step)
    return partial


def test_a_checkpoint_counts_only_once_it_is_committed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (3, 5, 8):
        commit(written(tmp_path, step), CPU)
    torn = written(tmp_path, 9)
    assert is_complete(tmp_path / "checkpoint-8", CPU)
    discard_partial(tmp_path, CONSOLE)
    assert f"discarding {torn}: the run that wrote it ended before it was complete" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5", "checkpoint-8"]


def test_a_torn_checkpoint_never_displaces_a_whole_one(tmp_path: Path) -> None:
    for step in (3, 5):
        commit(written(tmp_path, step), CPU)
    (tmp_path / "checkpoint-7").mkdir()  # without its marker
    commit(written(tmp_path, 6), CPU)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5", "checkpoint-6", "partial"]
    assert (tmp_path / "checkpoint-6" / MARKER).exists()


def test_after_damaged_checkpoints_new_ones_are_kept(checkpoints: Path) -> None:
    for step in (9, 10):
        torn(checkpoints / f"checkpoint-{step}", "changed file")
    assert find_resume(checkpoints, CPU, CONSOLE) is None
    for step in (2, 4):
        commit(written(checkpoints, step), CPU)
    assert find_resume(checkpoints, CPU, CONSOLE) == checkpoints / "checkpoint-4"
    assert is_complete(checkpoints / "checkpoint-2", CPU)


class Exchange:
    """What processes tell each other, between threads."""

    def __init__(self, processes: int):
        self._barrier, self._values = threading.Barrier(processes), [None] * processes

    def from_all(self, value: Any, engine: Engine) -> list[Any]:
        self._barrier.wait()
        self._values[engine.rank] = value
        self._barrier.wait()
        return list(self._values)

    def from_main(self, value: Any, engine: Engine) -> Any:
        return self.from_all(value, engine)[0]


def on_all(processes: int, work: Callable[[Engine], Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What every process gets from the same work."""
    exchange = Exchange(processes)
    monkeypatch.setattr(module, "from_all", exchange.from_all)
    monkeypatch.setattr(module, "from_main", exchange.from_main)
    monkeypatch.setattr(module, "wait_for_all", lambda engine: exchange.from_all(None, engine))
    engines = [Engine("cpu", torch.float32, True, processes, rank) for rank in range(processes)]
    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(work, engines))


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_share_the_hashing_and_choose_one_checkpoint(
    checkpoints: Path, processes: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    partial = checkpoints / "partial/checkpoint-11"
    partial.mkdir(parents=True)
    for number in range(7):
        (partial / f"part-{number}").write_bytes(b"x" * number)
    (checkpoints / "partial/checkpoint-12").mkdir()
    hashed: list[str] = []
    known = module.sha256_of_file
    monkeypatch.setattr(module, "sha256_of_file", lambda path: hashed.append(path.name) or known(path))
    on_all(processes, lambda engine: commit(partial, engine), monkeypatch)
    assert sorted(hashed) == [f"part-{number}" for number in range(7)]
    assert read_json(checkpoints / "checkpoint-11" / MARKER) == {
        name: known(checkpoints / "checkpoint-11" / name) for name in hashed
    }
    torn(checkpoints / "checkpoint-10", "missing file")
    (checkpoints / "checkpoint-11/part-3").write_bytes(b"y" * 3)
    capsys.readouterr()
    assert (
        on_all(processes, lambda engine: find_resume(checkpoints, engine, CONSOLE), monkeypatch) == [None] * processes
    )
    told = capsys.readouterr().err
    assert told.count("discarding") == 1
    assert [told.count(f"skipping the incomplete checkpoint {checkpoints / name}") for name in
            ("checkpoint-11", "checkpoint-10")] == [1, 1]  # fmt: skip
    (checkpoints / "checkpoint-11/part-3").write_bytes(b"x" * 3)
    found = on_all(processes, lambda engine: find_resume(checkpoints, engine, CONSOLE), monkeypatch)
    assert found == [checkpoints / "checkpoint-11"] * processes


def test_a_file_that_cannot_be_read_makes_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(written(tmp_path, 3), CPU)
    known = module.sha256_of_file

    def broken(path: Path) -> str:
        if path.name == "weights":
            raise OSError("Input/output error")
        return known(path)

    monkeypatch.setattr(module, "sha256_of_file", broken)
    assert not is_complete(tmp_path / "checkpoint-3", CPU)
    with pytest.raises(UserError, match="cannot be read: weights"):
        commit(written(tmp_path, 4), CPU)
    assert not (tmp_path / "checkpoint-4").exists()


def test_without_an_interval_writing_takes_three_percent_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    clock = CheckpointClock(CPU, CONSOLE, None, stuck_seconds=600)
    written, waits = 0.0, []
    with clock.watched():
        clock.begin()
        for seconds in (6.0, 60.0, 12.0, 12.0):
            begun = now[0]
            while not clock.due():
                now[0] += 1
            waits.append(now[0] - begun)
            now[0] += seconds
            written += seconds
            clock.saved()
    assert waits == [FIRST_SECONDS + 1, 201, 2001, 401]
    assert written / now[0] < 0.03
