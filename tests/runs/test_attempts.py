"""What processes leave in the record of their attempts."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.base.errors import EXIT_RESUMABLE
from common.base.paths import SCRIPTS
from common.jobs import attempts
from common.jobs.attempts import KILLED, STOPPED


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs/train_sft/model.log"


SCRIPT = """
import sys, time
sys.path.insert(0, {scripts!r})
from common.jobs.console import argument_parser, run_entry_point
def work(arguments, console):
    console.say("works")
    {body}
sys.exit(run_entry_point(argument_parser("a job"), work))
"""


def start(tmp_path: Path, log: Path, body: str) -> subprocess.Popen[bytes]:
    script = tmp_path / "job.py"
    script.write_text(SCRIPT.format(scripts=str(SCRIPTS), body=body), encoding="utf-8")
    return subprocess.Popen([sys.executable, script, "--settings", "{}", "--log", log], stderr=subprocess.DEVNULL)


def test_a_job_that_is_told_to_stop_says_so_and_its_log_goes_on(tmp_path: Path, log: Path) -> None:
    with start(tmp_path, log, "time.sleep(60)") as process:
        while not (log.exists() and "works" in log.read_text()):
            time.sleep(0.02)
        process.terminate()
        assert process.wait(timeout=30) == EXIT_RESUMABLE
    assert attempts.read_attempts(log) == [STOPPED]
    assert "error: stopped on request" in log.read_text()
    with start(tmp_path, log, "pass") as process:
        assert process.wait(timeout=30) == 0
    assert attempts.read_attempts(log) == []
    assert log.read_text().count("works") == 2
    assert "---- attempt 2, " in log.read_text()


def test_a_killed_job_leaves_an_attempt_without_an_end(tmp_path: Path, log: Path) -> None:
    with start(tmp_path, log, "import os; os.kill(os.getpid(), 9)") as process:
        assert process.wait(timeout=30) == -signal.SIGKILL
    assert attempts.read_attempts(log) == [KILLED]
    assert [sorted(json.loads(line)) for line in attempts.record_of(log).read_text().splitlines()] == [["began", "run"]]


def test_a_log_of_another_kind_has_no_record(tmp_path: Path) -> None:
    with start(tmp_path, tmp_path / "mine.log", "pass") as process:
        assert process.wait(timeout=30) == 0
    assert not list(tmp_path.glob("*.attempts"))
