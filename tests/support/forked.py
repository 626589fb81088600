"""Scripts in processes of their own that need not load the libraries first.

A server loads them once and computes nothing. Each script runs in a copy of it, with the environment, the signals and
the exit code of `python scripts/<script>.py`. Besides the modules, the copies share the seed of Python's hashes.
"""

import atexit
import importlib
import itertools
import multiprocessing
import os
import random
import socket
import sys
import threading
import time
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn, TextIO
from unittest.mock import patch

import numpy as np

from common.base.paths import ROOT, SCRIPTS

LOADED = ["train_sft", "train_coh", "train_dpo", "train_reward", "train_ppo", "launch", "torch.distributed.run"]
# As scripts/launch.py sets it, and where the server finds its modules.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": f"{SCRIPTS}{os.pathsep}{ROOT / 'tests'}",
}  # fmt: skip
_numbers = itertools.count()


def _server() -> multiprocessing.context.ForkServerContext:
    """The server, with the libraries loaded."""
    context = multiprocessing.get_context("forkserver")
    with patch.dict(os.environ, ENVIRONMENT):
        context.set_forkserver_preload(LOADED)
        forkserver.ensure_running()
    return context


def _run(script: str, arguments: list[str], environment: dict[str, str], errors: Path) -> None:
    """In the copy: become the script."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    _become(script, arguments, environment)


def _run_piped(script: str, arguments: list[str], environment: dict[str, str], *pipes: Connection) -> None:
    """In the copy: become the script; it speaks into pipes."""
    for number, pipe in enumerate(pipes, start=1):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    _become(script, arguments, environment)


def _become(script: str, arguments: list[str], environment: dict[str, str]) -> NoReturn:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = [f"scripts/{script}.py", *arguments]
    random.seed()
    np.random.seed()  # noqa: NPY002 - the generator a fresh process has
    sys.exit(importlib.import_module(script).main(arguments))


class Forked:
    """A script that runs; it is used as a `subprocess.Popen` is.

    Args:
        script: its name without `.py`.
        arguments: of its command line.
        folder: where a file takes what it writes to its terminal.
        processes: how many share the job; more than one get what torchrun would tell them.
        environment: over that of the test.
    """

    def __init__(self, script: str, arguments: list[str], folder: Path, processes: int = 1, **environment: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.errors = folder / f"errors_{next(_numbers)}.txt"
        self.errors.touch()
        context, given = _server(), {**os.environ, **ENVIRONMENT, **environment}
        self._processes = [
            context.Process(target=_run, args=(script, arguments, {**given, **place}, self.errors))
            for place in places(processes)
        ]
        for process in self._processes:
            process.start()
            atexit.register(process.kill)  # whatever a failed test leaves

    @property
    def pid(self) -> int:
        """Of the first process."""
        return int(self._processes[0].pid or 0)

    @property
    def returncode(self) -> int | None:
        """The first exit code that is not 0; None while a process runs."""
        codes = [process.exitcode for process in self._processes]
        return None if None in codes else next((code for code in codes if code), 0)

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        for process in self._processes:
            if process.is_alive():
                os.kill(process.pid, number)

    def kill(self) -> None:
        for process in self._processes:
            process.kill()

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait; what went to the terminal."""
        deadline = time.monotonic() + timeout
        for process in self._processes:
            process.join(max(0, deadline - time.monotonic()))
        told = self.errors.read_text(encoding="utf-8", errors="replace")
        if self.returncode is None:
            self.kill()
            raise TimeoutError(f"it did not end within {timeout} s: {told}")
        return "", told


class Piped:
    """A script that runs and whose standard output and errors are read from pipes, as those of `subprocess.Popen`."""

    def __init__(self, script: str, arguments: list[str], environment: dict[str, str]):
        context = _server()
        (output, to_output), (errors, to_errors) = context.Pipe(duplex=False), context.Pipe(duplex=False)
        self._process = context.Process(
            target=_run_piped, args=(script, arguments, environment, to_output, to_errors)
        )  # fmt: skip
        self._process.start()
        to_output.close()
        to_errors.close()
        self.stdout, self.stderr = _reader(output), _reader(errors)
        self.pid = int(self._process.pid or 0)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"it did not end within {timeout} s"
        return self._process.exitcode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait; what is left in both pipes, of which the errors are few."""
        limit = threading.Timer(timeout, self.kill)
        limit.start()
        with self.stdout, self.stderr:
            said = self.stdout.read(), self.stderr.read()
        limit.cancel()
        self.wait(timeout)
        return said

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Kill it and forget what it said."""
        self.kill()
        self._process.join()
        self.stdout.close()
        self.stderr.close()


def _reader(pipe: Connection) -> TextIO:
    with pipe:
        return os.fdopen(os.dup(pipe.fileno()), encoding="utf-8")


def places(processes: int) -> list[dict[str, str]]:
    """What torchrun tells each of several processes."""
    if processes == 1:
        return [{}]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": str(processes)}
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
