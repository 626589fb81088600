"""Checks of a machine, one by one."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.base.paths import ROOT
from common.planning import machine_checks
from common.planning.machine_checks import (
    GpuState,
    assigned,
    available_memory,
    check_compiler,
    check_disk,
    check_gpus,
    check_memory,
    check_versions,
    check_writing,
    existing_parent,
    read_pins,
    used_bytes,
)

A100 = GpuState("0", "GPU-aa00", "NVIDIA A100-SXM4-40GB", 42.4e9, 42.0e9, 8.0)


def test_a_ready_gpu_is_not_complained_about() -> None:
    assert check_gpus([A100], 1, 40e9, "12.8") == []
    assert check_gpus([], 0, 40e9, None) == []


@pytest.mark.parametrize(
    ("states", "cuda", "words", "blocks"),
    [
        ([], "12.8", "1 GPUs are requested, 0 are visible", True),
        ([A100], None, "built for CPUs", True),
        ([GpuState("0", "u", "A100", 42.4e9, 10e9, 8.0)], "12.8", "another process uses this GPU", True),
        ([GpuState("0", "u", "V100", 42.4e9, 42e9, 7.0)], "12.8", "no bf16", False),
    ],
)
def test_each_lack_of_a_gpu_is_told(states: list[GpuState], cuda: str | None, words: str, blocks: bool) -> None:
    found = check_gpus(states, 1, 40e9, cuda)
    assert [finding.blocks for finding in found] == [blocks]
    assert words in found[0].what
    assert found[0].remedy in str(found[0])


def test_a_lack_of_what_triton_compiles_with_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    compiler, headers = check_compiler(tmp_path)
    assert "no C compiler" in compiler.what
    assert str(tmp_path / "Python.h") in str(headers)
    (tmp_path / "my-compiler").touch(mode=0o755)
    (tmp_path / "Python.h").touch()
    assert [finding.what for finding in check_compiler(tmp_path)] == [compiler.what]
    monkeypatch.setenv("CC", "my-compiler")
    assert check_compiler(tmp_path) == []


@given(st.sets(st.integers(0, 15), min_size=1), st.lists(st.integers(0, 20), unique=True))
def test_assigned_gpus_are_those_named_by_index_or_uuid(there: set[int], named: list[int]) -> None:
    states = [GpuState(str(i), f"GPU-{i:02d}-f", "A100", 1.0, 1.0, 8.0) for i in sorted(there)]
    expected = [str(i) for i in sorted(there & set(named))]
    assert [state.index for state in assigned(states, [str(i) for i in named])] == expected
    assert [state.index for state in assigned(states, [f"GPU-{i:02d}" for i in named])] == expected
    assert assigned(states, None) == states


def test_available_memory_is_limited_by_the_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = tmp_path / "meminfo"
    monkeypatch.setattr(machine_checks, "MEMINFO", meminfo)
    monkeypatch.setattr(machine_checks, "CGROUP", tmp_path)
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:  8000 kB\n")
    assert available_memory() == 8000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert available_memory() == 8000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    assert available_memory() == 2_000_000


def test_memory_that_suffices_is_not_told() -> None:
    assert check_memory(10.0, 10.0, "train_ppo m") == []
    assert "train_ppo m" in str(check_memory(9e9, 10e9, "train_ppo m")[0])


def test_what_is_there_already_is_not_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/weights").write_bytes(b"x" * 10_000)
    assert used_bytes(tmp_path) == 10_000
    free = shutil.disk_usage(tmp_path).free
    assert check_disk(tmp_path / "not/yet", free / 2) == []
    assert existing_parent(tmp_path / "not/yet") == tmp_path
    found = check_disk(tmp_path, free * 2 + 1e12)
    assert "more are needed" in found[0].what


def test_folders_are_written_and_locked(tmp_path: Path) -> None:
    assert check_writing([tmp_path / "a/b"]) == []
    assert list((tmp_path / "a/b").iterdir()) == []
    (tmp_path / "file").write_text("")
    found = check_writing([tmp_path / "file/below", tmp_path])
    assert len(found) == 1
    assert os.strerror(errno.ENOTDIR) in found[0].what


def test_versions_are_compared_with_the_lock_file() -> None:
    pins = read_pins(ROOT / "requirements.lock", ROOT / "envs/train.yaml")
    assert {"torch", "transformers", "trl", "deepspeed"} <= pins.keys()
    assert check_versions(pins) == []
    found = check_versions({**pins, "torch": "1.0.0", "no-such-package": "1"})
    assert [finding.what.split()[0] for finding in found] == ["torch", "no-such-package"]
    assert "1.0.0 was tested" in found[0].what
