"""Memory of one training step beside weights, gradients and optimizer states, found by running it without memory.

Forward and backward pass run on fake tensors, and every tensor that comes and goes is counted, so that what an
architecture keeps for its backward pass and what it needs in between follow from its own code.
"""

import copy
import functools
import json
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AttentionInterface, AttentionMaskInterface, AutoConfig, PretrainedConfig
from trl.kernels import ChunkedLogProbFunction
from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

from common.planning.model_shapes import build_fake, plannable

ATTENTION = "planned"
# Tokens and vocabulary entries of one tile of TRL's head.
HEAD_TILE = (4096, _CHUNKED_LOGPROB_CHUNK_SIZE)
# What of a CPU tile lies beyond the vocabulary is never written, but the heap lends most of it to others between two
# passes, so that it counts; the share varies from run to run (comparisons/memory.py, smoke models).
RESIDENT_REST = 0.75
# Deeper models repeat their layers: memory then grows by the same amount with each.
MEASURED_LAYERS = (2, 3)
MEASURED_LENGTHS = (16, 32)


@dataclass(frozen=True)
class StepMemory:
    """Bytes beside the weights.

    Attributes:
        kept: alive between forward and backward pass.
        peak: the most at any moment; of a step that keeps gradients, these included.
    """

    kept: int
    peak: int


class _LiveBytes(TorchDispatchMode):
    """Counts the storages that operations bring forth, until they are freed."""

    def __init__(self, known: Iterable[torch.Tensor]):
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, Any] = {tensor.untyped_storage()._cdata: None for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self._alive:
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._alive[key] = weakref.finalize(storage, self._free, key, size)
        self.now += size
        self.peak = max(self.peak, self.now)

    def _free(self, key: int, size: int) -> None:
        self._alive.pop(key, None)
        self.now -= size


class _FusedAttention(torch.autograd.Function):
    """What the flash and memory-efficient kernels keep: queries, keys, values, output, one sum a row, the mask."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, mask: Any) -> Any:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums, mask.to(query.dtype))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None


def _attention(
    module: torch.nn.Module, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
) -> tuple[Any, None]:
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    return _FusedAttention.apply(query, key, value, attention_mask).transpose(1, 2).contiguous(), None


def _mask(batch_size: int, q_length: int, kv_length: int, **options: Any) -> Any:
    return torch.ones(batch_size, 1, q_length, kv_length, dtype=torch.bool)


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, _mask)


class _HeadOnGpu(torch.autograd.Function):
    """What TRL's head allocates where it runs as a Triton kernel: a tile of logits, gradients summed in fp32."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any) -> Any:
        ctx.save_for_backward(hidden, weight)
        _HeadOnGpu._tile(hidden)
        return hidden.new_empty(len(hidden), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden, weight = ctx.saved_tensors
        sums = [torch.empty_like(tensor, dtype=torch.float32) for tensor in (hidden, weight)]
        tile = _HeadOnGpu._tile(hidden)
        del tile
        return tuple(gradient.to(hidden.dtype) for gradient in sums)

    @staticmethod
    def _tile(hidden: Any) -> Any:
        return hidden.new_empty(min(len(hidden), HEAD_TILE[0]), HEAD_TILE[1])


def _language_loss(model: Any, ids: Any, mask: Any, gpu: bool) -> Any:
    """Log-likelihood of every token through TRL's head, as the trainers compute it."""
    hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[:, :-1]
    hidden, head = hidden.reshape(-1, hidden.shape[-1]), model.get_output_embeddings()
    if gpu:
        return -_HeadOnGpu.apply(hidden, head.weight).sum()
    targets, outputs = ids[:, 1:].reshape(-1), ("log_probs", "entropy", "is_top1")
    used = min(HEAD_TILE[1], len(head.weight))
    options = (1.0, used + round(RESIDENT_REST * (HEAD_TILE[1] - used)), None, 1.0, outputs)
    return -ChunkedLogProbFunction.apply(hidden, head.weight, head.bias, targets, *options)[0].sum()


def _reward_loss(model: Any, ids: Any, mask: Any, gpu: bool) -> Any:
    hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return model.score(hidden).float().sum()


LOSSES = {"language": _language_loss, "reward": _reward_loss}


def _measure(
    config: PretrainedConfig, kind: str, batch: int, length: int, dtype: torch.dtype, checkpointing: bool, gpu: bool,
    keep_gradients: bool,
) -> StepMemory:  # fmt: skip
    """Run one step of fake tensors."""
    try:
        model, mode = build_fake(config, kind, dtype, ATTENTION)
    except KeyError:  # an architecture with attention classes of its own
        model, mode = build_fake(config, kind, dtype, None)
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable()
    if not keep_gradients:
        for weight in model.parameters():
            weight.register_post_accumulate_grad_hook(lambda weight: setattr(weight, "grad", None))
    with mode:
        ids, mask = (torch.zeros(batch, length, dtype=torch.long) for _ in range(2))
        with _LiveBytes([*model.parameters(), *model.buffers(), ids, mask]) as live:
            loss = LOSSES[kind](model, ids, mask, gpu)
            kept = live.now
            loss.backward()
    return StepMemory(kept, live.peak)


@functools.cache
def _measure_cached(config_json: str, **step: Any) -> StepMemory:
    config = AutoConfig.for_model(**json.loads(config_json))
    with plannable(config, "a training step"):
        return _measure(config, **step)


def step_memory(
    config: PretrainedConfig, kind: str, batch: int, length: int, dtype: torch.dtype, checkpointing: bool, gpu: bool,
    keep_gradients: bool,
) -> StepMemory:  # fmt: skip
    """Bytes of one forward and backward pass beside the weights.

    Args:
        config: of the architecture.
        kind: language (loss on tokens) or reward (a score a token).
        batch: sequences at once.
        length: tokens of each, padding included.
        dtype: of the weights.
        checkpointing: recompute each layer in the backward pass.
        gpu: whether TRL's head runs as a GPU kernel.
        keep_gradients: whether every gradient stays until the optimizer's step (plain torch), or is handed over as soon
            as it is known (ZeRO-3).
    """
    step = {"kind": kind, "batch": batch, "length": length, "dtype": dtype, "checkpointing": checkpointing,
            "gpu": gpu, "keep_gradients": keep_gradients}  # fmt: skip
    if not getattr(config, "num_attention_heads", None) and length > max(MEASURED_LENGTHS):
        return _by_length(config, length, step)
    if keep_gradients or config.num_hidden_layers <= max(MEASURED_LAYERS):
        return _measure_cached(config.to_json_string(use_diff=False), **step)
    few, more = (_measure_cached(_with_layers(config, n), **step) for n in MEASURED_LAYERS)
    further = config.num_hidden_layers - MEASURED_LAYERS[0]
    return StepMemory(few.kept + further * (more.kept - few.kept), few.peak + further * (more.peak - few.peak))


def _by_length(config: PretrainedConfig, length: int, step: dict[str, Any]) -> StepMemory:
    """Memory of a model without attention, which grows by the same amount with each token; many are slow to run."""
    short, long = (step_memory(config, **{**step, "length": tokens}) for tokens in MEASURED_LENGTHS)
    further = (length - MEASURED_LENGTHS[0]) / (MEASURED_LENGTHS[1] - MEASURED_LENGTHS[0])
    kept, peak = ((a + round(further * (b - a))) for a, b in ((short.kept, long.kept), (short.peak, long.peak)))
    return StepMemory(kept, peak)


def _with_layers(config: PretrainedConfig, layers: int) -> str:
    changed = copy.deepcopy(config)
    changed.num_hidden_layers = layers
    return changed.to_json_string(use_diff=False)
