"""What jobs ask for, as Snakemake's resources. Loaded while the DAG is planned; the plan itself when it is asked."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config.machine_settings import ANSWERING_THREADS, TRAINING_THREADS, job_threads
from common.jobs.attempts import memory_factor
from common.jobs.site import site_resources

if TYPE_CHECKING:
    from common.planning.basis import Basis
    from common.planning.requests import Request


class JobResources:
    """Resources and threads of each kind of job.

    Args:
        workflow: Snakemake's.
        config: the whole configuration.
        results: directory of the preset's results.

    Attributes:
        preparing: of a job that prepares a model: memory and minutes as planned, and more memory after an attempt that
            was killed; so it is for those that follow.
        checking: of the job that checks the machine, on one node of a training.
        training: of a training.
        answering: of a job whose model answers.
    """

    def __init__(self, workflow: Any, config: Mapping[str, Any], results: Path):
        compute = config["compute"]
        gpus, nodes, lead = compute["gpus"], compute["nodes"], compute["stop_lead_seconds"]
        asked = ("device", "processes", "checkpoint_seconds", "stuck_seconds", "offload")
        self._workflow, self._compute = workflow, compute
        at_site = functools.partial(site_resources, config["site"])
        self._site = {"runtime": min(60, config["site"]["longest_minutes"]), **at_site()}
        planned = _planned(workflow, config, results)
        self.preparing = {**self._site, **planned}
        self.checking = {"mem_mb": 16_000, **self._site, **at_site(gpus // nodes)}
        self.training = {name: compute[name] for name in asked} | {"stop_lead": lead, **planned}
        self.training |= at_site(gpus, nodes=nodes, lead=lead)
        self.answering = {"device": compute["device"], **planned}
        self.answering |= {"processes": 1, "stop_lead": 0, **at_site(compute["evaluation_gpus"])}

    def plain(self, mem_mb: int) -> dict[str, Any]:
        """Of a job without a model."""
        return {"mem_mb": mem_mb, **self._site}

    def training_threads(self, wildcards: Any) -> int:
        gpus = self._compute["gpus"] // self._compute["nodes"]
        return self._threads("threads", TRAINING_THREADS * gpus)

    def answering_threads(self, wildcards: Any) -> int:
        return self._threads("evaluation_threads", ANSWERING_THREADS * self._compute["evaluation_gpus"])

    def _threads(self, key: str, for_gpus: int) -> int:
        return job_threads(self._compute[key], self._workflow.resource_settings.cores, for_gpus)


def _planned(workflow: Any, config: Mapping[str, Any], results: Path) -> dict[str, Callable[..., int]]:
    @functools.cache
    def basis() -> "Basis":
        from common.planning.basis import light_basis

        return light_basis(config, results)

    @functools.cache
    def planned(rule: str, model: str) -> "Request":
        from common.planning.requests import request

        return request(basis(), rule, model)

    def log_of(rulename: str, wildcards: Any) -> Path:
        """A job's log, in a folder named after the rule, which a module statement may have given another name."""
        return Path(str(workflow.get_rule(rulename).log[0].apply_wildcards(wildcards)))

    def memory(wildcards: Any, rulename: str) -> int:
        log = log_of(rulename, wildcards)
        return planned(log.parent.name, wildcards.model).memory_mb * memory_factor(log)

    def minutes(wildcards: Any, rulename: str) -> int:
        return planned(log_of(rulename, wildcards).parent.name, wildcards.model).minutes

    return {"mem_mb": memory, "runtime": minutes}
