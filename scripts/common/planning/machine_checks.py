"""What a machine must have before a long run: each check returns all it finds, in words and with a remedy."""

import fcntl
import importlib.metadata
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

GB = 1e9
# Where Linux tells of memory: the machine's, and the limit of this process's control group.
MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
# bf16 needs compute capability 8.0 (Ampere) or newer.
BF16_CAPABILITY = 8.0


@dataclass(frozen=True)
class MachineFinding:
    """Something found amiss.

    Attributes:
        what: one sentence.
        where: what it was found at.
        remedy: what to do about it.
        blocks: whether the run would fail; otherwise it is worth knowing.
    """

    what: str
    where: str
    remedy: str
    blocks: bool = True

    def __str__(self) -> str:
        kind = "problem" if self.blocks else "note"
        return f"{kind}: {self.what}\n  where: {self.where}\n  what to do: {self.remedy}"


@dataclass(frozen=True)
class GpuState:
    """A GPU as nvidia-smi tells of it; memory in bytes."""

    index: str
    uuid: str
    name: str
    total: float
    free: float
    capability: float


def ask_slurm(*words: str) -> str:
    """What `scontrol` answers; nothing where it does not."""
    try:
        done = subprocess.run(["scontrol", *words], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def check_preemption(job: str, ask: Callable[..., str] = ask_slurm) -> list[MachineFinding]:
    """Whether a preempted job comes back: Snakemake's SLURM executor waits for ever for one that does not.

    Args:
        job: number of this job; empty outside SLURM.
        ask: what answers for `scontrol`.
    """
    if not job:
        return []
    partition = re.search(r"\bPartition=(\S+)", ask("show", "job", job))
    settings = ask("show", "partition", partition[1]) if partition else ""
    mode = re.search(r"\bPreemptMode=(\S+)", settings) or re.search(r"\bPreemptMode\s*=\s*(\S+)", ask("show", "config"))
    if not mode or "CANCEL" not in mode[1].upper():
        return []
    what = "SLURM cancels preempted jobs here (PreemptMode=CANCEL), and the run would wait for them for ever"
    remedy = (
        "use a partition or QOS that is not preempted, or one with PreemptMode=REQUEUE; a run that waits may be stopped"
        " and started again, and its trainings resume"
    )
    where = f"partition {partition[1]}" if partition else "scontrol show config"
    return [MachineFinding(what, where, remedy, blocks=False)]


def gpu_states() -> list[GpuState]:
    """All GPUs of this machine; empty without a driver."""
    fields = "index,uuid,name,memory.total,memory.free,compute_cap"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.strip().splitlines() if done.returncode == 0 else []
    rows = [[cell.strip() for cell in line.split(",")] for line in lines]
    return [
        GpuState(
            index=index, uuid=uuid, name=name, total=float(total) * 2**20, free=float(free) * 2**20,
            capability=float(capability),
        )
        for index, uuid, name, total, free, capability in rows
    ]  # fmt: skip


def assigned(states: Sequence[GpuState], devices: Sequence[str] | None) -> list[GpuState]:
    """The GPUs a list of indices or UUIDs names; all without such a list."""
    if devices is None:
        return list(states)
    return [state for state in states if any(state.index == d or state.uuid.startswith(d) for d in devices)]


def has_slices(devices: Sequence[str] | None) -> bool:
    """Whether a list of devices names parts of GPUs (MIG), of which `nvidia-smi --query-gpu` tells nothing."""
    return any(device.startswith("MIG-") for device in devices or ())


def check_gpus(states: Sequence[GpuState], requested: int, needed: float, cuda: str | None) -> list[MachineFinding]:
    """Number, free memory and numeric type of the GPUs a training job would get.

    Args:
        states: GPUs this job may use.
        requested: GPUs a training job asks for.
        needed: bytes of the largest job on each.
        cuda: version torch was built with; None of a build for CPUs.
    """
    if not requested:
        return []
    found = []
    if len(states) < requested:
        remedy = (
            "request as many as there are (`compute.gpus`, or set-resources of the profile), or use another machine"
        )
        found.append(MachineFinding(f"{requested} GPUs are requested, {len(states)} are visible", "nvidia-smi", remedy))
    if cuda is None:
        remedy = "install the torch of requirements.lock from an index with CUDA builds"
        found.append(MachineFinding("the installed torch was built for CPUs", "torch.version.cuda", remedy))
    for state in states:
        where = f"GPU {state.index}, {state.name}"
        if state.free < needed <= state.total:
            what = f"{state.free / GB:.1f} GB are free, {needed / GB:.1f} GB are needed: another process uses this GPU"
            found.append(MachineFinding(what, where, "end that process (`nvidia-smi` names it), or choose other GPUs"))
        if state.capability < BF16_CAPABILITY:
            what = f"no bf16 (compute capability {state.capability}): training will be in fp16"
            found.append(MachineFinding(what, where, "watch the loss for overflow, or use a newer GPU", blocks=False))
    return found


def check_compiler(include: Path) -> list[MachineFinding]:
    """What Triton, which TRL's head runs on, compiles the launchers of its kernels with.

    Args:
        include: where this Python's C headers belong.
    """
    compilers = [os.environ.get("CC", ""), "gcc", "clang"]
    found = []
    if not any(compiler and shutil.which(compiler) for compiler in compilers):
        found.append(MachineFinding("there is no C compiler, which Triton needs on a GPU", "CC, gcc, clang",
                                    "load or install one, on the nodes that train", blocks=False))  # fmt: skip
    if not (header := include / "Python.h").exists():
        found.append(MachineFinding("Python's C headers are missing, which Triton needs on a GPU", str(header),
                                    "install them (python3-dev), or use another Python", blocks=False))  # fmt: skip
    return found


def available_memory() -> float:
    """Bytes this process may still take: what the machine has, less where its control group has a limit."""
    lines = MEMINFO.read_text(encoding="ascii").splitlines()
    machine = next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    limits = [CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes"]
    used = [CGROUP / "memory.current", CGROUP / "memory" / "memory.usage_in_bytes"]
    for limit, usage in zip(limits, used, strict=True):
        try:
            return min(machine, float(limit.read_text()) - float(usage.read_text()))
        except (OSError, ValueError):  # no such file, or `max`
            continue
    return machine


def check_memory(available: float, needed: float, job: str) -> list[MachineFinding]:
    """CPU memory for the job that takes the most of it."""
    if available >= needed:
        return []
    what = f"{available / GB:.1f} GB of CPU memory are available, {needed / GB:.1f} GB are needed"
    remedy = "ask for more memory (mem_mb in the profile), or see `make plan` for settings that need less"
    return [MachineFinding(what, job, remedy)]


def existing_parent(path: Path) -> Path:
    """`path` itself, or the nearest directory above it that exists."""
    path = path.absolute()
    return path if path.exists() else existing_parent(path.parent)


def used_bytes(folder: Path) -> float:
    """Bytes of all files under a directory; files that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return float(total)


def check_disk(results: Path, needed: float) -> list[MachineFinding]:
    """Free space for what is not there yet."""
    free, missing = shutil.disk_usage(existing_parent(results)).free, needed - used_bytes(results)
    if free >= missing:
        return []
    what = f"{free / GB:.1f} GB are free, {missing / GB:.1f} GB more are needed"
    return [MachineFinding(what, str(results), "free some space, or link this directory to a larger file system")]


def check_writing(folders: Iterable[Path]) -> list[MachineFinding]:
    """Whether files can be written, and locked: locks keep a second writer away from resumable state."""
    found = []
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder) as file:
                try:
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    remedy = "mount the file system with locking, or link this directory to one that has it"
                    found.append(MachineFinding(f"files cannot be locked: {error.strerror}", str(folder), remedy))
        except OSError as error:
            found.append(MachineFinding(f"no file can be written: {error.strerror}", str(folder),
                                 "give yourself write access there"))  # fmt: skip
    return found


def read_pins(lock: Path, environment: Path) -> dict[str, str]:
    """Versions of the packages training needs: named by an environment file, pinned by the lock file."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    locked = dict(line.strip().split("==") for line in lines if re.fullmatch(r"[^#\s]+==\S+", line.strip()))
    dependencies = yaml.safe_load(environment.read_text(encoding="utf-8"))["dependencies"]
    listed = next(entry["pip"] for entry in dependencies if isinstance(entry, Mapping))
    names = [re.split(r"[=<>!~ ]", requirement)[0] for requirement in listed]
    return {name: locked[name] for name in names if name in locked}


def check_versions(pins: Mapping[str, str]) -> list[MachineFinding]:
    """Installed packages beside the pinned ones; a local part such as `+cu128` does not matter."""
    found = []
    for name, pinned in pins.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(MachineFinding(f"{name} is not installed", "requirements.lock", "run `make setup`"))
            continue
        if installed.split("+")[0] != pinned.split("+")[0]:
            what = f"{name} is {installed}, {pinned} was tested"
            found.append(MachineFinding(what, "requirements.lock", "run `make setup`, or install the pinned version"))
    return found
