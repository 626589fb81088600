"""What a run consists of: checkpoints, in an order in which each can be trained, and what is refused."""

from typing import Any

import pytest

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.methods import METHODS
from common.config.selection import checkpoints, evaluated, reward_models, sampled, starts_of, table5_rows, used_models

SMOKE = ROOT / "config/smoke.yaml"
ALL = ["pretrained", "sft", "sft_best", "coh", "dpo", "rl_sft", "ppo"]
TRAINING = {"epochs": 1, "learning_rate": 1.0e-3, "global_batch_size": 8, "per_device_batch_size": 4,
            "schedule": "cosine", "warmup_ratio": 0.03, "max_grad_norm": 1, "max_length": 64}  # fmt: skip


def smoke(**overlay: Any) -> dict[str, Any]:
    return load_configuration(ROOT / "config.yaml", [SMOKE], overlay)


def test_every_checkpoint_stands_after_those_it_starts_from() -> None:
    config = smoke(
        table5={"methods": ALL, "models": None}, methods={name: {"training": TRAINING} for name in ("sft_best", "dpo")}
    )
    found = checkpoints(config)
    assert len(set(found)) == len(found)
    for place, pair in enumerate(found):
        assert all(start in found[:place] for start in starts_of(config, *pair)), pair
    assert {("tiny-opt-actor", method) for method in ALL} <= {*found}
    assert ("tiny-opt", "reward") in found
    assert ("tiny-opt-actor", "reward") not in found


def test_each_actor_has_its_own_reward_model() -> None:
    config = smoke(rl={"reward_models": {"tiny-llama": "tiny-llama"}}, table5={"models": ["tiny-opt", "tiny-llama"]})
    assert reward_models(config) == {"tiny-opt-actor": "tiny-opt", "tiny-opt": "tiny-opt", "tiny-llama": "tiny-llama"}
    assert starts_of(config, "tiny-llama", "ppo") == [("tiny-llama", "rl_sft"), ("tiny-llama", "reward")]
    assert starts_of(config, "tiny-opt-actor", "ppo") == [("tiny-opt-actor", "rl_sft"), ("tiny-opt", "reward")]
    assert {"tiny-llama/ppo", "tiny-llama/reward"} <= {"/".join(pair) for pair in checkpoints(config)}


def test_table_5_is_of_the_papers_actor_unless_models_are_named_and_of_none_without_methods() -> None:
    assert {model for model, _ in table5_rows(smoke(table5={"models": None}))} == {"tiny-opt-actor"}
    without = smoke(table5={"methods": []})
    assert table5_rows(without) == []
    assert {*sampled(without)} == {("tiny-opt-actor", "rl_sft"), ("tiny-opt-actor", "ppo")}
    assert {model for model, _ in evaluated(without)} == {"tiny-llama", "tiny-opt"}
    assert used_models(without) == ["tiny-llama", "tiny-opt", "tiny-opt-actor"]


def test_the_stages_of_the_rl_arm_may_be_rows_of_table_3() -> None:
    config = smoke(table3={"models": ["tiny-opt"], "methods": ["pretrained", "rl_sft", "ppo"]}, table5={"methods": []})
    assert [method for _, method in evaluated(config)] == ["pretrained", "rl_sft", "ppo"]
    assert METHODS["ppo"].starts_from == ("rl_sft", "reward")


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        ({"table3": {"methods": ["sft", "ppo"]}}, "rl.reward_models: `tiny-llama` has none"),
        ({"table5": {"models": ["tiny-llama"]}}, "rl.reward_models: `tiny-llama` has none"),
        ({"table5": {"methods": ["coh", "ppo"]}}, "table5.methods: `sft` is missing"),
        ({"table5": {"methods": ["sft", "dpo"]}}, "methods.dpo: missing, though a table selects it"),
        ({"table5": {"models": ["tiny-lama"]}}, "did you mean `tiny-llama`?"),
        ({"rl": {"reward_models": {"tiny-opt": "tiny-optt"}}}, "did you mean `tiny-opt`?"),
        ({"rl": {"reward_models": {"tiny-opt-actor": "tiny-opt-actor"}}}, "has another reward model in `rl.reward`"),
    ],
)
def test_selections_that_do_not_fit_each_other_are_refused_before_anything_runs(
    overlay: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError) as caught:
        smoke(**overlay)
    assert told in str(caught.value)
