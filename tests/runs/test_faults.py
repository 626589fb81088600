"""Real faults: each ends with an error that names cause and remedy, and nothing half-written is left."""

import hashlib
import http.server
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from common.base import errors
from common.base.errors import EXIT_MACHINE, EXIT_RESUMABLE
from common.base.paths import ROOT
from common.files.whole_files import new_directory, write_bytes
from common.jobs.console import Console
from support.training_runs import finish, launch, train, wait_for_checkpoint

CONSOLE = Console("test")

WORK = """
import sys
from pathlib import Path
from common.jobs.console import argument_parser, run_entry_point
folder = Path(sys.argv.pop(1))
def work(arguments, console):
    {work}
sys.exit(run_entry_point(argument_parser("A job."), work))
"""


def job(work: str, folder: Path, log: Path, *prefix: str, **options: Any) -> tuple[int, str]:
    """Exit code and terminal of an entry point that does `work` with `folder`."""
    code = WORK.replace("{work}", work.replace("\n", "\n    "))
    command = [*prefix, sys.executable, "-c", code, str(folder), "--settings", "{}", "--log", str(log)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False, **options)
    return done.returncode, done.stdout + done.stderr


def mounting(command: str, *arguments: object) -> list[str]:
    """A prefix that runs a program in a mount namespace of its own, where `command` was run before.

    The test is skipped where this user may not do that.
    """
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    space = ["unshare", "--mount", *rights]
    script = f'{command}; shift {len(arguments)}; exec "$@"'
    prefix = [*space, "sh", "-ec", script, "sh", *map(str, arguments)]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file systems may be mounted here")
    return prefix


def small_disk(folder: Path, kilobytes: int) -> list[str]:
    """A prefix that runs a program with a disk of that size at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return mounting('mount -t tmpfs -o "size=$2k" tmpfs "$1"', folder, kilobytes)


# --- disk and directories ------------------------------------------------------------------------------------------

WRITE = """
from common.files.whole_files import new_directory, write_bytes
write_bytes(folder / "kept", b"old")
try:
    {attempt}
finally:
    print("left:", sorted(path.name for path in folder.iterdir()), file=sys.__stderr__)
    print("kept:", (folder / "kept").read_bytes()[:3], file=sys.__stderr__)
"""
LARGE = {
    "a file": 'write_bytes(folder / "kept", bytes(10**6))',
    "a directory": 'with new_directory(folder / "model") as new:\n        (new / "weights").write_bytes(bytes(10**6))',
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_full_disk_leaves_what_was_there_and_nothing_else(tmp_path: Path, kind: str) -> None:
    disk, log = tmp_path / "disk", tmp_path / "log.txt"
    work = WRITE.replace("{attempt}", LARGE[kind])
    code, told = job(work, disk, log, *small_disk(disk, 200))
    assert code == EXIT_MACHINE, told
    assert "error: the disk is full" in told
    assert "what to do: free some space" in told
    assert "Traceback" not in told
    assert "left: ['kept']\nkept: b'old'" in log.read_text()


def test_a_limit_on_file_sizes_is_told(tmp_path: Path) -> None:
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))  # noqa: E731
    code, told = job(WRITE.replace("{attempt}", LARGE["a file"]), tmp_path, tmp_path / "log.txt", preexec_fn=limit)
    assert code == EXIT_MACHINE
    assert "error: a file may not grow that large" in told
    assert (tmp_path / "kept").read_bytes() == b"old"


def test_a_read_only_file_system_is_told(tmp_path: Path) -> None:
    folder, log = tmp_path / "results", tmp_path / "log.txt"
    folder.mkdir()
    prefix = mounting('mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"', folder)
    code, told = job('(folder / "x").mkdir()', folder, log, *prefix)
    assert code == EXIT_MACHINE
    assert f"error: the file system is read-only\n  where: {folder / 'x'}\n  what to do: choose a directory" in told


def test_a_directory_of_someone_else_is_told(tmp_path: Path) -> None:
    work = (
        "import os\nfrom common.files.whole_files import write_text\n"
        'os.geteuid() or os.setuid(65534)\nwrite_text(folder / "x", "")'
    )
    folder = tmp_path / "results"
    folder.mkdir(mode=0o555)
    code, told = job(work, folder, tmp_path / "log.txt")
    assert code == EXIT_MACHINE
    assert "error: permission denied\n  where: " in told
    assert "give yourself write access" in told
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kilobytes", [200, 700])
def test_a_disk_that_fills_up_while_a_checkpoint_is_written(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path, kilobytes: int
) -> None:
    """200 kB are too little for the weights (safetensors), 700 kB for the optimizer (torch)."""
    prefix = small_disk(tmp_path / "scratch", kilobytes)
    process = launch("sft", model_folders["llama"], splits, tmp_path, prefix=prefix, checkpoint_seconds=0)
    _, told = process.communicate(timeout=600)
    assert process.returncode == EXIT_MACHINE, told
    assert "error: the disk is full" in told
    assert "Traceback" not in told
    assert not (tmp_path / "model").exists()


# --- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", ["bytearray(10**13)", "import torch\ntorch.empty(10**13)"], ids=["Python", "torch"])
def test_lack_of_memory_is_told(tmp_path: Path, work: str) -> None:
    code, told = job(work, tmp_path, tmp_path / "log.txt")
    assert code == EXIT_MACHINE, told
    assert "error: out of memory" in told
    assert "what to do: lower `per_device_batch_size` or `max_length`" in told
    assert "Traceback" not in told
    assert "Traceback" in (tmp_path / "log.txt").read_text()


# --- processes -----------------------------------------------------------------------------------------------------


def ranks(launcher: int) -> list[int]:
    """Processes a launcher started that run a training script."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rsplit(")", 1)[1].split()[1])
            words = (entry.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == launcher and words[1:2] == [b"scripts/train_sft.py"]:
            found.append(int(entry.parent.name))
    return sorted(found)


def test_when_a_rank_dies_the_others_end_within_a_minute(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path
) -> None:
    options = {"training": {"epochs": 200}}
    process = launch("sft", model_folders["llama"], splits, tmp_path, "deepspeed", 2, checkpoint_seconds=1, **options)
    try:
        wait_for_checkpoint(process, tmp_path)
        both = ranks(process.pid)
        assert len(both) == 2
        os.kill(both[1], signal.SIGKILL)
        died = time.monotonic()
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()  # its processes end with it
    assert time.monotonic() - died < 60
    assert process.returncode == EXIT_MACHINE
    assert "error: SIGKILL ended process 1 of 2" in told
    assert "then run again: it resumes" in told
    assert not any(Path(f"/proc/{pid}").exists() for pid in both)
    assert not (tmp_path / "model").exists()


SLEEPY = "import signal, time\nsignal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))\n"


@pytest.mark.parametrize("asked_to_stop", [False, True])
def test_a_job_whose_rank_sleeps_ends_by_itself(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_to_stop: bool
) -> None:
    """The other rank waits for it in a collective operation, where no signal handler of Python runs."""
    (tmp_path / "sleepy").mkdir()
    (tmp_path / "sleepy/sitecustomize.py").write_text(SLEEPY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "sleepy"))
    options = {"training": {"epochs": 200}, "stuck_seconds": 600 if asked_to_stop else 5, "stop_lead": 16}
    process = launch("sft", model_folders["llama"], splits, tmp_path, "deepspeed", 2, checkpoint_seconds=1, **options)
    try:
        wait_for_checkpoint(process, tmp_path)
        both = ranks(process.pid)
        os.kill(both[1], signal.SIGUSR1)
        time.sleep(1)
        if asked_to_stop:
            process.terminate()
        asleep = time.monotonic()
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    assert time.monotonic() - asleep < (16 if asked_to_stop else 30)
    assert process.returncode == (EXIT_RESUMABLE if asked_to_stop else EXIT_MACHINE)
    words = "stopped on request, but not in time" if asked_to_stop else "no step ended within 5 seconds"
    assert told.count(words) == 1, told
    assert "unexpected" not in told, told
    assert "where: process 0 of 2" in told
    stacks = (tmp_path / "log.txt").read_text().split("Threads of process ")
    assert sorted(text[:6] for text in stacks[1:]) == ["0 of 2", "1 of 2"]
    assert all("in run_training" in text for text in stacks[1:])  # in a step, or between two
    assert sum('sitecustomize.py", line 2' in text for text in stacks) == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in both)


def test_a_port_in_use_is_told(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        process = train("sft", model_folders["llama"], splits, tmp_path, "deepspeed")
        _, told = process.communicate(timeout=300)
    assert process.returncode == EXIT_MACHINE, told
    assert "error: a network port is in use" in told
    assert "what to do: run again" in told


def test_a_time_limit_ahead_is_met_with_a_checkpoint(
    model_folders: dict[str, Path], splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_END_TIME", str(int(time.time()) + 3600))
    process = launch("sft", model_folders["opt"], splits, tmp_path, stop_lead=3599)
    _, told = process.communicate(timeout=300)
    assert process.returncode == EXIT_RESUMABLE, told
    assert re.search(r"error: stopped before the job's time limit at step \d+ of 10", told)
    assert "run the same command again to resume" in told
    monkeypatch.delenv("JOB_END_TIME")
    record = finish(train("sft", model_folders["opt"], splits, tmp_path), tmp_path)
    assert record["resumed_from_step"] > 0


# --- left-over files -----------------------------------------------------------------------------------------------


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from common.files.whole_files import new_directory
with new_directory(Path(sys.argv[1])) as folder:
    (folder / "weights").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    target = tmp_path / "model"
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(target)], env=environment, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with new_directory(target) as first:
        assert list(tmp_path.iterdir()) == [first]
        with new_directory(target) as second:
            assert {*tmp_path.iterdir()} == {first, second}
            (second / "weights").write_bytes(b"second")
        write_bytes(first / "weights", b"first")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "weights").read_bytes() == b"first"


# --- network -------------------------------------------------------------------------------------------------------


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with a file, or with half of it."""

    content: ClassVar[bytes] = b"[1, 2, 3]" * 100

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: len(self.content) // 2] if "half" in self.path else self.content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def download(url: str, folder: Path, **source: str) -> tuple[int, str]:
    command = [
        sys.executable, "scripts/download_instructions.py",
        "--settings", json.dumps({"source": {"url": url, **source}}),
        "--output", str(folder / "file.json"), "--log", str(folder / "log.txt"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr


def test_a_download_is_checked_by_hash_and_length(address: str, tmp_path: Path) -> None:
    digest = hashlib.sha256(Server.content).hexdigest()
    code, told = download(f"{address}/half", tmp_path)
    assert code == EXIT_MACHINE
    assert "error: a download failed: 450 of 900 bytes came" in told
    code, told = download(f"{address}/file", tmp_path, sha256="0" * 64)
    assert code == errors.EXIT_BAD_INPUT
    assert "error: a download's hash is not the configured one" in told
    assert digest in told
    assert "do not use it" in told
    assert not (tmp_path / "file.json").exists()
    assert download(f"{address}/file", tmp_path, sha256=digest)[0] == 0
    assert (tmp_path / "file.json").read_bytes() == Server.content


def test_a_missing_network_is_told(tmp_path: Path) -> None:
    code, told = download("http://127.0.0.1:9/file", tmp_path)
    assert code == EXIT_MACHINE
    assert "error: a download failed" in told
    assert "what to do: check the network" in told
    assert not (tmp_path / "file.json").exists()
