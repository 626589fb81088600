"""Directories that hold the files of another one without taking more disk."""

import os
import shutil
from pathlib import Path


def link_files(source: Path, target: Path, leave_out: frozenset[str] = frozenset()) -> None:
    """Put every file of a directory into another as a hard link; as a copy where the file system makes no such link.

    Args:
        source: directory; files whose names begin with a dot are Snakemake's or the system's and stay behind.
        target: directory that exists.
        leave_out: names that `target` has files of its own for.
    """
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source)
        if file.is_file() and not any(part.startswith(".") for part in name.parts) and str(name) not in leave_out:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            _link(file.resolve(), target / name)


def _link(file: Path, place: Path) -> None:
    try:
        os.link(file, place)
    except OSError:  # another file system, or one without hard links, or a file of somebody else's
        shutil.copy(file, place)
