"""Attention over a prefix all rows share and a suffix of each row's own, without copying the prefix a row.

Registered with transformers as the attention implementation `shared_prefix`; the model passes everything else
through. Positions are exact: suffixes are padded on the right and generated tokens overwrite the padding.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from common.base.errors import UserError

# What some architectures ask of attention and is not done here.
UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")
IMPLEMENTATION = "shared_prefix"


class SharedPrefixStore:
    """Keys and values of the shared prefix and of a batch of suffixes, by layer.

    Shapes: prefix (1, key heads, P, head size); suffix (rows, key heads, slots, head size). One of `begin_prefix`,
    `begin_prefill`, `begin_decode`, `begin_score` says what the next forward pass is.
    """

    def __init__(self) -> None:
        self.prefix: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.suffix: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._mode = ""
        self._rows: slice | torch.Tensor = slice(0, 0)
        self._shape = (0, 0)
        self._index = torch.empty(0)
        self._mask: torch.Tensor | None = None

    def begin_prefix(self) -> None:
        """Next: one row, the prefix itself."""
        self._mode = "prefix"

    def begin_batch(self, rows: int, slots: int) -> None:
        """Forget the suffixes and make room for `rows` of at most `slots` tokens."""
        self.suffix = {}
        self._shape = (rows, slots)

    def begin_prefill(self, rows: slice, length: int, prefix_length: int, device: str) -> None:
        """Next: the suffixes of `rows`, right-padded to `length`; padding comes last, so causality hides it."""
        self._mode, self._rows = "prefill", rows
        seen = torch.ones(length, prefix_length, dtype=torch.bool, device=device)
        own = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        self._mask = torch.cat([seen, own], dim=1)[None, None]

    def begin_decode(self, slots: torch.Tensor) -> None:
        """Next: one token a row, to be stored at `slots` (rows,); a row sees its slots up to that one."""
        self._mode, self._index = "decode", slots
        width = int(slots.max()) + 1
        hidden = torch.arange(width, device=slots.device)[None] > slots[:, None]
        self._mask = torch.zeros(hidden.shape, device=slots.device).masked_fill(hidden, float("-inf"))[:, None, None]

    def begin_score(self, rows: torch.Tensor, lengths: torch.Tensor, own: torch.Tensor, prefix_length: int) -> None:
        """Next: continuations of `rows` that are not stored.

        Args:
            rows: indices of rows of the batch.
            lengths: suffix tokens of each, shape (rows,).
            own: which of its row's continuation tokens each one sees, shape (rows, Q, Q), bool.
            prefix_length: tokens of the prefix.
        """
        self._mode, self._rows = "score", rows
        width, queries = int(lengths.max()), own.shape[1]
        stored = torch.arange(width, device=own.device)[None] < lengths[:, None]
        self._index = torch.tensor(width)
        seen = torch.ones(own.shape[0], queries, prefix_length, dtype=torch.bool, device=own.device)
        self._mask = torch.cat([seen, stored[:, None].expand(-1, queries, -1), own], dim=2)[:, None]

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Keep only these rows of the batch, in this order."""
        for layer, (keys, values) in self.suffix.items():  # a layer at a time, so that only one is held twice
            self.suffix[layer] = (keys[rows], values[rows])

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention output, shape (rows, Q, heads, head size)."""
        if self._mode == "prefix":
            self.prefix[layer] = (key, value)
            output = _sdpa(query, key, value, None, scale)
        elif self._mode == "decode":
            output = self._decode(layer, query, key, value, scale)
        else:
            stored = self._stored(layer, key, value)
            keys, values = (
                torch.cat([part.expand(query.shape[0], -1, -1, -1) for part in parts], dim=2)
                for parts in zip(*stored, (key, value), strict=True)
            )
            output = _sdpa(query, keys, values, self._mask, scale)
        return output.transpose(1, 2).contiguous()

    def _stored(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """What earlier passes stored and this one sees; in prefill, store this pass as well."""
        stored = [self.prefix[layer]] if layer in self.prefix else []
        if self._mode == "score":
            width = int(self._index)
            keys, values = self.suffix[layer]
            return [*stored, (keys[self._rows, :, :width], values[self._rows, :, :width])]
        if layer not in self.suffix:
            rows, slots = self._shape
            shape = (rows, key.shape[1], slots, key.shape[3])
            self.suffix[layer] = (key.new_zeros(shape), value.new_zeros(shape))
        for whole, new in zip(self.suffix[layer], (key, value), strict=True):
            whole[self._rows, :, : key.shape[2]] = new
        return stored

    def _decode(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        keys, values = self.suffix[layer]
        rows = torch.arange(query.shape[0], device=query.device)
        keys[rows, :, self._index] = key[:, :, 0]
        values[rows, :, self._index] = value[:, :, 0]
        assert self._mask is not None
        width = self._mask.shape[-1]
        batch, heads, _, size = query.shape
        grouped = (query * scale).view(batch, key.shape[1], heads // key.shape[1], size)
        scores = grouped @ keys[:, :, :width].transpose(2, 3) + self._mask.to(query.dtype)
        if layer not in self.prefix:
            return (torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype) @ values[:, :, :width]).view(
                query.shape
            )
        prefix_keys, prefix_values = self.prefix[layer]
        # One product of all rows with the one prefix: (key heads, rows * group, size) x (key heads, size, P).
        together = grouped.transpose(0, 1).reshape(key.shape[1], -1, size)
        prefix_scores = (together @ prefix_keys[0].transpose(1, 2)).view(key.shape[1], batch, -1, prefix_keys.shape[2])
        weights = torch.softmax(torch.cat([prefix_scores.transpose(0, 1), scores], dim=-1), dim=-1, dtype=torch.float32)
        weights = weights.to(query.dtype)
        on_prefix, on_suffix = weights.split([prefix_keys.shape[2], width], dim=-1)
        shared = on_prefix.transpose(0, 1).reshape(key.shape[1], -1, prefix_keys.shape[2]) @ prefix_values[0]
        shared = shared.view(key.shape[1], batch, -1, size).transpose(0, 1)
        return (shared + on_suffix @ values[:, :, :width]).reshape(query.shape)


def _sdpa(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """Causal without a mask; key heads are repeated for grouped queries."""
    group = query.shape[1] // key.shape[1]
    if group > 1:
        key, value = (tensor.repeat_interleave(group, dim=1) for tensor in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale)


def _attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any,
    scaling: float, store: SharedPrefixStore, **kwargs: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    if asked := [name for name in UNSUPPORTED if kwargs.get(name) is not None]:
        what = f"this model's attention needs {', '.join(asked)}, which the shared prefix does not know"
        raise UserError(what, type(module).__name__, "choose a model with plain causal attention")
    layer = module.layer_idx
    assert isinstance(layer, int)
    return store.attend(layer, query, key, value, scaling), None


AttentionInterface.register(IMPLEMENTATION, _attention)
