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

from common.base.paths import ROOT

TOOL = ROOT / "tools/slurm_one_machine.sh"
EAGER = Path(__file__).with_name("eager_snakemake.py")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol", "munged")
RUN = ["--workflow-profile", "profiles/slurm", "--configfile", "config/smoke.yaml", "tests/support/small.yaml"]
SMOKE, SITE = "tests/cluster/smoke.yaml", "tests/cluster/site.yaml"
GPU_TYPE = "nvidia_a100-sxm4-80gb"  # as NVML names it, which has hyphens
SIZE = {"NODES": "2", "GPUS": "8", "GPU_TYPE": GPU_TYPE, "PARTITIONS": "standard accelerated urgent",
        "PREEMPT": "REQUEUE"}  # fmt: skip
# What a real cluster leaves as it is: status from squeue, since this one keeps no accounts, asked at once; no waiting
# for a shared file system; few jobs at a time, since the node has fewer cores than it claims.
HERE = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5",
        "--jobs", "6", "--slurm-keep-successful-logs"]  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a job asked SLURM for.

    Args:
        partition: the partition it was submitted to.
        gpus: GPUs, over all.
        cpus: CPUs of its one task.
        memory_mb: memory on each of its nodes.
        minutes: time limit.
        nodes: of the job.
    """

    partition: str
    gpus: int
    cpus: int
    memory_mb: int
    minutes: int
    nodes: int = 1


@dataclass(frozen=True)
class Job:
    """A job as SLURM's controller records it."""

    number: int
    comment: str
    state: str
    tasks: int
    requeue: bool
    gpu_type: str | None
    account: str
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
    """`240000M` -> 240000, `234.5G` -> 240128, `0` -> 0."""
    return round(float(memory.rstrip("MG")) * (1024 if memory.endswith("G") else 1))


def parse_job(line: str) -> Job:
    """A line of `scontrol --oneliner show job`."""
    fields = dict(re.findall(r"(\S+?)=(\S*)", line))
    gpu = re.fullmatch(r"gres:gpu:(?:(\S+):)?(\d+)", fields.get("TresPerJob", ""))
    each = re.fullmatch(r"gres:gpu:(?:\S+:)?(\d+)", fields.get("TresPerNode", ""))
    nodes = int(fields["NumNodes"].partition("-")[0])
    if gpu and each:
        asked = int(gpu[2]) // int(each[1])
        # A job that is ending gives its nodes back one by one.
        assert nodes == asked or fields["JobState"] == "COMPLETING", line
        nodes = asked
    request = Request(
        partition=fields["Partition"],
        gpus=int(gpu[2]) if gpu else 0,
        cpus=int(fields["CPUs/Task"]),
        memory_mb=_megabytes(fields["MinMemoryNode"]),
        minutes=_minutes(fields["TimeLimit"]),
        nodes=nodes,
    )
    return Job(
        number=int(fields["JobId"]),
        comment=fields["Comment"],
        state=fields["JobState"],
        tasks=int(fields["NumTasks"]),
        requeue=fields["Requeue"] == "1",
        gpu_type=gpu[1] if gpu else None,
        account=fields["Account"],
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

    def state(self, number: int) -> str:
        """A job's state now."""
        return next(job.state for job in self.jobs() if job.number == number)

    def minutes_run(self, job: Job) -> int:
        """Whole minutes a job has run."""
        fields = self.command("scontrol", "--oneliner", "show", "job", str(job.number))
        hours, minutes, _ = re.search(r"RunTime=(?:\d+-)?(\d+):(\d+):(\d+)", fields).groups()  # type: ignore[union-attr]
        return int(hours) * 60 + int(minutes)

    @contextmanager
    def snakemake(self, project: Path, *targets: str, overlay: str = SMOKE) -> Iterator[subprocess.Popen[str]]:
        """A run with the project's profile and a site's own file, all of its output in one pipe."""
        command = [sys.executable, str(EAGER), *targets, *RUN, overlay, SITE, *HERE]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=project, env=self.environment, text=True, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()


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
    environment = {**environment, **SIZE, "PATH": path, "OMP_NUM_THREADS": "1"}
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


@dataclass
class Seen:
    """When a SLURM job's process was first and last seen, in seconds of the monotonic clock."""

    first: float
    last: float


@contextmanager
def watch_writers(script: str, project: Path) -> Iterator[dict[str, Seen]]:
    """Look 20 times a second which SLURM jobs, by number, have a process of `script` in `project`."""
    seen: dict[str, Seen] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            now = time.monotonic()
            for process in Path("/proc").glob("[0-9]*"):
                if job := _slurm_job(process, script, project):
                    seen.setdefault(job, Seen(now, now)).last = now

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def _slurm_job(process: Path, script: str, project: Path) -> str | None:
    """The job a process of `script` belongs to, or None when it is no such process."""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        if len(words) < 2 or words[1] != script.encode() or (process / "cwd").readlink() != project:
            return None
        variables = dict(line.partition(b"=")[::2] for line in (process / "environ").read_bytes().split(b"\0"))
    except OSError:  # it has ended
        return None
    return variables.get(b"SLURM_JOB_ID", b"none").decode()
