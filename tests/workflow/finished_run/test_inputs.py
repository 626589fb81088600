"""Every file a job reads is an input of its rule, and a score file that is lost is made again."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.workflow_runs import SMOKE, planned, rules_run, snakemake

RESULTS = "results/smoke"
TABLE3 = f"{RESULTS}/tables/table3.csv"
JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", re.MULTILINE)
# Code is known by its digest; logs and what a job resumes from are its own.
NOT_INPUTS = ("scripts/", ".snakemake/", f"{RESULTS}/scratch/", f"{RESULTS}/logs/")


@dataclass(frozen=True)
class Job:
    rule: str
    inputs: frozenset[str]
    outputs: frozenset[str]
    reads: frozenset[str]


def holds(declared: frozenset[str], path: str) -> bool:
    """Whether a file is declared, or lies in a directory that is."""
    return any(path == name or path.startswith(f"{name}/") for name in declared)


@pytest.fixture(scope="module")
def jobs(finished: Path) -> dict[str, Job]:
    """Every job of the run by its log: what it declares and what it read."""
    read = defaultdict(set)
    for line in finished.with_name("reads.txt").read_text(encoding="utf-8").splitlines():
        log, path = line.split("\t")
        if not path.startswith(NOT_INPUTS) and (finished / path).is_file():
            read[log].add(path)
    found = {}
    for rule, block in JOB.findall(snakemake(finished, "--dry-run", "--forceall", "--configfile", SMOKE)):
        told = dict(re.findall(r"^    (input|output|log): (.*)$", block, re.MULTILINE))
        inputs, outputs = (frozenset(told.get(kind, "").split(", ")) - {""} for kind in ("input", "output"))
        if "log" in told:
            found[told["log"]] = Job(rule, inputs, outputs, frozenset(read[told["log"]]))
    assert read.keys() - found.keys() == set()
    return found


def test_every_job_is_seen_reading(jobs: dict[str, Job]) -> None:
    assert {job.rule for job in jobs.values() if not job.reads} == set()
    assert len({job.rule for job in jobs.values()}) > 25


def test_what_a_job_reads_it_declares(jobs: dict[str, Job]) -> None:
    undeclared = {
        (job.rule, path) for job in jobs.values() for path in job.reads if not holds(job.inputs | job.outputs, path)
    }
    assert undeclared == set()


def test_what_a_job_declares_it_reads(jobs: dict[str, Job]) -> None:
    unread = {
        (job.rule, name)
        for job in jobs.values()
        for name in job.inputs
        if not any(holds(frozenset([name]), path) for path in job.reads)
    }
    assert unread == set()


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_a_lost_score_file_is_evaluated_again_for_a_table_that_is_there(project: Path, suffix: str) -> None:
    lost = project / RESULTS / f"eval/tiny-opt/coh/mnli/k1_seed2.{suffix}"
    before, table = lost.read_bytes(), (project / TABLE3).read_bytes()
    rendered = (project / TABLE3).stat().st_mtime_ns
    lost.unlink()
    output = snakemake(project, TABLE3, "--configfile", SMOKE)
    assert rules_run(project) == ["evaluate_task", "render_table3"]
    assert "168 items were answered before and are kept" in output
    assert (project / TABLE3).stat().st_mtime_ns > rendered
    assert (project / TABLE3).read_bytes() == table
    assert lost.exists()
    assert suffix == "json" or lost.read_bytes() == before
    assert "Nothing to be done" in snakemake(project, TABLE3, "--dry-run", "--configfile", SMOKE)


@pytest.mark.parametrize(
    ("lost", "target", "evaluated"),
    [
        ("eval/tiny-opt/coh/mnli/k3_seed1.json", "figures/accuracy.svg", "evaluate_task"),
        ("eval/tiny-llama/sft/copa/k0_seed0.parquet", "report/report.html", "evaluate_task"),
        ("markers/tiny-llama/coh/response/copa/k1_seed1.json", "tables/markers.csv", "evaluate_marker"),
    ],
)
def test_whatever_reads_a_lost_score_file_asks_for_it(project: Path, lost: str, target: str, evaluated: str) -> None:
    (project / RESULTS / lost).unlink()
    output = snakemake(project, f"{RESULTS}/{target}", "--dry-run", "--configfile", SMOKE)
    assert len(re.findall(rf"^rule {evaluated}:$", output, re.MULTILINE)) == 1


def test_a_whole_run_after_a_loss_leaves_nothing_to_do(project: Path) -> None:
    (project / RESULTS / "eval/tiny-opt/coh/mnli/k1_seed2.parquet").unlink()
    assert len(planned(project)["evaluate_task"]) == 1
    snakemake(project, "--configfile", SMOKE)
    assert planned(project) == {}
