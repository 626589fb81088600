"""Reading and writing files so that nothing half-written is ever taken for whole."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import UserError


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_text(text: str) -> str:
    """Hex SHA-256 of a string's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """One spelling for one meaning: keys sorted, no spaces, NaN refused.

    Snakemake compares parameters as an unordered set of values; one sorted JSON string makes swapped values
    visible and reordered keys invisible.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to disk, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Flush every file under a directory to disk."""
    for file in directory.rglob("*"):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: temporary file, flush, rename."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: temporary file, flush, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; NaN is refused because it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: when it is missing, not UTF-8, cut off or not JSON, with the position.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError as error:
        raise UserError("a file is missing", str(path), "check the path in the configuration") from error
    except UnicodeDecodeError as error:
        raise UserError("a file is not UTF-8", f"{path}, byte {error.start}", "convert it to UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise UserError(f"a file is not valid JSON: {error.msg}", where, "mend it or fetch it again") from error
    except IsADirectoryError as error:
        raise UserError("a directory stands in place of a file", str(path), "name the file in it") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"a file is not usable JSON: {error}", str(path), "mend the file") from error


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that becomes `path` when the block ends without an error.

    Every file in it is flushed first; whatever stood at `path` is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        sync_tree(temporary)
        os.chmod(temporary, 0o755)  # noqa: S103 - results are for everyone to read
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
