"""Resumable state outside declared outputs: fingerprinted directories and a writer lock.

Snakemake deletes a failed job's outputs, so what a rerun resumes from lives in `results/<preset>/scratch`.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.whole_files import canonical_json, sha256_of_text
from common.jobs.console import Console


def fingerprint(**parts: Any) -> str:
    """Sixteen hex digits over everything the state depends on: settings, data hashes, code digest."""
    return sha256_of_text(canonical_json(parts))[:16]


@contextlib.contextmanager
def writer_lock(path: Path, console: Console) -> Iterator[None]:
    """Hold `path` exclusively; while another process holds it, say so and wait.

    An orphaned job (its Snakemake was killed) may still be writing; two writers must never meet. The kernel
    releases the lock when its holder ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        _wait_for(file.fileno(), path, console)
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}, file)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _wait_for(descriptor: int, path: Path, console: Console) -> None:
    told = 0.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() - told > 30:
                holder = path.read_text(encoding="utf-8", errors="replace") or "unknown"
                console.say(f"waiting: another process still writes here ({holder}; lock {path})")
                told = time.monotonic()
            time.sleep(0.2)
        except OSError as error:
            what = f"the file system offers no locks: {error.strerror}"
            raise UserError(what, str(path), "let `site.scratch` name a directory on one that does") from error
