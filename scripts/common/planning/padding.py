"""What padding and waiting for the slowest process cost, from the code that deals sequences out."""

import functools
import math
import random

from common.base.batch_sizes import Deal

# Sequences that are drawn for it.
SAMPLE = 4096


@functools.cache
def padding_factor(
    mean: float, limit: int, spread: float, global_batch: int, micro_steps: int, processes: int, deal: Deal
) -> float:
    """Tokens that the slowest process of each micro-step computes, padding included, for each token of an equal share.

    Lengths are drawn from a log-normal distribution, cut to the longest allowed.

    Args:
        mean: tokens of a sequence.
        limit: of the longest.
        spread: standard deviation of the length's logarithm.
        global_batch: sequences of an optimizer step.
        micro_steps: micro-batches of a process in it.
        processes: that share it.
        deal: how it is parted.
    """
    rng = random.Random(0)  # noqa: S311
    center = math.log(mean) - spread**2 / 2
    slowest = equal = 0.0
    for _ in range(max(1, SAMPLE // global_batch)):
        lengths = [min(limit, max(1, round(rng.lognormvariate(center, spread)))) for _ in range(global_batch)]
        for micro_step in deal(lengths, micro_steps, processes):
            slowest += max(len(run) * lengths[run[0]] for run in micro_step)
        equal += sum(lengths) / processes
    return slowest / equal
