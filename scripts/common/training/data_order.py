"""The order of the data: the same prompts in the same step on any number of devices."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler


def filler_count(examples: int, global_batch: int) -> int:
    """Empty sequences needed to complete an epoch's last global batch."""
    return -examples % global_batch


class GlobalBatchSampler(Sampler[int]):
    """Shuffles by seed and epoch, then sorts each global batch by length, so that little is padded.

    A step holds the same prompts as without sorting; only their place in its micro-batches changes. The last global
    batch is completed with fillers, sequences without a label, which add nothing to the loss: without them data
    loaders repeat or drop examples depending on the number of processes.
    """

    def __init__(self, lengths: Sequence[int], examples: int, global_batch: int, seed: int):
        """
        Args:
            lengths: tokens of every row, fillers (the rows from `examples` on) included.
            examples: number of real rows.
            global_batch: sequences an optimizer step sees.
            seed: seed of the order.
        """
        if len(lengths) != examples + filler_count(examples, global_batch):
            raise ValueError("rows and fillers do not make up whole global batches")
        self._lengths, self._examples = lengths, examples
        self._global_batch, self._seed, self._epoch = global_batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self._epoch)
        order = torch.randperm(self._examples, generator=generator).tolist()
        order += range(self._examples, len(self._lengths))
        for start in range(0, len(order), self._global_batch):
            yield from sorted(order[start : start + self._global_batch], key=lambda i: (-self._lengths[i], i))
