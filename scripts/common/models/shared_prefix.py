"""Attention over a prefix all rows share and a suffix of each row's own, without copying the prefix a row.

Registered with transformers as the attention implementation `shared_prefix`. Every forward pass of the model is given
one object of this module as `attention_pass`, which says what the pass reads: the prefix, the suffixes of some rows,
continuations of some rows, the next token of all, or whole sequences without any prefix. Positions are exact: suffixes
are padded on the right and generated tokens overwrite the padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from common.base.errors import UserError

# What some architectures ask of attention and is not done here.
UNSUPPORTED = ("softcap", "s_aux", "position_bias")
IMPLEMENTATION = "shared_prefix"

KeysAndValues = tuple[torch.Tensor, torch.Tensor]


class PrefixCache:
    """Keys and values of the prefix by layer, each of shape (1, key heads, length, head size).

    Args:
        length: tokens of the prefix; without any there are no layers.
    """

    def __init__(self, length: int):
        self.length = length
        self.layers: dict[int, KeysAndValues] = {}

    def parts(self, layer: int) -> list[KeysAndValues]:
        """What a layer's attention sees of the prefix: one part, or none."""
        return [self.layers[layer]] if self.length else []


class SuffixCache:
    """Keys and values of a batch of suffixes by layer, each of shape (rows, key heads, slots, head size).

    Args:
        rows: of the batch.
        slots: most tokens of a row, generated ones included.
    """

    def __init__(self, rows: int, slots: int):
        self._rows, self._slots = rows, slots
        self.layers: dict[int, KeysAndValues] = {}

    def fill(self, layer: int, rows: slice, key: torch.Tensor, value: torch.Tensor) -> None:
        """Store the first tokens of some rows."""
        if layer not in self.layers:
            shape = (self._rows, key.shape[1], self._slots, key.shape[3])
            self.layers[layer] = (key.new_zeros(shape), value.new_zeros(shape))
        for whole, new in zip(self.layers[layer], (key, value), strict=True):
            whole[rows, :, : key.shape[2]] = new

    def append(self, layer: int, slots: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Store one token of every row, each at its own slot."""
        rows = torch.arange(len(slots), device=slots.device)
        for whole, new in zip(self.layers[layer], (key, value), strict=True):
            whole[rows, :, slots] = new[:, :, 0]

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Keep only these rows of the batch, in this order."""
        for layer, (keys, values) in self.layers.items():  # a layer at a time, so that only one is held twice
            self.layers[layer] = (keys[rows], values[rows])


@dataclass(frozen=True)
class PrefixPass:
    """Reads and stores the prefix, as one row."""

    prefix: PrefixCache

    @property
    def reach(self) -> int:
        """Most tokens that any token sees, itself included, as for every pass."""
        return self.prefix.length

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention output, shape (rows, heads, Q, head size), as for every pass."""
        self.prefix.layers[layer] = (key, value)
        return _sdpa(query, key, value, scale=scale, mask=None)


@dataclass(frozen=True)
class SuffixPass:
    """Reads and stores the suffixes of some rows.

    Attributes:
        prefix, suffixes: what is seen, and where the suffixes are stored.
        rows: of the batch.
        mask: which prefix and suffix tokens each suffix token sees, shape (1, 1, Q, P + Q), bool.
    """

    prefix: PrefixCache
    suffixes: SuffixCache
    rows: slice
    mask: torch.Tensor

    @classmethod
    def of(cls, prefix: PrefixCache, suffixes: SuffixCache, rows: slice, width: int, device: str) -> "SuffixPass":
        """For `rows`, right-padded to `width` tokens; padding comes last, so causality hides it."""
        seen = torch.ones(width, prefix.length, dtype=torch.bool, device=device)
        own = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        return cls(prefix, suffixes, rows, torch.cat([seen, own], dim=1)[None, None])

    @property
    def reach(self) -> int:
        return self.mask.shape[-1]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        self.suffixes.fill(layer, self.rows, key, value)
        return _attend_to_all([*self.prefix.parts(layer), (key, value)], query, self.mask, scale)


@dataclass(frozen=True)
class ContinuationPass:
    """Reads what could follow the suffixes of some rows, and stores none of it.

    Attributes:
        prefix, suffixes: what is seen.
        rows: indices of rows of the batch.
        width: tokens of the longest of their suffixes.
        reach: most tokens that any token sees.
        mask: which prefix, suffix and continuation tokens each continuation token sees, shape
            (rows, 1, Q, P + width + Q), bool.
    """

    prefix: PrefixCache
    suffixes: SuffixCache
    rows: torch.Tensor
    width: int
    reach: int
    mask: torch.Tensor

    @classmethod
    def of(
        cls,
        prefix: PrefixCache,
        suffixes: SuffixCache,
        rows: torch.Tensor,
        lengths: torch.Tensor,
        own: torch.Tensor,
    ) -> "ContinuationPass":
        """
        Args:
            prefix: of all rows.
            suffixes: of the batch.
            rows: indices of rows of the batch.
            lengths: suffix tokens of each, shape (rows,).
            own: which of its row's continuation tokens each one sees, shape (rows, Q, Q), bool.
        """
        width, queries = int(lengths.max()), own.shape[1]
        stored = torch.arange(width, device=own.device)[None] < lengths[:, None]
        seen = torch.ones(own.shape[0], queries, prefix.length, dtype=torch.bool, device=own.device)
        mask = torch.cat([seen, stored[:, None].expand(-1, queries, -1), own], dim=2)[:, None]
        reach = prefix.length + int((lengths + own.sum(dim=2).amax(dim=1)).max())
        return cls(prefix=prefix, suffixes=suffixes, rows=rows, width=width, reach=reach, mask=mask)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        keys, values = self.suffixes.layers[layer]
        stored = (keys[self.rows, :, : self.width], values[self.rows, :, : self.width])
        return _attend_to_all([*self.prefix.parts(layer), stored, (key, value)], query, self.mask, scale)


@dataclass(frozen=True)
class DecodingPass:
    """Reads and stores one more token of every row.

    Attributes:
        prefix, suffixes: what is seen, and where the tokens are stored.
        slots: of the tokens, shape (rows,).
        mask: added to the scores of the suffix tokens, 0 or -inf, shape (rows, 1, 1, slots that are seen).
    """

    prefix: PrefixCache
    suffixes: SuffixCache
    slots: torch.Tensor
    mask: torch.Tensor

    @classmethod
    def of(cls, prefix: PrefixCache, suffixes: SuffixCache, slots: torch.Tensor) -> "DecodingPass":
        """For tokens to be stored at `slots`; a row sees its slots up to that one."""
        hidden = torch.arange(int(slots.max()) + 1, device=slots.device)[None] > slots[:, None]
        mask = torch.zeros(hidden.shape, device=slots.device).masked_fill(hidden, float("-inf"))
        return cls(prefix, suffixes, slots, mask[:, None, None])

    @property
    def reach(self) -> int:
        return self.prefix.length + self.mask.shape[-1]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        self.suffixes.append(layer, self.slots, key, value)
        width = self.mask.shape[-1]
        keys, values = (whole[:, :, :width] for whole in self.suffixes.layers[layer])
        batch, heads, _, size = query.shape
        grouped = (query * scale).view(batch, key.shape[1], heads // key.shape[1], size)
        scores = grouped @ keys.transpose(2, 3) + self.mask.to(query.dtype)
        if not self.prefix.length:
            return (_weights(scores) @ values).view(query.shape)
        prefix_keys, prefix_values = self.prefix.layers[layer]
        weights = _weights(torch.cat([_times_shared(grouped, prefix_keys[0].transpose(1, 2)), scores], dim=-1))
        on_prefix, on_suffix = weights.split([self.prefix.length, width], dim=-1)
        return (_times_shared(on_prefix, prefix_values[0]) + on_suffix @ values).reshape(query.shape)


@dataclass(frozen=True)
class SequencesPass:
    """Reads whole sequences that lie end to end in one row, so that none is padded; stores nothing.

    Attributes:
        lengths: tokens of each.
    """

    lengths: Sequence[int]

    @property
    def reach(self) -> int:
        return max(self.lengths)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        apart = [tensor.split(list(self.lengths), dim=2) for tensor in (query, key, value)]
        return torch.cat([_sdpa(q, k, v, scale=scale, mask=None) for q, k, v in zip(*apart, strict=True)], dim=2)


AttentionPass = PrefixPass | SuffixPass | ContinuationPass | DecodingPass | SequencesPass


def _weights(scores: torch.Tensor) -> torch.Tensor:
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)


def _times_shared(rows: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """One product of all rows with what they share: (rows, heads, G, n) x (heads, n, m) -> (rows, heads, G, m)."""
    together = rows.transpose(0, 1).reshape(shared.shape[0], -1, shared.shape[1])
    return (together @ shared).view(shared.shape[0], len(rows), -1, shared.shape[2]).transpose(0, 1)


def _attend_to_all(parts: list[KeysAndValues], query: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention to several parts one after the other; one of a single row is every row's."""
    keys, values = (
        torch.cat([tensor.expand(query.shape[0], -1, -1, -1) for tensor in tensors], dim=2)
        for tensors in zip(*parts, strict=True)
    )
    return _sdpa(query, keys, values, scale=scale, mask=mask)


def _sdpa(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, mask: torch.Tensor | None
) -> torch.Tensor:
    """Causal without a mask; key heads are repeated for grouped queries."""
    group = query.shape[1] // key.shape[1]
    if group > 1:
        key, value = (tensor.repeat_interleave(group, dim=1) for tensor in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale)


def _attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any,
    scaling: float, attention_pass: AttentionPass, **kwargs: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """What transformers calls in every layer; the output has shape (rows, Q, heads, head size)."""
    asked = [name for name in UNSUPPORTED if kwargs.get(name) is not None]
    window = kwargs.get("sliding_window")
    if window is not None and window < attention_pass.reach:
        asked.append(f"sliding_window of {window} tokens")
    if asked:
        what = f"this model's attention needs {', '.join(asked)}, which the shared prefix does not know"
        raise UserError(what, type(module).__name__, "prepare the model again")
    layer = module.layer_idx
    assert isinstance(layer, int)
    output = attention_pass.attend(layer, query, key, value, scale=scaling)
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(IMPLEMENTATION, _attention)
