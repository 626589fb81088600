"""Episodes of PPO: prompts, sampled responses, and the tensors both sides of the update read."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from common.models.decoding import Decoding
from common.models.generation import Request
from common.models.reward_model import pad_right
from common.models.shared_prefix import SequencesPass
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
    """Tensors of some episodes: rows padded on the right, or one row in which they lie end to end.

    Attributes:
        inputs: what a model reads, `input_ids` of shape (R, L) among it.
        labels: the response tokens at their own place, -100 elsewhere, shape (R, L).
        before: place of the token before each response token among all R * L, shape (B, T).
        last: place of each episode's last token among them, shape (B,).
        mask: 1.0 at real response tokens, shape (B, T).
        sampled_logprobs: shape (B, T).
    """

    inputs: Mapping[str, Any]
    labels: torch.Tensor
    before: torch.Tensor
    last: torch.Tensor
    mask: torch.Tensor
    sampled_logprobs: torch.Tensor

    def at_responses(self, values: torch.Tensor) -> torch.Tensor:
        """Values at the tokens before each response token, zero at padding: (R, L) or (R, L - 1) -> (B, T)."""
        missing = self.labels.shape[1] - values.shape[1]  # shifted values have none for a row's last token
        return functional.pad(values, (0, missing)).flatten()[self.before] * self.mask


def collate_episodes(episodes: Sequence[Episode], pad: int, device: str, end_to_end: bool) -> EpisodeBatch:
    """Tensors of episodes.

    Args:
        episodes: of a micro-batch.
        pad: padding token id.
        device: where they are wanted.
        end_to_end: whether the models read sequences that lie end to end in one row, with attention `shared_prefix`;
            otherwise rows are padded to the longest.
    """
    lengths = [len(episode.tokens) for episode in episodes]
    inputs: dict[str, Any] = pad_right([episode.tokens for episode in episodes], pad)
    labels = torch.full_like(inputs["input_ids"], IGNORED)
    starts = torch.arange(len(episodes)) * labels.shape[1]
    width = max(1, *(len(episode.response) for episode in episodes))
    mask, sampled = torch.zeros(len(episodes), width), torch.zeros(len(episodes), width)
    for i, episode in enumerate(episodes):
        start, count = len(episode.prompt), len(episode.response)
        labels[i, start : start + count] = torch.tensor(episode.response, dtype=torch.long)
        mask[i, :count] = 1.0
        sampled[i, :count] = torch.tensor(episode.sampled_logprobs)
    if end_to_end:
        real = inputs["attention_mask"].bool()
        positions = torch.cat([torch.arange(length) for length in lengths])
        inputs = {"input_ids": inputs["input_ids"][real][None], "position_ids": positions[None]}
        labels = labels[real][None]
        starts = torch.tensor([0, *itertools.accumulate(lengths[:-1])])
    last = starts + torch.tensor(lengths) - 1
    prompts = torch.tensor([len(episode.prompt) for episode in episodes])
    before = torch.minimum((starts + prompts - 1)[:, None] + torch.arange(width), last[:, None])
    tensors = (labels, before, last, mask, sampled)
    inputs = {key: value.to(device) for key, value in inputs.items()}
    if end_to_end:
        inputs["attention_pass"] = SequencesPass(lengths)
    return EpisodeBatch(inputs, *(tensor.to(device) for tensor in tensors))
