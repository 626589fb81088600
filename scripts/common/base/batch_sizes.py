"""How a global batch is divided over devices. Loaded while the DAG is planned: nothing heavy here."""

from common.base.errors import UserError


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
