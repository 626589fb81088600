"""Snakemake's messages: which are passed on as they are, which are said in a line, which are dropped."""

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.logging import DefaultFilter, LogEvent
from snakemake.settings.enums import Quietness

from common.planning.schedule import Seen
from common.terminal.run_log import RunFormatter, RunHandler, RunLog, error_lines
from common.terminal.run_view import RunJob, RunView

COMMAND = "RuleException:\nCalledProcessError in file \"rules/jobs.smk\", line 24:\nCommand 'exec python x\ny'"


class Terminal:
    """Snakemake's logger with the handler of a run, and what it writes."""

    def __init__(self, quiet: set[Quietness]):
        self.written = io.StringIO()
        self.formatter = RunFormatter(quiet)
        handler = RunHandler(stream=self.written, formatter=self.formatter)
        handler.addFilter(DefaultFilter(quiet, False, False, False, False))
        self.logger = logging.Logger("run", logging.INFO)
        self.logger.addHandler(handler)
        self.run = RunLog(self.logger, self.formatter, "demo")

    def tells(
        self, message: str | None, event: LogEvent | None = None, level: int = logging.INFO, **fields: Any
    ) -> str:
        self.written.seek(0)
        self.written.truncate()
        self.logger.log(level, message, extra={"event": event, **fields} if event else fields)
        return self.written.getvalue()

    def begin(self, jobs_speak: bool = True) -> str:
        jobs = {1: RunJob("train_coh m", "CoH", "training", 600.0)}
        self.run.begin(RunView(jobs, {}, Seen.nothing(), lambda: 0.0), "on 2 cores", jobs_speak)
        return self.written.getvalue()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal(set())


def job_fields(**changes: Any) -> dict[str, Any]:
    """What Snakemake sends with a message about a job."""
    fields = {name: [] for name in ("input", "output", "log")}
    return {**fields, "jobid": 1, "rule_name": "train_coh", "rule_msg": None, "local": False, "is_checkpoint": False,
            "benchmark": None, "reason": "", "wildcards": {}, "priority": 0, "threads": 1, "resources": {},
            "conda_env": None, "shellcmd": "exec python scripts/train_coh.py", "aux": {}, **changes}  # fmt: skip


@pytest.mark.parametrize(
    ("message", "event"),
    [("Select jobs to execute...", None), ("Building DAG of jobs...", None), ("Using shell: /usr/bin/bash", None),
     ("Elapsed time: 0:06:17", None), ("Execute 2 jobs...", LogEvent.JOB_STARTED), ("Job stats:", LogEvent.RUN_INFO),
     ("Provided cores: 2", LogEvent.RESOURCES_INFO), (None, LogEvent.PROGRESS)],
)  # fmt: skip
def test_what_snakemake_says_of_itself_is_dropped(terminal: Terminal, message: str, event: LogEvent | None) -> None:
    assert terminal.tells(message, event) == ""


def test_a_message_is_one_write_so_that_jobs_cannot_speak_into_it(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.begin()
    pieces: list[str] = []
    monkeypatch.setattr(terminal.written, "write", pieces.append)
    terminal.tells(" Rule", LogEvent.JOB_INFO, **job_fields())
    terminal.tells("Something new\nin two lines")
    assert [text for text in pieces if text] == [
        "   0:00  start   train_coh m (CoH)\n", "Something new\nin two lines\n",
    ]  # fmt: skip


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_what_is_not_known_is_passed_on_whole(terminal: Terminal, level: int) -> None:
    terminal.begin()
    assert terminal.tells("Something new\nin two lines", level=level) == "Something new\nin two lines\n"
    assert terminal.tells("Building DAG of jobs went wrong", level=logging.ERROR) != ""


def test_a_run_is_told_from_its_first_to_its_last_line(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report/report.html").write_text("")
    terminal.formatter.results = str(tmp_path)
    assert terminal.begin() == "Preset demo: 1 job, about 10 min on 2 cores.\n"
    assert terminal.tells(" Rule", LogEvent.JOB_INFO, **job_fields()) == "   0:00  start   train_coh m (CoH)\n"
    finished = terminal.tells("Finished", LogEvent.JOB_FINISHED, job_id=1)
    assert finished == "   0:00  done    train_coh m (CoH) in 0:00; 1/1 jobs\n"
    assert terminal.tells(" Rule", LogEvent.JOB_INFO, **job_fields(jobid=0, rule_name="all")) == ""
    assert terminal.tells("Finished", LogEvent.JOB_FINISHED, job_id=0) == ""
    terminal.tells("")
    terminal.run.end()
    page = f"  {tmp_path}/report/report.html  report page, for a browser\n"
    assert terminal.written.getvalue().strip("\n").endswith(f"all done in 0:00.\nLook first at\n{page}".strip("\n"))
    assert terminal.tells(NOTHING_TO_BE_DONE_MSG) == f"{NOTHING_TO_BE_DONE_MSG}\nLook first at\n{page}"


def test_before_a_run_is_known_jobs_look_as_in_snakemake(terminal: Terminal) -> None:
    told = terminal.tells(" Rule", LogEvent.JOB_INFO, **job_fields())
    assert "rule train_coh:" in told
    terminal.run.end()
    terminal.run.end_with_failures()
    assert terminal.written.getvalue() == told


def failed_job(terminal: Terminal, log: Path, **changes: Any) -> str:
    return terminal.tells("Error", LogEvent.JOB_ERROR, level=logging.ERROR, **job_fields(log=[str(log)], **changes))


def test_a_job_that_has_told_its_error_is_not_told_of_twice(terminal: Terminal, tmp_path: Path) -> None:
    log = tmp_path / "train_coh.log"
    log.write_text("error: an old one\nmuch\nerror: no space\n  where: here\n")
    terminal.begin()
    for code in (1, 2, 3, 75, 130):
        command = f"{COMMAND} returned non-zero exit status {code}."
        assert terminal.tells(command, LogEvent.ERROR, level=logging.ERROR) == ""
    assert failed_job(terminal, log) == f"   0:00  failed  train_coh m (CoH); its log: {log}\n"
    assert terminal.tells("Trying to restart job 1.") == "         again   train_coh m\n"
    queued = terminal.tells("Job 1 has been submitted with SLURM jobid 12 (log: slurm/12.log).")
    assert queued == "         queued  train_coh m SLURM jobid 12 (log: slurm/12.log).\n"
    assert terminal.tells("Trying to restart job 7.") == "Trying to restart job 7.\n"


def test_the_error_of_a_job_that_runs_elsewhere_is_read_from_its_log(terminal: Terminal, tmp_path: Path) -> None:
    log = tmp_path / "train_coh.log"
    log.write_text("[train_coh] a step\nerror: no space\n  where: here\n")
    assert error_lines(log) == ["error: no space", "  where: here"]
    terminal.begin(jobs_speak=False)
    told = failed_job(terminal, log, rule_msg="SLURM-job '7' failed")
    assert told.splitlines()[1:] == ["  SLURM-job '7' failed", "error: no space", "  where: here"]


def test_a_job_that_ended_without_a_word_is_told_whole(terminal: Terminal, tmp_path: Path) -> None:
    log = tmp_path / "train_coh.log"
    log.write_text("a last line\n")
    terminal.begin()
    killed = f"{COMMAND} died with <Signals.SIGKILL: 9>."
    assert terminal.tells(killed, LogEvent.ERROR, level=logging.ERROR) == f"{killed}\n"
    told = failed_job(terminal, log)
    assert "Error in rule train_coh:" in told
    assert "exec python scripts/train_coh.py" in told
    assert told.endswith("a last line\n")
    log.unlink()
    assert "Error in rule train_coh:" in failed_job(terminal, log)
    terminal.run.end_with_failures()
    assert f"  where: train_coh m: {log}" in terminal.written.getvalue()


def test_who_interrupts_a_run_reads_of_no_error(terminal: Terminal, tmp_path: Path) -> None:
    terminal.begin()
    terminal.tells("Terminating processes on user request, this might take some time.")
    assert failed_job(terminal, tmp_path / "train_coh.log") == "   0:00  ended   train_coh m (CoH)\n"
    terminal.run.end_with_failures()
    last = terminal.written.getvalue().strip().splitlines()[-1]
    assert last == "interrupted: 0 of 1 jobs are done and kept; the same command goes on from there"


def test_quiet_is_quiet() -> None:
    terminal = Terminal({Quietness.ALL})
    assert terminal.begin() == ""
    assert terminal.tells(" Rule", LogEvent.JOB_INFO, **job_fields()) == ""
    terminal.run.end()
    assert terminal.written.getvalue() == ""
