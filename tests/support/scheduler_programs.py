"""Programs in the place of PBS's and LSF's, which run submitted jobs on this machine.

Called as `scheduler_programs.py FOLDER PROGRAM ARGUMENTS...`. A job is a folder of FOLDER, named by its number: its
script, the options of its submission, its process, its exit code. A job begins as on a node: with the environment
handed on, but the PATH of a login shell, and in another folder than the one it was submitted in.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
PROGRAMS = ("qsub", "qstat", "qdel", "bsub", "bjobs", "bkill")
PATIENCE = 30  # seconds between SIGTERM and SIGKILL; PBS and LSF usually leave 10
LOGIN_PATH = "/usr/local/bin:/usr/bin:/bin"
IDS = {"q": "{}.pbs.example.org", "b": "{}"}
ID_VARIABLES = {"q": "PBS_JOBID", "b": "LSB_JOBID"}


def install(folder: Path) -> Path:
    """A folder for PATH with the six programs; jobs are kept beside it."""
    programs, jobs = folder / "bin", folder / "jobs"
    for path in (programs, jobs):
        path.mkdir(parents=True)
    for name in PROGRAMS:
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE}" "{jobs}" {name} "$@"\n')
        program.chmod(0o755)
    return programs


def submit(jobs: Path, kind: str, options: list[str]) -> None:
    """Start the script on standard input, and say its id as the scheduler would."""
    number = 1 + len(list(jobs.iterdir()))
    job = jobs / str(number)
    job.mkdir()
    (job / "options.json").write_text(json.dumps(options))
    (job / "script.sh").write_text(sys.stdin.read())
    # The process that waits for the job is one of its own, so that the exit code is kept when Snakemake has ended.
    start_beside(jobs, "watch", str(number), kind)
    name = IDS[kind].format(number)
    print(name if kind == "q" else f"Job <{name}> is submitted to queue <normal>.")


def start_beside(jobs: Path, *words: str) -> None:
    """Start this file with another program of its own, which outlives the caller."""
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen([sys.executable, str(HERE), str(jobs), *words], start_new_session=True, **silent)


def watch(jobs: Path, number: str, kind: str) -> None:
    """Run a job to its end in a session of its own."""
    job = jobs / number
    environ = {**os.environ, "PATH": LOGIN_PATH, ID_VARIABLES[kind]: IDS[kind].format(number)}
    with open(job / "output.log", "wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", str(job / "script.sh")],
            cwd="/", env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        (job / "process").write_text(str(process.pid))
        code = process.wait()
    (job / "code.new").write_text(str(code if code >= 0 else 256 - code))
    (job / "code.new").rename(job / "code")


def state(jobs: Path, kind: str, name: str) -> None:
    """Answer as qstat or bjobs for one job."""
    job = jobs / re.split(r"\D", name)[0]
    if not job.is_dir():
        sys.exit(f"qstat: Unknown Job Id {name}" if kind == "q" else f"Job <{name}> is not found")
    code = int((job / "code").read_text()) if (job / "code").exists() else None
    said = (job / "state").read_text() if (job / "state").exists() else None  # what a test lets the program say
    if kind == "b":
        print(said or ("RUN" if code is None else "DONE" if code == 0 else "EXIT"))
        return
    ended = "" if code is None else f',\n "Exit_status":{code}'
    # As PBS does it: a variable of the environment that makes the JSON invalid.
    answer = '{"Jobs":{"%s":{"job_state":"%s"%s,\n "Variable_List":{"ODD":"a\\,b", "NUMBER":007}}}}'
    print(answer % (name, said or ("R" if code is None else "F"), ended))


def kill(jobs: Path, names: list[str]) -> None:
    """SIGTERM to every process of the jobs' sessions, and SIGKILL to those that do not end, as PBS and LSF do it."""
    for name in names:
        number = re.split(r"\D", name)[0]
        end(session_of(jobs, number), signal.SIGTERM)
        start_beside(jobs, "outlast", number)


def outlast(jobs: Path, number: str) -> None:
    """Kill what is left of a job some time after SIGTERM; Snakemake seldom hangs in its handler."""
    deadline = time.monotonic() + PATIENCE
    while not (jobs / number / "code").exists():
        if time.monotonic() > deadline:
            end(session_of(jobs, number), signal.SIGKILL)
            return
        time.sleep(0.2)


def session_of(jobs: Path, number: str) -> int:
    return int((jobs / number / "process").read_text())


def end(session: int, number: int) -> None:
    """A signal to every process of a session."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == session:
                os.kill(int(path.name), number)
        except ProcessLookupError:
            continue


def wait_for(path: Path, seconds: float = 60) -> None:
    """Wait until there is such a file."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path} within {seconds:g} s"
        time.sleep(0.05)


def main(folder: str, program: str, *arguments: str) -> None:
    jobs = Path(folder)
    with open(jobs.parent / "calls.jsonl", "a", encoding="utf-8") as calls:
        calls.write(json.dumps([program, *arguments]) + "\n")
    if program == "watch":
        watch(jobs, *arguments)
    elif program == "outlast":
        outlast(jobs, *arguments)
    elif program in ("qsub", "bsub"):
        submit(jobs, program[0], list(arguments))
    elif program in ("qstat", "bjobs"):
        state(jobs, program[0], arguments[-1])
    else:
        kill(jobs, list(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
