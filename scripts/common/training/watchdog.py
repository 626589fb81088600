"""Ends a training that is stuck, so that a hang costs minutes and not the job's whole time."""

import faulthandler
import os
import select
import signal
import sys
import tempfile
import threading
import time

from common.base.checkpoint_times import PART_OF_LEAD
from common.base.errors import EXIT_MACHINE, EXIT_RESUMABLE, UserError
from common.jobs.console import Console

# Where even the interpreter stands still, this much later a thread that does without it tells where, and a second
# after that the kernel's alarm ends the process.
GRACE = 60.0
POLL = 0.5
STOPPED = "stopped on request, but not in time: what came after the last checkpoint is lost"


class Watchdog(threading.Thread):
    """A thread of each process of a job; it writes what every thread is doing and ends the process.

    SIGTERM wakes it through a pipe: Python's own handlers wait until the main thread comes back from where it is stuck.

    Args:
        share: rank and number of processes.
        console: where the end is told.
        stuck_seconds: time without a finished step after which a job counts as stuck.
        lead: seconds between SIGTERM and SIGKILL.
    """

    def __init__(self, share: tuple[int, int], console: Console, *, stuck_seconds: float, lead: float):
        super().__init__(name="watchdog", daemon=True)
        self._rank, self._processes = share
        self._console, self._stuck_seconds, self._lead = console, stuck_seconds, lead
        self._stuck_at = self._stop_at = float("inf")
        self._signals, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        self.start()

    def watch(self) -> None:
        """A step has ended or the first one begins: the next must end in time."""
        self._stuck_at = time.monotonic() + self._stuck_seconds
        faulthandler.dump_traceback_later(self._stuck_seconds + GRACE, file=sys.__stderr__ or sys.stderr)
        signal.setitimer(signal.ITIMER_REAL, self._stuck_seconds + GRACE + 1)

    def pause(self) -> None:
        """No step is under way."""
        self._stuck_at = float("inf")
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)

    def run(self) -> None:
        while True:
            if select.select([self._signals], [], [], POLL)[0] and signal.SIGTERM in os.read(self._signals, 1024):
                self._stop_at = min(self._stop_at, time.monotonic() + PART_OF_LEAD * self._lead)
            if time.monotonic() > self._stop_at:
                self._end(UserError(STOPPED, self._place, "run the same command again to resume", EXIT_RESUMABLE))
            if time.monotonic() > self._stuck_at:
                what = f"no step ended within {self._stuck_seconds:g} seconds"
                remedy = (
                    "the log shows where each process stands; run again to resume, or raise `compute.stuck_seconds`"
                )
                self._end(UserError(what, self._place, remedy, EXIT_MACHINE))

    @property
    def _place(self) -> str:
        return f"process {self._rank} of {self._processes}"

    def _end(self, error: UserError) -> None:
        """Tell what happened and where each thread stands, then leave without waiting for anything.

        All processes share one log, so that each writes its stacks at once. They leave a moment later, the main one
        first: once one has left, the others fail in their own way, of which nobody needs to hear.
        """
        with tempfile.TemporaryFile() as stacks:
            faulthandler.dump_traceback(file=stacks, all_threads=True)
            stacks.seek(0)
            self._console.write(f"{error}\n")
            os.write(2, f"Threads of {error.where}\n".encode() + stacks.read())
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        time.sleep((2 if self._rank == 0 else 3) * POLL)
        os._exit(self._console.ended(error.code))
