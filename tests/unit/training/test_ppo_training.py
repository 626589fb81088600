"""The loop of PPO: a step by hand, what it learns, what stops it, and resuming from a damaged checkpoint."""

import collections
import copy
import dataclasses
import math
import os
import random
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    set_seed,
)
from trl.trainer.utils import add_fused_lm_head

from common.base.errors import Resumable, UserError
from common.jobs.console import Console
from common.models.decoding import Decoding
from common.models.generation import Generator
from common.models.loading import load_tokenizer
from common.models.shared_prefix import IMPLEMENTATION, SequencesPass
from common.models.ways import CONFIG_KEY, GENERATE, SHARED_PREFIX
from common.training.engine import Engine
from common.training.ppo.learners import Learner, Optimization, TorchLearner, build_learner
from common.training.ppo.loop import prompt_batches, run_ppo
from common.training.ppo.metrics import check_health
from common.training.ppo.rollouts import Episode, Prompt, sample_episodes
from common.training.ppo.trainer import PPOModels, PPOTrainer
from support.ppo_settings import PPO, TIMES

CPU = Engine("cpu", torch.float32, False, 1, 0)
WORDS, EOS = 32, 2


def tiny_config(seed: int, **further: Any) -> LlamaConfig:
    set_seed(seed)
    return LlamaConfig(
        vocab_size=WORDS, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2, bos_token_id=1, eos_token_id=EOS,
        pad_token_id=0, **further,
    )  # fmt: skip


def tiny_policy(seed: int) -> PreTrainedModel:
    model = LlamaForCausalLM(tiny_config(seed)).eval()
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    return model


def tiny_scorer(seed: int) -> PreTrainedModel:
    return AutoModelForSequenceClassification.from_config(tiny_config(seed, num_labels=1)).eval()


class ShareOfToken(torch.nn.Module):
    """A reward model that scores how much of a sequence so far is one token."""

    def __init__(self, token: int):
        super().__init__()
        self.token, self.score, self.config = token, torch.nn.Identity(), tiny_config(0)

    def set_attn_implementation(self, name: str) -> None:
        """It has no attention."""

    def forward(
        self, input_ids: torch.Tensor, position_ids: torch.Tensor, attention_pass: SequencesPass, use_cache: bool
    ) -> torch.Tensor:
        wanted = [part.cumsum(dim=1) for part in (input_ids == self.token).split(list(attention_pass.lengths), dim=1)]
        return self.score((torch.cat(wanted, dim=1) / (position_ids + 1))[..., None])


def optimization(settings: dict[str, Any], role: str, steps: int) -> Optimization:
    size, per_device = settings["global_batch_size"], settings["per_device_batch_size"]
    return Optimization(
        learning_rate=settings[f"{role}_learning_rate"],
        schedule=settings["schedule"],
        warmup_steps=0,
        steps=steps,
        betas=tuple(settings["betas"]),
        max_grad_norm=settings["max_grad_norm"],
        per_device=per_device,
        accumulation=size // per_device,
        offload="none",
        gradient_checkpointing=False,
    )


def make_models(settings: dict[str, Any], seed: int, steps: int, reward: torch.nn.Module | None = None) -> PPOModels:
    def learner(model: PreTrainedModel, role: str, trained: bool) -> Learner:
        return build_learner(lambda dtype: model.to(dtype), CPU, optimization(settings, role, steps), trained)

    critic = tiny_scorer(seed + 1)
    return PPOModels(
        actor=learner(tiny_policy(seed), "actor", True),
        critic=learner(critic, "critic", True),
        reference=learner(tiny_policy(seed), "actor", False),
        reward=TorchLearner(reward or copy.deepcopy(critic), None, "cpu"),
    )


def make_prompts(count: int, seed: int = 0) -> list[Prompt]:
    """Prompts of several lengths without the special tokens and without the highest one."""
    rng = random.Random(seed)
    return [Prompt(f"p{i}", [1, *rng.choices(range(3, WORDS - 1), k=rng.randint(1, 6))]) for i in range(count)]


@pytest.fixture(scope="module")
def tokenizer(model_folders: dict[str, Path]):
    """Only EOS (2) and padding (0) are used of it in this process."""
    return load_tokenizer(model_folders["llama"])


def make_trainer(tokenizer, seed: int = 0, steps: int = 100, reward: torch.nn.Module | None = None, **options: Any):
    settings = {**PPO, **options}
    return PPOTrainer(make_models(settings, seed, steps, reward), settings, tokenizer, CPU, seed)


# --- One step, by hand ---


def copy_of_actor(trainer: PPOTrainer) -> PreTrainedModel:
    """With a fused head of its own: that of a deep copy would still answer for the original."""
    model = tiny_policy(0)
    model.load_state_dict(trainer.models.actor.model.state_dict())
    return model


def reference_logprobs(model: PreTrainedModel, episode: Episode) -> torch.Tensor:
    rows = model(torch.tensor([episode.tokens])).logits[0].log_softmax(-1)
    start = len(episode.prompt)
    return torch.stack([rows[start + t - 1, token] for t, token in enumerate(episode.response)])


def reference_scores(model: PreTrainedModel, episode: Episode) -> torch.Tensor:
    hidden = model.model(input_ids=torch.tensor([episode.tokens])).last_hidden_state[0]
    return (hidden @ model.score.weight.T)[:, 0]


def reference_advantages(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    value = [*values, 0.0]
    delta = [reward + gamma * value[t + 1] - value[t] for t, reward in enumerate(rewards)]
    return [sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, len(delta))) for t in range(len(delta))]


def reference_step(trainer: PPOTrainer, episodes: list[Episode], updates: int, rates: list[float]) -> dict[str, Any]:
    """Actor, critic and metrics after a step on these episodes, one at a time and straight from the definitions."""
    block, count = trainer.settings, len(episodes)
    actor, critic = copy_of_actor(trainer), copy.deepcopy(trainer.models.critic.model)
    frozen, reward_model = trainer.models.reference.model, trainer.models.reward.model
    models = {"actor": actor, "critic": critic}
    optimizers = {
        name: torch.optim.AdamW(model.parameters(), lr=0.0, betas=block["betas"], weight_decay=0.0)
        for name, model in models.items()
    }
    tokens = sum(len(episode.response) for episode in episodes)
    found: dict[str, float] = collections.defaultdict(float)
    kept: list[dict[str, Any]] = []
    noise = {name: {key: torch.zeros_like(p) for key, p in model.named_parameters()} for name, model in models.items()}
    for episode in episodes:
        with torch.no_grad():
            logprobs, reference = reference_logprobs(actor, episode), reference_logprobs(frozen, episode)
            start = len(episode.prompt)
            values = reference_scores(critic, episode)[start - 1 : -1].tolist()
            score = float(reference_scores(reward_model, episode)[-1])
            rows = actor(torch.tensor([episode.tokens])).logits[0, start - 1 : -1].log_softmax(-1)
        clipped = min(block["clip_reward"], max(-block["clip_reward"], score))
        rewards = [-block["kl_beta"] * float(p - q) for p, q in zip(logprobs, reference, strict=True)]
        rewards[-1] += clipped
        advantages = reference_advantages(rewards, values, block["gamma"], block["lambda"])
        returns = [a + v for a, v in zip(advantages, values, strict=True)]
        kept.append({"logprobs": logprobs, "values": values, "advantages": advantages, "returns": returns})
        found["reward"] += score / count
        found["reward_clipped"] += clipped / count
        found["reward_at_limit"] += (abs(score) > block["clip_reward"]) / count
        found["kl_k1"] += float((logprobs - reference).sum()) / tokens
        found["kl_k3"] += float(((reference - logprobs).exp() - 1 - (reference - logprobs)).sum()) / tokens
        found["entropy"] -= float((rows.exp() * rows).sum()) / tokens
        found["value_error"] += sum(abs(v - r) for v, r in zip(values, returns, strict=True)) / tokens
    for rate in rates:
        losses = {"actor": torch.zeros(()), "critic": torch.zeros(())}
        for episode, old in zip(episodes, kept, strict=True):
            logprobs = reference_logprobs(actor, episode)
            values = reference_scores(critic, episode)[len(episode.prompt) - 1 : -1]
            for t in range(len(episode.response)):
                ratio, advantage = (logprobs[t] - old["logprobs"][t]).exp(), old["advantages"][t]
                near = ratio.clamp(1 - block["clip_range"], 1 + block["clip_range"])
                losses["actor"] = losses["actor"] - torch.min(ratio * advantage, near * advantage) / tokens
                found["policy_clipped"] += float(near * advantage < ratio * advantage) / tokens / updates
                span, value, goal = block["clip_range_value"], values[t], old["returns"][t]
                close = value.clamp(old["values"][t] - span, old["values"][t] + span)
                worse = torch.max((value - goal) ** 2, (close - goal) ** 2)
                losses["critic"] = losses["critic"] + 0.5 * worse / tokens
                found["value_clipped"] += float((close - goal) ** 2 > (value - goal) ** 2 + 1e-9) / tokens / updates
        for name, model in models.items():
            optimizers[name].zero_grad()
            losses[name].backward()
            found[f"{name}_grad_norm"] = float(
                torch.nn.utils.clip_grad_norm_(model.parameters(), block["max_grad_norm"])
            )
            for key, parameter in model.named_parameters():
                # AdamW turns a gradient of rounding noise into a whole step.
                noise[name][key] += (parameter.grad.abs() < 1e-6) & (parameter.grad != 0)
            optimizers[name].param_groups[0]["lr"] = rate * block[f"{name}_learning_rate"]
            optimizers[name].step()
        found["policy_loss"] += losses["actor"].item() / updates
        found["value_loss"] += losses["critic"].item() / updates
    return {"metrics": found, **models, "noise": noise}


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({}, SHARED_PREFIX),
        ({}, GENERATE),
        (
            {"updates_per_rollout": 3, "clip_range": 0.05, "clip_range_value": 0.01, "gamma": 0.9, "lambda": 0.7},
            SHARED_PREFIX,
        ),
        ({"kl_beta": 0.5, "clip_reward": 0.2, "stop_at_eos": False, "temperature": 0.7}, SHARED_PREFIX),
    ],
)
def test_steps_equal_a_slow_reference(tokenizer, options: dict[str, Any], way: str):
    """Five prompts in a global batch of eight, two at a time; the second step starts from a policy that moved.

    Sequences are read end to end, or padded where the model is not asked over a shared prefix.
    """
    options = {"global_batch_size": 8, "per_device_batch_size": 2, "schedule": "linear", **options}
    updates = options.get("updates_per_rollout", 1)
    # The actor's optimizer has a memory: a fresh one in the reference equals it at its first step alone.
    trainer = make_trainer(tokenizer, seed=1, steps=10 * updates, **options)
    setattr(trainer.models.actor.model.config, CONFIG_KEY, way)
    moved = tiny_policy(1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for target, source in zip(trainer.models.actor.model.parameters(), moved.parameters(), strict=True):
            target.copy_(source + 0.02 * torch.randn(source.shape, generator=generator))
    prompts = make_prompts(5)
    sampler = copy_of_actor(trainer)
    sampler.set_attn_implementation(IMPLEMENTATION)
    decoding = Decoding(trainer.settings["temperature"], 1, False, trainer.settings["stop_at_eos"], True)
    episodes = sample_episodes(Generator(sampler, tokenizer, 10_000), prompts, "epoch 0", 8, decoding)
    expected = reference_step(trainer, episodes, updates, [1 - k / (10 * updates) for k in range(updates)])
    found = trainer.step(prompts, "epoch 0")
    assert found["episodes"] == 5
    assert found["response_tokens"] == pytest.approx(sum(len(episode.response) for episode in episodes) / 5)
    assert found["ended"] == pytest.approx(sum(episode.finish == "eos" for episode in episodes) / 5)
    for name, value in expected["metrics"].items():
        assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    assert found["kl_k3"] > 1e-3
    for role in ("actor", "critic"):
        rate = 1 - (updates - 1) / (10 * updates)
        assert found[f"{role}_learning_rate"] == pytest.approx(rate * trainer.settings[f"{role}_learning_rate"])
        weights, compared = dict(getattr(trainer.models, role).model.named_parameters()), 0
        for name, parameter in expected[role].named_parameters():
            clear = expected["noise"][role][name] == 0
            torch.testing.assert_close(weights[name][clear], parameter[clear], rtol=0, atol=2e-4)
            compared += int(clear.sum())
        assert compared > 10_000
    if updates == 1:
        assert found["policy_clipped"] == 0
    else:
        assert found["policy_clipped"] > 0
        assert found["value_clipped"] > 0


def test_the_first_ratio_is_1_and_the_clip_never_binds_with_one_update(tokenizer):
    trainer, prompts = make_trainer(tokenizer, reward=ShareOfToken(WORDS - 1)), make_prompts(16)
    for epoch in range(5):
        found = trainer.step(prompts, f"epoch {epoch}")
        assert found["sampling_mismatch"] < 1e-4
        assert found["policy_clipped"] == 0
        assert found["value_clipped"] == 0
    assert found["kl_k3"] > 1e-3


def test_the_clip_binds_when_a_rollout_is_used_twice(tokenizer):
    trainer = make_trainer(tokenizer, reward=ShareOfToken(WORDS - 1), updates_per_rollout=2, actor_learning_rate=3e-2)
    shares = [trainer.step(make_prompts(16), f"epoch {epoch}")["policy_clipped"] for epoch in range(4)]
    assert max(shares) > 0.02
    assert max(shares) < 0.5


def dropping_policy(seed: int) -> PreTrainedModel:
    """OPT as it is published: with dropout."""
    set_seed(seed)
    config = OPTConfig(
        vocab_size=WORDS, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4, init_std=0.2,
        max_position_embeddings=64, dropout=0.3, attention_dropout=0.3, layerdrop=0.5, bos_token_id=1,
        eos_token_id=EOS, pad_token_id=0,
    )  # fmt: skip
    model = OPTForCausalLM(config)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    return model


def test_nothing_is_dropped_and_recomputing_activations_changes_nothing(tokenizer):
    found, weights = [], []
    for recompute in (False, True):
        trainer = make_trainer(tokenizer, global_batch_size=8, per_device_batch_size=4, kl_beta=1.0)
        plan = dataclasses.replace(optimization(trainer.settings, "actor", 100), gradient_checkpointing=recompute)
        actor = build_learner(lambda dtype: dropping_policy(5), CPU, plan, True)
        reference = build_learner(lambda dtype: dropping_policy(5), CPU, plan, False)
        trainer.models = dataclasses.replace(trainer.models, actor=actor, reference=reference)
        found.append([trainer.step(make_prompts(8), f"epoch {step}") for step in range(2)])
        assert found[-1][0]["kl_k3"] < 1e-9
        assert actor.model.config.dropout == 0.3
        assert actor.model.is_gradient_checkpointing == recompute
        weights.append(actor.model.state_dict())
    for plain, recomputed in zip(*found, strict=True):
        for name in set(plain) - set(TIMES):
            assert plain[name] == pytest.approx(recomputed[name], rel=1e-5, abs=1e-6), name
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=0, atol=1e-5)


# --- What it learns ---


def episodes_of_reward(tokenizer, seed: int, steps: int, **options: Any) -> tuple[list[dict[str, float]], PPOTrainer]:
    trainer = make_trainer(tokenizer, seed, steps, ShareOfToken(WORDS - 1), clip_reward=50, **options)
    prompts = make_prompts(16, seed)
    return [trainer.step(prompts, f"epoch {step}") for step in range(steps)], trainer


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_toy_reward_is_learnt(tokenizer, seed: int):
    """One of 32 words pays; within 40 steps of 16 episodes it is said most of the time."""
    rows, trainer = episodes_of_reward(tokenizer, seed, 40, kl_beta=0.0)
    first, last = (sum(row["reward"] for row in part) / len(part) for part in (rows[:3], rows[-3:]))
    assert first < 0.05
    assert last > 0.4
    assert rows[-1]["value_error"] < rows[0]["value_error"] + 1


@pytest.mark.slow
def test_a_large_beta_holds_the_policy_and_none_lets_it_go(tokenizer):
    held, _ = episodes_of_reward(tokenizer, 0, 25, kl_beta=100.0, actor_learning_rate=1e-3)
    free, _ = episodes_of_reward(tokenizer, 0, 25, kl_beta=0.0, actor_learning_rate=1e-3)
    assert max(row["kl_k3"] for row in held) < 0.05
    assert free[-1]["kl_k3"] > 10 * held[-1]["kl_k3"]


# --- What stops it, what is counted ---


@pytest.fixture
def usual_termination() -> Iterator[None]:
    """Training catches SIGTERM; the tests after it must not."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def run_in(
    folder: Path, trainer: PPOTrainer, batches: Sequence[tuple[str, list[Prompt]]], name: str, checkpoint_seconds: float
) -> dict[str, Any]:
    """Train, with resumable state at `name` and metrics in a file of the same name."""
    return run_ppo(
        trainer,
        batches,
        engine=CPU,
        console=Console("test"),
        scratch=folder / name,
        checkpoint_seconds=checkpoint_seconds,
        stuck_seconds=600,
        metrics=folder / f"{name}.csv",
    )


def run(trainer: PPOTrainer, prompts: list[Prompt], epochs: int, folder: Path) -> dict[str, Any]:
    batches = prompt_batches(prompts, trainer.settings["global_batch_size"], epochs, seed=3)
    return run_in(folder, trainer, batches, "state", checkpoint_seconds=600)


@pytest.mark.parametrize("part", ["actor", "critic"])
def test_a_number_that_is_not_finite_stops_the_run(tokenizer, tmp_path: Path, usual_termination, part: str):
    trainer = make_trainer(tokenizer)
    with torch.no_grad():
        getattr(trainer.models, part).model.model.norm.weight[3] = math.nan
    with pytest.raises(UserError, match="not a finite number") as stopped:
        run(trainer, make_prompts(20), 1, tmp_path)
    assert stopped.value.where == "PPO step 1"
    assert not (tmp_path / "state.csv").exists()


def test_a_policy_that_left_the_reference_behind_stops_the_run(tokenizer, tmp_path: Path, usual_termination):
    options = {"actor_learning_rate": 0.3, "kl_beta": 0.0, "kl_limit": 1.5}
    trainer = make_trainer(tokenizer, reward=ShareOfToken(WORDS - 1), **options)
    with pytest.raises(UserError, match="nats a token, above 1.5") as stopped:
        run(trainer, make_prompts(64), 2, tmp_path)
    assert stopped.value.where in {f"PPO step {step}" for step in range(2, 9)}
    assert "kl_beta" in stopped.value.remedy


def test_health_names_step_and_values():
    fine = {"kl_k3": 9.9, "reward": 1.0, "policy_loss": -3.0}
    check_health(fine, 4, 10)
    with pytest.raises(UserError, match="10.10 nats a token") as stopped:
        check_health({**fine, "kl_k3": 10.1}, 4, 10)
    assert stopped.value.where == "PPO step 4"
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(UserError, match="not a finite number: reward, policy_loss"):
            check_health({**fine, "reward": bad, "policy_loss": bad}, 4, 10)


def test_every_prompt_comes_once_an_epoch_in_an_order_of_its_own():
    prompts = make_prompts(21)
    batches = prompt_batches(prompts, 8, 3, seed=3)
    assert [len(batch) for _, batch in batches] == [8, 8, 5] * 3
    assert [occasion for occasion, _ in batches] == [f"epoch {epoch}" for epoch in range(3) for _ in range(3)]
    orders = [[p.id for _, batch in batches[3 * e : 3 * e + 3] for p in batch] for e in range(3)]
    assert all(sorted(order) == sorted(p.id for p in prompts) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert prompt_batches(prompts, 8, 3, seed=3) == batches
    assert prompt_batches(prompts, 8, 3, seed=4) != batches


def test_lengths_ends_and_empty_responses_are_counted(tokenizer, tmp_path: Path, usual_termination):
    """A policy that stands still, so that the episodes of both epochs are known."""
    trainer, prompts = make_trainer(tokenizer, actor_learning_rate=0.0), make_prompts(40)
    sampler = copy_of_actor(trainer)
    sampler.set_attn_implementation(IMPLEMENTATION)
    facts = run(trainer, prompts, 2, tmp_path)
    curve, episodes = pd.read_csv(tmp_path / "state.csv"), []
    for step, (occasion, batch) in enumerate(prompt_batches(prompts, 16, 2, seed=3)):
        decoding = Decoding(1.0, 0, False, True, True)
        found = sample_episodes(Generator(sampler, tokenizer, 10_000), batch, occasion, 8, decoding)
        row = curve.iloc[step]
        assert (row["step"], row["episodes"]) == (step + 1, len(found))
        assert row["response_tokens"] == pytest.approx(sum(len(e.response) for e in found) / len(found), rel=1e-5)
        assert row["ended"] == pytest.approx(sum(e.response[-1] == EOS for e in found) / len(found), rel=1e-5)
        assert row["empty"] == pytest.approx(sum(e.response == [EOS] for e in found) / len(found), rel=1e-5)
        episodes += found
    assert len(curve) == facts["steps"] == 6
    assert facts["episodes"] == 80
    assert facts["response_tokens"] == sum(len(e.response) for e in episodes)
    assert facts["empty_responses"] == sum(e.response == [EOS] for e in episodes) > 0


class StoppedAt(list):
    """Batches of which one, when it comes up, asks the process to stop."""

    def __init__(self, batches: list[tuple[str, list[Prompt]]], step: int):
        super().__init__(batches)
        self._step = step

    def __getitem__(self, index: int) -> Any:
        if index == self._step - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(index)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over_and_written_anew(tokenizer, tmp_path: Path, usual_termination):
    batches = prompt_batches(make_prompts(40), 16, 2, seed=3)
    options = {"schedule": "cosine", "steps": len(batches), "per_device_batch_size": 4}

    def go(trainer: PPOTrainer, part: list[tuple[str, list[Prompt]]], name: str) -> dict[str, Any]:
        return run_in(tmp_path, trainer, part, name, checkpoint_seconds=-1)

    whole, again = make_trainer(tokenizer, **options), make_trainer(tokenizer, **options)
    assert go(whole, batches, "whole")["resumed_from_step"] == 0
    with pytest.raises(Resumable, match="step 4 of 6"):
        go(make_trainer(tokenizer, **options), StoppedAt(batches, 4), "parts")
    assert sorted(path.name for path in (tmp_path / "parts").glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-4"]
    with open(tmp_path / "parts/checkpoint-4/actor.safetensors", "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"oops")
    (tmp_path / "parts/partial").mkdir(exist_ok=True)
    (tmp_path / "parts/partial/of a killed run").write_text("half")
    assert go(again, batches, "parts")["resumed_from_step"] == 3
    for role in ("actor", "critic"):
        expected = getattr(whole.models, role).model.state_dict()
        for name, weight in getattr(again.models, role).model.state_dict().items():
            assert torch.equal(weight, expected[name])
    assert not list((tmp_path / "parts/partial").iterdir())
    found, expected = (pd.read_csv(tmp_path / f"{name}.csv").drop(columns=TIMES) for name in ("parts", "whole"))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
