"""What a site's scheduler is told of a job besides its size. Loaded while the DAG is planned."""

from collections.abc import Mapping
from typing import Any

# Seconds between SIGTERM and the end of a job that saves nothing of its own.
LEAD = 60


def site_resources(site: Mapping[str, Any], gpus: int = 0, nodes: int = 1, lead: int = 0) -> dict[str, Any]:
    """Resources of a job, as Snakemake's SLURM executor names them; those that nobody sets are left out.

    A type of GPU stands in `--gpus-per-node`: the executor's own resources take no hyphens, which NVIDIA's names have.

    Args:
        site: block of the configuration.
        gpus: of the job, on all its nodes.
        nodes: of the job; more than one run one task each, which the job itself starts.
        lead: seconds between SIGTERM and the end.
    """
    own = site["gpu"] if gpus else {}
    names = {"slurm_partition": "partition", "slurm_account": "account", "qos": "qos", "constraint": "constraint"}
    resources: dict[str, Any] = {name: own.get(key) or site[key] for name, key in names.items()}
    options = [f"--signal=TERM@{lead or LEAD}"]
    if reservation := own.get("reservation") or site["reservation"]:
        options.append(f"--reservation={reservation}")
    if gpus and (own["model"] or nodes > 1):
        kind = f"{own['model']}:" if own["model"] else ""
        options.append(f"--gpus-per-node={kind}{gpus // nodes}")
    if nodes > 1:
        options.append("--ntasks-per-node=1")
        resources |= {"mpi": "srun", "tasks": nodes, "tasks_per_gpu": 0}
    resources |= {"nodes": nodes, "slurm_extra": " ".join(filter(None, [*options, site["options"]]))}
    return {name: value for name, value in resources.items() if value is not None}
