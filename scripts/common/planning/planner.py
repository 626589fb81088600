"""What a run needs before it is begun: memory, tokens, operations, hours and disk of every kind of job.

Nothing here was measured on the machine that is planned for. Every number follows from the configuration, the model's
shape and what resources/hardware states.
"""

from collections.abc import Iterator

from common.planning.answering_jobs import evaluation_jobs, sampling_jobs
from common.planning.basis import Basis
from common.planning.job_plan import JobPlan
from common.planning.training_jobs import ppo_job, reward_job, supervised_job


def plan_jobs(basis: Basis) -> Iterator[JobPlan]:
    """Every kind of job that trains or answers, in the order of the workflow."""
    table = basis.config["table3"]
    trained = [method for method in table["methods"] if method != "pretrained"]
    for model in table["models"]:
        yield from (supervised_job(basis, method, model) for method in trained)
    yield supervised_job(basis, "rl_sft", basis.config["rl"]["actor"])
    yield reward_job(basis)
    yield ppo_job(basis)
    yield sampling_jobs(basis)
    for model in table["models"]:
        yield evaluation_jobs(basis, model)


def plan_again(basis: Basis, job: JobPlan) -> JobPlan:
    """The same job on another basis."""
    single = {"train_reward": reward_job, "train_ppo": ppo_job, "sample_responses": sampling_jobs}
    if job.rule in single:
        return single[job.rule](basis)
    if job.rule == "evaluate_task":
        return evaluation_jobs(basis, job.model)
    return supervised_job(basis, job.rule.removeprefix("train_"), job.model)
