"""Values of many examples from a model in evaluation mode: in batches of similar length, shared by all processes."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

# Rank and number of processes: the whole work is done here.
ALONE = (0, 1)


@torch.no_grad()
def score_in_batches(
    model: Any,
    lengths: Sequence[int],
    batch: int,
    score: Callable[[list[int]], Sequence[torch.Tensor]],
    device: str,
    share: tuple[int, int] = ALONE,
) -> list[list[float]]:
    """Columns of values, each with one for every example, the same on every process.

    Every process scores equally many batches, for ZeRO-3 gathers the weights of each on all of them; what completes a
    process's number is thrown away.

    Args:
        model: what `score` runs; in evaluation mode meanwhile.
        lengths: of the examples, at least one; the longest come first.
        batch: examples at once.
        score: columns of values, each of shape (B,), of the examples at B indices.
        device: where the model is.
        share: this process's rank and the number of processes.
    """
    rank, processes = share
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    mine = order[rank::processes]
    batches = [mine[start : start + batch] for start in range(0, len(mine), batch)]
    fillers = math.ceil(len(order[::processes]) / batch) - len(batches)
    was_training = model.training
    model.eval()
    found = [torch.stack([column.double() for column in score(chosen)]) for chosen in batches]
    unused = [score(order[-1:]) for _ in range(fillers)]
    model.train(was_training)
    columns = len(found[0] if found else unused[0])
    values = torch.zeros(columns, len(order), dtype=torch.float64, device=device)
    for chosen, part in zip(batches, found, strict=True):
        values[:, chosen] = part
    if processes > 1:
        torch.distributed.all_reduce(values)
    return values.tolist()
