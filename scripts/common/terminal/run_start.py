"""What Snakemake is about to run, as a `RunView`: asked once, when jobs are about to start."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from common.base.errors import UserError
from common.jobs.console import gpu_count, job_name
from common.jobs.gpu_leases import devices_here
from common.planning.basis import Basis, light_basis
from common.planning.run_time import kind_of, planned_seconds
from common.planning.schedule import OTHER, Seen
from common.terminal.arms import served
from common.terminal.run_log import RunLog
from common.terminal.run_view import RunJob, RunView, benchmark_seconds


def begin(log: RunLog, workflow: Any, config: Mapping[str, Any], results: str) -> None:
    """Tell of the run that is about to start; one that only touches files is told by Snakemake.

    Args:
        log: what tells it.
        workflow: Snakemake's, its jobs known.
        config: the whole configuration.
        results: directory of the preset's results.

    Raises:
        WorkflowError: where jobs are started here and this machine has too few GPUs for them.
    """
    if not workflow.touch:
        view = view_of(workflow, config, results)
        if workflow.local_exec:
            refuse_missing_gpus(workflow.dag.needrun_jobs(), config["preset"])
        log.begin(view, place(view.limits, scheduled=not workflow.local_exec), jobs_speak=workflow.local_exec)


def refuse_missing_gpus(jobs: Iterable[Any], preset: str) -> None:
    """Stop before the first download where the machine cannot do what comes after.

    Args:
        jobs: that will run here.
        preset: name of the configuration.

    Raises:
        WorkflowError: as `begin`.
    """
    models = [job.resources for job in jobs if kind_of(job.rule.name) != OTHER]
    asked = max((gpu_count(str(one.get("gpu", 0))) for one in models if one.get("device") != "cpu"), default=0)
    if asked and (there := len(devices_here())) < asked:
        remedy = (
            f"`make plan PRESET={preset}` says what this run needs; start it where the GPUs are"
            " (`PROFILE=profiles/slurm` or another), or choose a preset for this machine, or set"
            " `compute: {device: cpu}`"
        )
        what = f"jobs of this run ask for {asked} GPUs, and this machine has {there or 'none'}"
        raise WorkflowError(str(UserError(what, "compute.gpus, compute.evaluation_gpus", remedy)))


def view_of(workflow: Any, config: Mapping[str, Any], results: str) -> RunView:
    """The run that is about to start; arguments as of `begin`."""
    dag = workflow.dag
    working = [job for job in dag.jobs if not job.is_norun]
    basis = _basis(config, Path(results), working)
    due = {job: dag.jobid(job) for job in dag.needrun_jobs() if not job.is_norun}
    limits = _limits(workflow, due)
    jobs = {number: _run_job(basis, job, {due[one] for one in dag.dependencies[job] if one in due}, limits)
            for job, number in due.items()}  # fmt: skip
    return RunView(jobs, limits, _seen_before(basis, [job for job in working if job not in due]))


def place(limits: Mapping[str, int], scheduled: bool) -> str:
    """Where jobs run, in words.

    Args:
        limits: of the run.
        scheduled: whether a scheduler starts them.
    """
    if scheduled:
        return "of computing, apart from waiting in the queue"
    name, unit = ("gpu", "GPU") if limits.get("gpu") else ("_cores", "core")
    return f"on 1 {unit}" if limits[name] == 1 else f"on {limits[name]} {unit}s"


def _limits(workflow: Any, jobs: Iterable[Any]) -> dict[str, int]:
    """What all jobs together may use at a time.

    Through a scheduler the cores of this machine limit none. Where nothing says how many GPUs there are, as many are
    assumed as one job asks for.
    """
    amounts = workflow.scheduler.global_resources.items()
    unlimited = () if workflow.local_exec else ("_cores",)
    limits = {name: amount for name, amount in amounts if amount < sys.maxsize and name not in unlimited}
    asked = max((gpu_count(str(job.resources.get("gpu", 0))) for job in jobs), default=0)
    if not asked:
        limits.pop("gpu", None)
    elif workflow.local_exec:
        limits.setdefault("gpu", asked)
    return limits


def _basis(config: Mapping[str, Any], results: Path, jobs: Iterable[Any]) -> Basis:
    """What times are planned with: the threads and GPUs that jobs are given here."""
    given = {job.rule.name: dict(job.resources.items()) for job in jobs}
    return replace(
        light_basis(config, results),
        gpus={rule: gpu_count(str(asked["gpu"])) for rule, asked in given.items() if "gpu" in asked},
        threads={rule: asked["_cores"] for rule, asked in given.items()},
    )


def _seconds(basis: Basis, job: Any) -> float | None:
    """Planned seconds of a job; None when the size of its model is not known yet."""
    try:
        return planned_seconds(basis, job.rule.name, job.wildcards_dict.get("model", ""))
    except UserError:
        return None


def _run_job(basis: Basis, job: Any, after: set[int], limits: Mapping[str, int]) -> RunJob:
    rule, wildcards = job.rule.name, job.wildcards_dict
    asked = dict(job.resources.items())
    return RunJob(
        name=next(filter(None, (job_name(Path(log)) for log in job.log)), rule),
        serves=served(basis.config, rule, wildcards),
        kind=kind_of(rule),
        planned=_seconds(basis, job),
        needs={name: asked[name] for name in limits if isinstance(asked.get(name), int)},
        after=frozenset(after),
        benchmark=str(job.benchmark or ""),
    )


def _seen_before(basis: Basis, jobs: Iterable[Any]) -> Seen:
    """What finished jobs with a model took, as far as their results are still those of this configuration."""
    seen = Seen.nothing()
    for job in jobs:
        kind = kind_of(job.rule.name)
        taken = benchmark_seconds(str(job.benchmark)) if kind != OTHER and job.benchmark else None
        if taken and (planned := _seconds(basis, job)):
            seen.add(kind, planned, taken)
    return seen
