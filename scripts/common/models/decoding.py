"""How each next token is chosen, what ends a generation besides its length, and its text."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from common.files.whole_files import sha256_of_text


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen and what ends a generation besides its length.

    Attributes:
        temperature: of sampling; 0 takes the most likely token.
        seed: of sampling; a request's random numbers depend on it and on the request's key alone.
        stop_at_newline: end at a newline after visible text.
        stop_at_eos: end at EOS.
        logprobs: keep the log-likelihood of each token, at temperature 1.
    """

    temperature: float = 0.0
    seed: int = 0
    stop_at_newline: bool = True
    stop_at_eos: bool = True
    logprobs: bool = False


ANSWERS = Decoding()


@dataclass(frozen=True)
class Choice:
    """A chosen token.

    Attributes:
        token: its id.
        logprob: its log-likelihood; None unless asked for.
        margin: of the best logit over the next; None when sampling.
    """

    token: int
    logprob: float | None
    margin: float | None


class TokenChooser:
    """Picks each row's next token: the most likely one, or one drawn by the row's own random numbers.

    Args:
        decoding: how.
        keys: of the rows; with the seed they determine the random numbers.
        steps: most tokens of a row.
    """

    def __init__(self, decoding: Decoding, keys: Sequence[str], steps: int):
        self._decoding = decoding
        self._noise = (
            torch.stack([_uniform(decoding.seed, key, steps) for key in keys]) if decoding.temperature else None
        )

    def choose(self, logits: torch.Tensor, rows: Sequence[int], step: int) -> list[Choice]:
        """One token a row.

        Args:
            logits: of `rows`, shape (rows, vocabulary).
            rows: which rows these are.
            step: how many tokens each row has already.
        """
        margins: list[float] | list[None] = [None] * len(rows)
        if self._noise is None:
            best, tokens = logits.topk(2, dim=-1)
            chosen, margins = tokens[:, 0], (best[:, 0] - best[:, 1]).tolist()
        else:
            chosen = self._draw(logits, self._noise[list(rows), step])
        logprobs: list[float] | list[None] = [None] * len(rows)
        if self._decoding.logprobs:
            logprobs = torch.log_softmax(logits, dim=-1).gather(1, chosen[:, None])[:, 0].tolist()
        return [Choice(*values) for values in zip(chosen.tolist(), logprobs, margins, strict=True)]

    def _draw(self, logits: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The tokens random numbers in [0, 1) fall on, shape (rows,)."""
        mass = torch.softmax(logits / self._decoding.temperature, dim=-1).cumsum(dim=-1)
        wanted = noise.to(logits.device)[:, None] * mass[:, -1:]
        return torch.searchsorted(mass, wanted, right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def _uniform(seed: int, key: str, count: int) -> torch.Tensor:
    """Random numbers in [0, 1) that depend on the seed and the key alone."""
    generator = torch.Generator().manual_seed(int(sha256_of_text(f"{seed}\0{key}")[:15], 16))
    return torch.rand(count, generator=generator)


def decode(tokenizer: PreTrainedTokenizerFast, tokens: Sequence[int]) -> str:
    """Generated text without special tokens, spaces untouched."""
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def finish_of(tokens: Sequence[int], tokenizer: PreTrainedTokenizerFast, decoding: Decoding) -> str:
    """What the last of these generated tokens ends the generation by: eos or newline; length while nothing does."""
    if decoding.stop_at_eos and tokens[-1] == tokenizer.eos_token_id:
        return "eos"
    if decoding.stop_at_newline and "\n" in decode(tokenizer, tokens).lstrip():
        return "newline"
    return "length"
