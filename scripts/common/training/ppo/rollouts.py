"""Episodes of PPO: prompts, sampled responses, and the tensors both sides of the update read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from common.models.decoding import Decoding
from common.models.generation import Request
from common.models.reward_model import pad_right
from common.models.ways import AnyGenerator
from common.training.sequences import IGNORED


@dataclass(frozen=True)
class Prompt:
    """A prompt's id and tokens, marker included."""

    id: str
    tokens: list[int]


@dataclass(frozen=True)
class Episode:
    """A prompt and the response sampled for it.

    Attributes:
        prompt: tokens.
        response: tokens, EOS included when it ended so; empty only in a filler.
        sampled_logprobs: log-likelihood of each response token when it was sampled.
        finish: eos or length; filler for an episode that only completes a batch.
    """

    prompt: list[int]
    response: list[int]
    sampled_logprobs: list[float]
    finish: str

    @property
    def tokens(self) -> list[int]:
        return [*self.prompt, *self.response]


def filler(eos: int) -> Episode:
    """An episode without a response: it makes batches equally long on every process and adds nothing."""
    return Episode([eos, eos], [], [], "filler")


def sample_episodes(
    generator: AnyGenerator, prompts: Sequence[Prompt], occasion: str, max_new_tokens: int, decoding: Decoding
) -> list[Episode]:
    """One episode a prompt, in the order given.

    A prompt's random numbers depend on `occasion` and its id alone, not on the batch, the process or earlier draws.

    Args:
        generator: of the actor.
        prompts: what to answer.
        occasion: names the epoch.
        max_new_tokens: length limit of a response.
        decoding: how to sample.
    """
    requests = [Request(f"{occasion}/{prompt.id}", prompt.tokens, []) for prompt in prompts]
    outcomes = {
        key: outcome for batch in generator.run(requests, max_new_tokens, decoding) for key, outcome in batch.items()
    }
    found = [outcomes[request.key] for request in requests]
    return [
        Episode(prompt.tokens, outcome.tokens, outcome.logprobs, outcome.finish)
        for prompt, outcome in zip(prompts, found, strict=True)
    ]


@dataclass(frozen=True)
class EpisodeBatch:
    """Tensors of some episodes, padded on the right.

    Attributes:
        input_ids, attention_mask: shape (B, L).
        labels: the response tokens at their own place, -100 elsewhere, shape (B, L).
        before: index of the token before each response token, shape (B, T).
        mask: 1.0 at real response tokens, shape (B, T).
        sampled_logprobs: shape (B, T).
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    before: torch.Tensor
    mask: torch.Tensor
    sampled_logprobs: torch.Tensor

    def at_responses(self, values: torch.Tensor) -> torch.Tensor:
        """Values at the tokens before each response token, zero at padding: (B, L) or (B, L - 1) -> (B, T)."""
        return values.gather(1, self.before.clamp(max=values.shape[1] - 1)) * self.mask


def collate_episodes(episodes: Sequence[Episode], pad: int, device: str) -> EpisodeBatch:
    """Pad episodes to their longest."""
    inputs = pad_right([episode.tokens for episode in episodes], pad)
    width = max(1, *(len(episode.response) for episode in episodes))
    labels = torch.full_like(inputs["input_ids"], IGNORED)
    mask, sampled = torch.zeros(len(episodes), width), torch.zeros(len(episodes), width)
    for i, episode in enumerate(episodes):
        start, count = len(episode.prompt), len(episode.response)
        labels[i, start : start + count] = torch.tensor(episode.response, dtype=torch.long)
        mask[i, :count] = 1.0
        sampled[i, :count] = torch.tensor(episode.sampled_logprobs)
    starts = torch.tensor([len(episode.prompt) for episode in episodes])
    before = starts[:, None] - 1 + torch.arange(width)[None]
    tensors = (inputs["input_ids"], inputs["attention_mask"], labels, before, mask, sampled)
    return EpisodeBatch(*(tensor.to(device) for tensor in tensors))
