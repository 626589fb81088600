"""Processes of a run, seen from outside: which belong to it, which write its resumable state, how to end them."""

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

# O_WRONLY or O_RDWR, in the octal `flags` line of /proc/<pid>/fdinfo.
WRITING = os.O_WRONLY | os.O_RDWR


def members(*sessions: int) -> list[int]:
    """Living processes of sessions; whatever a run starts stays in the session the run was started in."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                state, _, _, of = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[:4]
                if int(of) in sessions and state != "Z":
                    found.append(int(entry))
    return found


def alive(pid: int) -> bool:
    """Whether a process still runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill_sessions(*sessions: int) -> None:
    """SIGKILL every process of these sessions."""
    while pids := members(*sessions):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def running(session: int, script: str) -> int | None:
    """The process of a session that runs `scripts/<script>`, not its launcher or helpers."""
    for pid in members(session):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[1:2] == [f"scripts/{script}"]:
                return pid
    return None


def written_files(pid: int, folder: Path) -> set[Path]:
    """Files under `folder` that a process has open for writing, without lock files."""
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                path = Path(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
                if folder in path.parents and path.suffix != ".lock":
                    flags = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().split("flags:")[1].split()[0]
                    if int(flags, 8) & WRITING:
                        found.add(path)
    return found


def parent_of(pid: int) -> int | None:
    """The process that started `pid`, or None when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


class WriterWatch(threading.Thread):
    """Checks repeatedly which process has files of a scratch folder open for writing, and whether it holds the lock.

    Attributes:
        sessions: sessions to look at.
        seen: times a writer was seen, by rule.
        violations: descriptions of writers that do not hold the lock.
    """

    def __init__(self, scratch: Path):
        super().__init__(daemon=True)
        self.scratch, self.sessions = scratch, set[int]()
        self.seen, self.violations = Counter[str](), list[str]()
        self._end = threading.Event()
        self._failure: Exception | None = None

    def holders(self) -> dict[Path, int]:
        """The process each job's lock names."""
        found = {}
        with contextlib.suppress(FileNotFoundError):  # a folder that is deleted while it is listed
            for lock in self.scratch.glob("*/*/writer.lock"):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    found[lock.parent] = json.loads(lock.read_text())["pid"]
        return found

    def look(self) -> None:
        """One look; a holder that changes meanwhile decides nothing, a child has its files between fork and exec."""
        before = self.holders()
        writers: dict[Path, dict[int, int | None]] = {}
        for pid in members(*self.sessions):
            parent = parent_of(pid)  # asked first: a child that ends after its files were seen has none any more
            for path in written_files(pid, self.scratch):
                job = self.scratch.joinpath(*path.relative_to(self.scratch).parts[:2])
                writers.setdefault(job, {})[pid] = parent
        after = self.holders()
        for job, parents in writers.items():
            holder = after.get(job)
            self.seen[job.parent.name] += 1
            others = [pid for pid, parent in parents.items() if holder not in (pid, parent)]
            if before.get(job) == holder and others:
                self.violations.append(f"{job}: written by {sorted(parents)}, its lock names {holder}")

    def run(self) -> None:
        try:
            while not self._end.wait(0.02):
                self.look()
        except Exception as error:  # told by `stop`
            self._failure = error

    def stop(self) -> None:
        """End the watch.

        Raises:
            RuntimeError: when it had ended before: then nothing is known about the writers since.
        """
        self._end.set()
        self.join()
        if self._failure is not None:
            raise RuntimeError("the watch over writers ended early") from self._failure
