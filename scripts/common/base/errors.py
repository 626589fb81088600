"""One place that formats errors for people: what happened, where, what to do.

Exit codes: 0 done, 1 a bug (the traceback is in the log), 2 bad input or configuration,
3 the machine (disk, permissions, memory, device), 75 stopped on request and resumable
(EX_TEMPFAIL of BSD's sysexits).
"""

import errno
import sys
import traceback
from collections.abc import Callable

EXIT_BUG = 1
EXIT_BAD_INPUT = 2
EXIT_MACHINE = 3
EXIT_RESUMABLE = 75

_MACHINE_REMEDIES = {
    errno.ENOSPC: ("the disk is full", "free some space (`results/*/scratch` holds resumable state), then run again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or ask for a larger quota, then run again"),
    errno.EROFS: ("the file system is read-only", "choose a directory you may write to, then run again"),
    errno.EACCES: ("permission denied", "give yourself write access to that path, then run again"),
    errno.EFBIG: ("a file may not grow that large", "raise the limit on file sizes (`ulimit -f`), then run again"),
    errno.EADDRINUSE: ("a network port is in use", "run again: a free port is chosen each time"),
}

# What libraries written in C++ and Rust say about the same failures, which they raise as their own errors.
_MACHINE_WORDS = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Read-only file system": errno.EROFS,
    "Permission denied": errno.EACCES,
    "File too large": errno.EFBIG,
    "EADDRINUSE": errno.EADDRINUSE,
    "PytorchStreamWriter failed writing": errno.ENOSPC,
    "inline_container.cc": errno.ENOSPC,
    "DefaultCPUAllocator": errno.ENOMEM,
    "Cannot allocate memory": errno.ENOMEM,
}


# How the processes that are left tell that one of their job is gone: PyTorch's error classes, and gloo's words.
_LOST_CLASSES = ("DistBackendError", "DistNetworkError", "DistStoreError")
_LOST_WORDS = ("Connection closed by peer", "Connection reset by peer")


class UserError(Exception):
    """A failure with a cause outside the code, explained to the person who can fix it.

    Args:
        what: what happened, one sentence.
        where: file, row, key or command it happened at.
        remedy: what to do about it.
        code: the exit code of the process.
    """

    def __init__(self, what: str, where: str = "", remedy: str = "", code: int = EXIT_BAD_INPUT):
        super().__init__(what)
        self.what, self.where, self.remedy, self.code = what, where, remedy, code

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.remedy:
            lines.append(f"  what to do: {self.remedy}")
        return "\n".join(lines)


class Resumable(UserError):  # noqa: N818 - no error: the work goes on at the next run
    """The work was stopped on request; its state is saved and the next run goes on from there."""

    def __init__(self, what: str, where: str = ""):
        super().__init__(what, where, "run the same command again to resume", EXIT_RESUMABLE)


def explain(error: BaseException) -> UserError | None:
    """The error in people's words, or None when it can only be a bug."""
    if isinstance(error, UserError):
        return error
    first_line = str(error).splitlines()[0] if str(error) else ""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _out_of_memory(first_line)
    number = error.errno if isinstance(error, OSError) else None
    if number not in (*_MACHINE_REMEDIES, errno.ENOMEM) and isinstance(error, (OSError, RuntimeError, *_libraries())):
        number = next((known for words, known in _MACHINE_WORDS.items() if words in str(error)), None)
    if number == errno.ENOMEM:
        return _out_of_memory(first_line)
    if number not in _MACHINE_REMEDIES:
        return _lost_process(error, first_line)
    what, remedy = _MACHINE_REMEDIES[number]
    where = error.filename if isinstance(error, OSError) else None
    return UserError(what, str(where or first_line), remedy, EXIT_MACHINE)


def _lost_process(error: BaseException, where: str) -> UserError | None:
    """What those that are left say when another process of their job has ended."""
    named = isinstance(error, RuntimeError) and any(words in str(error) for words in _LOST_WORDS)
    if not named and type(error).__name__ not in _LOST_CLASSES:
        return None
    remedy = "see above, or the log of the scheduler, how that one ended; run again: it resumes"
    return UserError("another process of this job is gone", where, remedy, EXIT_MACHINE)


def _out_of_memory(where: str) -> UserError:
    remedy = (
        "lower `per_device_batch_size` or `max_length` (in evaluation `batch_tokens`) in the configuration, or use a"
    )
    remedy += " machine with more memory"
    return UserError("out of memory", where, remedy, EXIT_MACHINE)


def _libraries() -> tuple[type[BaseException], ...]:
    """Classes of libraries that are already loaded; none is loaded here only for its error class."""
    library = sys.modules.get("safetensors")
    return (library.SafetensorError,) if library else ()


def report_and_exit(error: BaseException, log_hint: str, write: Callable[[str], object] = sys.stderr.write) -> int:
    """Print `error` for people, its traceback for the log, and return the exit code."""
    explained = explain(error)
    if explained is None:
        traceback.print_exception(error)
        write(f"error: unexpected {type(error).__name__}: {error}\n  what to do: please report it with {log_hint}\n")
        return EXIT_BUG
    if explained is not error:
        traceback.print_exception(error)
    write(f"{explained}\n")
    return explained.code
