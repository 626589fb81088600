"""What is shared of a run, and what its model cards say of the configuration."""

from pathlib import Path
from typing import Any

import pytest

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import check_configuration, load_configuration, merge
from common.config.methods import learnt_files
from common.config.selection import checkpoints
from common.config.settings import prepare_model_settings, training_settings
from common.config.sharing import card_settings, shared_checkpoints
from common.config.sources import fetched

BASE = ROOT / "config.yaml"
MODEL = "smollm2-135m"
PRESETS = ("demo-full", "smoke", "paper", "single-gpu")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_source_of_ours_says_its_licence(preset: str) -> None:
    config = load_configuration(BASE, [ROOT / f"config/{preset}.yaml"], {})
    sources = [config["instructions"][part] for part in ("references", "comparisons")]
    sources += [model["source"] for model in config["models"].values() if model["source"]["kind"] != "random"]
    assert [source for source in sources if "license" not in source] == []


def test_a_licence_is_neither_fetched_nor_trained(demo: dict[str, Any]) -> None:
    told = {"license": {"id": "mit"}, "origin": "somebody/else"}
    changed = merge(demo, {"models": {MODEL: {"source": told}},
                           "instructions": {"references": {"license": {"id": "mit"}, "language": "ko"}}})  # fmt: skip
    assert check_configuration(changed) != demo
    assert prepare_model_settings(changed, MODEL) == prepare_model_settings(demo, MODEL)
    assert training_settings(changed, "sft", MODEL) == training_settings(demo, "sft", MODEL)
    references = [config["instructions"]["references"] for config in (demo, changed)]
    assert fetched(references[0]) == fetched(references[1]) == {"kind": "file", "path": references[0]["path"]}
    assert card_settings(changed, MODEL, "sft") != card_settings(demo, MODEL, "sft")


def test_a_source_of_ones_own_inherits_no_licence(demo: dict[str, Any]) -> None:
    own = {"kind": "file", "path": "my/pairs.json"}
    config = merge(demo, {"models": {MODEL: {"source": {"kind": "local", "path": "my/model"}}},
                          "instructions": {"comparisons": own}})  # fmt: skip
    settings = card_settings(config, MODEL, "coh")
    assert settings["data"] == {"comparisons": own}
    assert settings["model"]["source"] == {"kind": "local", "path": "my/model"}


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        ({"id": "Apache 2.0"}, "license.id: 'Apache 2.0' does not match"),
        ({"id": "other"}, "license: 'name' is a required property"),
        ({"id": "other", "name": "own", "link": "ftp://x"}, "license.link"),
        ({"name": "own"}, "license: 'id' is a required property"),
        ({"id": "mit", "lnik": "https://x"}, "license.lnik: unknown key; did you mean `link`?"),
    ],
)
def test_a_licence_that_the_hub_would_refuse_is_refused(
    demo: dict[str, Any], licence: dict[str, str], told: str
) -> None:
    source = {"kind": "local", "path": "x", "license": licence}
    with pytest.raises(UserError) as caught:
        check_configuration(merge(demo, {"models": {MODEL: {"source": source}}}))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("method", "files"),
    [
        ("sft", {"references"}), ("rl_sft", {"references"}), ("coh", {"comparisons"}), ("sft_best", {"comparisons"}),
        ("reward", {"comparisons"}), ("dpo", {"references", "comparisons"}), ("ppo", {"references", "comparisons"}),
        ("pretrained", set()),
    ],
)  # fmt: skip
def test_a_method_learns_from_its_own_files_and_from_those_of_its_start(method: str, files: set[str]) -> None:
    assert set(learnt_files(method)) == files


def test_scores_are_asked_of_evaluated_checkpoints_alone(demo: dict[str, Any]) -> None:
    assert [source["task"] for source in card_settings(demo, MODEL, "coh")["tasks"]] == demo["table3"]["tasks"]
    assert card_settings(demo, MODEL, "coh")["draws"] == [(0, 0), (1, 1), (1, 2), (3, 1), (3, 2)]
    for method in ("rl_sft", "reward"):
        settings = card_settings(demo, MODEL, method)
        assert (settings["tasks"], settings["draws"]) == ([], [])


def test_each_method_is_asked_with_its_marker(demo: dict[str, Any]) -> None:
    markers = {method: card_settings(demo, MODEL, method)["marker"] for method in ("sft", "coh", "ppo", "reward")}
    assert markers == {"sft": "Response:", "coh": "better response:", "ppo": "Response:", "reward": "Response:"}


def test_a_checkpoint_is_shared_unless_it_came_without_weights(demo: dict[str, Any], tmp_path: Path) -> None:
    trained = [pair for pair in checkpoints(demo) if pair[1] != "pretrained"]
    assert shared_checkpoints(demo, tmp_path) == trained
    for name in ("sft/run.json", "coh/run.json", "coh/model-00001-of-00002.safetensors"):
        file = tmp_path / "models" / MODEL / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert shared_checkpoints(demo, tmp_path) == [pair for pair in trained if pair != (MODEL, "sft")]
