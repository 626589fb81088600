"""From prompts and responses to token sequences with loss masks (paper equations 1 and 3)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerFast

from common.data.prompts import PromptFormat, respond

IGNORED = -100


@dataclass(frozen=True)
class Response:
    """A response in a sequence: the text before it (prompt, marker), the response itself, and which one it is."""

    before: str
    text: str
    name: str


@dataclass(frozen=True)
class TokenSequence:
    """Token ids and labels; a label is the token's own id where it is learnt and -100 elsewhere."""

    input_ids: list[int]
    labels: list[int]
    cut: tuple[str, ...] = ()

    @property
    def target_tokens(self) -> int:
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True)
class _Segment:
    before: list[int]
    response: list[int]


def _segment(tokenizer: PreTrainedTokenizerFast, response: Response, first: bool) -> _Segment:
    """Tokenise context and response together, as they stand in the text, and part them where the response begins.

    Markup of special tokens inside a text is text: it never becomes a special token.
    """
    text = response.before + response.text
    encoded = tokenizer(
        text,
        add_special_tokens=first,
        return_offsets_mapping=True,
        split_special_tokens=True,
        return_attention_mask=False,
    )
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    begin = next((i for i, (start, end) in enumerate(offsets) if end > start >= len(response.before)), len(ids))
    return _Segment(ids[:begin], ids[begin:])


def _allot(lengths: Sequence[int], room: int) -> list[int]:
    """How many tokens each response keeps when all together may have `room`: the longer ones give way first."""
    kept = list(lengths)
    while (excess := sum(kept) - room) > 0:
        longest = max(kept)
        at_top = [i for i, length in enumerate(kept) if length == longest]
        second = max((length for length in kept if length < longest), default=0)
        step = max(1, min(longest - second, excess // len(at_top)))
        for i in at_top:
            if excess > 0:
                kept[i] -= min(step, excess)
                excess -= min(step, excess)
    return kept


def encode(
    tokenizer: PreTrainedTokenizerFast, responses: Sequence[Response], max_length: int, loss_on: str = "responses"
) -> TokenSequence | None:
    """One training sequence: each response behind its context, each closed by EOS.

    Labels cover the responses and their EOS; prompt and markers carry no loss unless `loss_on` is "all". What does
    not fit `max_length` is cut from the end of the longest responses; a cut response's EOS is not learnt, since the
    response did not end there.

    Returns:
        The sequence, or None when prompt and markers alone leave no room for a token of every response.
    """
    segments = [_segment(tokenizer, response, first=i == 0) for i, response in enumerate(responses)]
    room = max_length - sum(len(segment.before) + 1 for segment in segments)
    lengths = [len(segment.response) for segment in segments]
    if room < len(segments):
        return None
    kept = _allot(lengths, room)
    ids: list[int] = []
    labels: list[int] = []
    for segment, keep in zip(segments, kept, strict=True):
        response, whole = segment.response[:keep], keep == len(segment.response)
        ids += [*segment.before, *response, tokenizer.eos_token_id]
        before = segment.before if loss_on == "all" else [IGNORED] * len(segment.before)
        labels += [*before, *response, tokenizer.eos_token_id if whole else IGNORED]
    cut = tuple(r.name for r, length, keep in zip(responses, lengths, kept, strict=True) if keep < length)
    return TokenSequence(ids, labels, cut)


def sft_responses(row: Mapping[str, Any], prompt: PromptFormat) -> list[Response]:
    """The one response of supervised fine-tuning (paper section 3.2); the row has `response`."""
    before = prompt.prompt(row["instruction"], row["input"]) + prompt.markers["response"]
    return [Response(before, respond("", row["response"]), "response")]


@dataclass(frozen=True)
class Encoded:
    """Sequences of a data set and what had to be cut or left out."""

    sequences: list[TokenSequence]
    left_out: list[str]

    def counts(self) -> dict[str, Any]:
        """Token counts and cuts, for run.json."""
        total = sum(len(s.input_ids) for s in self.sequences)
        target = sum(s.target_tokens for s in self.sequences)
        cut = Counter(name for s in self.sequences for name in s.cut)
        return {
            "sequences": len(self.sequences),
            "left_out_prompt_too_long": len(self.left_out),
            "cut_responses": dict(sorted(cut.items())),
            "tokens": {"prompt": total - target, "target": target, "total": total},
        }


def encode_all(
    tokenizer: PreTrainedTokenizerFast,
    examples: Iterable[tuple[str, Sequence[Response]]],
    max_length: int,
    loss_on: str = "responses",
) -> Encoded:
    """Encode (id, responses) pairs, keeping count of what does not fit."""
    sequences, left_out = [], []
    for identity, responses in examples:
        sequence = encode(tokenizer, responses, max_length, loss_on)
        if sequence is None:
            left_out.append(identity)
        else:
            sequences.append(sequence)
    return Encoded(sequences, left_out)
