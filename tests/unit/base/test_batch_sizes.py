"""Steps of accumulation that make up a global batch, and how its sequences are dealt out."""

import itertools
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.base.batch_sizes import accumulation_steps, deal_equally, deal_out
from common.base.errors import UserError


@pytest.mark.parametrize(
    ("global_batch", "per_device", "processes", "steps"),
    [(128, 16, 8, 1), (128, 16, 1, 8), (128, 4, 8, 4), (8, 8, 1, 1), (6, 1, 3, 2)],
)
def test_accumulation_makes_up_the_global_batch(global_batch: int, per_device: int, processes: int, steps: int) -> None:
    assert accumulation_steps(global_batch, per_device, processes) == steps
    assert steps * per_device * processes == global_batch


@pytest.mark.parametrize(("global_batch", "per_device", "processes"), [(128, 24, 1), (8, 16, 1), (8, 4, 3), (8, 1, 16)])
def test_batch_that_cannot_be_divided_is_an_error(global_batch: int, per_device: int, processes: int) -> None:
    with pytest.raises(UserError) as caught:
        accumulation_steps(global_batch, per_device, processes)
    assert "per_device_batch_size" in caught.value.where
    assert str(global_batch) in caught.value.what


def costs(lengths: list[int], dealt: list[list[list[int]]]) -> list[list[int]]:
    """Padded tokens of each micro-batch."""
    return [[len(part) * max(1, max(lengths[i] for i in part)) for part in step] for step in dealt]


@given(st.data())
def test_every_sequence_is_dealt_out_once_and_no_micro_batch_is_empty(data: st.DataObject) -> None:
    steps, processes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    lengths = data.draw(st.lists(st.integers(0, 600), min_size=steps * processes, max_size=64))
    dealt = deal_out(lengths, steps, processes)
    assert [len(step) for step in dealt] == [processes] * steps
    parts = [part for step in dealt for part in step]
    assert all(parts)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    assert all(lengths[part[0]] == max(lengths[i] for i in part) for part in parts)


@given(st.lists(st.integers(1, 50), min_size=3, max_size=7), st.integers(1, 3))
def test_no_way_to_part_the_sequences_has_a_cheaper_costliest_micro_batch(lengths: list[int], runs: int) -> None:
    best = min(
        max(places.count(run) * max(length for length, place in zip(lengths, places, strict=True) if place == run)
            for run in range(runs))
        for places in itertools.product(range(runs), repeat=len(lengths))
        if len(set(places)) == runs
    )  # fmt: skip
    assert max(itertools.chain(*costs(lengths, deal_out(lengths, 1, runs)))) == best


def long_tailed(count: int, longest: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    return [min(longest, max(4, round(rng.lognormvariate(4.5, 0.9)))) for _ in range(count)]


@pytest.mark.parametrize(("global_batch", "per_device", "longest"), [(128, 16, 512), (128, 8, 1024)])
def test_the_slowest_of_eight_processes_is_hardly_slower_than_their_mean(global_batch, per_device, longest):
    """On lengths like those of the released responses, at the paper's micro-batches of SFT and CoH."""
    ratios = []
    for seed in range(40):
        lengths = long_tailed(global_batch, longest, seed)
        dealt = costs(lengths, deal_out(lengths, global_batch // per_device // 8, 8))
        ratios.append(sum(map(max, dealt)) / sum(map(statistics.mean, dealt)))
    assert statistics.mean(ratios) < 1.1
    assert max(ratios) < 1.15


def test_equal_shares_take_turns_at_sorted_sequences() -> None:
    assert deal_equally([3, 9, 5, 7, 1, 8, 2, 6], 2, 2) == [[[1, 3], [5, 7]], [[2, 6], [0, 4]]]
    assert deal_equally([1, 2, 3, 4], 2, 1) == [[[3, 2]], [[1, 0]]]


def test_the_processes_of_a_micro_step_cost_what_is_alike() -> None:
    lengths = [100] * 4 + [10] * 40
    cheaper, dearer = sorted(map(max, costs(lengths, deal_out(lengths, 2, 2))))
    assert dearer == 200
    assert cheaper == 200
