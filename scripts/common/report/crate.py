"""A run as a Workflow Run RO-Crate: the workflow, its configuration, and its results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
FORMATS = {".csv": "text/csv", ".svg": "image/svg+xml", ".html": "text/html", ".json": "application/json",
           ".md": "text/markdown", ".smk": "text/plain", ".yaml": "application/yaml"}  # fmt: skip
LICENCE = "https://spdx.org/licenses/Apache-2.0"


def build_crate(
    run: Mapping[str, Any], workflow: Sequence[Path], configuration: Path, results: Mapping[str, Path]
) -> ROCrate:
    """The crate of a run, not yet written.

    Args:
        run: preset, models, commits, hardware, start and end as ISO 8601.
        workflow: the Snakefile first, then what it includes, all below the Snakefile's folder.
        configuration: the resolved configuration as JSON.
        results: files of the run by their path in the crate.
    """
    crate = ROCrate(version="1.1")
    crate.name = f"SFT, RL and Chain-of-Hindsight compared: run of the preset {run['preset']}"
    crate.description = (
        f"Tables, figures, checked claims and report of one run of the workflow. Models: {', '.join(run['models'])}. "
        f"Hardware: {'; '.join(run['hardware'])}. Commit: {', '.join(run['commits'])}."
    )
    crate.datePublished = run["end"]
    licence = {"@type": "CreativeWork", "name": "Apache License 2.0", "url": LICENCE}
    crate.license = crate.add(ContextEntity(crate, LICENCE, properties=licence))
    profiles = [
        crate.add(ContextEntity(crate, url, properties={"@type": "CreativeWork", "name": name, "version": version}))
        for url, (name, version) in PROFILES.items()
    ]
    crate.root_dataset["conformsTo"] = profiles
    crate.metadata["conformsTo"] = [
        {"@id": "https://w3id.org/ro/crate/1.1"},
        {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
    ]
    main = _add_workflow(crate, workflow, run)
    settings = _add_file(crate, configuration, "configuration.json", "Resolved configuration")
    made = [_add_file(crate, path, name, name.rsplit("/", 1)[-1]) for name, path in sorted(results.items())]
    action = {
        "@type": "CreateAction", "name": f"Run of the preset {run['preset']}", "startTime": run["start"],
        "endTime": run["end"], "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        "description": crate.description,
    }  # fmt: skip
    created = crate.add(ContextEntity(crate, "#run", properties=action))
    created["instrument"], created["object"], created["result"] = main, [settings], made
    crate.root_dataset["mentions"] = [created]
    return crate


def _add_workflow(crate: ROCrate, workflow: Sequence[Path], run: Mapping[str, Any]) -> Entity:
    """The main workflow and the rule files it includes."""
    root = workflow[0].parent
    main = crate.add_workflow(workflow[0], "workflow/Snakefile", main=True, lang="snakemake")
    main["name"] = "SFT, RL and Chain-of-Hindsight compared"
    main["description"] = "From raw data to the paper's tables"
    main["version"] = ", ".join(run["commits"])
    main["license"] = {"@id": LICENCE}
    names = [path.relative_to(root).as_posix() for path in workflow[1:]]
    main["hasPart"] = [
        _add_file(crate, path, f"workflow/{name}", name) for path, name in zip(workflow[1:], names, strict=True)
    ]
    return main


def _add_file(crate: ROCrate, path: Path, target: str, name: str) -> Entity:
    properties = {"name": name, "encodingFormat": FORMATS[path.suffix], "contentSize": str(path.stat().st_size)}
    return crate.add_file(path, target, properties=properties)
