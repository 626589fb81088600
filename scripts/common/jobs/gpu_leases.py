"""GPUs a job may use: those a scheduler assigned to it, otherwise free ones, held by lock files.

CUDA_VISIBLE_DEVICES is respected when it is set: inside a scheduler's job as many devices as the job asks for were
assigned to it; otherwise it is a choice of the user, and free ones among them are leased. When it is not set, free
devices of the machine are leased, so that two jobs of one machine never share a GPU.
"""

import fcntl
import os
import re
import subprocess
import time
from pathlib import Path

from common.base.errors import EXIT_MACHINE, UserError
from common.jobs.console import Console

# One place for all users and all jobs: TMPDIR differs between the jobs of one machine.
LEASES = Path("/tmp/gpu-leases")  # noqa: S108

# What schedulers set in their jobs: SLURM, PBS, LSF, Grid Engine.
SCHEDULERS = {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"}

DEVICE = re.compile(r"\d+|(GPU|MIG)-.+")
# Between two lines of a job that waits.
SECONDS = 60.0


def devices_of_machine() -> list[str]:
    """GPUs of this machine, by index; empty without a driver."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def visible_devices() -> list[str] | None:
    """The devices CUDA_VISIBLE_DEVICES names, like CUDA none after the first that is none; None where it is not set."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return None
    devices = []
    for name in value.split(","):
        if not DEVICE.fullmatch(name.strip()):
            break
        devices.append(name.strip())
    return devices


def devices_here() -> list[str]:
    """The devices that jobs started here may use."""
    visible = visible_devices()
    return devices_of_machine() if visible is None else visible


def _lock(path: Path, wait: bool) -> int | None:
    """The descriptor of a locked file, or None when another process has it and `wait` is false."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except PermissionError:  # another user made it; reading is enough to lock it
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    if os.fstat(descriptor).st_uid == os.getuid():
        os.fchmod(descriptor, 0o644)  # whatever this user's umask took from others
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def take_free(devices: list[str], count: int, directory: Path) -> list[str]:
    """Lock `count` of `devices` until this process ends, or none when fewer are free.

    One job chooses at a time, so that two never hold half of what each needs.
    """
    choosing = _lock(directory / "choosing.lock", wait=True)
    taken: dict[str, int] = {}
    for device in devices:
        if len(taken) == count:
            break
        descriptor = _lock(directory / f"{device.replace('/', '_')}.lock", wait=False)
        if descriptor is not None:
            taken[device] = descriptor
    if len(taken) < count:
        for descriptor in taken.values():
            os.close(descriptor)
        taken.clear()
    if choosing is not None:
        os.close(choosing)
    return list(taken)


def lease(devices: list[str], count: int, directory: Path, console: Console) -> list[str]:
    """`count` of `devices`, for this process alone as long as it lives; says so while it waits for busy ones."""
    if not directory.exists():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o1777)
    told = -SECONDS
    while not (taken := take_free(devices, count, directory)):
        if time.monotonic() - told >= SECONDS:
            needed = f"{count} of {','.join(devices)} needed"
            console.say(f"waiting: other jobs use the GPUs ({needed}; locks in {directory})")
            told = time.monotonic()
        time.sleep(0.5)
    return taken


def assign_gpus(count: int, leases: Path, console: Console) -> list[str]:
    """The devices this job may use.

    Args:
        count: how many it asks for.
        leases: directory of the lock files.
        console: where it says that it waits.

    Raises:
        UserError: when there are fewer than `count`, free or not.
    """
    visible, devices = visible_devices(), devices_here()
    if len(devices) < count:
        where = "nvidia-smi" if visible is None else f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']}"
        remedy = "request as many GPUs as there are (`compute.gpus`, `compute.evaluation_gpus`, or set-resources of the"
        remedy += " profile), run on a machine with more, or set `compute: {device: cpu}`"
        raise UserError(f"{count} GPUs were requested, {len(devices)} are visible", where, remedy, EXIT_MACHINE)
    if visible is not None and len(devices) == count and SCHEDULERS & os.environ.keys():
        return devices
    # nvidia-smi counts devices by bus; CUDA by speed, unless it is told.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return lease(devices, count, leases, console)
