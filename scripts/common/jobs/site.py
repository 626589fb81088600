"""What a site's scheduler is told of a job besides its size. Loaded while the DAG is planned."""

from collections.abc import Mapping
from typing import Any

# Seconds between SIGTERM and the end of a job that saves nothing of its own.
LEAD = 60


def gpu_resources(count: int, model: str | None) -> dict[str, Any]:
    """A job's number of GPUs, and their type as the scheduler names it.

    NVIDIA's own names have hyphens, which the executor's resource for a type refuses. It takes `type:number` for the
    number; then SLURM's inner step reads the number alone from `gpus`.
    """
    if not count or not model:
        return {"gpu": count}
    if "-" in model:
        return {"gpu": f"{model}:{count}", "gpus": count}
    return {"gpu": count, "gpu_model": model}


def site_resources(site: Mapping[str, Any], gpus: int | None = None, nodes: int = 1, lead: int = 0) -> dict[str, Any]:
    """Resources of a job, as Snakemake's SLURM executor names them; those that nobody sets are left out.

    Args:
        site: block of the configuration.
        gpus: of the job, on all its nodes; None where it has no use for any, which is not said then.
        nodes: of the job; more than one run one task each, which the job itself starts.
        lead: seconds between SIGTERM and the end.
    """
    own = site["gpu"] if gpus else {}
    names = {"slurm_partition": "partition", "slurm_account": "account", "qos": "qos", "constraint": "constraint"}
    resources: dict[str, Any] = {name: own.get(key) or site[key] for name, key in names.items()}
    options = [f"--signal=TERM@{lead or LEAD}"]
    if reservation := own.get("reservation") or site["reservation"]:
        options.append(f"--reservation={reservation}")
    if gpus is not None:
        resources |= gpu_resources(gpus, site["gpu"]["model"])
    if nodes > 1:
        if gpus:
            each = gpu_resources(gpus // nodes, site["gpu"]["model"])
            options.append(f"--gpus-per-node={':'.join(str(each[key]) for key in ('gpu_model', 'gpu') if key in each)}")
        options.append("--ntasks-per-node=1")
        resources |= {"mpi": "srun", "tasks": nodes, "tasks_per_gpu": 0}
    resources |= {"nodes": nodes, "slurm_extra": " ".join(filter(None, [*options, site["options"]]))}
    return {name: value for name, value in resources.items() if value is not None}
