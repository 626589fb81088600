"""How an entry point talks: everything to its log file, progress and errors to the terminal as well."""

import argparse
import contextlib
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from common.base.errors import EXIT_MACHINE, EXIT_RESUMABLE, Resumable, UserError, report_and_exit
from common.jobs.attempts import begin_attempt, end_attempt, stop_attempt


class Console:
    """Writes lines for people to the terminal and to the log, and keeps the record of a job's attempts.

    Args:
        name: of the job.
        terminal: descriptor; None where the log is the terminal, or another process speaks.
        log: of a job whose attempts are recorded by this process.
    """

    def __init__(self, name: str, terminal: int | None = None, log: Path | None = None):
        self.name = name
        self._terminal, self._log = terminal, log

    def told_to_stop(self) -> None:
        """Record that the job was asked to stop."""
        if self._log:
            stop_attempt(self._log)

    def ended(self, code: int) -> int:
        """Record the exit code that the job ends with; returns it."""
        if self._log:
            end_attempt(self._log, code)
        return code

    def say(self, line: str) -> None:
        """One line, prefixed with the job's name."""
        self.write(f"[{self.name}] {line}\n")

    def write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
        if self._terminal is not None:
            try:
                os.write(self._terminal, text.encode(errors="replace"))
            except OSError:
                self._terminal = None  # the terminal is gone; the log stays


# The workflow's logs are logs/<rule>/<wildcards>.log, or logs/<rule>/all.log.
LOGS, NO_WILDCARDS = "logs", "all"
# Between two lines of progress.
SECONDS = 10.0


class Progress:
    """A progress line with the remaining time, now and then.

    Args:
        console: where it goes.
        total: units of work.
        unit: what they are, in words.
        done: units that were done before.
    """

    def __init__(self, console: Console, total: int, unit: str, done: int = 0):
        self.console, self.total, self.unit = console, total, unit
        self._first, self._start = done, time.monotonic()
        self._last = self._start

    def update(self, done: int, note: str = "") -> None:
        """Report that `done` of `total` units are finished."""
        now = time.monotonic()
        if now - self._last < SECONDS and done < self.total:
            return
        self._last = now
        fresh = done - self._first
        remaining = (now - self._start) / fresh * (self.total - done) if fresh > 0 else 0.0
        eta = f", {format_seconds(remaining)} left" if fresh > 0 and done < self.total else ""
        share = done / self.total if self.total else 1.0
        bar = ("#" * round(20 * share)).ljust(20, ".")
        self.console.say(f"[{bar}] {done}/{self.total} {self.unit}{eta}{'  ' + note if note else ''}")


def format_seconds(seconds: float) -> str:
    """`75.2` -> `1:15`, `3700` -> `1:01:40`."""
    minutes, secs = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def settings_argument(text: str) -> dict[str, Any]:
    """Parse the value of `--settings`.

    Raises:
        argparse.ArgumentTypeError: when it is no JSON object.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


def count(text: str) -> int:
    """A number of things, given as an argument.

    Raises:
        argparse.ArgumentTypeError: when it is no whole number, or negative.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"not a number of 0 or more: {text}")
    return int(text)


def gpu_count(text: str) -> int:
    """GPUs of a job, as Snakemake tells of them: `2` or `nvidia_a100-sxm4-80gb:2`; errors as of `count`."""
    return count(text.rpartition(":")[2])


def argument_parser(doc: str) -> argparse.ArgumentParser:
    """The parser every entry point starts from: its docstring as help, `--settings` and `--log`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=settings_argument, required=True, help="this job's part of the config, JSON")
    parser.add_argument("--log", type=Path, help="log file; without it everything goes to the terminal")
    return parser


def collect_garbage() -> None:
    """From here on, and only what is made from here on: see common.base.quick_start."""
    gc.freeze()
    gc.enable()


class Terminated(BaseException):
    """SIGTERM, raised where the job was; not an Exception, which libraries swallow."""


def run_entry_point(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace, Console], None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse, redirect output to the log, do the work, and turn any failure into words and an exit code.

    SIGTERM ends the work with the exit code of a job that resumes; trainings catch it themselves and save their state.
    """
    collect_garbage()
    arguments = parser.parse_args(argv)
    name = job_name(arguments.log) or Path(parser.prog).stem
    console = Console(name)
    try:
        console = _redirect_to_log(name, arguments.log)
        with _stopped_by_sigterm(console):
            if "settings" in arguments:
                work(arguments, console)
            else:
                with reader_may_leave():
                    work(arguments, console)
    except KeyboardInterrupt:
        return console.ended(130)
    except Terminated:
        console.write(f"{Resumable('stopped on request', name)}\n")
        return console.ended(EXIT_RESUMABLE)
    except Exception as error:
        hint = f"the log {arguments.log}" if arguments.log else "the lines above"
        return console.ended(report_and_exit(error, hint, console.write))
    return console.ended(0)


@contextlib.contextmanager
def _stopped_by_sigterm(console: Console) -> Iterator[None]:
    """Raise `Terminated` within the block on SIGTERM."""

    def stop(signum: int, frame: Any) -> None:
        console.told_to_stop()
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def job_name(log: Path | None) -> str:
    """A job's rule and wildcards, which tell it from others on the same terminal; empty for a log of another kind."""
    if log is None or log.parent.parent.name != LOGS:
        return ""
    return log.parent.name if log.stem == NO_WILDCARDS else f"{log.parent.name} {log.stem}"


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """End the block quietly when whoever read standard output has closed it, as `head` does.

    For programs that print; a job of the workflow must not end well before its work is done.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # else Python complains when it flushes at its end
        os.close(nowhere)


def _redirect_to_log(name: str, log: Path | None) -> Console:
    """Send file descriptors 1 and 2 to `log`, so that libraries and children write there too.

    The log of a job that is tried again goes on; else it begins anew.
    """
    if log is None:
        return Console(name)
    rank = int(os.environ.get("RANK", "0"))
    recorded = log if rank == 0 and job_name(log) else None
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        attempt = begin_attempt(recorded) if recorded else 1
        anew = os.O_TRUNC if rank == 0 and attempt == 1 else 0
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | anew, 0o644)
    except OSError as error:
        raise UserError(f"cannot write the log: {error.strerror}", str(log), "give write access there",
                        EXIT_MACHINE) from error  # fmt: skip
    terminal = os.dup(2) if rank == 0 else None
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    if attempt > 1:
        sys.stderr.write(f"---- attempt {attempt}, {time.strftime('%Y-%m-%d %H:%M:%S')} ----\n")
    return Console(name, terminal, recorded)
