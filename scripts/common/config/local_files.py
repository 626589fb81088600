"""Local files that a configuration names: where they are, and whether they can be used.

Imported while the DAG is planned, so it loads nothing heavy.
"""

import copy
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.config.selection import used_models

# Clocks differ by this much where nothing is wrong; a job takes longer.
CLOCK_SECONDS = 2


@dataclass(frozen=True)
class Places:
    """Where a run looks for files.

    Attributes:
        package: folder of the workflow's files.
        working: the working directory.
        absolute: whether paths are given whole, because a module statement would put its prefix before relative ones.
    """

    package: Path
    working: Path
    absolute: bool = False

    def own(self, path: str | Path) -> str:
        """A file of the project as the working directory sees it."""
        return str(path) if self.package == self.working and not self.absolute else str(self.package / path)

    def own_files(self, pattern: str) -> list[str]:
        """Files of the project that match a pattern, in order."""
        return sorted(self.own(path.relative_to(self.package)) for path in self.package.glob(pattern))

    def find(self, path: str) -> str:
        """A file that a configuration names: in the working directory, else in the project; as it is if in neither."""
        if (self.working / path).exists() or not (self.package / path).exists():
            return str(self.working / path) if self.absolute else path
        return self.own(path)


def find_local_files(config: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """A copy of a checked configuration with each local path as `Places.find` gives it."""
    found = copy.deepcopy(dict(config))
    blocks = [(model["source"], "local", ["path"]) for model in found["models"].values()]
    blocks += [(task["source"], "files", ["train", "eval"]) for task in found["tasks"].values()]
    blocks += [(found["instructions"][part], "file", ["path"]) for part in ("references", "comparisons")]
    for source, kind, keys in blocks:
        if source["kind"] == kind:
            source |= {key: places.find(source[key]) for key in keys}
    for task in found["tasks"].values():
        task["definition"] = places.find(task["definition"])
    return found


@dataclass(frozen=True)
class LocalPath:
    """A local model, task or instruction file that the configuration names.

    Attributes:
        key: of the configuration.
        path: relative to the working directory, as Snakemake takes it.
        made: what is made of it; once all of that is there the file is not needed, since results may be rendered where
            the models and data they were made from are not.
    """

    key: str
    path: Path
    made: tuple[Path, ...]

    def is_missing(self) -> bool:
        is_there = self.path.is_dir() if self.key.startswith("models.") else self.path.is_file()
        return not is_there and not all(path.exists() for path in self.made)

    def seconds_ahead(self) -> float:
        """How far its time, or that of the newest file in it, is in the future; links count as their targets do."""
        parts = [self.path, *(self.path.iterdir() if self.path.is_dir() else ())]
        times = [max(part.stat().st_mtime, part.lstat().st_mtime) for part in parts if part.exists()]
        return max(times, default=0.0) - time.time()


def local_paths(config: Mapping[str, Any], results: Path | None = None) -> Iterator[LocalPath]:
    """Every local path that a run of a checked configuration reads.

    Args:
        config: of the run.
        results: directory of its results; results/<preset> without it.
    """
    results = results or Path("results", config["preset"])
    for name in used_models(config):
        source, made = config["models"][name]["source"], results / "models" / name / "pretrained"
        if source["kind"] == "local":
            yield LocalPath(f"models.{name}.source.path", Path(source["path"]), (made,))
    for name in config["table3"]["tasks"]:
        block, folder = config["tasks"][name], results / "data" / "tasks" / name
        paths = {"definition": block["definition"]}
        if block["source"]["kind"] == "files":
            paths |= {f"source.{part}": block["source"][part] for part in ("train", "eval")}
        for key, path in paths.items():
            yield LocalPath(f"tasks.{name}.{key}", Path(path), (folder / "train.parquet", folder / "eval.parquet"))
    for key in ("references", "comparisons"):
        source = config["instructions"][key]
        if source["kind"] == "file":
            made = results / "data" / "instructions.parquet"
            yield LocalPath(f"instructions.{key}.path", Path(source["path"]), (made,))


def refuse_unusable_paths(config: Mapping[str, Any], results: Path | None = None) -> None:
    """Stop before anything runs when the configuration names local files that are missing or of a future time.

    Snakemake deletes what was made of an input that is newer than its result, and would make it again for ever.
    Arguments are those of `local_paths`.

    Raises:
        UserError: naming each with its key.
    """
    paths, preset = list(local_paths(config, results)), f"preset `{config['preset']}`"
    if missing := [f"{local.key}: {local.path}" for local in paths if local.is_missing()]:
        lines = "\n    ".join(missing)
        raise UserError(f"files and directories the configuration names do not exist:\n    {lines}", preset,
                        f"correct these paths; relative ones start from {Path.cwd()}")  # fmt: skip
    ahead = {local: seconds for local in paths if (seconds := local.seconds_ahead()) > CLOCK_SECONDS}
    if ahead:
        lines = "\n    ".join(f"{local.key}: {local.path} ({seconds:.0f} s)" for local, seconds in ahead.items())
        remedy = "run `touch` on them, or set the clock of this machine or of the file server"
        raise UserError(f"files the configuration names have times in the future:\n    {lines}", preset, remedy)
