"""Snakemake's messages in the words of `run_view`: one line when a job starts, one when it ends, errors whole.

A logger plugin would have to be installed as a package, so the handler of Snakemake's own logger that writes to the
terminal is replaced when the Snakefile is read. Its log files in .snakemake/log keep every message. Nothing heavy here:
each call of Snakemake loads this.
"""

import logging
import re
import warnings
from pathlib import Path
from typing import Any

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.logging import ColorizingTextHandler, DefaultFormatter, LogEvent, get_event

from common.terminal.left_jobs import remember
from common.terminal.run_view import RunView, places

# What Snakemake says of itself. A message that is not listed stays.
EVENTS = {
    LogEvent.WORKFLOW_STARTED, LogEvent.RESOURCES_INFO, LogEvent.RUN_INFO, LogEvent.JOB_STARTED, LogEvent.PROGRESS,
}  # fmt: skip
REMARKS = re.compile(
    "Assuming unrestricted shared filesystem|Building DAG of jobs|Using shell: |Group jobs: inactive|"
    "(Conda environments|Singularity containers): ignored|Select jobs to execute|Elapsed time: "
)
# The command of a job that failed with an exit code of its own; what it said of that stands in its log.
COMMAND = re.compile(
    r"RuleException:\nCalledProcessError .* returned non-zero exit status (1|2|3|75|130)\.$", re.DOTALL
)
INTERRUPTED = "Terminating processes on user request"
AGAIN = re.compile(r"Trying to restart job (\d+)\.$")
QUEUED = re.compile(r"Job (\d+) has been submitted with (.*)$", re.DOTALL)
# Lines of a job's log that are shown when Snakemake's own account of its failure is needed too.
TAIL = 15


class RunFormatter(DefaultFormatter):
    """Formats what belongs to a run; anything else as Snakemake does.

    Attributes:
        view: the run, once it is known; until then jobs look as they do in Snakemake.
        results: directory of the preset's results.
        jobs_speak: whether jobs write to this terminal, where their errors then stand already; not through a scheduler.
    """

    view: RunView | None = None
    results = ""
    jobs_speak = True

    def format(self, record: logging.LogRecord) -> str:
        event, message = get_event(record), str(record.msg)
        if message == NOTHING_TO_BE_DONE_MSG:
            return "\n".join([message, *places(self.results)])
        if record.levelno < logging.WARNING and (event in EVENTS or (event is None and REMARKS.match(message))):
            return message if hasattr(record, "of_run") else ""
        if self.view and message.startswith(INTERRUPTED):
            self.view.interrupted = True
        line = self._run_line(self.view, record) if self.view else None
        return super().format(record) if line is None else line

    def _run_line(self, view: RunView, record: logging.LogRecord) -> str | None:
        """What is said of a job instead of Snakemake's message; None: that message is shown."""
        event, message, fields = get_event(record), str(record.msg), record.__dict__
        if COMMAND.match(message):
            return ""
        for what, pattern in (("again", AGAIN), ("queued", QUEUED)):
            if (found := pattern.match(message)) and int(found[1]) in view.jobs:
                return f"{'':>9}{what:<6}  {' '.join([view.jobs[int(found[1])].name, *found.groups()[1:]])}"
        if event not in (LogEvent.JOB_INFO, LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR):
            return None
        number = fields["job_id"] if event == LogEvent.JOB_FINISHED else fields["jobid"]
        if number not in view.jobs:
            return None if event == LogEvent.JOB_ERROR else ""  # a target, such as `all`
        if event == LogEvent.JOB_INFO:
            return view.start(number)
        if event == LogEvent.JOB_FINISHED:
            return view.finish(number)
        logs = [str(path) for path in fields["log"]]
        if view.interrupted:
            return view.fail(number, ", ".join(logs))
        return "\n".join([view.fail(number, ", ".join(logs)), *self._account(fields, logs)])

    def _account(self, record: dict[str, Any], logs: list[str]) -> list[str]:
        """What is known of a failure and does not stand on the terminal yet: the job's own words, or Snakemake's."""
        said = [line for path in logs for line in error_lines(Path(path))]
        if not said:
            return self._format_job_error(record) + [line for path in logs for line in tail(Path(path))]
        message = [f"  {record['rule_msg']}"] if record["rule_msg"] else []  # such as the scheduler's state of the job
        return message if self.jobs_speak else [*message, *said]


class RunHandler(ColorizingTextHandler):
    """Snakemake's handler without the empty line it puts before each job, and with its end of line in the same write.

    Jobs write to the same terminal, and what they say between two writes would end up within a line.
    """

    terminator = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last_msg_was_job_info = True
        if self.formatter.results:
            remember(Path(self.formatter.results), str(record.msg))
        super().emit(record)

    def decorate(self, record: logging.LogRecord, message: str) -> str:
        return super().decorate(record, message) + "\n"


def tail(log: Path) -> list[str]:
    """The last lines of a log, of the last attempt alone; none where there is no log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
    except OSError:
        return []
    begun = [number for number, line in enumerate(lines) if line.startswith("---- attempt ")]
    return lines[begun[-1] :] if begun else lines


def error_lines(log: Path) -> list[str]:
    """The error a log ends with, from its first line on; none when it ends otherwise."""
    lines = tail(log)
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    return lines[starts[-1] :] if starts else []


class RunLog:
    """What the workflow itself says: when a run starts and when it ends.

    Args:
        logger: Snakemake's.
        formatter: of its handler that writes to the terminal.
        preset: name of the configuration.
    """

    def __init__(self, logger: logging.Logger, formatter: RunFormatter, preset: str):
        self._logger, self._formatter, self._preset = logger, formatter, preset

    def begin(self, view: RunView, place: str, jobs_speak: bool) -> None:
        """Tell how much there is to do, and from now on of each job in a line.

        Args:
            view: the run.
            place: where its jobs run, in words.
            jobs_speak: whether they write to this terminal.
        """
        self._formatter.view, self._formatter.jobs_speak = view, jobs_speak
        self.say(view.header(self._preset, place))

    def end(self) -> None:
        """Tell where to look first."""
        if self._formatter.view:
            self.say(self._formatter.view.ending(self._preset, places(self._formatter.results)))

    def end_with_failures(self) -> None:
        """Name every failed job."""
        if (view := self._formatter.view) and (view.failed or view.interrupted):
            self._logger.error(view.failure())

    def say(self, text: str) -> None:
        """One message of the workflow itself."""
        self._logger.info(text, extra={"event": LogEvent.RUN_INFO, "of_run": True})


def attach(workflow: Any, preset: str, results: str) -> RunLog | None:
    """Replace the handler that writes to the terminal.

    Args:
        workflow: Snakemake's.
        preset: name of the configuration.
        results: directory of its results.

    Returns:
        None where Snakemake's output stays as it is: dry runs, --verbose and --debug-dag, the Snakemake of a job on a
        cluster, and beside a logger plugin that writes to the terminal.
    """
    # Python says this of resources that Snakemake computes once their inputs are there.
    warnings.filterwarnings("ignore", r"coroutine 'InputFiles\..* was never awaited", RuntimeWarning)
    settings, logger = workflow.output_settings, workflow.logger_manager.logger
    plain = settings.dryrun or settings.verbose or settings.debug_dag or not workflow.is_main_process
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler" and not plain:
            formatter = RunFormatter(settings.quiet, settings.show_failed_logs)
            formatter.results = results
            mine = RunHandler(nocolor=handler.nocolor, stream=handler.stream, formatter=formatter)
            mine.filters, mine.name = handler.filters, handler.name
            logger.removeHandler(handler)
            logger.addHandler(mine)
            return RunLog(logger, formatter, preset)
    return None
