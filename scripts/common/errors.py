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
    errno.EADDRINUSE: ("a network port is in use", "run again: a free port is chosen each time"),
}


class UserError(Exception):
    """A failure whose cause lies outside the code, told in the words of the person who can mend it.

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
    if isinstance(error, OSError) and error.errno in _MACHINE_REMEDIES:
        what, remedy = _MACHINE_REMEDIES[error.errno]
        return UserError(what, str(error.filename or ""), remedy, EXIT_MACHINE)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        remedy = "lower `per_device_batch_size` or `max_length` in the configuration, or use a machine with more memory"
        return UserError("out of memory", str(error).splitlines()[0] if str(error) else "", remedy, EXIT_MACHINE)
    return None


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
