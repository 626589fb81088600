"""The configuration of a run as Snakemake is given it. Loaded while the DAG is planned."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from common.base.errors import UserError
from common.config.loading import load_configuration
from common.config.local_files import Places, find_local_files, refuse_unusable_paths
from common.config.machine_settings import refuse_clamped_gpus, refuse_containers, refuse_named_gpus


def resolve(workflow: Any, config: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """config.yaml with what is laid over it, checked: --configfile and --config, or `config` of a module statement.

    Args:
        workflow: Snakemake's.
        config: Snakemake's; that of a module statement.
        places: where files are.

    Raises:
        WorkflowError: with all that is wrong, which Snakemake shows without a traceback.
    """
    module = not workflow.modifier.is_main_snakefile()
    files = [] if module else [Path(path) for path in workflow.overwrite_configfiles]
    given = {} if module else dict(workflow.config_settings.config)
    limit, overruled = workflow.global_resources.get("gpu").value, workflow.resource_settings.overwrite_resources
    try:
        loaded = load_configuration(places.package / "config.yaml", files, given, module=config if module else None)
        resolved = find_local_files(loaded, places)
        results = workflow.modifier.path_modifier.replace_prefix(f"results/{resolved['preset']}")
        refuse_unusable_paths(resolved, Path(results))
        # A workflow that uses this one as a module may have containers of its own.
        refuse_containers(() if module else [method.name for method in workflow.deployment_settings.deployment_method])
        refuse_named_gpus(resolved, limit)
        refuse_clamped_gpus(resolved["compute"], limit, {name for name, own in overruled.items() if "gpu" in own})
    except UserError as error:
        raise WorkflowError(str(error)) from error
    return resolved
