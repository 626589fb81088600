"""Start a script on the devices its job was given.

Without a GPU the script replaces this process (`exec`). With GPUs, or several processes, torchrun starts one process
a device in standalone mode, which picks a free port. Either way a signal of the scheduler reaches the script, and the
script's exit code becomes that of the job.

CUDA_VISIBLE_DEVICES is respected when it is set: inside a scheduler's job as many devices as the job asks for were
assigned to it; otherwise it is a choice of the user, and free ones among them are leased. When it is not set, free
devices of the machine are leased by lock file, so that two jobs of one machine never share a GPU.
"""

import argparse
import ctypes
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from common.console import count
from common.errors import EXIT_MACHINE, EXIT_RESUMABLE, UserError

# One place for all users and all jobs: TMPDIR differs between the jobs of one machine.
LEASES = Path("/tmp/gpu-leases")  # noqa: S108
# What schedulers set in their jobs: SLURM, PBS, LSF, Grid Engine.
SCHEDULERS = {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"}
DEVICE = re.compile(r"\d+|(GPU|MIG)-.+")
# How long torchrun lets a script save its state after SIGTERM before it kills it; its own default is 30 seconds.
# A day means: the scheduler decides.
SECONDS_TO_STOP = 24 * 3600
WORKER = "--worker"
STOP_TIME = "JOB_STOP_TIME"  # read by common.checkpoints
PR_SET_PDEATHSIG = 1


def say(line: str) -> None:
    print(f"[launch] {line}", file=sys.stderr, flush=True)


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


def assigned_devices(value: str) -> list[str]:
    """The devices a value of CUDA_VISIBLE_DEVICES names; like CUDA, nothing after the first that is none."""
    devices = []
    for name in value.split(","):
        if not DEVICE.fullmatch(name.strip()):
            break
        devices.append(name.strip())
    return devices


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


def lease(devices: list[str], count: int, directory: Path, tell: Callable[[str], None] = say) -> list[str]:
    """`count` of `devices`, for this process alone as long as it lives; says so while it waits for busy ones."""
    if not directory.exists():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o1777)
    told = -60.0
    while not (taken := take_free(devices, count, directory)):
        if time.monotonic() - told >= 60:
            tell(f"waiting: other jobs use the GPUs ({count} of {','.join(devices)} needed; locks in {directory})")
            told = time.monotonic()
        time.sleep(0.5)
    return taken


def assign_gpus(count: int, leases: Path) -> list[str]:
    """The devices this job may use.

    Raises:
        UserError: when there are fewer than `count`, free or not.
    """
    assigned = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible_devices() if assigned is None else assigned_devices(assigned)
    if len(devices) < count:
        where = "nvidia-smi" if assigned is None else f"CUDA_VISIBLE_DEVICES={assigned}"
        remedy = "request as many GPUs as there are (`compute.gpus`, `compute.evaluation_gpus`, or set-resources of the"
        remedy += " profile), run on a machine with more, or set `compute: {device: cpu}`"
        raise UserError(f"{count} GPUs were requested, {len(devices)} are visible", where, remedy, EXIT_MACHINE)
    if assigned is not None and len(devices) == count and SCHEDULERS & os.environ.keys():
        return devices
    # nvidia-smi counts devices by bus; CUDA by speed, unless it is told.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return lease(devices, count, leases)


# glibc returns large freed blocks to the system at once and faults every page in again at the next step: training on a
# CPU then spends a quarter of its time in the kernel. Keeping the memory is all these settings do.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


def torchrun_arguments(script: str, arguments: list[str], processes: int) -> list[str]:
    """What torchrun is told; without "--" it would take `--log` for an option of its own."""
    options = ["--standalone", f"--nproc-per-node={processes}", f"--shutdown-timeout={SECONDS_TO_STOP}"]
    return [*options, "--", __file__, WORKER, script, *arguments]


def run_processes(script: str, arguments: list[str], processes: int) -> int:
    """Start `processes` copies of the script and wait for them.

    Returns:
        The exit code of the first process that failed, 75 when a signal stopped them, else 0.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        torchrun.main(torchrun_arguments(script, arguments, processes))
    except SignalException:
        return EXIT_RESUMABLE
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return int(failure.exitcode)
        name = signal.Signals(-failure.exitcode).name
        remedy = "if memory ran out, request more of it or lower `per_device_batch_size`; then run again: it resumes"
        print(UserError(f"{name} ended process {rank} of {processes}", script, remedy), file=sys.stderr)
        return EXIT_MACHINE
    return 0


def become(script: str, arguments: list[str]) -> NoReturn:
    """Run the script in the place of this process."""
    os.execv(sys.executable, [sys.executable, script, *arguments])  # noqa: S606


def become_worker(script: str, arguments: list[str]) -> NoReturn:
    """Run the script as one of several; the kernel kills it with the launcher, whose end gives the GPUs free."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    become(script, arguments)


def set_stop_time(lead: int) -> None:
    """Tell the script when to save and stop: `lead` seconds before the job's time limit, where that is known.

    JOB_END_TIME, seconds since 1970, is for whoever starts the job; newer versions of SLURM set SLURM_JOB_END_TIME.
    """
    end = os.environ.get("JOB_END_TIME") or os.environ.get("SLURM_JOB_END_TIME", "")
    if end.isdecimal():
        os.environ[STOP_TIME] = str(int(end) - lead)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=count, required=True, help="GPUs of this job; 0 for none")
    parser.add_argument("--device", choices=["auto", "cpu"], default="auto", help="cpu leaves requested GPUs unused")
    parser.add_argument("--processes", type=count, default=1, help="processes when no GPU is used")
    parser.add_argument("--threads", type=count, required=True, help="CPU threads of the job, shared by its processes")
    parser.add_argument("--stop-lead", type=count, default=0, help="seconds to stop at before the job's time limit")
    parser.add_argument("--leases", type=Path, default=LEASES, help="where devices are locked")
    parser.add_argument("script", help="the script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    return parser


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == [WORKER]:
        become_worker(argv[1], argv[2:])
    options = argument_parser().parse_args(argv)
    gpus = options.gpus if options.device == "auto" else 0
    processes = gpus or max(1, options.processes)
    if options.gpus and not gpus:
        say(f"device: cpu; the GPUs requested ({options.gpus}) stay unused")
    try:
        devices = assign_gpus(gpus, options.leases) if gpus else []
    except UserError as error:
        print(error, file=sys.stderr)
        return error.code
    set_stop_time(options.stop_lead)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    os.environ["OMP_NUM_THREADS"] = str(max(1, options.threads // processes))
    if gpus:
        say(f"GPUs {','.join(devices)}")
    else:
        os.environ.update(KEEP_MEMORY)
    if gpus == 0 and processes == 1:
        become(options.script, options.arguments)
    return run_processes(options.script, options.arguments, processes)


if __name__ == "__main__":
    sys.exit(main())
