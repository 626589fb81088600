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

from common.console import Console
from common.files import canonical_json, sha256_of_text


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


def _line_hash(key: str, item: dict[str, Any]) -> str:
    return sha256_of_text(json.dumps([key, item], sort_keys=True))[:16]


class ItemCache:
    """Finished items of an interrupted job, one JSON object a line, each kept as soon as it is known.

    A line cut off by a kill or damaged since, and what follows it, is dropped when the file is opened and worked out
    anew; every line before it is kept.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._items: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._load()
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def _load(self) -> None:
        whole = 0
        with open(self._path, "rb") as file:
            for line in file:
                try:
                    entry = json.loads(line.decode("utf-8"))
                    key, item = entry["key"], entry["item"]
                    if entry["sha256"] != _line_hash(key, item):
                        break
                except (ValueError, KeyError, TypeError, RecursionError):
                    break
                if not line.endswith(b"\n"):
                    break
                self._items[key] = item
                whole += len(line)
        os.truncate(self._path, whole)

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._items[key]

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: dict[str, dict[str, Any]]) -> None:
        """Append finished items and flush them to disk."""
        for key, item in items.items():
            entry = {"key": key, "item": item, "sha256": _line_hash(key, item)}
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._items.update(items)

    def close(self) -> None:
        self._file.close()
