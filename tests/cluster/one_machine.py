"""A SLURM cluster on this machine, what its job records say, and which processes train."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT

TOOL = ROOT / "tools/slurm_one_machine.sh"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol", "munged")
RUN = ["--workflow-profile", "profiles/slurm", "--configfile", "config/smoke.yaml", "tests/cluster/smoke.yaml"]
# What a real cluster leaves as it is: status from squeue, since this one keeps no accounts, asked at once; no waiting
# for a shared file system; few jobs at a time, since the node has fewer cores than it claims.
HERE = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5",
        "--jobs", "3", "--slurm-keep-successful-logs"]  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a job asked SLURM for.

    Args:
        partition: the partition it was submitted to.
        gpus: GPUs, over all.
        cpus: CPUs of its one task.
        memory_mb: memory on its node.
        minutes: time limit.
    """

    partition: str
    gpus: int
    cpus: int
    memory_mb: int
    minutes: int


@dataclass(frozen=True)
class Job:
    """A job as SLURM's controller records it."""

    number: int
    comment: str
    state: str
    tasks: int
    requeue: bool
    gpu_type: str | None
    request: Request

    def is_of(self, rule: str) -> bool:
        """Whether the executor submitted it for `rule`."""
        return self.comment == f"rule_{rule}" or self.comment.startswith(f"rule_{rule}_wildcards_")


def _minutes(limit: str) -> int:
    """`1-02:30:00` -> 1590."""
    days, _, clock = limit.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    assert seconds == 0
    return int(days or 0) * 1440 + hours * 60 + minutes


def _megabytes(memory: str) -> int:
    """`240000M` -> 240000, `234.5G` -> 240128."""
    return round(float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]])


def parse_job(line: str) -> Job:
    """A line of `scontrol --oneliner show job`."""
    fields = dict(re.findall(r"(\S+?)=(\S*)", line))
    gpu = re.fullmatch(r"gres:gpu(?::([a-z0-9]+))?:(\d+)", fields.get("TresPerJob", ""))
    request = Request(
        partition=fields["Partition"],
        gpus=int(gpu[2]) if gpu else 0,
        cpus=int(fields["CPUs/Task"]),
        memory_mb=_megabytes(fields["MinMemoryNode"]),
        minutes=_minutes(fields["TimeLimit"]),
    )
    return Job(
        number=int(fields["JobId"]),
        comment=fields["Comment"],
        state=fields["JobState"],
        tasks=int(fields["NumTasks"]),
        requeue=fields["Requeue"] == "1",
        gpu_type=gpu[1] if gpu and int(gpu[2]) else None,
        request=request,
    )


class Cluster:
    """The cluster that `environment` points at."""

    def __init__(self, environment: dict[str, str]):
        self.environment = environment

    def command(self, *words: str) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def jobs(self, since: int = 0) -> list[Job]:
        """Every job after number `since`, in the order of submission."""
        lines = self.command("scontrol", "--oneliner", "show", "job").splitlines()
        found = [parse_job(line) for line in lines if line.startswith("JobId=")]
        return sorted((job for job in found if job.number > since), key=lambda job: job.number)

    def start(self, project: Path, *targets: str) -> subprocess.Popen[str]:
        """Snakemake with the profile of the project; its output goes to one pipe."""
        command = [sys.executable, "-m", "snakemake", *targets, *RUN, *HERE]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=project, env=self.environment, text=True, **pipes)


def why_not() -> str | None:
    """Why no cluster can be started on this machine, or None."""
    missing = [program for program in PROGRAMS if _which(program) is None]
    if missing:
        return f"SLURM is not installed ({', '.join(missing)}); on Debian: apt-get install slurmctld slurmd munge"
    return None if os.getuid() == 0 else "only root can start a SLURM node"


def _which(program: str) -> Path | None:
    folders = [*os.environ["PATH"].split(":"), "/usr/sbin", "/sbin"]
    return next((path for path in (Path(folder) / program for folder in folders) if os.access(path, os.X_OK)), None)


@contextmanager
def running_cluster(directory: Path) -> Iterator[Cluster]:
    """Start a cluster in `directory`, and stop it however the tests end."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    # Only what belongs to no other cluster: a session inside a SLURM job would submit to its own.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "CUDA_"))}
    environment = {**environment, "PATH": path, "OMP_NUM_THREADS": "1"}
    started = subprocess.run(
        [TOOL, "start", directory], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert started.returncode == 0, started.stderr
    environment["SLURM_CONF"] = str(directory / "slurm.conf")
    environment["PATH"] = f"{directory / 'bin'}:{path}"
    try:
        yield Cluster(environment)
    finally:
        subprocess.run([TOOL, "stop", directory], env=environment, timeout=180, check=True)


class Writers(threading.Thread):
    """Watches which SLURM jobs have a process of `script` in `project`: when each was first and last seen."""

    def __init__(self, script: str, project: Path):
        super().__init__(daemon=True)
        self._script, self._project = script.encode(), project
        self._done = threading.Event()
        self.seen: dict[str, tuple[float, float]] = {}

    def run(self) -> None:
        while not self._done.wait(0.05):
            for job in filter(None, map(self._job_of, Path("/proc").glob("[0-9]*"))):
                first, _ = self.seen.get(job, (time.monotonic(), 0.0))
                self.seen[job] = (first, time.monotonic())

    def _job_of(self, process: Path) -> str | None:
        """The SLURM job a process writes for, or None when it is no such process."""
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if len(words) < 2 or words[1] != self._script or (process / "cwd").readlink() != self._project:
                return None
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended
            return None
        return next((word[13:].decode() for word in variables if word.startswith(b"SLURM_JOB_ID=")), "no job")

    def stop(self) -> None:
        self._done.set()
        self.join()
