"""What happens to a process when the one that started it ends."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel kill this process with the one that started it, so that a killed job leaves none behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def begin_beside() -> None:
    """In a process beside that of a script, before it loads any library.

    A scheduler's SIGTERM reaches every process of a job; this one ends with its parent, and not before.
    """
    import common.base.quick_start

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()
