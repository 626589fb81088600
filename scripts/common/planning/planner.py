"""What a run needs before it is begun: memory, tokens, operations, hours and disk of every kind of job.

Nothing here was measured on the machine that is planned for. Every number follows from the configuration, the model's
shape and what resources/hardware states.
"""

from collections.abc import Iterator

from common.config.settings import checkpoints
from common.planning.answering_jobs import evaluation_jobs, sampling_jobs
from common.planning.basis import Basis
from common.planning.job_plan import JobPlan
from common.planning.training_jobs import training_job


def plan_jobs(basis: Basis) -> Iterator[JobPlan]:
    """Every kind of job that trains or answers, in the order of the workflow."""
    for model, method in checkpoints(basis.config):
        if method != "pretrained":
            yield training_job(basis, method, model)
    yield sampling_jobs(basis)
    for model in basis.config["table3"]["models"]:
        yield evaluation_jobs(basis, model)


def plan_again(basis: Basis, job: JobPlan) -> JobPlan:
    """The same job on another basis."""
    if job.rule == "sample_responses":
        return sampling_jobs(basis)
    if job.rule == "evaluate_task":
        return evaluation_jobs(basis, job.model)
    return training_job(basis, job.rule.removeprefix("train_"), job.model)
