"""Reading and writing files so that a half-written file is never taken for a complete one."""

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.base.errors import UserError

RECORD_HASH = "record_sha256"


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
    """JSON with one spelling for one meaning: keys sorted, no spaces, NaN refused.

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
            sync_file(file)


def sync_file(path: Path) -> None:
    """Flush a file to disk."""
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


def _lock(path: Path) -> int | None:
    """A descriptor of a locked temporary file or directory; None when the process that writes it is still alive."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or no locks here
        os.close(descriptor)
        return None
    return descriptor


def _discard_left_over(path: Path) -> None:
    """Delete temporary files and directories for `path` whose writers were killed."""
    for left_over in path.parent.glob(f".{glob.escape(path.name)}.*"):
        with contextlib.suppress(OSError):
            descriptor = _lock(left_over)
            if descriptor is not None:
                shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
                os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: temporary file, flush, rename."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: temporary file, flush, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _discard_left_over(path)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON object with a hash over itself, so that `read_json` notices when it was changed or damaged."""
    content = json.loads(json.dumps(record, allow_nan=False))
    write_json(path, {**content, RECORD_HASH: sha256_of_text(canonical_json(content))})


def read_record(path: Path) -> dict[str, Any]:
    """Read what `write_record` wrote.

    Raises:
        UserError: as `read_json` does, and when the hash is missing: then nothing shows whether the rest is complete.
    """
    content = read_json(path)
    if not isinstance(content, dict) or RECORD_HASH not in content:
        remedy = "delete it and what was made with it, and run again"
        raise UserError(f"a record carries no hash of its own: `{RECORD_HASH}`", str(path), remedy)
    return content


def _check_record(content: Any, path: Path) -> None:
    if isinstance(content, dict) and RECORD_HASH in content:
        rest = {key: value for key, value in content.items() if key != RECORD_HASH}
        if content[RECORD_HASH] != sha256_of_text(canonical_json(rest)):
            remedy = "delete it and what was made with it, and run again"
            raise UserError(f"a record was changed after it was written: `{RECORD_HASH}`", str(path), remedy)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: when it is missing, not UTF-8, cut off or not JSON, with the position; or a record of `write_record`
            that is not as it was written.
    """
    content = parse_json(read_bytes(path), path)
    try:
        _check_record(content, path)
    except (ValueError, RecursionError) as error:
        raise _unusable_json(error, path) from error
    return content


def _unusable_json(error: Exception, path: Path) -> UserError:
    return UserError(f"a file is not usable JSON: {error}", str(path), "fix the file")


def parse_json(content: bytes, path: Path) -> Any:
    """What the JSON in `content` says.

    Raises:
        UserError: when it is not UTF-8, cut off or not JSON, with `path` and the position.
    """
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError("a file is not UTF-8", f"{path}, byte {error.start}", "convert it to UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise UserError(f"a file is not valid JSON: {error.msg}", where, "fix it or fetch it again") from error
    except (ValueError, RecursionError) as error:
        raise _unusable_json(error, path) from error


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that becomes `path` when the block ends without an error.

    Every file in it is flushed first; whatever was at `path` is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _discard_left_over(path)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    descriptor = _lock(temporary)
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
    finally:
        if descriptor is not None:
            os.close(descriptor)


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError as error:
        raise UserError("a directory stands in place of a file", str(path), "name the file in it") from error
    except FileNotFoundError as error:
        raise UserError("a file is missing", str(path), "check the path in the configuration") from error
