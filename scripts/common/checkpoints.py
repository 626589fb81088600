"""Resumable checkpoints of a training job: marked complete with hashes, the newest complete one is used."""

import json
from pathlib import Path

from common.console import Console
from common.files import sha256_of_file, write_json

MARKER = "complete.json"


def mark_complete(checkpoint: Path) -> None:
    """Record every file's hash; a checkpoint without this file is torn."""
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != MARKER]
    write_json(checkpoint / MARKER, {str(path.relative_to(checkpoint)): sha256_of_file(path) for path in files})


def is_complete(checkpoint: Path) -> bool:
    """Whether the checkpoint was marked and every file still has its hash."""
    try:
        hashes = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))
        return all(sha256_of_file(checkpoint / name) == value for name, value in hashes.items())
    except (OSError, ValueError, AttributeError):
        return False


def newest_complete(directory: Path, console: Console) -> Path | None:
    """The checkpoint to resume from; torn ones are named and passed over."""
    found = [path for path in directory.glob("checkpoint-*") if path.name.split("-")[1].isdigit()]
    for checkpoint in sorted(found, key=lambda path: -int(path.name.split("-")[1])):
        if is_complete(checkpoint):
            return checkpoint
        console.say(f"skipping the incomplete checkpoint {checkpoint}")
    return None
