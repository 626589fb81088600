"""How long each job of a run takes, as planned. Loads no torch: it is asked when a run starts."""

from collections.abc import Callable, Mapping

from common.config.methods import METHODS
from common.planning.answering_jobs import evaluation_jobs, sampling_jobs
from common.planning.basis import Basis
from common.planning.hardware import INTERCONNECTS
from common.planning.schedule import ANSWERS, OTHER, TRAINS
from common.planning.training_work import job_seconds, training_work

Seconds = Mapping[str, float | None]
ANSWERING = ("evaluate_task", "evaluate_marker", "sample_responses")


def kind_of(rule: str) -> str:
    """One of KINDS."""
    if rule.startswith("train_"):
        return TRAINS
    return ANSWERS if rule in ANSWERING else OTHER


def planned_seconds(
    basis: Basis, rule: str, model: str = "", choose: Callable[[Seconds], float] | None = None
) -> float:
    """Seconds of one job.

    Args:
        basis: of the plan; with `estimate_shape` no torch is loaded.
        rule: of the workflow.
        model: name in the configuration, of a job that has one.
        choose: of the seconds by interconnect; the fastest that its GPUs have without it.

    Raises:
        UserError: when nothing says how large the model is.
    """
    choose = choose or fastest
    method, start = rule.removeprefix("train_"), basis.assumed["answering_start_seconds"]
    if kind_of(rule) == TRAINS and method in METHODS:
        return basis.assumed["training_start_seconds"] + choose(job_seconds(basis, training_work(basis, method, model)))
    if rule == "evaluate_task":
        return start + choose(evaluation_jobs(basis, model).seconds)
    if rule == "evaluate_marker":
        return start + choose(evaluation_jobs(basis, model, basis.config["marker_table"]["shots"]).seconds)
    if rule == "sample_responses":
        return start + choose(sampling_jobs(basis, model).seconds)
    if rule == "prepare_model":
        return start + basis.assumed["prepare_seconds_per_billion"] * basis.shape(model).parameters / 1e9
    return basis.assumed["plain_job_seconds"]


def fastest(seconds: Seconds) -> float:
    return min(found for link in INTERCONNECTS if (found := seconds[link]) is not None)


def slowest(seconds: Seconds) -> float:
    return max(found for link in INTERCONNECTS if (found := seconds[link]) is not None)
