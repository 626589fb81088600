"""What jobs ask of a machine, and what check_machine depends on: everything a plan is made of.

Kept apart from `settings`, because it decides no result: devices and unused keys may change it. Loaded while the DAG is
planned.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from common.base.errors import UserError
from common.config.methods import METHODS
from common.config.selection import used_models

PARTS = ("seed", "compute", "site", "instructions", "splits", "methods", "evaluation", "table3", "marker_table", "rl",
         "table4", "table5", "human_eval")  # fmt: skip


def machine_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the models and tasks that are used."""
    table = config["table3"]
    used = {"models": {name: config["models"][name] for name in sorted(used_models(config))},
            "tasks": {name: config["tasks"][name] for name in table["tasks"]}}  # fmt: skip
    return {"config": {**{part: config[part] for part in PARTS}, **used}}


# CPU threads a GPU: what feeds it while it trains; some answers are computed again on the CPU.
TRAINING_THREADS, ANSWERING_THREADS = 4, 8


def job_threads(asked: int | None, cores: int | None, for_gpus: int = 0) -> int:
    """CPU threads of a job on a node.

    Args:
        asked: as configured; None to choose.
        cores: of the run, of which jobs that run side by side take a quarter; None if unknown.
        for_gpus: threads that its GPUs want.
    """
    return asked or for_gpus or max(1, (cores or 1) // 4)


def refuse_containers(methods: Iterable[str]) -> None:
    """Stop where Snakemake is asked to start containers: no rule names an image, so all would silently run outside.

    Args:
        methods: names of Snakemake's deployment methods, such as APPTAINER.

    Raises:
        UserError: for APPTAINER.
    """
    if "APPTAINER" in methods:
        raise UserError(
            "the rules name no container, so that jobs would run outside of one",
            "--software-deployment-method apptainer",
            "run Snakemake itself inside the image, without this option (docs/containers.md)",
        )


def refuse_named_gpus(config: Mapping[str, Any], limit: int | None) -> None:
    """Stop where a type of GPU stands in the number of a job's GPUs, and Snakemake would compare that with a limit.

    Args:
        config: of the run.
        limit: GPUs of the run; None without a limit.

    Raises:
        UserError: naming the key.
    """
    model = config["site"]["gpu"]["model"]
    if limit is not None and model and "-" in model:
        raise UserError(
            f"GPUs are named `{model}` for a scheduler, and this run limits their number to {limit}",
            "site.gpu.model, and `resources` of the profile or --resources gpu=N",
            "leave out the site's file where no scheduler runs the jobs, or the limit where one does",
        )


def refuse_clamped_gpus(compute: Mapping[str, Any], limit: int | None, overruled: Container[str]) -> None:
    """Stop where Snakemake would silently give jobs fewer GPUs than the configuration asks for.

    Args:
        compute: of the configuration.
        limit: GPUs of the run; None without a limit.
        overruled: rules whose GPUs are set elsewhere.

    Raises:
        UserError: naming the key and the limit.
    """
    rules_of = {
        "gpus": [f"train_{name}" for name in METHODS],
        "evaluation_gpus": ["evaluate_task", "evaluate_marker", "sample_responses"],
    }
    for key, names in rules_of.items():
        left = [name for name in names if name not in overruled]
        if limit is not None and left and compute[key] > limit:
            raise UserError(
                f"compute.{key} asks for {compute[key]} GPUs per job, the limit of this run is {limit}",
                "`resources` of the profile, or --resources gpu=N",
                f"set compute.{key} to {limit} or less, or raise the limit",
            )
