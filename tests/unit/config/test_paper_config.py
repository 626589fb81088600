"""The paper preset holds the paper's numbers."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.settings import draws, evaluation_settings, ppo_settings, training_settings

TABLE_1 = {
    "epochs": 5, "learning_rate": 1e-5, "global_batch_size": 128, "schedule": "cosine", "warmup_ratio": 0.03,
    "max_grad_norm": 1,
}  # fmt: skip


MODELS = ("llama-7b", "llama-13b")


METHODS = ("pretrained", "sft", "coh")


TASKS = ("sst2", "csqa", "mnli", "copa")


RUNS = ("k0_seed0", *(f"k{k}_seed{seed}" for k in (1, 3) for seed in (1, 2, 3)))


@pytest.fixture(scope="module")
def paper() -> dict[str, Any]:
    return load_configuration(ROOT / "config/paper.yaml", [], {})


def values_of(config: Any, key: str) -> Iterator[Any]:
    """Every value under `key`, at any depth."""
    if isinstance(config, dict):
        for name, value in config.items():
            if name == key:
                yield value
            yield from values_of(value, key)


@pytest.mark.parametrize("method", ["sft", "coh"])
@pytest.mark.parametrize("model", MODELS)
def test_training_follows_table_1(paper: dict[str, Any], method: str, model: str) -> None:
    training = training_settings(paper, method, model)["training"]
    assert {key: training[key] for key in TABLE_1} == TABLE_1


@pytest.mark.parametrize(("method", "model"), [("rl_sft", "opt-6.7b"), ("reward", "opt-350m")])
def test_stages_1_and_2_follow_table_2(paper: dict[str, Any], method: str, model: str) -> None:
    published = {
        "rl_sft": {"epochs": 5, "learning_rate": 2e-5, "global_batch_size": 32, "max_grad_norm": 1},
        "reward": {"epochs": 1, "learning_rate": 5e-5, "global_batch_size": 16, "max_grad_norm": 1},
    }[method]
    training = training_settings(paper, method, model)["training"]
    assert {key: training[key] for key in published} == published


def test_stage_3_follows_table_2(paper: dict[str, Any]) -> None:
    published = {
        "epochs": 1, "actor_learning_rate": 9e-6, "critic_learning_rate": 1e-5, "global_batch_size": 8,
        "max_grad_norm": 1, "kl_beta": 0.02, "clip_reward": 5, "clip_range": 0.2, "gamma": 1, "lambda": 0.95,
    }  # fmt: skip
    block = ppo_settings(paper, "opt-6.7b")["ppo"]
    assert {key: block[key] for key in published} == published
    assert paper["rl"] == {"actor": "opt-6.7b", "reward": "opt-350m", "reward_models": {}}


def test_batch_of_128_fits_eight_gpus(paper: dict[str, Any]) -> None:
    assert paper["compute"]["gpus"] == 8
    for method in ("sft", "coh"):
        assert 128 % (8 * paper["methods"][method]["training"]["per_device_batch_size"]) == 0


def test_prompts_are_split_as_in_section_3(paper: dict[str, Any]) -> None:
    splits = paper["splits"]
    assert splits["prompts"] == 52_000
    assert splits["rl_sft"] == 10_000
    assert splits["rl_reward"] == 10_000
    assert splits["rl_prompts"] == 30_000
    assert splits["heldout"] == 2_000
    assert splits["fine_tune_on_heldout"] is True


def test_table_3_has_the_papers_rows_and_columns(paper: dict[str, Any]) -> None:
    assert tuple(paper["table3"]["models"]) == MODELS
    assert set(METHODS) <= set(paper["table3"]["methods"])
    assert tuple(paper["table3"]["tasks"]) == TASKS
    repositories = [paper["models"][name]["source"]["repository"] for name in MODELS]
    assert [name.split("/")[1] for name in repositories] == ["llama-7b", "llama-13b"]


def test_tasks_are_asked_as_in_section_5(paper: dict[str, Any]) -> None:
    assert paper["evaluation"]["shots"] == [0, 1, 3]
    assert len(set(paper["evaluation"]["seeds"])) == 3
    assert paper["evaluation"]["items"] is None
    assert {f"k{k}_seed{seed}" for k, seed in draws(paper)} == set(RUNS)


@pytest.mark.parametrize(
    ("method", "marker"), [("pretrained", "Response:"), ("sft", "Response:"), ("coh", "better response:")]
)
def test_methods_are_asked_with_their_marker(paper: dict[str, Any], method: str, marker: str) -> None:
    assert evaluation_settings(paper, "llama-7b", method)["marker"] == marker


def test_coh_is_asked_with_the_marker_it_was_trained_on(paper: dict[str, Any]) -> None:
    trained = training_settings(paper, "coh", "llama-7b")["prompt"]["markers"]["better"]
    assert evaluation_settings(paper, "llama-7b", "coh")["marker"] == trained == "better response:"


def test_revisions_are_full_hashes(paper: dict[str, Any]) -> None:
    revisions = list(values_of(paper, "revision"))
    assert len(revisions) == len(set(revisions)) == 8
    assert [revision for revision in revisions if not re.fullmatch(r"[0-9a-f]{40}", revision)] == []
