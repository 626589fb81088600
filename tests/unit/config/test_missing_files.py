"""Files that a configuration names and that are not there, each told with its key unless its result is."""

from pathlib import Path
from typing import Any

import pytest

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import check_configuration, merge
from common.config.local_files import local_paths, refuse_unusable_paths


def with_paths(demo: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose models, task and instructions are local files that do not exist."""
    model = {"label": "M", "source": {"kind": "local", "path": "my/model"}}
    rows = {"kind": "files", "train": "my/train.jsonl", "eval": "my/eval.jsonl"}
    over = {
        "preset": "mine",
        "models": {"own": model, "unused": model},
        "rl": {"actor": "own", "reward": "own"},
        "tasks": {"boolean": {"definition": "my/boolean.yaml", "source": rows}},
        "table3": {"models": ["own"], "tasks": ["boolean"]},
        "instructions": {"references": {"kind": "file", "path": "my/references.json"}},
    }
    return check_configuration(merge(demo, over))


def missing_paths(config: dict[str, Any]) -> list[str]:
    return [f"{local.key}: {local.path}" for local in local_paths(config) if local.is_missing()]


NAMED = [
    "models.own.source.path: my/model",
    "tasks.boolean.definition: my/boolean.yaml",
    "tasks.boolean.source.train: my/train.jsonl",
    "tasks.boolean.source.eval: my/eval.jsonl",
    "instructions.references.path: my/references.json",
]


def test_missing_files_of_what_is_used_are_named_with_their_keys(
    demo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_paths(demo)
    monkeypatch.chdir(tmp_path)
    instructions = "instructions.comparisons.path: resources/demo/instructions/comparison_data_v2.json"
    assert missing_paths(config) == [*NAMED, instructions]
    with pytest.raises(UserError) as caught:
        refuse_unusable_paths(config)
    assert all(line in str(caught.value) for line in (*NAMED, "mine", str(tmp_path)))


def test_files_that_are_there_are_not_missing(
    demo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_paths(demo)
    (tmp_path / "my/model").mkdir(parents=True)
    for line in NAMED[1:]:
        (tmp_path / line.split(": ")[1]).touch()
    monkeypatch.chdir(tmp_path)
    assert [line.split(":")[0] for line in missing_paths(config)] == ["instructions.comparisons.path"]
    monkeypatch.chdir(ROOT)
    assert missing_paths(demo) == []
    refuse_unusable_paths(demo)


def test_files_whose_results_are_there_are_not_needed(
    demo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results/mine"
    for name in ("models/own/pretrained/config.json", "data/tasks/boolean/train.parquet",
                 "data/tasks/boolean/eval.parquet", "data/instructions.parquet"):  # fmt: skip
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).touch()
    monkeypatch.chdir(tmp_path)
    assert missing_paths(with_paths(demo)) == []


def test_a_file_where_a_model_should_be_is_missing(
    demo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "my/model").touch()
    monkeypatch.chdir(tmp_path)
    assert NAMED[0] in missing_paths(with_paths(demo))
