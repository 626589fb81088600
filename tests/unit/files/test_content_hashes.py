"""Hashes by content that are remembered as long as a file is not touched."""

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from common.files import content_hashes as module
from common.files.content_hashes import content_hashes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "checkpoint-5").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_bytes(b"{}")
    (folder / ".gitattributes").write_bytes(b"hidden")
    return folder


@pytest.fixture
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where hashes are remembered, of files however young."""
    monkeypatch.setattr(module, "SETTLED_SECONDS", -1.0)
    return tmp_path / "state" / "hashes.json"


def test_every_file_counts_by_its_content(model: Path, remembered: Path) -> None:
    expected = {name: sha256((model / name).read_bytes()).hexdigest() for name in ("config.json", "model.safetensors")}
    assert content_hashes(model, remembered) == expected
    assert content_hashes(model, remembered) == expected
    copy = shutil.copytree(model, model.parent / "copy")
    assert content_hashes(copy, remembered) == expected


def test_a_file_that_was_not_touched_is_not_read_again(model: Path, remembered: Path) -> None:
    content_hashes(model, remembered)
    known = json.loads(remembered.read_text())
    for state in known.values():
        state[-1] = "as remembered"
    remembered.write_text(json.dumps(known))
    assert set(content_hashes(model, remembered).values()) == {"as remembered"}


def test_a_file_written_over_is_noticed_whatever_its_size_and_time_say(model: Path, remembered: Path) -> None:
    before, file = content_hashes(model, remembered), model / "model.safetensors"
    times = file.stat()
    with open(file, "r+b") as stream:
        stream.write(b"WEIGHTS")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = content_hashes(model, remembered)
    assert after["model.safetensors"] == sha256(b"WEIGHTS").hexdigest() != before["model.safetensors"]
    assert after["config.json"] == before["config.json"]


def test_a_file_written_just_now_is_not_remembered(model: Path, tmp_path: Path) -> None:
    remembered = tmp_path / "hashes.json"
    content_hashes(model, remembered)
    assert not remembered.exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 5}', "\0"])
def test_a_damaged_memory_is_as_none(model: Path, remembered: Path, content: str) -> None:
    expected = content_hashes(model, remembered)
    remembered.write_text(content)
    assert content_hashes(model, remembered) == expected


def test_what_is_gone_is_forgotten_and_no_directory_has_no_files(model: Path, remembered: Path) -> None:
    content_hashes(model, remembered)
    (model / "config.json").unlink()
    (model / "model.safetensors").write_bytes(b"other")
    content_hashes(model, remembered)
    assert [Path(path).name for path in json.loads(remembered.read_text())] == ["model.safetensors"]
    assert content_hashes(model / "nowhere", remembered) == {}


def test_hashes_are_told_where_nothing_can_be_remembered(model: Path, remembered: Path) -> None:
    remembered.parent.write_text("a file in the way")
    assert len(content_hashes(model, remembered)) == 2
