"""How a rule's inputs, outputs and resources become options of its script. Loaded while the DAG is planned."""

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def located(folder: str, paths: Iterable[str]) -> str:
    """Where a folder of declared files lies; the files may be kept elsewhere, below the same path."""
    for path in paths:
        if found := re.match(rf"(.*/)?{re.escape(folder)}(?=/)", path):
            return found[0]
    return folder


def job_options(results: str, /, *asked: str, **folders: str | Sequence[str]) -> Callable[..., str]:
    """A job's options, quoted: named inputs and outputs, `folders` it reads or writes declared files in, resources.

    An underscore at the end keeps a name apart from those that Snakemake has taken (`items_`); an empty input is not an
    option.

    Args:
        results: folder of the preset, which `<results>` in `folders` stands for.
        asked: resources that are options of the same name.
        folders: one or several by option; wildcards are filled in.

    Returns:
        A function of a job, as Snakemake calls those of params.
    """

    def of_job(wildcards: Any, input: Any, output: Any, resources: Any) -> str:  # noqa: A002 - Snakemake's name
        values = {**dict(input.items()), **dict(output.items())}
        for name, of_name in folders.items():
            wanted = [of_name] if isinstance(of_name, str) else of_name
            paths = [folder.replace("<results>", results).format(**wildcards) for folder in wanted]
            values[name] = [located(path, [*output, *input]) for path in paths]
        values |= {name: str(resources[name]) for name in asked}
        words: list[str] = []
        for name, value in values.items():
            paths = [value] if isinstance(value, str) else list(value)
            option = f"--{name.rstrip('_').replace('_', '-')}"
            words += [option, *map(shlex.quote, paths)] if paths else []
        return " ".join(words)

    return of_job
