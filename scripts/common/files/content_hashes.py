"""Hashes of a directory's files by content, computed again only for files that were touched since.

Asked at every planning, where large weights must not be read anew: a hash is remembered with the file's size, times and
inode. A file that was written within the last seconds is never remembered, since it could change without a trace.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from common.files.whole_files import sha256_of_file, write_json

# Beside Snakemake's own records, in the directory a run works in.
REMEMBERED = Path(".snakemake/content_hashes.json")
SETTLED_SECONDS = 2.0
# Files from this size on are announced, for the first planning waits for them.
LARGE_BYTES = 10**9


def content_hashes(directory: Path, remembered: Path = REMEMBERED) -> dict[str, str]:
    """sha256 of every file that lies directly in a directory, by name; hidden files are left out.

    Args:
        directory: of a model in Hugging Face layout; one that is not there has no files.
        remembered: JSON file of the hashes computed so far; it need not exist, nor be writable.
    """
    paths = sorted(path.absolute() for path in directory.glob("[!.]*") if path.is_file())
    known = _read(remembered)
    hashes, fresh = {}, {}
    for path in paths:
        state = _state(path)
        if known.get(str(path), [])[:-1] == state:
            hashes[path.name] = str(known[str(path)][-1])
            continue
        _announce(path, state[0])
        hashes[path.name] = sha256_of_file(path)
        if time.time() - max(state[1:3]) / 1e9 > SETTLED_SECONDS and _state(path) == state:
            fresh[str(path)] = [*state, hashes[path.name]]
    if fresh:
        _write(remembered, {**known, **fresh})
    return hashes


def _state(path: Path) -> list[int]:
    """What changes when a file is written: size, both times, inode."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _announce(path: Path, size: int) -> None:
    if size >= LARGE_BYTES:
        sys.stderr.write(f"hashing {path}, {size / 1e9:.1f} GB; this is remembered\n")


def _read(remembered: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads(remembered.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, list)} if isinstance(known, dict) else {}


def _write(remembered: Path, known: dict[str, list[Any]]) -> None:
    try:
        remembered.parent.mkdir(exist_ok=True)
        write_json(remembered, {key: value for key, value in known.items() if Path(key).exists()})
    except OSError:
        return  # it is only slower without
