"""The loop of PPO: sample responses, score them, update actor and critic (paper section 3.4 and table 2)."""

import csv
import io
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.base.errors import UserError
from common.files.whole_files import read_json, write_json, write_text
from common.jobs.console import Console, Progress
from common.models.decoding import Decoding
from common.models.generation import Generator
from common.models.reward_model import last_token, token_scores
from common.models.shared_prefix import IMPLEMENTATION
from common.training.checkpoints import PARTIAL, CheckpointClock, commit, find_resume, step_of
from common.training.data_order import GlobalBatchSampler, filler_count
from common.training.engine import Engine, wait_for_all
from common.training.ppo import losses as ppo
from common.training.ppo.learners import Learner
from common.training.ppo.rollouts import Episode, EpisodeBatch, Prompt, collate_episodes, filler, sample_episodes

# Sums over the global batch, divided by its tokens or its episodes before they are reported.
PER_TOKEN = ("kl_k1", "kl_k3", "entropy", "policy_loss", "value_loss", "value_error", "policy_clipped", "value_clipped",
             "sampling_mismatch")  # fmt: skip
PER_EPISODE = ("reward", "reward_clipped", "reward_at_limit", "response_tokens", "ended", "empty")
COLUMNS = ("step", "episodes", *PER_EPISODE, *PER_TOKEN, "actor_learning_rate", "critic_learning_rate",
           "actor_grad_norm", "critic_grad_norm", "tokens_per_second", "seconds")  # fmt: skip
# In fp32 a token's log-likelihood when sampled and when learnt from may differ by rounding only.
LARGEST_MISMATCH = 1e-3


@dataclass(frozen=True)
class PPOModels:
    """The four models of PPO."""

    actor: Learner
    critic: Learner
    reference: Learner
    reward: Learner


@dataclass
class Experience:
    """What is fixed once an episode has been seen by all four models: shape (B, T) each."""

    logprobs: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


class PPOTrainer:
    """Trains an actor on prompts.

    Args:
        models: the four models.
        settings: the `ppo` block of the configuration.
        tokenizer: of all four.
        engine: from `start_engine`.
        seed: of sampling.
    """

    def __init__(
        self,
        models: PPOModels,
        settings: Mapping[str, Any],
        tokenizer: PreTrainedTokenizerFast,
        engine: Engine,
        seed: int,
    ):
        self.models, self.settings, self._tokenizer = models, settings, tokenizer
        self._engine = engine
        self._decoding = Decoding(
            temperature=settings["temperature"], seed=seed, stop_at_newline=False,
            stop_at_eos=settings["stop_at_eos"], logprobs=True,
        )  # fmt: skip

    def step(self, prompts: Sequence[Prompt], occasion: str) -> dict[str, float]:
        """One rollout of a global batch and the updates it is used for.

        Args:
            prompts: of the global batch, the same on every process; fewer than a batch at an epoch's end.
            occasion: names the epoch; see `sample_episodes`.

        Returns:
            The metrics of COLUMNS that a step knows.
        """
        started = time.monotonic()
        episodes = self._rollout(prompts, occasion)
        size, device = self.settings["per_device_batch_size"], self._engine.device
        micros = [
            collate_episodes(episodes[i : i + size], self._tokenizer.pad_token_id, device)
            for i in range(0, len(episodes), size)
        ]
        tokens = self._total(sum(float(micro.mask.sum()) for micro in micros))
        sums = dict.fromkeys((*PER_TOKEN, *PER_EPISODE), 0.0)
        for name, value in _episode_sums(episodes).items():
            sums[name] += value
        experiences: list[Experience | None] = [None] * len(micros)
        norms: dict[str, float] = {}
        for _ in range(self.settings["updates_per_rollout"]):
            for i, micro in enumerate(micros):
                experiences[i] = self._learn(micro, experiences[i], tokens, i + 1 == len(micros), sums)
            norms = {
                "actor_learning_rate": self.models.actor.learning_rate,
                "critic_learning_rate": self.models.critic.learning_rate,
                "actor_grad_norm": self.models.actor.step(),
                "critic_grad_norm": self.models.critic.step(),
            }
        totals = self._totals(sums)
        updates = self.settings["updates_per_rollout"]
        of_updates = ("policy_loss", "value_loss", "policy_clipped", "value_clipped")
        per_token = {k: totals[k] / tokens / (updates if k in of_updates else 1) for k in PER_TOKEN}
        per_episode = {k: totals[k] / len(prompts) for k in PER_EPISODE}
        seconds = time.monotonic() - started
        return {
            "episodes": len(prompts), **per_episode, **per_token, **norms,
            "tokens_per_second": tokens / seconds, "seconds": seconds,
        }  # fmt: skip

    def _rollout(self, prompts: Sequence[Prompt], occasion: str) -> list[Episode]:
        """This process's share of the episodes, sorted by length and completed with fillers."""
        ordered = sorted(prompts, key=lambda prompt: (-len(prompt.tokens), prompt.id))
        mine = ordered[self._engine.rank :: self._engine.processes]
        share = self.settings["global_batch_size"] // self._engine.processes
        episodes: list[Episode] = []
        with self.models.actor.whole() as actor, _generating(actor):
            if mine:
                slots = len(mine[0].tokens) + self.settings["max_new_tokens"]
                generator = Generator(actor, self._tokenizer, slots * len(mine))
                episodes = sample_episodes(generator, mine, occasion, self.settings["max_new_tokens"], self._decoding)
        episodes += [filler(self._tokenizer.eos_token_id)] * (share - len(episodes))
        return sorted(episodes, key=lambda episode: -len(episode.tokens))

    def _learn(
        self, micro: EpisodeBatch, experience: Experience | None, tokens: float, last: bool,
        sums: dict[str, float],
    ) -> Experience:  # fmt: skip
        """Gradients of one micro-batch; at the first visit the same forward passes give its experience.

        The first update's ratio is therefore 1, and its clip range binds nothing.
        """
        block, mask = self.settings, micro.mask
        output = self.models.actor.wrapped(
            input_ids=micro.input_ids, attention_mask=micro.attention_mask, labels=micro.labels, fused_lm_head=True
        )
        logprobs = micro.at_responses(output.log_probs.float())
        values = micro.at_responses(token_scores(self.models.critic.wrapped, micro.input_ids, micro.attention_mask))
        if experience is None:
            entropy = micro.at_responses(output.entropy.float().detach())
            experience = self._experience(micro, logprobs.detach(), values.detach(), entropy, sums)
        policy, policy_clipped = ppo.policy_loss(
            logprobs, experience.logprobs, experience.advantages, mask, block["clip_range"]
        )
        value, value_clipped = ppo.value_loss(
            values, experience.values, experience.returns, mask, block["clip_range_value"]
        )
        # Gradients are averaged over the processes, hence the factor.
        scale = self._engine.processes / tokens
        self.models.actor.backward(policy * scale, last)
        self.models.critic.backward(value * scale, last)
        sums["policy_loss"] += float(policy.detach())
        sums["value_loss"] += float(value.detach())
        sums["policy_clipped"] += float(policy_clipped.sum())
        sums["value_clipped"] += float(value_clipped.sum())
        return experience

    @torch.no_grad()
    def _experience(
        self, micro: EpisodeBatch, logprobs: torch.Tensor, values: torch.Tensor, entropy: torch.Tensor,
        sums: dict[str, float],
    ) -> Experience:  # fmt: skip
        """Rewards, advantages and returns of a micro-batch, and its share of the metrics."""
        block, mask = self.settings, micro.mask
        output = self.models.reference.wrapped(
            input_ids=micro.input_ids, attention_mask=micro.attention_mask, labels=micro.labels, fused_lm_head=True
        )
        reference = micro.at_responses(output.log_probs.float())
        scores = token_scores(self.models.reward.wrapped, micro.input_ids, micro.attention_mask)
        scores = scores[torch.arange(len(scores)), last_token(micro.attention_mask)]
        rewards = ppo.token_rewards(logprobs, reference, scores, mask, block["kl_beta"], block["clip_reward"])
        advantages, returns = ppo.advantages_and_returns(values, rewards, mask, block["gamma"], block["lambda"])
        real = mask[:, 0]
        limit = block["clip_reward"]
        sums["reward"] += float((scores * real).sum())
        sums["reward_clipped"] += float((scores.clamp(-limit, limit) * real).sum())
        sums["reward_at_limit"] += float(((scores.abs() > limit) * real).sum())
        sums["kl_k1"] += float((ppo.kl_k1(logprobs, reference) * mask).sum())
        sums["kl_k3"] += float((ppo.kl_k3(logprobs, reference) * mask).sum())
        sums["entropy"] += float((entropy * mask).sum())
        sums["value_error"] += float(((values - returns).abs() * mask).sum())
        mismatch = (logprobs - micro.sampled_logprobs).abs() * mask
        if self._engine.dtype == torch.float32 and float(mismatch.max()) > LARGEST_MISMATCH:
            raise AssertionError(f"the policy that sampled is not the one that is updated: {float(mismatch.max()):.2g}")
        sums["sampling_mismatch"] += float(mismatch.sum())
        return Experience(logprobs, values, advantages, returns)

    def _total(self, value: float) -> float:
        return self._totals({"": value})[""]

    def _totals(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Sums over all processes."""
        if self._engine.processes == 1:
            return dict(sums)
        values = torch.tensor(list(sums.values()), dtype=torch.float32, device=self._engine.device)
        torch.distributed.all_reduce(values)
        return dict(zip(sums, values.tolist(), strict=True))


@contextmanager
def _generating(model: PreTrainedModel) -> Iterator[None]:
    """The model in evaluation mode with the attention the generator needs."""
    usual, was_training = model.config._attn_implementation, model.training
    model.set_attn_implementation(IMPLEMENTATION)
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
        model.train(was_training)


def _episode_sums(episodes: Sequence[Episode]) -> dict[str, float]:
    real = [episode for episode in episodes if episode.finish != "filler"]
    return {
        "response_tokens": sum(len(episode.response) for episode in real),
        "ended": sum(episode.finish == "eos" for episode in real),
        "empty": sum(episode.finish == "eos" and len(episode.response) == 1 for episode in real),
    }


def prompt_batches(
    prompts: Sequence[Prompt], global_batch: int, epochs: int, seed: int
) -> list[tuple[str, list[Prompt]]]:
    """(epoch, prompts) of every step, in seeded order; an epoch's last batch holds what is left."""
    lengths = [len(prompt.tokens) for prompt in prompts] + [0] * filler_count(len(prompts), global_batch)
    sampler = GlobalBatchSampler(lengths, len(prompts), global_batch, seed)
    batches = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        order = list(sampler)
        for start in range(0, len(order), global_batch):
            chosen = [prompts[i] for i in order[start : start + global_batch] if i < len(prompts)]
            batches.append((f"epoch {epoch}", chosen))
    return batches


def check_health(metrics: Mapping[str, float], step: int, kl_limit: float) -> None:
    """Stop a run that has gone wrong.

    Raises:
        UserError: when a value is not finite or the policy has left the reference behind.
    """
    broken = [name for name, value in metrics.items() if not math.isfinite(value)]
    if broken:
        raise UserError(f"not a finite number: {', '.join(broken)}", f"PPO step {step}",
                        "lower `methods.ppo.actor_learning_rate` or `critic_learning_rate`")  # fmt: skip
    if metrics["kl_k3"] > kl_limit:
        what = f"the policy's KL divergence from stage 1 is {metrics['kl_k3']:.2f} nats a token, above {kl_limit}"
        raise UserError(what, f"PPO step {step}", "raise `methods.ppo.kl_beta`, or lower `actor_learning_rate`; "
                        "`kl_limit` is where a run is given up")  # fmt: skip


def metrics_csv(rows: Sequence[Mapping[str, float]]) -> str:
    """The steps as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def _save_state(trainer: PPOTrainer, rows: Sequence[Mapping[str, float]], engine: Engine, scratch: Path) -> None:
    partial = scratch / PARTIAL / f"checkpoint-{len(rows)}"
    if engine.is_main:
        partial.mkdir(parents=True)
    wait_for_all(engine)
    trainer.models.actor.save(partial, "actor")
    trainer.models.critic.save(partial, "critic")
    wait_for_all(engine)
    if engine.is_main:
        write_json(partial / "metrics.json", list(rows))
        commit(partial)
    wait_for_all(engine)


def run_ppo(
    trainer: PPOTrainer,
    batches: Sequence[tuple[str, list[Prompt]]],
    engine: Engine,
    console: Console,
    scratch: Path,
    checkpoint_seconds: float,
    metrics: Path,
) -> dict[str, Any]:
    """Train on every batch, resuming from scratch state when there is any.

    Args:
        trainer: with its models.
        batches: from `prompt_batches`.
        engine: from `start_engine`.
        console: where progress goes.
        scratch: directory for resumable state.
        checkpoint_seconds: time between two checkpoints.
        metrics: CSV file to write.

    Returns:
        Facts for run.json.

    Raises:
        Resumable: on SIGTERM, after a checkpoint.
        UserError: see `check_health`.
    """
    rows: list[dict[str, float]] = []
    checkpoint = find_resume(scratch, engine, console)
    if checkpoint is not None:
        trainer.models.actor.restore(checkpoint, "actor")
        trainer.models.critic.restore(checkpoint, "critic")
        rows = read_json(checkpoint / "metrics.json")
    clock = CheckpointClock(engine, checkpoint_seconds)
    progress = Progress(console, len(batches), "steps", len(rows)) if engine.is_main else None
    while len(rows) < len(batches):
        occasion, prompts = batches[len(rows)]
        found = trainer.step(prompts, occasion)
        check_health(found, len(rows) + 1, trainer.settings["kl_limit"])
        rows.append({"step": len(rows) + 1, **found})
        if progress:
            progress.update(len(rows), f"reward {found['reward']:.3f}, KL {found['kl_k3']:.4f}")
        if len(rows) < len(batches) and (clock.stop_requested() or clock.due()):
            _save_state(trainer, rows, engine, scratch)
            if engine.is_main:
                console.say(f"saved a checkpoint at step {len(rows)}")
            if clock.stop_requested():
                raise clock.stopped(len(rows), len(batches), scratch)
            clock.restart()
    if engine.is_main:
        write_text(metrics, metrics_csv(rows))
    return {
        "steps": len(rows),
        "resumed_from_step": step_of(checkpoint) if checkpoint else 0,
        **engine.facts(),
        "episodes": int(sum(row["episodes"] for row in rows)),
        "response_tokens": round(sum(row["response_tokens"] * row["episodes"] for row in rows)),
        "empty_responses": round(sum(row["empty"] * row["episodes"] for row in rows)),
        "largest_mean_mismatch": max(row["sampling_mismatch"] for row in rows),
        "first_steps": _mean_of(rows[: max(1, len(rows) // 5)]),
        "last_steps": _mean_of(rows[-max(1, len(rows) // 5) :]),
    }


def _mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = ("reward", "kl_k1", "kl_k3", "entropy", "response_tokens", "ended")
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}
