"""What people compare: pairs that cannot be are refused, and what the others need is part of the run."""

from typing import Any

import pytest
import yaml

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import check_configuration, load_configuration
from common.config.local_files import local_paths
from common.config.machine_settings import machine_settings
from common.config.selection import checkpoints, rated_checkpoints, rating_pairs, used_models
from common.config.settings import human_eval_settings, human_eval_table_settings, run_settings

MODEL = "smollm2-135m"
STAGES = {"model": MODEL, "first": "rl_sft", "second": "ppo"}
OTHER = {"label": "Other", "source": {"kind": "local", "path": "my/model"}}


def with_pairs(*pairs: dict[str, str], **further: Any) -> dict[str, Any]:
    """The demo with pairs to compare, and a model `other` that no table selects."""
    overlay = {
        "human_eval": {"pairs": list(pairs)}, "models": {"other": OTHER}, "rl": {"reward_models": {"other": MODEL}},
        "table5": {"methods": []}, **further,
    }  # fmt: skip
    return load_configuration(ROOT / "config.yaml", [], overlay)


def pair(first: str, second: str, model: str = MODEL) -> dict[str, str]:
    return {"model": model, "first": first, "second": second}


@pytest.mark.parametrize("preset", [[], ["smoke"], ["single-gpu"], ["paper"]])
def test_the_papers_stages_are_compared_by_default(preset: list[str]) -> None:
    config = load_configuration(ROOT / "config.yaml", [ROOT / f"config/{name}.yaml" for name in preset], {})
    actor = config["rl"]["actor"]
    assert rating_pairs(config) == [(actor, "rl_sft", "ppo")]
    assert human_eval_settings(config)["pairs"] == [{"model": actor, "first": "rl_sft", "second": "ppo"}]
    assert rated_checkpoints(config) == [(actor, "rl_sft"), (actor, "ppo")]
    labels = {actor: config["models"][actor]["label"]}
    assert human_eval_table_settings(config) == {"actor": actor, "labels": labels}


def test_number_of_prompts_defaults_to_the_papers_ten() -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config.pop("human_eval", None)
    assert human_eval_settings(check_configuration(config)) == {"seed": 2023, "examples": 10, "pairs": [STAGES]}
    paper = load_configuration(ROOT / "config/paper.yaml", [], {})
    assert paper["human_eval"]["examples"] == 10


def test_pairs_replace_the_default_and_keep_their_order() -> None:
    pairs = [pair("sft", "coh"), pair("coh", "rl_sft"), pair("sft", "coh", "other")]
    assert human_eval_settings(with_pairs(*pairs))["pairs"] == pairs
    assert rated_checkpoints(with_pairs(*pairs)) == [
        (MODEL, "sft"), (MODEL, "coh"), (MODEL, "rl_sft"), ("other", "sft"), ("other", "coh"),
    ]  # fmt: skip


def test_the_papers_stages_come_first_and_in_its_order() -> None:
    mixed = [pair("sft", "coh"), pair("ppo", "rl_sft"), pair("coh", "ppo")]
    assert rating_pairs(with_pairs(*mixed)) == [(MODEL, "rl_sft", "ppo"), (MODEL, "sft", "coh"), (MODEL, "coh", "ppo")]
    assert rating_pairs(with_pairs(pair("ppo", "rl_sft", "other"))) == [("other", "ppo", "rl_sft")]


def test_what_is_compared_is_trained_with_what_it_starts_from() -> None:
    dpo = {"training": yaml.safe_load((ROOT / "config.yaml").read_text())["methods"]["sft"]["training"]}
    before, config = with_pairs(), with_pairs(pair("dpo", "ppo", "other"), methods={"dpo": dpo})
    assert checkpoints(config) == [
        *checkpoints(before),
        *(("other", method) for method in ("pretrained", "sft", "dpo", "rl_sft", "ppo")),
    ]
    assert used_models(config) == [*used_models(before), "other"]
    assert "other/dpo" in run_settings(config)["checkpoints"]
    for used in (run_settings(config)["models"], machine_settings(config)["config"]["models"]):
        assert used["other"] == config["models"]["other"]
    assert "models.other.source.path" in {path.key for path in local_paths(config)}
    assert "models.other.source.path" not in {path.key for path in local_paths(before)}


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([pair("sft", "coh", "smolm2-135m")],
         "human_eval.pairs[0].model: `smolm2-135m` is not in `models`; did you mean `smollm2-135m`?"),
        ([STAGES, pair("coh", "coh")], "human_eval.pairs[1]: `coh` is compared with itself"),
        ([pair("sft", "dpo")], "methods.dpo: missing, though human_eval.pairs[0] selects it"),
        ([pair("sft", "reward")], "human_eval.pairs[0].second: 'reward' is not one of"),
        ([pair("stf", "coh")], "human_eval.pairs[0].first: 'stf' is not one of"),
        ([STAGES, pair("sft", "coh"), STAGES],
         "human_eval.pairs[2]: smollm2-135m, rl_sft and ppo are compared in human_eval.pairs[0] already"),
        ([pair("sft", "coh"), pair("coh", "sft")],
         "human_eval.pairs[1]: smollm2-135m, coh and sft are compared in human_eval.pairs[0] already"),
        ([{"model": MODEL, "first": "sft"}], "human_eval.pairs[0]: 'second' is a required property"),
        ([{**STAGES, "secnd": "coh"}], "human_eval.pairs[0].secnd: unknown key; did you mean `second`?"),
    ],
)  # fmt: skip
def test_pairs_that_cannot_be_compared_are_refused_by_their_keys(pairs: list[dict[str, str]], told: str) -> None:
    with pytest.raises(UserError) as refused:
        with_pairs(*pairs)
    assert told in str(refused.value)


def test_more_examples_than_held_out_prompts_are_refused_before_anything_runs() -> None:
    changed = {"human_eval": {"examples": 25}, "splits": {"heldout": 24}}
    with pytest.raises(UserError, match=r"human_eval.examples: 25 exceeds splits.heldout = 24"):
        load_configuration(ROOT / "config.yaml", [], changed)
