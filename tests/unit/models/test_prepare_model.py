"""`prepare_model` as a job: what it stores of a model that is asked slowly, and how it refuses one."""

import json
from pathlib import Path

import pytest
import torch

import prepare_model
from common.base.errors import UserError
from common.files.content_hashes import content_hashes
from common.models.loading import load_model, load_tokenizer
from common.models.reward_model import load_reward_model
from common.models.ways import CONFIG_KEY, GENERATE, SHARED_PREFIX, way_of
from support.architectures import build


def prepare(model: Path, output: Path, **settings: object) -> int:
    values = json.dumps({"source": {"kind": "local", "path": str(model)}, **settings})
    return prepare_model.main(["--settings", values, "--files", str(model), "--output", str(output)])


def store(name: str, folder: Path, tokenizer: Path) -> Path:
    """A model of an architecture with the tokenizer of another."""
    words = load_tokenizer(tokenizer)
    build(name, vocab_size=len(words)).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("name", "way"), [("mamba", GENERATE), ("phi", SHARED_PREFIX)])
def test_the_way_a_model_is_asked_is_stored_with_it(
    name: str, way: str, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    source, output = store(name, tmp_path / "source", model_folders["llama"]), tmp_path / "prepared"
    assert prepare(source, output, files=content_hashes(source)) == 0
    record = json.loads((output / "run.json").read_text())
    assert record["check"]["way"] == way
    assert record["check"]["difference"] < 1e-3
    assert json.loads((output / "config.json").read_text()).get(CONFIG_KEY, SHARED_PREFIX) == way
    assert way_of(output, 100) == way
    first, second = (load_model(folder, torch.float32).state_dict() for folder in (source, output))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", ["bert", "xlstm"])
def test_what_cannot_be_trained_or_asked_is_refused_and_leaves_nothing(
    name: str, model_folders: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = store(name, tmp_path / "source", model_folders["llama"])
    assert prepare(source, tmp_path / "prepared") == 2
    error = capfd.readouterr().err
    assert "what to do: choose a" in error
    assert str(source) in error
    assert not (tmp_path / "prepared").exists()


def test_files_that_changed_after_the_planning_are_refused(
    model_folders: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = store("llama", tmp_path / "source", model_folders["llama"])
    assert prepare(source, tmp_path / "prepared", files={"config.json": "0" * 64}) == 2
    assert "changed after the run was planned" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["apertus", "ctrl"])
def test_an_architecture_without_a_reward_model_is_told(
    name: str, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    source = store(name, tmp_path, model_folders["llama"])
    with pytest.raises(UserError, match=rf"makes no reward model of this architecture \({name}\)"):
        load_reward_model(source, torch.float32)
