"""Resumable checkpoints of a training job: when one is written, how it is marked complete, which one is used."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from common.base.errors import Resumable
from common.files.whole_files import sha256_of_file, sync_directory, sync_tree, write_json
from common.jobs.console import Console
from common.training.engine import Engine, agree, from_main

MARKER = "complete.json"
# Where a checkpoint is written before it is complete.
PARTIAL = "partial"
KEPT = 2


class CheckpointClock:
    """When a job saves its state: on SIGTERM, shortly before its time limit, and whenever so many seconds have passed.

    The launcher gives the time to stop at in JOB_STOP_TIME, seconds since 1970.

    Args:
        engine: all its processes come to the same decision.
        seconds: time between two checkpoints.
    """

    def __init__(self, engine: Engine, seconds: float):
        self._engine, self._seconds = engine, seconds
        self._saved = time.monotonic()
        self._requested = False
        self._stop_time = float(os.environ.get("JOB_STOP_TIME") or "inf")
        signal.signal(signal.SIGTERM, self._request_stop)

    def _request_stop(self, signum: int, frame: Any) -> None:
        self._requested = True

    def stop_requested(self) -> bool:
        """Whether any process was asked to stop, or the job's time is up."""
        return agree(self._requested or time.time() > self._stop_time, self._engine)

    def stopped(self, step: int, steps: int, where: Path) -> Resumable:
        """What to raise after the state was saved."""
        in_time = time.time() <= self._stop_time
        what = "stopped on request at step" if in_time else "stopped before the job's time limit at step"
        return Resumable(f"{what} {step} of {steps}", str(where))

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return agree(time.monotonic() - self._saved > self._seconds, self._engine)

    def restart(self) -> None:
        """Count from now: a checkpoint was written, or work begins."""
        self._saved = time.monotonic()


def step_of(checkpoint: Path) -> int:
    """The optimizer step a checkpoint directory is named after."""
    return int(checkpoint.name.split("-")[1])


def mark_complete(checkpoint: Path) -> None:
    """Record every file's hash; a checkpoint without this file is torn."""
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != MARKER]
    write_json(checkpoint / MARKER, {str(path.relative_to(checkpoint)): sha256_of_file(path) for path in files})


def commit(partial: Path) -> None:
    """Turn a written checkpoint into one to resume from: synced, marked, renamed; then older ones are deleted.

    Args:
        partial: `<directory>/partial/checkpoint-<step>`; it becomes `<directory>/checkpoint-<step>`.
    """
    directory = partial.parent.parent
    final = directory / partial.name
    shutil.rmtree(final, ignore_errors=True)  # a damaged one, which was not resumed from
    sync_tree(partial)
    mark_complete(partial)
    os.replace(partial, final)
    sync_directory(directory)
    prune(directory)


def discard_partial(directory: Path, console: Console) -> None:
    """Delete what a killed run was writing, and say so."""
    for torn in sorted((directory / PARTIAL).glob("checkpoint-*")):
        console.say(f"discarding {torn}: the run that wrote it ended before it was complete")
    shutil.rmtree(directory / PARTIAL, ignore_errors=True)


def is_complete(checkpoint: Path) -> bool:
    """Whether the checkpoint was marked and every file still has its hash."""
    try:
        hashes = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))
        return all(sha256_of_file(checkpoint / name) == value for name, value in hashes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _by_age(directory: Path) -> list[Path]:
    """Checkpoint directories, the newest first."""
    found = [path for path in directory.glob("checkpoint-*") if path.name.split("-")[1].isdigit()]
    return sorted(found, key=lambda path: -step_of(path))


def newest_complete(directory: Path, console: Console) -> Path | None:
    """The checkpoint to resume from; torn ones are named and passed over."""
    for checkpoint in _by_age(directory):
        if is_complete(checkpoint):
            return checkpoint
        console.say(f"skipping the incomplete checkpoint {checkpoint}")
    return None


def find_resume(directory: Path, engine: Engine, console: Console) -> Path | None:
    """The checkpoint every process resumes from.

    The main process alone looks and verifies: what it can read another may not, and all must go on from one step.
    What a killed run was writing is deleted.
    """
    found = None
    if engine.is_main:
        discard_partial(directory, console)
        found = newest_complete(directory, console)
        if found is not None:
            console.say(f"resuming from {found.name}")
    return from_main(found, engine)


def prune(directory: Path) -> None:
    """Delete all but the newest marked checkpoints: one to resume from, and one more in case that one is damaged."""
    found = _by_age(directory)
    kept = [checkpoint for checkpoint in found if (checkpoint / MARKER).exists()][:KEPT]
    for checkpoint in found:
        if checkpoint not in kept:
            shutil.rmtree(checkpoint)
