"""The order of rows: by seed and epoch alone, sorted inside a global batch."""

import pytest

from common.training.data_order import GlobalBatchSampler, filler_count


def sampler(examples: int, global_batch: int, seed: int = 3, epoch: int = 0, equal: bool = False) -> list[int]:
    """Rows of one epoch; lengths vary unless `equal`, fillers are shortest."""
    lengths = [1 if equal else 5 + (7 * i) % 11 for i in range(examples)]
    lengths += [1] * filler_count(examples, global_batch)
    made = GlobalBatchSampler(lengths, examples, global_batch, seed)
    made.set_epoch(epoch)
    rows = list(made)
    assert len(made) == len(rows)
    return rows


def batches(rows: list[int], size: int) -> list[list[int]]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


SHAPES = [(1, 1), (1, 8), (16, 8), (21, 8), (100, 7), (5, 128)]


@pytest.mark.parametrize(("examples", "global_batch"), SHAPES)
def test_each_epoch_is_a_permutation_of_all_rows(examples: int, global_batch: int) -> None:
    whole = examples + filler_count(examples, global_batch)
    assert whole % global_batch == 0
    assert whole - examples < global_batch
    for epoch in range(3):
        assert sorted(sampler(examples, global_batch, epoch=epoch)) == list(range(whole))


@pytest.mark.parametrize(("examples", "global_batch"), SHAPES)
def test_global_batches_hold_the_same_rows_as_without_sorting(examples: int, global_batch: int) -> None:
    by_length = batches(sampler(examples, global_batch), global_batch)
    unsorted = batches(sampler(examples, global_batch, equal=True), global_batch)
    assert [set(batch) for batch in by_length] == [set(batch) for batch in unsorted]


def test_lengths_descend_inside_a_global_batch_only() -> None:
    lengths = [5 + (7 * i) % 11 for i in range(64)]
    ordered = [lengths[i] for i in sampler(64, 8)]
    assert all(batch == sorted(batch, reverse=True) for batch in batches(ordered, 8))
    assert ordered != sorted(ordered, reverse=True)


@pytest.mark.parametrize(("examples", "global_batch"), SHAPES)
def test_fillers_stand_in_the_last_global_batch(examples: int, global_batch: int) -> None:
    *whole, last = batches(sampler(examples, global_batch), global_batch)
    assert [row for batch in whole for row in batch if row >= examples] == []
    assert sum(row >= examples for row in last) == filler_count(examples, global_batch)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    orders = {(seed, epoch): sampler(64, 8, seed, epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)}
    assert len(set(map(tuple, orders.values()))) == 9
    assert all(sampler(64, 8, *key) == order for key, order in orders.items())


def test_sampler_gives_the_same_order_each_time_it_is_read() -> None:
    made = GlobalBatchSampler([3, 1, 2, 5], 4, 2, seed=1)
    assert list(made) == list(made)


def test_rows_that_make_up_no_whole_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="whole global batches"):
        GlobalBatchSampler([1] * 9, 9, 8, seed=0)
