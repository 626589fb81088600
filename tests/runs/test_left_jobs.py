"""Which jobs in SLURM's queue are those of an earlier run, and where Snakemake is started again."""

import sys
from pathlib import Path

import pytest

from common.terminal import left_jobs

SAID = "Job 3 has been submitted with SLURM jobid {} (log: x/{}.log)."
DUE = ["rule_train_sft_wildcards_llama", "rule_split_instructions"]


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `squeue` prints; without that file it fails."""
    program = tmp_path / "bin/squeue"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec cat {tmp_path}/queue\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path / "queue"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for number in (7, 8, 9):
        left_jobs.remember(tmp_path / "results/paper", SAID.format(number, number))
    return tmp_path / "results/paper"


def test_what_snakemake_says_of_a_submitted_job_is_remembered(results: Path) -> None:
    left_jobs.remember(results, "Job 3 has been submitted with jobid 12")
    left_jobs.remember(results, "rule train_sft: SLURM jobid 13")
    assert (results / left_jobs.SUBMITTED).read_text(encoding="utf-8").split() == ["7", "8", "9"]


def test_jobs_of_this_preset_and_folder_that_make_what_is_due_are_left(queue: Path, results: Path) -> None:
    rows = [
        "7|/here|rule_train_sft_wildcards_llama",
        "8|/elsewhere|rule_train_sft_wildcards_llama",
        "9|/here|rule_train_coh_wildcards_llama",
        "17|/here|rule_train_sft_wildcards_llama",  # submitted by a run of another preset
        "18|/here|(null)",
    ]
    queue.write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert left_jobs.left_jobs(Path("/here"), results, DUE) == {"7": "rule_train_sft_wildcards_llama"}


def test_a_queue_that_does_not_answer_is_not_an_empty_one(queue: Path, results: Path) -> None:
    assert left_jobs.left_jobs(Path("/here"), results, DUE) is None
    queue.write_text("", encoding="utf-8")
    assert left_jobs.left_jobs(Path("/here"), results, DUE) == {}


def test_snakemake_starts_again_where_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/shell")
    for given in (["-d", "elsewhere"], ["--directory=elsewhere"]):
        monkeypatch.setattr(sys, "argv", ["snakemake", *given])
        assert left_jobs._first_directory() == Path("/shell")
    monkeypatch.setattr(sys, "argv", ["snakemake", "--cores", "2"])
    assert left_jobs._first_directory() == Path.cwd()
