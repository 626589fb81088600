"""What the scripts of profiles/pbs and profiles/lsf share: what a job asks for, its script, its state, its end.

Snakemake's executor `cluster-generic` calls submit.py with a job's script, status.py with its id, and cancel.py with
several ids; sidecar.py runs as long as Snakemake does. They need a Python and its standard library
only, and what the project itself has for errors and numbers of GPUs.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from common.base.errors import EXIT_MACHINE, UserError
from common.jobs.console import gpu_count

RUNNING, SUCCESS, FAILED = "running", "success", "failed"  # the only words Snakemake takes
PROPERTIES = re.compile(r"^# properties = (\{.*\})$", re.MULTILINE)  # as Snakemake writes them into a job's script
PYTHON = re.compile(r"(/\S+)/python[\d.]* -m snakemake\b")
FOLDER = Path(".snakemake")  # in the folder where Snakemake runs
STATES, LOGS = FOLDER / "scheduled_jobs", FOLDER / "scheduled_logs"
SIDECAR = "SNAKEMAKE_CLUSTER_SIDECAR_VARS"  # what sidecar.py says first is told to the other scripts
PATIENCE = 60  # seconds the scheduler may take to answer
UNANSWERED = 60  # questions in a row without an answer, after which a job counts as failed
# Set for another job, or chosen on the login node: jobs must not inherit them.
NOT_HANDED_ON = ("CUDA_VISIBLE_DEVICES", "JOB_END_TIME", "SLURM_JOB_END_TIME", "PBS_JOBID", "LSB_JOBID", "SLURM_JOB_ID")
# What `site` of the configuration says to SLURM alone, and options that only SLURM takes.
SLURM_ALONE = ("qos", "constraint")
SLURM_OPTIONS = ("--signal=", "--gpus-per-node=", "--ntasks-per-node=")
RESERVATION = "--reservation="


@dataclass(frozen=True)
class Job:
    """What a job asks for; None leaves it to the scheduler.

    Attributes:
        name: its rule.
        threads: CPUs.
        gpus: GPUs, all on one node.
        gpu_model: their type, as the scheduler names it.
        gpu_select: what the site adds to the request for them under PBS.
        memory_mb: memory of its node.
        minutes: time limit.
        save_seconds: how long before the limit a training is told to save.
        queue, account, reservation: of the site.
        options: further ones of the site.
    """

    name: str
    threads: int
    gpus: int
    gpu_model: str | None
    gpu_select: str | None
    memory_mb: int | None
    minutes: int | None
    save_seconds: int
    queue: str | None
    account: str | None
    reservation: str | None
    options: Sequence[str]


def option(flag: str, value: str | None) -> list[str]:
    """`flag` with its value, or nothing where there is none."""
    return [] if value is None else [flag, value]


def read_job(text: str) -> Job:
    """What the script of a job says it asks for, by the names of resources that Snakemake's SLURM executor uses.

    Raises:
        UserError: when the script is none of Snakemake's, and for what cannot be asked for.
    """
    found = PROPERTIES.search(text)
    if not found:
        raise UserError("this is no job script of Snakemake", "line `# properties = ...`", "let Snakemake submit jobs")
    properties = json.loads(found[1])
    resources = properties["resources"]
    words = shlex.split(str(resources.get("slurm_extra", "")))
    reservations = [word.removeprefix(RESERVATION) for word in words if word.startswith(RESERVATION)]
    gpu = str(resources.get("gpu", 0))
    job = Job(
        name=properties.get("rule") or f"group_{properties.get('groupid', 'job')}",
        threads=int(properties["threads"]),
        gpus=gpu_count(gpu),
        gpu_model=gpu.rpartition(":")[0] or _text(resources, "gpu_model"),
        gpu_select=_text(resources, "gpu_select"),
        memory_mb=_number(resources, "mem_mb"),
        minutes=_number(resources, "runtime"),
        save_seconds=_number(resources, "stop_lead") or 0,
        queue=_text(resources, "slurm_partition"),
        account=_text(resources, "slurm_account"),
        reservation=next(iter(reservations), None),
        options=[word for word in words if not word.startswith((*SLURM_OPTIONS, RESERVATION))],
    )
    _refuse_what_slurm_alone_has(job, resources)
    _refuse_no_time(job)
    return job


def _number(resources: Mapping[str, Any], name: str) -> int | None:
    return int(resources[name]) if name in resources else None


def _text(resources: Mapping[str, Any], name: str) -> str | None:
    return str(resources[name]) if name in resources else None


def _refuse_what_slurm_alone_has(job: Job, resources: Mapping[str, Any]) -> None:
    if (_number(resources, "nodes") or 1) > 1:
        what = f"{job.name} asks for {resources['nodes']} nodes, which works under SLURM alone"
        raise UserError(what, "compute.nodes of the configuration", "set it to 1")
    for resource in SLURM_ALONE:
        if resource in resources:
            what = f"{job.name} has a {resource}, which works under SLURM alone"
            remedy = "say it in `site.options`, in the scheduler's words"
            raise UserError(what, f"site.{resource} of the configuration", remedy)


def _refuse_no_time(job: Job) -> None:
    if job.minutes is not None and job.minutes * 60 <= job.save_seconds:
        raise UserError(
            f"{job.name} would save its state and stop as soon as it starts",
            f"`runtime` of the job: {job.minutes} minutes; compute.stop_lead_seconds: {job.save_seconds}",
            "raise the first (site.longest_minutes, or `set-resources` in the profile) or lower the second",
        )


def script_of(text: str, job: Job, number: str) -> str:
    """A job's script as it is submitted.

    It finds the environment, tells a training when to stop, lives until the training has saved its state (schedulers
    signal every process of a job, this shell too), and keeps its exit code, since schedulers forget finished jobs.

    Args:
        text: the script that Snakemake wrote.
        job: what it asks for.
        number: the variable in which the scheduler tells a job its id.
    """
    python = PYTHON.search(text)
    limit = f"$(($(date +%s) + {job.minutes * 60}))" if job.minutes is not None else ""
    head = [
        "#!/bin/sh",
        f'PATH={shlex.quote(python[1])}:"$PATH"; export PATH' if python else "",
        f"JOB_END_TIME={limit}; export JOB_END_TIME" if limit else "",
        "trap : TERM",
        f'ended={shlex.quote(str(STATES.absolute()))}/"${number}.exit"; rm -f "$ended"',
        """trap 'echo $? > "$ended"' EXIT""",
    ]
    return "\n".join([*filter(None, head), text])


def submit(command_of: Callable[[Job, Path], Sequence[str]], number: str, id_in: str) -> None:
    """Submit the job whose script is the last argument, and print its id.

    Args:
        command_of: job, folder of its log -> the scheduler's program and options; the script is its standard input.
        number: the variable in which the scheduler tells a job its id.
        id_in: pattern of the program's answer; the id is its first group.

    Raises:
        UserError: when the scheduler refuses the job.
    """
    text = Path(sys.argv[-1]).read_text(encoding="utf-8")
    job = read_job(text)
    logs = (LOGS / job.name).absolute()
    for folder in (logs, STATES):
        folder.mkdir(parents=True, exist_ok=True)
    environ = {key: value for key, value in os.environ.items() if key not in NOT_HANDED_ON}
    command = list(command_of(job, logs))
    done = subprocess.run(
        command, input=script_of(text, job, number), env=environ, capture_output=True, text=True, check=False
    )
    found = re.search(id_in, done.stdout)
    if done.returncode or not found:
        told = " ".join((done.stderr or done.stdout).split()) or f"it ended with {done.returncode}"
        remedy = "compare `site` of the configuration, memory and time with what the site allows"
        raise UserError(f"{command[0]} took no job: {told}", " ".join(command), remedy, EXIT_MACHINE)
    (STATES / f"{found[1]}.submitted").write_text(os.environ.get(SIDECAR, ""), encoding="utf-8")
    print(found[1])


class Unanswered(Exception):  # noqa: N818 - no error: the scheduler is asked again
    """The scheduler did not say how a job is; the text says why."""


def ask(*command: str) -> str:
    """What a program of the scheduler answers.

    Raises:
        Unanswered: when it cannot be run, fails or takes too long.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unanswered(str(error)) from None
    if done.returncode:
        raise Unanswered(" ".join(done.stderr.split()) or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def word_of(states: Mapping[str, str], state: str) -> str:
    """Snakemake's word for a scheduler's.

    Raises:
        Unanswered: for a state that is not known.
    """
    if state not in states:
        raise Unanswered(f"the state {state!r} is not known (known are {', '.join(states)})")
    return states[state]


def status(state_of: Callable[[str], str]) -> None:
    """Print how the job is whose id is the last argument: running, success or failed.

    A job the scheduler says nothing of is known by the exit code that its script kept. Without one it counts as
    running, until the scheduler was asked UNANSWERED times in a row.

    Args:
        state_of: job id -> one of the three words, or Unanswered.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is Snakemake's to answer
    job = sys.argv[-1]
    ended, unanswered, submitted = (STATES / f"{job}.{kind}" for kind in ("exit", "unanswered", "submitted"))
    try:
        word = state_of(job)
    except Unanswered as reason:
        word = _kept(ended) or _doubted(job, unanswered, str(reason))
    else:
        unanswered.unlink(missing_ok=True)
    if word != RUNNING:
        for path in (ended, unanswered, submitted):
            path.unlink(missing_ok=True)
    print(word)


def _kept(ended: Path) -> str | None:
    """What the exit code says that a job's script kept; None where there is none yet."""
    code = ended.read_text(encoding="utf-8").strip() if ended.exists() else ""
    return None if not code else SUCCESS if code == "0" else FAILED


def _doubted(job: str, unanswered: Path, reason: str) -> str:
    """Count that nobody says how a job is, and decide what it counts as; the first and the last time it is told."""
    times = 1 + (int(unanswered.read_text(encoding="utf-8") or 0) if unanswered.exists() else 0)
    unanswered.parent.mkdir(parents=True, exist_ok=True)
    unanswered.write_text(str(times), encoding="utf-8")
    if times == 1:
        print(f"job {job} counts as running, though nobody says how it is: {reason}", file=sys.stderr)
    if times < UNANSWERED:
        return RUNNING
    what = f"for {times} questions in a row nobody said how a job is; it counts as failed now"
    print(UserError(what, f"job {job}: {reason}", "see whether it still runs, and cancel it if so"), file=sys.stderr)
    return FAILED


def cancel(program: str) -> NoReturn:
    """End the jobs whose ids are the arguments.

    Snakemake kills this script after two seconds; the scheduler's program goes on, since it has a session of its own.
    """
    if not sys.argv[1:]:
        sys.exit(0)
    with subprocess.Popen([program, *sys.argv[1:]], start_new_session=True) as process:
        sys.exit(process.wait())


def accompany(program: str) -> None:
    """Wait until Snakemake ends, and end the jobs it leaves behind.

    Snakemake cancels no job that it is asking for at that moment, and while it asks for one it counts all as asked for.
    When Snakemake itself is killed, this ends as well, and the jobs go on.

    Args:
        program: what ends the jobs whose ids are its arguments.
    """
    name, snakemake = str(os.getpid()), os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches Snakemake, which then sends SIGTERM here
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print(name, flush=True)
    while signal.sigtimedwait({signal.SIGTERM}, 5) is None:
        if os.getppid() != snakemake:
            return
    left = [path.stem for path in STATES.glob("*.submitted") if path.read_text(encoding="utf-8") == name]
    if left:
        subprocess.run([program, *left], capture_output=True, check=False)


def run(work: Callable[..., Any], *arguments: Any) -> NoReturn:
    """Call `work`; an error for people is shown without a traceback."""
    try:
        work(*arguments)
    except UserError as error:
        sys.exit(str(error))
    except FileNotFoundError as error:
        sys.exit(str(UserError(f"there is no {error.filename} here", sys.argv[0], "start Snakemake on a login node")))
    sys.exit(0)
