"""How attempts end, which jobs are tried again, and with how much memory."""

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.base.errors import EXIT_BAD_INPUT, EXIT_BUG, EXIT_MACHINE, EXIT_RESUMABLE
from common.jobs import attempts, retries
from common.jobs.attempts import BUG, DONE, INPUT, KILLED, MACHINE, STOPPED


def write(log: Path, *codes: int | None) -> list[str]:
    """Attempts that ended with these exit codes, None for one that was killed without a word."""
    log.parent.mkdir(parents=True, exist_ok=True)
    attempts.record_of(log).unlink(missing_ok=True)
    for code in codes:
        attempts.begin_attempt(log)
        if code is not None:
            attempts.end_attempt(log, code)
    return attempts.read_attempts(log)


@pytest.fixture(autouse=True)
def run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(attempts.RUN, "this")
    monkeypatch.delenv(attempts.BEGUN, raising=False)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs/train_sft/model.log"


def test_each_exit_code_has_its_meaning(log: Path) -> None:
    codes = [EXIT_BUG, EXIT_BAD_INPUT, EXIT_MACHINE, EXIT_RESUMABLE, 130, -signal.SIGKILL, -signal.SIGALRM, None]
    assert write(log, *codes) == [BUG, INPUT, MACHINE, STOPPED, STOPPED, KILLED, MACHINE, KILLED]


def test_what_was_done_begins_anew(log: Path) -> None:
    assert write(log, None, 0) == []
    assert attempts.begin_attempt(log) == 1
    assert len(attempts.record_of(log).read_text().splitlines()) == 1
    assert attempts.begin_attempt(log) == 2


def test_the_gravest_line_of_an_attempt_counts(log: Path) -> None:
    write(log, None)
    attempts.stop_attempt(log)  # torchrun stops the others when one was killed
    assert attempts.read_attempts(log) == [STOPPED]
    attempts.end_attempt(log, EXIT_BUG)  # which fail in their own way
    attempts.end_attempt(log, -signal.SIGKILL)  # and the launcher knows why
    assert attempts.read_attempts(log) == [KILLED]


def test_one_that_was_told_to_stop_and_finished_is_done(log: Path) -> None:
    write(log, None)
    attempts.stop_attempt(log)
    attempts.end_attempt(log, 0)
    assert attempts.read_attempts(log) == []


def test_a_torn_line_is_passed_over(log: Path) -> None:
    write(log, EXIT_RESUMABLE)
    with attempts.record_of(log).open("a") as file:
        file.write('{"began": 1')
    assert attempts.read_attempts(log) == [STOPPED]


def test_memory_grows_with_each_kill_and_with_nothing_else(log: Path) -> None:
    assert attempts.memory_factor(log) == 1
    factors = {codes: write(log, *codes) and attempts.memory_factor(log) for codes in [
        (EXIT_RESUMABLE, EXIT_RESUMABLE, EXIT_RESUMABLE), (EXIT_MACHINE,), (None,), (EXIT_RESUMABLE, None), (None,) * 9,
    ]}  # fmt: skip
    assert list(factors.values()) == [1, 1, 2, 2, 3]


def test_a_stop_in_order_goes_on_for_ever_and_what_cannot_heal_is_not_tried_again(log: Path) -> None:
    def again(*codes: int | None, retries: int = 2) -> bool:
        write(log, *codes)
        return attempts.tries_left(log, len(codes), retries)

    assert again(*[EXIT_RESUMABLE] * 50)
    assert not again(EXIT_BAD_INPUT)
    assert not again(EXIT_BUG)
    assert [again(*[EXIT_MACHINE] * n) for n in (1, 2, 3)] == [True, True, False]
    assert [again(*[None] * n) for n in (1, 2, 3)] == [True, True, False]
    assert again(None, EXIT_RESUMABLE, None, *[EXIT_RESUMABLE] * 9)
    assert not again(None, EXIT_RESUMABLE, None, EXIT_MACHINE)
    # A job that was never begun, as when the scheduler refuses it, has no record.
    attempts.record_of(log).unlink()
    assert [attempts.tries_left(log, attempt, 2) for attempt in (1, 2, 3)] == [True, True, False]
    # Nor have attempts that end before the job can write, whatever was written before.
    for first in (EXIT_RESUMABLE, EXIT_BUG):
        write(log, first)
        assert attempts.tries_left(log, 2, 2)
    write(log, EXIT_RESUMABLE)
    assert [attempts.tries_left(log, attempt, 2) for attempt in (2, 3, 4)] == [True, True, False]


def test_a_job_without_state_is_not_stopped_for_ever(log: Path) -> None:
    write(log, *[EXIT_RESUMABLE] * 3)
    assert not attempts.tries_left(log, 3, 2, resumes=False)
    write(log, *[EXIT_RESUMABLE] * 2)
    assert attempts.tries_left(log, 2, 2, resumes=False)


def test_what_earlier_runs_met_does_not_count(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log, None, None, EXIT_MACHINE)
    assert attempts.memory_factor(log) == 3
    monkeypatch.setenv(attempts.RUN, "next")
    assert attempts.read_attempts(log) == []
    assert attempts.memory_factor(log) == 1
    assert attempts.begin_attempt(log) == 1
    assert attempts.read_attempts(log) == [KILLED]


def test_a_script_does_not_begin_what_its_launcher_has(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log, EXIT_RESUMABLE, None)
    monkeypatch.setenv(attempts.BEGUN, "2")
    assert attempts.begin_attempt(log) == 2
    assert attempts.read_attempts(log) == [STOPPED, KILLED]


def test_a_record_that_cannot_be_written_does_not_change_how_a_job_ends(log: Path) -> None:
    attempts.record_of(log).mkdir(parents=True)
    attempts.end_attempt(log, EXIT_MACHINE)
    attempts.stop_attempt(log)
    with pytest.raises(OSError, match="directory"):
        attempts.begin_attempt(log)


def obvious(codes: list[int | None]) -> int:
    """Attempts that count against the retries, since the last that was done."""
    since = codes[len(codes) - codes[::-1].index(0) :] if 0 in codes else codes
    return sum(code not in (EXIT_RESUMABLE, 130) for code in since)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(codes=st.lists(st.sampled_from([0, EXIT_MACHINE, EXIT_RESUMABLE, 130, -9, None]), max_size=12))
def test_only_attempts_since_the_last_that_was_done_count(
    codes: list[int | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.getbasetemp() / "logs/rule/any.log"
    endings = write(log, *codes)
    assert sum(how != STOPPED for how in endings) == obvious(codes)
    assert DONE not in endings


def job(log: Path, attempt: int) -> SimpleNamespace:
    return SimpleNamespace(log=[str(log)], attempt=attempt, params=SimpleNamespace(scratch="x"))


def test_snakemake_is_answered_by_kind(log: Path) -> None:
    def goes_on(attempt: int, retries_set: int) -> bool:  # as its scheduler asks
        return retries._restart_times(job(log, attempt), retries_set) > attempt - 1

    write(log, *[EXIT_RESUMABLE] * 40)
    assert goes_on(40, 3)
    assert not goes_on(1, 0)  # `retries: 0` of a rule
    write(log, EXIT_BAD_INPUT)
    assert not goes_on(1, 3)
    write(log, EXIT_MACHINE)
    assert goes_on(1, 1)
    write(log, EXIT_MACHINE, EXIT_MACHINE)
    assert not goes_on(2, 1)


def test_snakemake_has_the_property_that_is_replaced() -> None:
    from snakemake.jobs import Job

    before = Job.restart_times
    try:
        retries.retry_by_kind()
        once = Job.restart_times
        assert once is not before
        retries.retry_by_kind()
        assert Job.restart_times is once
    finally:
        Job.restart_times = before
