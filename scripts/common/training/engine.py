"""Where training runs: device, numeric type, and plain torch or DeepSpeed ZeRO-3."""

import datetime
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from common.base.errors import EXIT_MACHINE, UserError
from common.base.zero3 import LIVE_PARAMETERS, PREFETCHED, REDUCE_BUCKET, SUB_GROUP
from common.models.devices import default_dtype, name_of, uses_gpu

# Processes wait for each other while one writes and hashes a large state, or waits for another run's lock.
LONGEST_WAIT = datetime.timedelta(hours=12)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Engine:
    """What a training script runs on."""

    device: str
    dtype: torch.dtype
    deepspeed: bool
    processes: int
    rank: int

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        """Rank and number of processes, by which work is shared."""
        return self.rank, self.processes

    def facts(self) -> dict[str, Any]:
        """What run.json says of the engine."""
        return {
            "processes": self.processes,
            "engine": "deepspeed-zero3" if self.deepspeed else "torch",
            "dtype": name_of(self.dtype),
        }


def start_engine(compute: Mapping[str, Any]) -> Engine:
    """Choose device and engine, and join the other processes when a launcher started several.

    Args:
        compute: `device` (auto, cpu) and `engine` (auto, torch, deepspeed).

    Raises:
        UserError: when several processes were started without DeepSpeed on a CPU.
    """
    gpu = uses_gpu(compute["device"])
    deepspeed = compute["engine"] == "deepspeed" or (compute["engine"] == "auto" and gpu)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and not deepspeed:
        raise UserError(f"{processes} processes were started for the torch engine", "compute.engine",
                        "set `engine: deepspeed`, or start one process", EXIT_MACHINE)  # fmt: skip
    if deepspeed:
        _join(gpu)
    # Half precision needs fp32 master weights, which only DeepSpeed keeps here.
    dtype = default_dtype(gpu and deepspeed)
    return Engine(
        device="cuda" if gpu else "cpu", dtype=dtype, deepspeed=deepspeed, processes=processes,
        rank=int(os.environ.get("RANK", "0")),
    )  # fmt: skip


def _join(gpu: bool) -> None:
    """Initialise the process group before any model or TrainingArguments: later, DeepSpeed believes in one process."""
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "127.0.0.1")):
        os.environ.setdefault(name, value)
    if "MASTER_PORT" not in os.environ:
        os.environ["MASTER_PORT"] = str(_free_port())
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # "cuda" is this process's own device from here on
    else:
        os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed

    # Only inference over parted tensors adds up through this; on a CPU it would be compiled, for a minute or two.
    collectives = importlib.import_module("deepspeed.comm.torch")  # whose name in its package is that of torch itself
    collectives.build_shm_op = lambda: None  # type: ignore[attr-defined]
    deepspeed.init_distributed(dist_backend="nccl" if gpu else "gloo", timeout=LONGEST_WAIT, verbose=False)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def deepspeed_config(
    engine: Engine, per_device: int, accumulation: int, max_grad_norm: float, offload: str
) -> dict[str, Any]:
    """The one DeepSpeed configuration: ZeRO stage 3 (paper section 4).

    Args:
        engine: device and numeric type.
        per_device: sequences a device holds at once.
        accumulation: micro-batches to an optimizer step.
        max_grad_norm: gradient clipping.
        offload: none, optimizer or parameters (which offloads both) to CPU memory.
    """
    zero: dict[str, Any] = {
        "stage": 3,
        "overlap_comm": engine.device == "cuda",
        "contiguous_gradients": True,
        "reduce_bucket_size": REDUCE_BUCKET,
        "sub_group_size": SUB_GROUP,
        "stage3_max_live_parameters": LIVE_PARAMETERS,
        "stage3_prefetch_bucket_size": PREFETCHED,
        "stage3_gather_16bit_weights_on_model_save": True,
    }
    if offload in ("optimizer", "parameters"):
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": engine.device == "cuda"}
    if offload == "parameters":
        zero["offload_param"] = {"device": "cpu", "pin_memory": engine.device == "cuda"}
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": engine.dtype == torch.bfloat16},
        "fp16": {"enabled": engine.dtype == torch.float16},
        "train_micro_batch_size_per_gpu": per_device,
        "gradient_accumulation_steps": accumulation,
        "train_batch_size": per_device * accumulation * engine.processes,
        "gradient_clipping": max_grad_norm,
        # AdamW is the trainer's own, so that both engines take the same steps.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1_000_000_000,
    }


def agree(flag: bool, engine: Engine) -> bool:
    """True on every process when it is true on any."""
    if engine.processes == 1:
        return flag
    value = torch.tensor(int(flag), device=engine.device)
    torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX)
    return bool(value.item())


def from_main(value: Value, engine: Engine) -> Value:
    """The main process's value, on every process."""
    if engine.processes == 1:
        return value
    values = [value]
    torch.distributed.broadcast_object_list(values, src=0)
    return values[0]


def from_all(value: Value, engine: Engine) -> list[Value]:
    """Every process's value, by rank, on every process."""
    if engine.processes == 1:
        return [value]
    values: list[Any] = [None] * engine.processes
    torch.distributed.all_gather_object(values, value)
    return values


def wait_for_all(engine: Engine) -> None:
    """Return when every process has come here."""
    if engine.processes > 1:
        torch.distributed.barrier()
