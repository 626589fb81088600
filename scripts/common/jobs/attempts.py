"""How each attempt of a job ended, in a file beside its log, so that the next one is neither wasted nor too small.

`logs/<rule>/<wildcards>.attempts` holds lines of JSON: `began` (seconds since 1970) begins an attempt of the run whose
name stands beside it, each line with `how` tells how it ended. Several may tell of one attempt: it was told to stop and
then ended, or a launcher and its processes both speak. The gravest counts; if no line tells, the attempt was killed.

Loaded while the DAG is planned: nothing heavy here.
"""

import contextlib
import json
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

from common.base.errors import EXIT_BAD_INPUT, EXIT_BUG, EXIT_MACHINE, EXIT_RESUMABLE

# The later, the graver: what a killed process leaves behind may look like a bug to the others.
ENDINGS = STOPPED, DONE, MACHINE, BUG, INPUT, KILLED = ("stopped", "done", "machine", "bug", "bad input", "killed")
# A watchdog's last resort is the alarm.
HOW = {
    0: DONE, EXIT_BUG: BUG, EXIT_BAD_INPUT: INPUT, EXIT_MACHINE: MACHINE, EXIT_RESUMABLE: STOPPED, 130: STOPPED,
    -signal.SIGALRM: MACHINE,
}  # fmt: skip
SUFFIX = ".attempts"
# Variables that a run hands to its jobs, wherever they run: its name, and the number of an attempt that has begun.
RUN, BEGUN = "SFT_RL_COH_RUN", "SFT_RL_COH_ATTEMPT"
# Of these a further attempt changes nothing.
HOPELESS = (INPUT, BUG)
# How many times the first request a job gets at most.
MOST_MEMORY = 3


def name_run() -> None:
    """Give this run a name, unless it is a job of one; what earlier runs met does not count in it."""
    os.environ.setdefault(RUN, uuid.uuid4().hex)


def record_of(log: Path) -> Path:
    """The file that tells of the attempts of the job with this log."""
    return log.with_suffix(SUFFIX)


def read_attempts(log: Path) -> list[str]:
    """How each attempt of this run since the last that was done ended, the newest last; `killed` if it goes on."""
    try:
        lines = record_of(log).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    attempts, mine = list[list[str]](), False
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:  # the machine went down while it was written
            continue
        if "began" in told:
            mine = told.get("run") == os.environ.get(RUN)
            attempts.append([] if mine else [DONE])
        elif mine and told.get("how") in ENDINGS:
            attempts[-1].append(told["how"])
    endings = [max(told, key=ENDINGS.index) if told else KILLED for told in attempts]
    return endings[len(endings) - endings[::-1].index(DONE) :] if DONE in endings else endings


def _append(log: Path, **told: Any) -> None:
    line = json.dumps(told) + "\n"
    descriptor = os.open(record_of(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def begin_attempt(log: Path) -> int:
    """Record that an attempt begins, unless its launcher has; its number in this run since the last that was done.

    Raises:
        OSError: when it cannot be written.
    """
    if BEGUN in os.environ:
        return int(os.environ[BEGUN])
    earlier = len(read_attempts(log))
    log.parent.mkdir(parents=True, exist_ok=True)
    if not earlier:
        record_of(log).unlink(missing_ok=True)
    _append(log, began=time.time(), run=os.environ.get(RUN))
    return earlier + 1


def end_attempt(log: Path, code: int) -> None:
    """Record with which exit code the attempt ended, where that can be written; a negative one is that of a signal."""
    with contextlib.suppress(OSError):
        _append(log, at=time.time(), code=code, how=HOW.get(code, KILLED))


def stop_attempt(log: Path) -> None:
    """Record that the attempt was told to stop: whatever kills it then, it is not memory that it lacks."""
    with contextlib.suppress(OSError):
        _append(log, at=time.time(), how=STOPPED)


def memory_factor(log: Path) -> int:
    """How many times its planned memory a job asks for: once more for each attempt that was killed without a word."""
    return min(MOST_MEMORY, 1 + read_attempts(log).count(KILLED))


def tries_left(log: Path, attempt: int, retries: int, resumes: bool = True) -> bool:
    """Whether a job that has failed is tried again.

    One that resumes goes on as often as it is stopped in order; bad input and bugs do not heal; anything else has
    `retries` further attempts, those among it that ended before the job could write a word.

    Args:
        log: of the job.
        attempt: Snakemake's number of the one that has failed in this run, from 1.
        retries: how often a job may be tried again.
        resumes: whether the job keeps its state.
    """
    endings = read_attempts(log)
    silent = max(0, attempt - len(endings))
    if not silent and endings[-1] in HOPELESS:
        return False
    failures = silent + sum(not (resumes and how == STOPPED) for how in endings)
    return failures <= retries
