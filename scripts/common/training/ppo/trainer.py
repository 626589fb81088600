"""One step of PPO: sample responses, score them, update actor and critic (paper section 3.4 and table 2)."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.base.batch_sizes import accumulation_steps, deal_out
from common.models.decoding import Decoding
from common.models.divergence import kl_k1, kl_k3
from common.models.packed_weights import packed_weights
from common.models.reward_model import token_scores
from common.models.ways import SHARED_PREFIX, attention_of, build_generator, way_for
from common.training.engine import Engine, from_all
from common.training.ppo import losses as ppo
from common.training.ppo.learners import Learner
from common.training.ppo.metrics import PER_EPISODE, PER_TOKEN, batch_means
from common.training.ppo.rollouts import Episode, EpisodeBatch, Prompt, collate_episodes, filler, sample_episodes

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
        longest = max(len(prompt.tokens) for prompt in prompts) + self.settings["max_new_tokens"]
        dealt = self._deal_out(self._rollout(prompts, occasion, longest))
        sampled = time.monotonic() - started
        sums = {**dict.fromkeys((*PER_TOKEN, *PER_EPISODE), 0.0), **_episode_sums(dealt)}
        tokens = self._total(sums["response_tokens"])
        with self._attention_to_learn(longest) as end_to_end:
            pad, device = self._tokenizer.pad_token_id, self._engine.device
            micros = [collate_episodes(part, pad, device, end_to_end) for part in dealt]
            experiences: list[Experience | None] = [None] * len(micros)
            updated: dict[str, float] = {}
            for _ in range(self.settings["updates_per_rollout"]):
                for i, micro in enumerate(micros):
                    last = i + 1 == len(micros)
                    experiences[i] = self._learn(micro, experiences[i], tokens=tokens, last=last, sums=sums)
                updated = self._update()
        means = batch_means(self._totals(sums), len(prompts), tokens, self.settings["updates_per_rollout"])
        seconds = time.monotonic() - started
        return {
            "episodes": len(prompts), **means, **updated, "tokens_per_second": tokens / seconds,
            "rollout_seconds": sampled, "seconds": seconds,
        }  # fmt: skip

    def _rollout(self, prompts: Sequence[Prompt], occasion: str, longest: int) -> list[Episode]:
        """The episodes of a global batch, on every process, completed with fillers; each process samples its share."""
        rank, processes = self._engine.share
        ordered = sorted(prompts, key=lambda prompt: (-len(prompt.tokens), prompt.id))
        mine, sampled = ordered[rank::processes], []
        way = way_for(self.models.actor.model.config, longest)
        with self.models.actor.whole() as actor, _generating(actor, way):
            if mine:
                generator = build_generator(way, actor, self._tokenizer, longest * len(mine))
                sampled = sample_episodes(
                    generator, mine, occasion, max_new_tokens=self.settings["max_new_tokens"], decoding=self._decoding
                )
        shares = from_all(sampled, self._engine)
        episodes = [shares[i % processes][i // processes] for i in range(len(ordered))]
        return episodes + [filler(self._tokenizer.eos_token_id)] * (self.settings["global_batch_size"] - len(episodes))

    @contextmanager
    def _attention_to_learn(self, longest: int) -> Iterator[bool]:
        """Whether all models read sequences of so many tokens end to end; their attention is for that meanwhile."""
        models = [learner.model for learner in vars(self.models).values()]
        end_to_end = all(way_for(model.config, longest) == SHARED_PREFIX for model in models)
        with ExitStack() as attention:
            for model in models if end_to_end else ():
                attention.enter_context(_with_attention(model, SHARED_PREFIX))
            yield end_to_end

    def _deal_out(self, episodes: Sequence[Episode]) -> list[list[Episode]]:
        """This process's micro-batches, as long as those of the others."""
        rank, processes = self._engine.share
        block = self.settings
        steps = accumulation_steps(block["global_batch_size"], block["per_device_batch_size"], processes)
        dealt = deal_out([len(episode.tokens) for episode in episodes], steps, processes)
        return [[episodes[i] for i in micro_step[rank]] for micro_step in dealt]

    def _learn(
        self, micro: EpisodeBatch, experience: Experience | None, tokens: float, last: bool,
        sums: dict[str, float],
    ) -> Experience:  # fmt: skip
        """Gradients of one micro-batch; at the first visit the same forward passes give its experience.

        The first update's ratio is therefore 1, and its clip range binds nothing.
        """
        block, mask = self.settings, micro.mask
        output = self.models.actor.wrapped(**micro.inputs, labels=micro.labels, fused_lm_head=True)
        logprobs = micro.at_responses(output.log_probs.float())
        values = micro.at_responses(token_scores(self.models.critic.wrapped, **micro.inputs))
        if experience is None:
            entropy = micro.at_responses(output.entropy.float().detach())
            experience = self._experience(
                micro, logprobs=logprobs.detach(), values=values.detach(), entropy=entropy, sums=sums
            )
        policy, policy_clipped = ppo.policy_loss(
            logprobs, experience.logprobs, experience.advantages, mask, clip_range=block["clip_range"]
        )
        value, value_clipped = ppo.value_loss(
            values, experience.values, experience.returns, mask, clip_range=block["clip_range_value"]
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

    def _update(self) -> dict[str, float]:
        """Update actor and critic; the learning rates of this step and the gradients' norms."""
        actor, critic = self.models.actor, self.models.critic
        return {
            "actor_learning_rate": actor.learning_rate,
            "critic_learning_rate": critic.learning_rate,
            "actor_grad_norm": actor.step(),
            "critic_grad_norm": critic.step(),
        }

    @torch.no_grad()
    def _experience(
        self, micro: EpisodeBatch, logprobs: torch.Tensor, values: torch.Tensor, entropy: torch.Tensor,
        sums: dict[str, float],
    ) -> Experience:  # fmt: skip
        """Rewards, advantages and returns of a micro-batch, and its share of the metrics."""
        block, mask = self.settings, micro.mask
        output = self.models.reference.wrapped(**micro.inputs, labels=micro.labels, fused_lm_head=True)
        reference = micro.at_responses(output.log_probs.float())
        scores = token_scores(self.models.reward.wrapped, **micro.inputs).flatten()[micro.last]
        rewards = ppo.token_rewards(
            logprobs, reference, scores, mask, beta=block["kl_beta"], clip_reward=block["clip_reward"]
        )
        advantages, returns = ppo.advantages_and_returns(
            values, rewards, mask, gamma=block["gamma"], lam=block["lambda"]
        )
        real = mask[:, 0]
        limit = block["clip_reward"]
        sums["reward"] += float((scores * real).sum())
        sums["reward_clipped"] += float((scores.clamp(-limit, limit) * real).sum())
        sums["reward_at_limit"] += float(((scores.abs() > limit) * real).sum())
        sums["kl_k1"] += float((kl_k1(logprobs, reference) * mask).sum())
        sums["kl_k3"] += float((kl_k3(logprobs, reference) * mask).sum())
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
def _generating(model: PreTrainedModel, way: str) -> Iterator[None]:
    """The model in evaluation mode, with the attention this way of asking needs and its weights packed."""
    was_training = model.training
    try:
        with _with_attention(model, way), packed_weights(model):
            yield
    finally:
        model.train(was_training)


@contextmanager
def _with_attention(model: PreTrainedModel, way: str) -> Iterator[None]:
    """The model with the attention that this way of asking needs."""
    usual = model.config._attn_implementation
    model.set_attn_implementation(attention_of(way) or usual)
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


def _episode_sums(dealt: Sequence[Sequence[Episode]]) -> dict[str, float]:
    """Sums over this process's episodes that their responses alone tell."""
    real = [episode for part in dealt for episode in part if episode.finish != "filler"]
    return {
        "response_tokens": sum(len(episode.response) for episode in real),
        "ended": sum(episode.finish == "eos" for episode in real),
        "empty": sum(episode.finish == "eos" and len(episode.response) == 1 for episode in real),
    }
