"""How a model is asked: over a shared prefix, through transformers' `generate`, or by plain forward passes.

`prepare_model` finds the fastest way that gives the numbers of plain forward passes (`equivalence.py`). Every other way
than the shared prefix is written into the model's configuration, which training hands on to each checkpoint.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from common.models.generation import Generator
from common.models.loading import OFFLINE
from common.models.plain_generation import PlainGenerator
from common.models.shared_prefix import IMPLEMENTATION

# From the fastest to the slowest.
SHARED_PREFIX, GENERATE, PLAIN = "shared_prefix", "generate", "plain"
WAYS = (SHARED_PREFIX, GENERATE, PLAIN)
CONFIG_KEY = "asked_through"

AnyGenerator = Generator | PlainGenerator

# What configurations call the number of tokens a layer looks back to, or the tokens it selects.
_WINDOWS = frozenset({
    "sliding_window", "sliding_windows", "sliding_window_size", "window_size", "attention_window", "local_attention",
    "local_attention_window_len", "attention_chunk_size", "keep_window_size", "index_topk",
})  # fmt: skip
# Rotary embeddings whose frequencies depend on the length of the sequence.
_SWITCHING = ("dynamic", "longrope")


def shared_prefix_limit(config: PretrainedConfig) -> float:
    """Tokens up to which every layer sees the whole sequence and no position is encoded otherwise in a longer one."""
    return min([switching_length(config), *_values(config.get_text_config().to_dict(), _WINDOWS)])


def switching_length(config: PretrainedConfig) -> float:
    """Tokens beyond which the model encodes positions in another way, those of earlier tokens included."""
    text = config.get_text_config()
    known = getattr(text, "original_max_position_embeddings", None) or getattr(text, "max_position_embeddings", None)
    lengths = [
        rope.get("original_max_position_embeddings") or known
        for rope in _mappings(text.to_dict())
        if rope.get("rope_type", rope.get("type")) in _SWITCHING
    ]
    return min((length for length in lengths if length), default=float("inf"))


def way_for(config: PretrainedConfig, longest: int) -> str:
    """How a prepared model, or one trained from it, is asked prompts of at most `longest` tokens, answers included."""
    way: str = getattr(config, CONFIG_KEY, SHARED_PREFIX)
    if longest > switching_length(config):
        return PLAIN
    if way == SHARED_PREFIX and longest > shared_prefix_limit(config):
        return GENERATE
    return way


def way_of(directory: Path, longest: int) -> str:
    """The same for the model in a directory."""
    return way_for(AutoConfig.from_pretrained(directory, **OFFLINE), longest)


def attention_of(way: str) -> str | None:
    """The attention implementation a model is to be loaded with; None for transformers' choice."""
    return IMPLEMENTATION if way == SHARED_PREFIX else None


def build_generator(
    way: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch_tokens: int
) -> AnyGenerator:
    """What answers requests in this way; `batch_tokens` counts for the shared prefix alone."""
    if way == SHARED_PREFIX:
        return Generator(model, tokenizer, batch_tokens)
    return PlainGenerator(model, tokenizer, cached=way == GENERATE)


def _mappings(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A mapping and all within it."""
    yield values
    for value in values.values():
        if isinstance(value, Mapping):
            yield from _mappings(value)


def _values(values: Mapping[str, Any], names: frozenset[str]) -> Iterator[int]:
    """Positive numbers of these names, in lists too, anywhere in a mapping."""
    for mapping in _mappings(values):
        for name in names & mapping.keys():
            entries = mapping[name] if isinstance(mapping[name], list) else [mapping[name]]
            yield from (entry for entry in entries if type(entry) is int and entry > 0)
