"""Entry points as processes: exit codes, terminal and log, what they load, and who may write."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.base.errors import EXIT_MACHINE
from common.base.paths import ROOT, SCRIPTS
from common.jobs import digest

ENTRY_POINTS = sorted(path.name for path in SCRIPTS.glob("*.py") if "\ndef main(" in path.read_text(encoding="utf-8"))


def python(code: str, *arguments: object, **more: object) -> subprocess.Popen[str]:
    """A Python process with this project's modules on its path."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "CUDA_VISIBLE_DEVICES": ""}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, **{**pipes, **more})


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to end when the test ends."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


ENTRY_POINT = """
import argparse, errno, os, sys
from common.jobs.console import argument_parser, run_entry_point
from common.base.errors import Resumable, UserError
def work(arguments, console):
    console.say("at work")
    print("chatter of a library")
    raise_this = {raised}
    if raise_this:
        raise raise_this
sys.exit(run_entry_point(argument_parser("An entry point."), work))
"""


USER_ERROR = 'UserError("the rows are odd", "rows.json, row 3", "mend row 3")'


def run_entry_point(raised: str, folder: Path, settings_text: str = "{}") -> tuple[int, str, str]:
    """Exit code, terminal and log of an entry point that raises `raised`."""
    log = folder / "logs" / "job.log"
    process = python(ENTRY_POINT.replace("{raised}", raised), "--settings", settings_text, "--log", log)
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err, log.read_text(encoding="utf-8") if log.exists() else ""


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("None", 0),
        ('ValueError("a bug")', 1),
        (USER_ERROR, 2),
        ('OSError(errno.ENOSPC, "No space", "/full")', 3),
        ("MemoryError()", 3),
        ('Resumable("stopped", "step 5")', 75),
        ("KeyboardInterrupt()", 130),
    ],
)
def test_exit_code_tells_the_kind_of_failure(raised: str, code: int, tmp_path: Path) -> None:
    assert run_entry_point(raised, tmp_path)[0] == code


def test_user_error_is_told_without_a_traceback(tmp_path: Path) -> None:
    _, terminal, log = run_entry_point(USER_ERROR, tmp_path)
    told = "error: the rows are odd\n  where: rows.json, row 3\n  what to do: mend row 3\n"
    assert told in terminal
    assert told in log
    assert "Traceback" not in terminal + log


def test_bug_leaves_its_traceback_in_the_log_alone(tmp_path: Path) -> None:
    _, terminal, log = run_entry_point('ValueError("a bug")', tmp_path)
    assert "error: unexpected ValueError: a bug" in terminal
    assert f"please report it with the log {tmp_path}" in terminal
    assert "Traceback" not in terminal
    assert "Traceback (most recent call last)" in log
    assert "in work" in log


def test_machine_error_keeps_its_traceback_in_the_log(tmp_path: Path) -> None:
    _, terminal, log = run_entry_point('OSError(errno.ENOSPC, "No space", "/full")', tmp_path)
    assert "error: the disk is full\n  where: /full\n  what to do: free some space" in terminal
    assert "Traceback" not in terminal
    assert "Traceback" in log


def test_terminal_shows_what_is_for_people_and_the_log_shows_all(tmp_path: Path) -> None:
    _, terminal, log = run_entry_point("None", tmp_path)
    assert "at work" in terminal
    assert "chatter" not in terminal
    assert "at work" in log
    assert "chatter" in log


def test_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way", encoding="utf-8")
    code, terminal, _ = run_entry_point("None", tmp_path)
    assert code == EXIT_MACHINE
    assert "cannot write the log" in terminal
    assert "Traceback" not in terminal


@pytest.mark.parametrize("text", ["{", "[]", "seed"])
def test_settings_that_are_no_json_object_are_refused(text: str, tmp_path: Path) -> None:
    code, terminal, _ = run_entry_point("None", tmp_path, text)
    assert code == 2
    assert "not JSON" in terminal or "not a JSON object" in terminal


LOADED = """
import importlib, json, sys
from pathlib import Path
root = Path(sys.argv[1])
ours = {path.stem for path in root.iterdir()}
def project():
    return {n: m for n, m in sys.modules.items() if n.split(".")[0] in ours and getattr(m, "__file__", None)}
loaded = {}
for script in sys.argv[2:]:
    for name in project():
        del sys.modules[name]
    importlib.import_module(Path(script).stem)
    found = {str(Path(m.__file__).resolve().relative_to(root)) for m in project().values()}
    loaded[script] = sorted(found)
print("LOADED", json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Project files each entry point really loads, found by importing them one after the other."""
    out, err = python(LOADED, SCRIPTS, *ENTRY_POINTS).communicate(timeout=300)
    assert "LOADED" in out, err
    return json.loads(out.split("LOADED", 1)[1])


@pytest.mark.parametrize("script", ENTRY_POINTS)
def test_import_closure_covers_what_is_really_loaded(script: str, loaded: dict[str, list[str]]) -> None:
    closure = {path.relative_to(SCRIPTS).as_posix() for path in digest.import_closure(script)}
    assert script in loaded[script]
    assert set(loaded[script]) - closure == set()
    assert set(loaded[script]) >= {script, "common/__init__.py", "common/base/errors.py"}


COLLECTED = """
import sys, pytest
code = pytest.main(["--collect-only", "--quiet", *sys.argv[1:]])
print(int(code), sorted({"torch", "transformers"} & sys.modules.keys()))
"""
# Whose subject computes nothing with PyTorch.
LIGHT = ("base", "config", "data", "files", "human_eval", "jobs", "paper", "report", "stats", "tables")


def test_unit_tests_of_rooms_without_pytorch_do_not_load_it() -> None:
    rooms = [ROOT / "tests/unit" / room for room in LIGHT]
    output, errors = python(COLLECTED, *rooms, cwd=ROOT).communicate(timeout=120)
    assert output.splitlines()[-1] == "0 []", output[-2000:] + errors


RECORDED = """
import sys
from common.jobs.provenance import Provenance
if sys.argv[1] == "computing":
    import torch
print(*Provenance("render_table3.py", {}).record()["hardware"], "torch" in sys.modules)
"""


MACHINE = "machine cpu cpus"


@pytest.mark.parametrize(
    ("job", "told"),
    [("rendering", f"{MACHINE} False"), ("computing", f"{MACHINE} threads cpu_capability gpus kernels True")],
)
def test_only_a_job_that_computed_with_pytorch_loads_it_and_tells_what_on(job: str, told: str) -> None:
    output, _ = python(RECORDED, job).communicate(timeout=60)
    assert output.split() == told.split()


HOLDER = """
import sys
from pathlib import Path
from common.jobs.console import Console
from common.jobs.scratch import writer_lock
with writer_lock(Path(sys.argv[1]), Console("holder")):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


def two_writers(lock: Path, started: list[subprocess.Popen[str]]) -> tuple[subprocess.Popen, subprocess.Popen]:
    """A process that holds the lock and one that waits for it."""
    for _ in range(2):
        started.append(python(HOLDER, lock))
        if len(started) == 1:
            assert started[0].stdout.readline() == "held\n"
    told = started[1].stderr.readline()
    assert "waiting: another process still writes here" in told
    assert str(started[0].pid) in told
    assert select.select([started[1].stdout], [], [], 0.3)[0] == []
    return started[0], started[1]


def test_second_writer_waits_until_the_first_ends(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    first, second = two_writers(tmp_path / "deep" / "writer.lock", started)
    first.stdin.write("\n")
    first.stdin.flush()
    assert first.stdout.readline() == "released\n"
    assert second.stdout.readline() == "held\n"


def test_killed_writer_releases_its_lock(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    first, second = two_writers(tmp_path / "writer.lock", started)
    first.send_signal(signal.SIGKILL)
    assert second.stdout.readline() == "held\n"
    assert json.loads((tmp_path / "writer.lock").read_text(encoding="utf-8"))["pid"] == second.pid


def test_loading_a_configuration_loads_nothing_heavy() -> None:
    heavy = "[name for name in ('torch', 'pandas', 'numpy', 'pyarrow', 'transformers') if name in sys.modules]"
    code = f"import sys, common.config.loading; print({heavy})"
    told = subprocess.check_output([sys.executable, "-c", code], cwd=SCRIPTS, text=True)
    assert told == "[]\n"
