"""The whole smoke DAG through a real SLURM, and a training that is cancelled half-way."""

import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from common.base.errors import EXIT_MACHINE
from support.slurm_cluster import TOOL, Cluster, Job, Request, running_cluster, watch_writers, why_not
from support.workflow_runs import copy_project, whole_log

RESULTS = Path("results/cluster")

TRAINING = Request("gpu", gpus=2, cpus=1, memory_mb=240_000, minutes=1440)
EVALUATION = Request("gpu", gpus=1, cpus=1, memory_mb=64_000, minutes=480)
DATA = Request("cpu", gpus=0, cpus=1, memory_mb=8_000, minutes=60)
# What each rule asks SLURM for; a submitted rule that is not listed fails the test.
REQUESTS = {
    "prepare_model": Request("cpu", gpus=0, cpus=1, memory_mb=64_000, minutes=120),
    "prepare_instructions": DATA,
    "split_instructions": DATA,
    "prepare_task": DATA,
    "train_sft": TRAINING,
    "train_coh": TRAINING,
    "train_rl_sft": TRAINING,
    "train_reward": TRAINING,
    "train_ppo": TRAINING,
    "evaluate_task": EVALUATION,
    "evaluate_marker": EVALUATION,
    "sample_responses": EVALUATION,
    "plot_training": Request("cpu", gpus=0, cpus=1, memory_mb=2_000, minutes=60),
}
# Jobs that are cancelled half-way, and what each makes.
CANCELLED = {"train_sft": "models/tiny-llama/sft", "train_ppo": "models/tiny-opt-actor/ppo"}

pytestmark = [pytest.mark.full, pytest.mark.timeout(2000)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A SLURM of one node; where there can be none the tests are skipped, or fail if REQUIRE_SLURM=1."""
    if reason := why_not():
        if os.environ.get("REQUIRE_SLURM") == "1":
            pytest.fail(f"REQUIRE_SLURM=1, but {reason}")
        pytest.skip(reason)
    before = own_configuration()
    with running_cluster(tmp_path_factory.mktemp("slurm") / "one") as cluster:
        yield cluster
    assert own_configuration() == before


def own_configuration() -> dict[Path, bytes]:
    """The machine's own SLURM configuration, which no test may touch."""
    return {path: path.read_bytes() for path in Path("/etc/slurm").rglob("*") if path.is_file()}


def test_no_cluster_is_started_where_a_controller_answers(cluster: Cluster, tmp_path: Path) -> None:
    command = [str(TOOL), "start", str(tmp_path / "second")]
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_MACHINE
    assert "error: a SLURM controller answers on this machine" in done.stderr
    assert not (tmp_path / "second").exists()
    assert "idle" in cluster.command("sinfo", "--noheader")


@dataclass(frozen=True)
class Run:
    """A finished run of the whole DAG, and all that Snakemake said."""

    project: Path
    log: str
    jobs: list[Job]


@pytest.fixture(scope="module")
def whole(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    project = copy_project(tmp_path_factory.mktemp("cluster") / "project")
    with cluster.snakemake(project) as process:
        finish(process, project)
    return Run(project, whole_log(project), cluster.jobs())


def finish(process: subprocess.Popen[str], project: Path) -> str:
    """Wait for a run that must succeed; its output."""
    output, _ = process.communicate(timeout=1800)
    logs = "\n".join(path.read_text(errors="replace")[-3000:] for path in failed_logs(project, output))
    assert process.returncode == 0, output[-6000:] + logs
    return output


def failed_logs(project: Path, output: str) -> list[Path]:
    numbers = re.findall(r"SLURM-job '(\d+)' failed", output)
    return [path for number in numbers for path in project.glob(f".snakemake/slurm_logs/**/{number}.log")]


def rule_of(job: Job) -> str:
    named = [rule for rule in REQUESTS if job.is_of(rule)]
    assert named, f"REQUESTS names no rule for {job.comment}: add what it must ask for"
    return named[0]


def test_each_job_asked_for_what_its_rule_should(whole: Run) -> None:
    for job in whole.jobs:
        assert job.request == REQUESTS[rule_of(job)], job
        assert job.gpu_type == ("a100" if job.request.gpus else None), job
        assert job.tasks == 1, job
        assert job.requeue, job


def test_every_rule_of_the_table_ran_once_a_target(whole: Run) -> None:
    assert {job.state for job in whole.jobs} == {"COMPLETED"}
    submitted = Counter(rule_of(job) for job in whole.jobs)
    assert submitted.keys() == REQUESTS.keys()
    stats = re.search(r"^Job stats:\n.*?\n-+ .*?\n(.*?)^total", whole.log, re.MULTILINE | re.DOTALL)
    assert stats is not None
    planned = {rule: int(count) for rule, count in (line.split() for line in stats[1].splitlines())}
    assert dict(submitted) == {rule: planned[rule] for rule in REQUESTS}


def test_downloads_and_tables_stay_on_the_login_node(whole: Run) -> None:
    local = set(re.findall(r"^localrule (\w+):$", whole.log, re.MULTILINE))
    assert {"render_table1", "render_table3", "collect_cells"} <= local
    assert not local & REQUESTS.keys()


def test_a_second_run_submits_nothing(whole: Run, cluster: Cluster) -> None:
    with cluster.snakemake(whole.project) as process:
        output = finish(process, whole.project)
    assert "Nothing to be done" in output
    assert len(cluster.jobs()) == len(whole.jobs)


@pytest.mark.parametrize("rule", CANCELLED)
def test_a_cancelled_training_resumes_to_the_weights_of_an_uncancelled_one(
    rule: str, whole: Run, cluster: Cluster, tmp_path: Path
) -> None:
    project = Path(shutil.copytree(whole.project, tmp_path / "project", symlinks=True))
    target = RESULTS / CANCELLED[rule]
    uncancelled = read_record(project / target)
    assert uncancelled["resumed_from_step"] == 0
    shutil.rmtree(project / target)
    last = cluster.jobs()[-1].number

    with watch_writers(f"scripts/{rule}.py", project) as writers, cluster.snakemake(project, str(target)) as process:
        first = wait_for_checkpoint(process, project, rule, cluster, last)
        cluster.command("scancel", str(first.number))
        output = finish(process, project)

    cancelled, rerun = [job for job in cluster.jobs(since=last) if job.is_of(rule)]
    assert (cancelled.number, cancelled.state, rerun.state) == (first.number, "CANCELLED", "COMPLETED")
    assert rerun.request == replace(cancelled.request, memory_mb=2 * cancelled.request.memory_mb)
    assert "stopped on request at step" in slurm_log(project, cancelled)

    record = read_record(project / target)
    assert record["resumed_from_step"] > 0
    assert f"resuming from checkpoint-{record['resumed_from_step']}" in slurm_log(project, rerun)
    assert record["weights_sha256"] == uncancelled["weights_sha256"]

    assert writers.keys() == {str(cancelled.number), str(rerun.number)}
    assert writers[str(cancelled.number)].last < writers[str(rerun.number)].first
    assert "another process still writes here" not in output + slurm_log(project, rerun)


def read_record(model: Path) -> dict:
    return json.loads((model / "run.json").read_text())


def slurm_log(project: Path, job: Job) -> str:
    """What a job wrote to its terminal."""
    (path,) = project.glob(f".snakemake/slurm_logs/**/{job.number}.log")
    return path.read_text(errors="replace")


def wait_for_checkpoint(process: subprocess.Popen[str], project: Path, rule: str, cluster: Cluster, last: int) -> Job:
    """The running job of `rule`, as soon as it has saved its state once."""
    deadline = time.monotonic() + 300
    scratch = project / RESULTS / f"scratch/{rule}"
    while not list(scratch.glob("**/checkpoint-*/complete.json")):
        assert process.poll() is None, "the run ended before the first checkpoint"
        assert time.monotonic() < deadline, "no checkpoint within five minutes"
        time.sleep(0.05)
    (job,) = [job for job in cluster.jobs(since=last) if job.is_of(rule)]
    return job
