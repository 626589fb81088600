"""Files that a run takes from outside its results: downloads, and what raters handed in.

Loaded while the DAG is planned: nothing heavy here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from common.config.local_files import Places
from common.config.selection import used_models
from common.config.settings import task_files

DOWNLOADS = "<results>/downloads"
RATINGS = Path("resources/human_eval/ratings")


def instruction_file(config: Mapping[str, Any], part: str) -> str:
    """One of the two files of instructions: a local one, or where `download_instructions` puts it."""
    source = config["instructions"][part]
    return str(source["path"]) if source["kind"] == "file" else f"{DOWNLOADS}/instructions/{part}.json"


def downloads(config: Mapping[str, Any]) -> list[str]:
    """What is downloaded once; everything else runs without a network."""
    kinds = {name: config["models"][name]["source"]["kind"] for name in used_models(config)}
    models = [f"{DOWNLOADS}/models/{name}" for name, kind in kinds.items() if kind in ("wheel", "hub")]
    hub = [name for name in config["table3"]["tasks"] if config["tasks"][name]["source"]["kind"] == "hub"]
    tasks = [path for name in hub for path in task_files(config, name, DOWNLOADS).values()]
    parts = [part for part in ("references", "comparisons") if config["instructions"][part]["kind"] == "url"]
    return models + tasks + [instruction_file(config, part) for part in parts]


def rating_files(preset: str, places: Places) -> list[str]:
    """Files in the preset's ratings folder, of any kind: scoring refuses those that are not ratings.

    Args:
        preset: name of the configuration.
        places: where that folder is looked for.

    Raises:
        WorkflowError: when Snakemake could not take a file's name as it is.
    """
    files = sorted(str(path) for path in Path(places.find(str(RATINGS / preset))).glob("[!.]*") if path.is_file())
    for path in files:
        if set("{}<>") & set(path):
            what_to_do = f"error: a rating's file name holds one of {{}}<>\n  where: {path}\n  what to do: rename it"
            raise WorkflowError(what_to_do)
    return files
