"""Where a model computes: threads, device and numeric type."""

import os
import resource

import torch

from common.base.errors import EXIT_MACHINE, UserError


def limit_threads() -> None:
    """Use the threads the launcher granted; the number is part of what makes a CPU result reproducible."""
    if "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def uses_gpu(device: str) -> bool:
    """Whether to compute on a GPU.

    Args:
        device: auto or cpu, as configured.

    Raises:
        UserError: when the job was given GPUs that CUDA cannot use: it would hold them and compute on the CPU.
    """
    available = device == "auto" and torch.cuda.is_available()
    if device == "auto" and not available and os.environ.get("CUDA_VISIBLE_DEVICES"):
        remedy = "look at the driver (`nvidia-smi`) and the build of torch (`torch.version.cuda`), or set `device: cpu`"
        where = f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']}"
        raise UserError("this job was given GPUs, but CUDA cannot use them", where, remedy, EXIT_MACHINE)
    return available


def name_of(dtype: torch.dtype) -> str:
    """`torch.float32` -> `float32`."""
    return str(dtype).removeprefix("torch.")


def default_dtype(gpu: bool) -> torch.dtype:
    """fp32 on a CPU (bf16 is slow there), bf16 on a GPU that has it, else fp16."""
    if not gpu:
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def peak_memory() -> int:
    """Bytes this process has held at most: of its GPU where it has one, else of the machine's memory."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_reserved())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
