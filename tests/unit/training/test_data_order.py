"""The order of rows: by seed and epoch alone, dealt out by length inside a global batch."""

from typing import Any

import pytest
from datasets import Dataset

from common.training.data_order import MicroBatchLoader, MicroBatchSampler, filler_count, global_batches

SHAPES = [(1, 1), (1, 8), (16, 8), (21, 8), (100, 7), (5, 128)]


@pytest.mark.parametrize(("examples", "global_batch"), SHAPES)
def test_each_epoch_is_a_permutation_of_all_rows(examples: int, global_batch: int) -> None:
    whole = examples + filler_count(examples, global_batch)
    assert whole - examples < global_batch
    for epoch in range(3):
        batches = global_batches(examples, global_batch, 3, epoch)
        assert {len(batch) for batch in batches} == {global_batch}
        assert sorted(row for batch in batches for row in batch) == list(range(whole))


@pytest.mark.parametrize(("examples", "global_batch"), SHAPES)
def test_fillers_stand_in_the_last_global_batch(examples: int, global_batch: int) -> None:
    *whole, last = global_batches(examples, global_batch, 3, 0)
    assert [row for batch in whole for row in batch if row >= examples] == []
    assert sum(row >= examples for row in last) == filler_count(examples, global_batch)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    orders = {(seed, epoch): global_batches(64, 8, seed, epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)}
    assert len({str(order) for order in orders.values()}) == 9
    assert all(global_batches(64, 8, *key) == order for key, order in orders.items())


def micro_batches(examples: int, per_device: int, processes: int, epoch: int = 0) -> list[list[list[int]]]:
    """Micro-batches of every process, of global batches of 16; lengths vary."""
    lengths = [5 + (7 * i) % 11 for i in range(examples)]
    samplers = [
        MicroBatchSampler(lengths, global_batch=16, per_device=per_device, seed=3, share=(rank, processes))
        for rank in range(processes)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
        assert len(list(sampler)) == len(sampler)
        assert list(sampler) == list(sampler)
    return [list(sampler) for sampler in samplers]


@pytest.mark.parametrize(("per_device", "processes"), [(16, 1), (4, 1), (4, 2), (2, 8), (1, 16)])
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_step_holds_the_same_rows_on_any_number_of_processes(per_device: int, processes: int, epoch: int) -> None:
    shares = micro_batches(37, per_device, processes, epoch)
    micro_steps = 16 // per_device // processes
    for step, batch in enumerate(global_batches(37, 16, 3, epoch)):
        parts = [part for share in shares for part in share[step * micro_steps : (step + 1) * micro_steps]]
        assert sorted(row for part in parts for row in part) == sorted(batch)
        assert all(parts)


def test_the_loader_reads_what_the_sampler_says_in_each_epoch() -> None:
    rows = Dataset.from_list([{"row": i} for i in range(32)])
    sampler = MicroBatchSampler([1 + i % 5 for i in range(20)], global_batch=16, per_device=4, seed=3, share=(1, 2))

    def collate(examples: list[dict[str, Any]]) -> list[int]:
        return [example["row"] for example in examples]

    loader = MicroBatchLoader(rows, sampler, collate, pin_memory=False)
    seen = []
    for epoch in (0, 1):
        loader.set_epoch(epoch)
        seen.append(list(loader))
        assert seen[-1] == list(sampler)
        assert len(loader) == len(seen[-1])
    assert seen[0] != seen[1]
