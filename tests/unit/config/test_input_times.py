"""Local inputs with a time in the future are refused before anything runs."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration, merge
from common.config.local_files import local_paths, refuse_unusable_paths


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A configuration all of whose inputs are local files that are there."""
    monkeypatch.chdir(tmp_path)
    demo = load_configuration(ROOT / "config.yaml", [], {})
    rows = {"kind": "files", "train": "train.jsonl", "eval": "eval.jsonl"}
    config = merge(demo, {
        "models": {"own": {"label": "M", "source": {"kind": "local", "path": "model"}}},
        "rl": {"actor": "own", "reward": "own"},
        "tasks": {"sst2": {"definition": "sst2.yaml", "source": rows}},
        "table3": {"models": ["own"], "tasks": ["sst2"]},
        "instructions": {part: {"kind": "file", "path": f"{part}.json"} for part in ("references", "comparisons")},
    })  # fmt: skip
    Path("model").mkdir()
    for name in ("model/config.json", *(local.path for local in local_paths(config) if str(local.path) != "model")):
        Path(name).touch()
    return config


def set_ahead(path: str, seconds: float) -> None:
    os.utime(path, (time.time() + seconds,) * 2)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("references.json", "instructions.references.path"),
        ("comparisons.json", "instructions.comparisons.path"),
        ("sst2.yaml", "tasks.sst2.definition"),
        ("train.jsonl", "tasks.sst2.source.train"),
        ("eval.jsonl", "tasks.sst2.source.eval"),
        ("model", "models.own.source.path"),
        ("model/config.json", "models.own.source.path"),
    ],
)
def test_a_file_of_a_future_time_is_named_with_its_key(config: dict[str, Any], path: str, key: str) -> None:
    refuse_unusable_paths(config)
    set_ahead(path, 10_800)
    with pytest.raises(UserError) as caught:
        refuse_unusable_paths(config)
    assert f"{key}: {path.split('/')[0]} (" in caught.value.what
    assert caught.value.what.count("\n") == 1
    assert "`touch`" in caught.value.remedy


def test_all_such_files_are_named_even_where_their_results_are_there(config: dict[str, Any]) -> None:
    made = Path("results", config["preset"], "data/instructions.parquet")
    made.parent.mkdir(parents=True)
    made.touch()
    for path in ("references.json", "eval.jsonl"):
        set_ahead(path, 60)
    with pytest.raises(UserError) as caught:
        refuse_unusable_paths(config)
    assert [line.split(":")[0].strip() for line in caught.value.what.splitlines()[1:]] == [
        "tasks.sst2.source.eval", "instructions.references.path",
    ]  # fmt: skip


def test_the_target_of_a_link_counts(config: dict[str, Any]) -> None:
    Path("share.jsonl").touch()
    Path("eval.jsonl").unlink()
    Path("eval.jsonl").symlink_to("share.jsonl")
    set_ahead("share.jsonl", 60)
    with pytest.raises(UserError, match="tasks.sst2.source.eval"):
        refuse_unusable_paths(config)


def test_what_clocks_differ_by_and_the_past_are_allowed(config: dict[str, Any]) -> None:
    set_ahead("references.json", 1)
    set_ahead("eval.jsonl", -1e9)
    refuse_unusable_paths(config)
