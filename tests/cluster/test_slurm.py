"""The whole smoke DAG through a real SLURM, and a training that is cancelled half-way."""

import csv
import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from project_copy import copy_project

from common.base.errors import EXIT_MACHINE
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.planning.basis import light_basis
from common.planning.requests import request
from support.slurm_cluster import GPU_TYPE, SMOKE, TOOL, Cluster, Job, Request, running_cluster, watch_writers, why_not
from support.workflow_runs import snakemake, whole_log

RESULTS = Path("results/cluster")

TRAINING = Request("accelerated", gpus=2, cpus=1, memory_mb=0, minutes=0)
EVALUATION = Request("accelerated", gpus=1, cpus=8, memory_mb=0, minutes=0)
DATA = Request("standard", gpus=0, cpus=1, memory_mb=4_000, minutes=60)
# What each rule asks SLURM for, where 0 stands for what is planned; a submitted rule that is not listed fails the test.
REQUESTS = {
    "prepare_model": Request("standard", gpus=0, cpus=1, memory_mb=0, minutes=0),
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
    "plot_training": Request("standard", gpus=0, cpus=1, memory_mb=2_000, minutes=60),
}
CONFIGURATION = [ROOT / name for name in ("config/smoke.yaml", "tests/support/small.yaml", "tests/cluster/smoke.yaml")]
# Jobs that are cancelled half-way, and what each makes.
CANCELLED = {"train_sft": "models/tiny-llama/sft", "train_ppo": "models/tiny-opt-actor/ppo"}

pytestmark = [pytest.mark.full, pytest.mark.timeout(2000)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A SLURM of two nodes; where there can be none the tests are skipped, or fail if REQUIRE_SLURM=1."""
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


def expected(job: Job, project: Path) -> Request:
    """What the table says, with the plan's numbers of the job's model."""
    asked = REQUESTS[rule_of(job)]
    if asked.memory_mb:
        return asked
    config = load_configuration(ROOT / "config.yaml", CONFIGURATION, {})
    (model,) = [name for name in config["models"] if re.search(f"_wildcards_{name}(_[a-z]+)*$", job.comment)]
    planned = request(light_basis(config, project / RESULTS), rule_of(job), model)
    return replace(asked, memory_mb=planned.memory_mb, minutes=planned.minutes)


def test_each_job_asked_for_what_its_rule_should(whole: Run) -> None:
    for job in whole.jobs:
        assert job.request == expected(job, whole.project), job
        assert job.gpu_type == (GPU_TYPE if job.request.gpus else None), job
        assert job.account == "lab42", job  # a QOS is accepted; without accounting SLURM does not record it
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
    project, target = copied(whole, tmp_path, rule)
    uncancelled = read_record(whole.project / target)
    assert uncancelled["resumed_from_step"] == 0
    last = cluster.jobs()[-1].number

    with watch_writers(f"scripts/{rule}.py", project) as writers, cluster.snakemake(project, str(target)) as process:
        first = wait_for_checkpoint(process, project, rule, cluster, last)
        cluster.command("scancel", str(first.number))
        output = finish(process, project)

    cancelled, rerun = [job for job in cluster.jobs(since=last) if job.is_of(rule)]
    assert (cancelled.number, cancelled.state, rerun.state) == (first.number, "CANCELLED", "COMPLETED")
    assert rerun.request == cancelled.request
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
    while not complete_checkpoints(project, rule):
        assert process.poll() is None, "the run ended before the first checkpoint"
        assert time.monotonic() < deadline, "no checkpoint within five minutes"
        time.sleep(0.05)
    (job,) = [job for job in cluster.jobs(since=last) if job.is_of(rule)]
    return job


def waiting_for(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.1)


def complete_checkpoints(project: Path, rule: str) -> set[str]:
    found = (project / RESULTS / "scratch" / rule).glob("**/checkpoint-*/complete.json")
    return {path.parent.name for path in found}


TWO = "tests/cluster/two_nodes.yaml"


def test_a_training_on_two_nodes_is_stopped_twice_and_equals_that_on_one(
    whole: Run, cluster: Cluster, tmp_path: Path
) -> None:
    """Stopped by scancel, then by its time limit; memory does not grow, since both stops were in order."""
    project, target = copied(whole, tmp_path, "train_sft")
    alone = Path(shutil.copytree(project, tmp_path / "alone", symlinks=True))
    last = cluster.jobs()[-1].number
    with cluster.snakemake(project, str(target), overlay=TWO) as process:
        first = wait_for_checkpoint(process, project, "train_sft", cluster, last)
        cluster.command("scancel", str(first.number))
        waiting_for(lambda: len(of_rule(cluster, "train_sft", last)) == 2)
        second = of_rule(cluster, "train_sft", last)[1]
        before = complete_checkpoints(project, "train_sft")
        waiting_for(lambda: cluster.state(second.number) == "RUNNING")
        waiting_for(lambda: complete_checkpoints(project, "train_sft") - before)
        cluster.command("scontrol", "update", f"JobId={second.number}", f"TimeLimit={cluster.minutes_run(second) + 1}")
        output = finish(process, project)

    jobs = of_rule(cluster, "train_sft", last)
    states = [job.state for job in jobs]
    assert states[::2] == ["CANCELLED", "COMPLETED"], output[-3000:]
    assert states[1] in ("FAILED", "TIMEOUT"), "by whether it had saved at the end of its time or in the seconds after"
    assert {(job.request.nodes, job.tasks, job.request.gpus, job.request.memory_mb) for job in jobs} == {
        (2, 2, 8, jobs[0].request.memory_mb)
    }
    assert "stopped on request at step" in slurm_log(project, jobs[0])
    assert "stopped" in slurm_log(project, jobs[1])
    record = read_record(project / target)
    assert record["resumed_from_step"] > 0
    assert (record["processes"], record["engine"]) == (4, "deepspeed-zero3")

    one_node = {"preset": "cluster", "compute": {"nodes": 1, "gpus": 0, "evaluation_gpus": 0}}
    (alone / "one.yaml").write_text(json.dumps(one_node), encoding="utf-8")
    snakemake(alone, str(target), "--configfile", "config/smoke.yaml", "tests/support/small.yaml", TWO, "one.yaml")
    metrics = RESULTS / "training/tiny-llama/sft/metrics.csv"
    assert losses(project / metrics) == losses(alone / metrics)
    assert record["weights_sha256"] == read_record(alone / target)["weights_sha256"]


def losses(metrics: Path) -> list[str]:
    with metrics.open(encoding="utf-8", newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]


def of_rule(cluster: Cluster, rule: str, last: int) -> list[Job]:
    return [job for job in cluster.jobs(since=last) if job.is_of(rule)]


def test_a_preempted_training_goes_on_in_the_same_job(whole: Run, cluster: Cluster, tmp_path: Path) -> None:
    project, target = copied(whole, tmp_path, "train_sft")
    uncancelled = read_record(whole.project / RESULTS / CANCELLED["train_sft"])
    last = cluster.jobs()[-1].number
    with cluster.snakemake(project, str(target)) as process:
        first = wait_for_checkpoint(process, project, "train_sft", cluster, last)
        urgent = [
            "--partition=urgent",
            "--nodes=2",
            "--gpus-per-node=4",
            "--time=5",
            "--output=/dev/null",
            "--comment=urgent",
        ]
        cluster.command("sbatch", *urgent, "--wrap", "sleep 5")
        waiting_for(lambda: cluster.state(first.number) == "PENDING")
        # SLURM keeps a job that was requeued for two minutes.
        cluster.command("scontrol", "update", f"JobId={first.number}", "StartTime=now")
        finish(process, project)
    (job,) = of_rule(cluster, "train_sft", last)
    assert (job.number, job.state) == (first.number, "COMPLETED")
    record = read_record(project / target)
    assert record["resumed_from_step"] > 0
    assert record["weights_sha256"] == uncancelled["weights_sha256"]


def test_evaluations_share_one_job_of_a_gpu(whole: Run, cluster: Cluster, tmp_path: Path) -> None:
    """As docs/cluster.md says: the group asks for one GPU and for the time of all."""
    alone = [job for job in whole.jobs if job.is_of("evaluate_task")]
    project = Path(shutil.copytree(whole.project, tmp_path / "project", symlinks=True))
    evaluated = {path: path.read_bytes() for path in (project / RESULTS / "eval").rglob("*.parquet")}
    shutil.rmtree(project / RESULTS / "eval")
    last = cluster.jobs()[-1].number
    group = ["--groups", "evaluate_task=answers", "--group-components", f"answers={len(alone)}",
             "--set-resource-scopes", "nodes=local", "--resources", "nodes=1"]  # fmt: skip
    with cluster.snakemake(project, "--until", "evaluate_task", *group) as process:
        finish(process, project)
    (together,) = cluster.jobs(since=last)
    assert together.state == "COMPLETED"
    assert together.gpu_type == GPU_TYPE
    assert together.request == replace(alone[0].request, minutes=sum(job.request.minutes for job in alone))
    assert {path: path.read_bytes() for path in evaluated} == evaluated


def test_a_machine_that_is_not_ready_is_asked_once(whole: Run, cluster: Cluster, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "unready")
    overlay = {"preset": "unready", "compute": {"device": "auto", "gpus": 1}}
    (project / "unready.yaml").write_text(json.dumps(overlay), encoding="utf-8")
    last = cluster.jobs()[-1].number
    with cluster.snakemake(project, "results/unready/report/machine.json", overlay="unready.yaml") as process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "this machine is not ready for the run" in output
    (job,) = of_rule(cluster, "check_machine", last)
    assert job.state == "FAILED"


def test_what_a_killed_snakemake_left_in_the_queue_is_taken_over(whole: Run, cluster: Cluster, tmp_path: Path) -> None:
    project, target = copied(whole, tmp_path, "train_sft")
    last = cluster.jobs()[-1].number
    with cluster.snakemake(project, str(target)) as process:
        first = wait_for_checkpoint(process, project, "train_sft", cluster, last)
        process.kill()
        process.wait()
    snakemake(project, "--unlock", "--configfile", "config/smoke.yaml", "tests/support/small.yaml", SMOKE)
    with cluster.snakemake(project, str(target)) as process:
        output = finish(process, project)
    assert f"waiting: SLURM job {first.number} of an earlier run still makes train_sft tiny-llama" in output
    (job,) = of_rule(cluster, "train_sft", last)
    assert (job.number, job.state) == (first.number, "COMPLETED")
    assert read_record(project / target)["weights_sha256"] == read_record(whole.project / target)["weights_sha256"]
    with cluster.snakemake(project, str(target)) as process:
        assert "Nothing to be done" in finish(process, project)


def copied(whole: Run, tmp_path: Path, rule: str) -> tuple[Path, Path]:
    """A copy of a finished run without what a rule made, and that folder."""
    project = Path(shutil.copytree(whole.project, tmp_path / "project", symlinks=True))
    target = RESULTS / CANCELLED[rule]
    shutil.rmtree(project / target)
    return project, target
