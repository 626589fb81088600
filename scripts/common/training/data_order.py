"""The order of the data: the same prompts in the same step on any number of devices, dealt out by length."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from common.base.batch_sizes import Deal, accumulation_steps, deal_out


def filler_count(examples: int, global_batch: int) -> int:
    """Empty sequences needed to complete an epoch's last global batch."""
    return -examples % global_batch


def global_batches(examples: int, global_batch: int, seed: int, epoch: int) -> list[list[int]]:
    """Rows of each global batch of an epoch, shuffled by seed and epoch.

    The last one is completed with fillers, the rows from `examples` on, which add nothing to the loss: without them
    data loaders repeat or drop examples depending on the number of processes.
    """
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    order = torch.randperm(examples, generator=generator).tolist()
    order += range(examples, examples + filler_count(examples, global_batch))
    return [order[start : start + global_batch] for start in range(0, len(order), global_batch)]


class MicroBatchSampler(Sampler[list[int]]):
    """This process's micro-batches of every global batch.

    A step holds the same rows on any number of processes; only their place in its micro-batches changes.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        global_batch: int,
        per_device: int,
        seed: int,
        share: tuple[int, int],
        deal: Deal = deal_out,
    ):
        """
        Args:
            lengths: tokens of every row but the fillers, which count as the shortest.
            global_batch: sequences an optimizer step sees.
            per_device: how many of them a device holds at once on average.
            seed: seed of the order.
            share: rank and number of processes.
            deal: how a global batch is parted.
        """
        self._examples = len(lengths)
        self._lengths = [*lengths, *[0] * filler_count(len(lengths), global_batch)]
        self._global_batch, self._seed, self._epoch = global_batch, seed, 0
        self._rank, self._processes = share
        self._deal = deal
        self._micro_steps = accumulation_steps(global_batch, per_device, self._processes)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch, through the loader or at a resumed run directly."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths) // self._global_batch * self._micro_steps

    def __iter__(self) -> Iterator[list[int]]:
        for rows in global_batches(self._examples, self._global_batch, self._seed, self._epoch):
            dealt = self._deal([self._lengths[row] for row in rows], self._micro_steps, self._processes)
            for micro_step in dealt:
                yield [rows[i] for i in micro_step[self._rank]]


class MicroBatchLoader(DataLoader[Any]):
    """Loads the micro-batches of a `MicroBatchSampler`, which already knows its process's share."""

    batch_sampler: MicroBatchSampler

    def __init__(self, rows: Any, sampler: MicroBatchSampler, collate: Callable[..., Any], pin_memory: bool):
        super().__init__(rows, batch_sampler=sampler, collate_fn=collate, pin_memory=pin_memory)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.batch_sampler.set_epoch(epoch)
