"""Start a training script: plain Python without a GPU, `torchrun --standalone` with GPUs or several processes.

The script replaces this process (`exec`), so that signals of the scheduler reach it. With GPUs,
CUDA_VISIBLE_DEVICES is respected when set (a scheduler assigned them); otherwise free devices are leased by lock
files, so that two jobs of one machine never share a GPU.
"""

import argparse
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common.errors import EXIT_MACHINE, UserError


def visible_devices() -> list[str]:
    """GPUs of this machine, by index; empty without a driver."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def lease(devices: list[str], count: int, directory: Path) -> list[str]:
    """Lock `count` of `devices` until this process and what it becomes end.

    Raises:
        UserError: when fewer are free.
    """
    directory.mkdir(parents=True, exist_ok=True)
    leased: list[str] = []
    for device in devices:
        if len(leased) == count:
            break
        descriptor = os.open(directory / f"gpu{device}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        os.set_inheritable(descriptor, True)
        leased.append(device)
    if len(leased) < count:
        what = f"{count} GPUs were requested, {len(leased)} of {len(devices)} are free"
        remedy = "run fewer jobs at once (`--resources gpu=N`), or request fewer GPUs"
        raise UserError(what, "this machine", remedy, EXIT_MACHINE)
    return leased


def assign_gpus(count: int) -> None:
    """Set CUDA_VISIBLE_DEVICES to `count` devices.

    Raises:
        UserError: when there are not that many.
    """
    assigned = os.environ.get("CUDA_VISIBLE_DEVICES")
    if assigned is not None:
        found = [device for device in assigned.split(",") if device.strip()]
        if len(found) < count:
            what = f"{count} GPUs were requested, {len(found)} are assigned"
            remedy = "request as many from the scheduler"
            raise UserError(what, f"CUDA_VISIBLE_DEVICES={assigned}", remedy, EXIT_MACHINE)
        return
    devices = visible_devices()
    if len(devices) < count:
        remedy = "run on a machine with GPUs, or set `compute: {device: cpu}` and `gpus: 0`"
        raise UserError(f"{count} GPUs were requested, {len(devices)} are visible", "nvidia-smi", remedy, EXIT_MACHINE)
    leases = Path(tempfile.gettempdir()) / f"gpu-leases-{os.getuid()}"
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(lease(devices, count, leases))


# glibc returns large freed blocks to the system at once and faults every page in again at the next step: training on a
# CPU then spends a quarter of its time in the kernel. Keeping the memory is all these settings do.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


def command(script: str, arguments: list[str], gpus: int, processes: int) -> list[str]:
    """The command line that runs `script`."""
    count = gpus or processes
    if gpus == 0 and processes == 1:
        return [sys.executable, script, *arguments]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return [*torchrun, "--", script, *arguments]  # without "--" it takes `--log` for an option of its own


def main(argv: list[str] | None = None) -> int:  # noqa: RET503 - execv does not return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, required=True, help="GPUs of this job; 0 for none")
    parser.add_argument("--processes", type=int, default=1, help="processes when there is no GPU")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads of the job, shared by its processes")
    parser.add_argument("script", help="the training script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    options = parser.parse_args(argv)
    try:
        if options.gpus:
            assign_gpus(options.gpus)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
            os.environ.update(KEEP_MEMORY)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.code
    count = options.gpus or options.processes
    os.environ["OMP_NUM_THREADS"] = str(max(1, options.threads // count))
    line = command(options.script, options.arguments, options.gpus, options.processes)
    os.execv(line[0], line)  # noqa: S606 - replaces this process, so that signals reach the script


if __name__ == "__main__":
    sys.exit(main())
