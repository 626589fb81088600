"""How a global batch is divided over processes and micro-steps. Loaded while the DAG is planned: nothing heavy here."""

from collections.abc import Callable, Sequence

from common.base.errors import UserError

# Of lengths, micro-steps and processes: the sequences of each micro-batch, by micro-step and process.
Deal = Callable[[Sequence[int], int, int], list[list[list[int]]]]


def accumulation_steps(global_batch: int, per_device: int, processes: int) -> int:
    """Micro-batches each process accumulates before an optimizer step.

    Raises:
        UserError: when the global batch cannot be divided so.
    """
    steps, rest = divmod(global_batch, per_device * processes)
    if steps < 1 or rest:
        raise UserError(
            f"a global batch of {global_batch} is not a multiple of {per_device} per device on {processes} processes",
            "global_batch_size, per_device_batch_size",
            "choose a `per_device_batch_size` whose product with the number of processes divides `global_batch_size`",
        )
    return steps


def deal_out(lengths: Sequence[int], micro_steps: int, processes: int) -> list[list[list[int]]]:
    """Part a global batch into micro-batches that cost nearly the same.

    A micro-batch costs its sequences times the longest of them, as it is padded. Under ZeRO-3 the slowest process of a
    micro-step holds up all others, so sequences are sorted by length and cut into runs whose costliest is as cheap as
    it can be: few long ones here, many short ones there. No other parting has a cheaper costliest micro-batch.

    Args:
        lengths: tokens of each sequence, at least one for every micro-batch.
        micro_steps: micro-batches of a process.
        processes: that work side by side.

    Returns:
        Indices of each micro-batch's sequences, the longest first, by micro-step and process.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    descending = [max(1, lengths[i]) for i in order]
    least, enough = descending[0], descending[0] * len(order)
    while least < enough:
        middle = (least + enough) // 2
        if _run_sizes(descending, micro_steps * processes, middle) is None:
            least = middle + 1
        else:
            enough = middle
    runs, start = [], 0
    for size in _run_sizes(descending, micro_steps * processes, enough) or []:
        runs.append(order[start : start + size])
        start += size
    runs.sort(key=lambda run: -max(1, lengths[run[0]]) * len(run))
    return [runs[step * processes : (step + 1) * processes] for step in range(micro_steps)]


def deal_equally(lengths: Sequence[int], micro_steps: int, processes: int) -> list[list[list[int]]]:
    """The same with equally many sequences in each micro-batch, for a loss that is averaged over each.

    The processes take turns at the sequences of a micro-step, so that theirs are about equally long.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    size = len(order) // micro_steps
    windows = [order[step * size : (step + 1) * size] for step in range(micro_steps)]
    return [[window[rank::processes] for rank in range(processes)] for window in windows]


def _run_sizes(descending: Sequence[int], runs: int, most: int) -> list[int] | None:
    """Sizes of so many runs of descending lengths, none of which costs more than `most`; None when there are none."""
    sizes: list[int] = []
    start = 0
    while len(sizes) < runs:
        others = runs - len(sizes) - 1
        sizes.append(min(most // descending[start], len(descending) - start - others))
        start += sizes[-1]
    return sizes if start == len(descending) else None
