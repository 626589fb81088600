"""Resumable checkpoints of a training job: when one is written, how it is marked complete, which one is used."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.base.checkpoint_times import FIRST_SECONDS, seconds_between
from common.base.errors import EXIT_MACHINE, Resumable, UserError
from common.files.whole_files import sha256_of_file, sync_directory, sync_file, write_json
from common.jobs.console import Console
from common.training.engine import Engine, agree, from_all, from_main, wait_for_all
from common.training.watchdog import Watchdog

MARKER = "complete.json"
# Where a checkpoint is written before it is complete.
PARTIAL = "partial"
KEPT = 2


class CheckpointClock:
    """When a job saves its state: on SIGTERM, shortly before its time limit, and whenever so many seconds have passed.

    The launcher gives the time to stop at in JOB_STOP_TIME, seconds since 1970, and the seconds between SIGTERM and
    SIGKILL in JOB_STOP_LEAD. A job that has not ended within three quarters of these is ended by its watchdog.

    Args:
        engine: all its processes come to the same decision.
        console: where it is told that a job was ended.
        seconds: time between two checkpoints; None for as often as costs little (base/checkpoint_times.py).
        stuck_seconds: see `Watchdog`.
    """

    def __init__(self, engine: Engine, console: Console, seconds: float | None, stuck_seconds: float):
        self._engine, self._console, self._adaptive = engine, console, seconds is None
        self._seconds = FIRST_SECONDS if seconds is None else seconds
        self._saved = self._decided = time.monotonic()
        self._requested = False
        self._stop_time = float(os.environ.get("JOB_STOP_TIME") or "inf")
        lead = float(os.environ.get("JOB_STOP_LEAD") or "inf")
        self._watchdog = Watchdog(engine.share, console, stuck_seconds=stuck_seconds, lead=lead)
        signal.signal(signal.SIGTERM, self._request_stop)

    def _request_stop(self, signum: int, frame: Any) -> None:
        self._requested = True
        self._console.told_to_stop()

    def stop_requested(self) -> bool:
        """Whether any process was asked to stop, or the job's time is up; asked after every step."""
        self._watchdog.watch()
        return agree(self._requested or time.time() > self._stop_time, self._engine)

    def stopped(self, step: int, steps: int, where: Path) -> Resumable:
        """What to raise after the state was saved."""
        in_time = time.time() <= self._stop_time
        what = "stopped on request at step" if in_time else "stopped before the job's time limit at step"
        return Resumable(f"{what} {step} of {steps}", str(where))

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        self._decided = time.monotonic()
        return agree(self._decided - self._saved > self._seconds, self._engine)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """The block holds all steps: after it none can be stuck."""
        try:
            yield
        finally:
            self._watchdog.pause()

    def begin(self) -> None:
        """Count from now: the first step begins."""
        self._saved = time.monotonic()
        self._watchdog.watch()

    def saved(self) -> None:
        """Count from now: a checkpoint was written."""
        self._saved = time.monotonic()
        if self._adaptive:
            self._seconds = seconds_between(self._saved - self._decided)
        self._watchdog.watch()


def step_of(checkpoint: Path) -> int:
    """The optimizer step a checkpoint directory is named after."""
    return int(checkpoint.name.split("-")[1])


def _sealed(checkpoint: Path, engine: Engine) -> dict[str, str | None]:
    """Hash of every file, None where it cannot be read; each process reads a share of them and flushes it to disk."""
    found = _files(checkpoint) if engine.is_main else []
    names = from_main([str(path.relative_to(checkpoint)) for path in found], engine)
    share = {name: _hash_on_disk(checkpoint / name) for name in names[engine.rank :: engine.processes]}
    return {name: value for part in from_all(share, engine) for name, value in part.items()}


def _files(checkpoint: Path) -> list[Path]:
    """Files of a checkpoint, the largest first, so that equal shares of them are about equally large."""
    found = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != MARKER]
    return sorted(found, key=lambda path: -path.stat().st_size)


def _hash_on_disk(path: Path) -> str | None:
    try:
        sync_file(path)
        return sha256_of_file(path)
    except OSError:
        return None


def commit(partial: Path, engine: Engine) -> None:
    """Turn a written checkpoint into one to resume from: synced, marked, renamed; then older ones are deleted.

    Every process calls this when it has written its part.

    Args:
        partial: `<directory>/partial/checkpoint-<step>`; it becomes `<directory>/checkpoint-<step>`.
        engine: of the job.

    Raises:
        UserError: when what was written cannot be read.
    """
    wait_for_all(engine)
    hashes = _sealed(partial, engine)
    if unreadable := [name for name, value in hashes.items() if value is None]:
        what = f"a file of a checkpoint cannot be read: {unreadable[0]}"
        remedy = "look at the disk, then run again: it resumes from an older one"
        raise UserError(what, str(partial), remedy, EXIT_MACHINE)
    if engine.is_main:
        directory = partial.parent.parent
        final = directory / partial.name
        shutil.rmtree(final, ignore_errors=True)  # a damaged one, which was not resumed from
        write_json(partial / MARKER, hashes)
        os.replace(partial, final)
        sync_directory(directory)
        for passed_over in _by_age(directory):  # damaged: this run began before them
            if step_of(passed_over) > step_of(final):
                shutil.rmtree(passed_over)
        prune(directory)
    wait_for_all(engine)  # when a process ends, torchrun ends the others 30 seconds later


def discard_partial(directory: Path, console: Console) -> None:
    """Delete what a killed run was writing, and say so."""
    for torn in sorted((directory / PARTIAL).glob("checkpoint-*")):
        console.say(f"discarding {torn}: the run that wrote it ended before it was complete")
    shutil.rmtree(directory / PARTIAL, ignore_errors=True)


def is_complete(checkpoint: Path, engine: Engine) -> bool:
    """Whether the checkpoint was marked and every file still has its hash; every process calls this."""
    try:
        marked = json.loads((checkpoint / MARKER).read_text(encoding="utf-8")) if engine.is_main else None
    except (OSError, ValueError):
        marked = None
    found = _sealed(checkpoint, engine)
    return None not in found.values() and bool(from_main(marked, engine) == found)


def _by_age(directory: Path) -> list[Path]:
    """Checkpoint directories, the newest first."""
    found = [path for path in directory.glob("checkpoint-*") if path.name.split("-")[1].isdigit()]
    return sorted(found, key=lambda path: -step_of(path))


def find_resume(directory: Path, engine: Engine, console: Console) -> Path | None:
    """The newest complete checkpoint, from which every process resumes; torn ones are named and passed over.

    The main process alone looks: what it can read another may not, and all must go on from one step. What a killed run
    was writing is deleted.
    """
    if engine.is_main:
        discard_partial(directory, console)
    for checkpoint in from_main(_by_age(directory) if engine.is_main else [], engine):
        complete = is_complete(checkpoint, engine)
        if engine.is_main:
            console.say(
                f"resuming from {checkpoint.name}" if complete else f"skipping the incomplete checkpoint {checkpoint}"
            )
        if complete:
            return checkpoint
    return None


def prune(directory: Path) -> None:
    """Delete all but the newest marked checkpoints: one to resume from, and one more in case that one is damaged."""
    found = _by_age(directory)
    kept = [checkpoint for checkpoint in found if (checkpoint / MARKER).exists()][:KEPT]
    for checkpoint in found:
        if checkpoint not in kept:
            shutil.rmtree(checkpoint)
