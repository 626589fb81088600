"""What Snakemake is told of score files, of which there are thousands. Loaded while the DAG is planned."""

from collections.abc import Callable, Sequence
from typing import Any


def know_scores(workflow: Any, results: str, exists: Callable[[str], bool]) -> None:
    """Tell Snakemake which rule makes each score file that a rule reads, and which of them are lost.

    It would compare each of these files with every output of `evaluate_task`, two a draw, so that planning would grow
    with the square of the draws; in `dependencies` it looks first. And it would pass over a lost file as long as
    what was made of it is there; in `forcefiles` stands what is to be made all the same, if a job of this run reads it.

    Args:
        workflow: Snakemake's, all rules known.
        results: folder of the preset.
        exists: Snakemake's, which also looks where files are stored elsewhere.
    """
    makers = {f"{results}/eval/": "evaluate_task", f"{results}/markers/": "evaluate_marker"}
    for reader in workflow.rules:
        paths = [path for path in reader.input if isinstance(path, str)]
        scores = {path: maker for folder, maker in makers.items() for path in paths if folder in path}
        reader.dependencies.update(scores)
        if scores and reader.output:
            reader.set_input(_ask_for_lost(workflow, reader.output, list(scores), exists))


def _ask_for_lost(
    workflow: Any, made: Sequence[str], scores: Sequence[str], exists: Callable[[str], bool]
) -> Callable[[Any], list[str]]:
    """An input function that names no input and has lost score files made again."""

    def of_job(wildcards: Any) -> list[str]:
        if any(exists(path) for path in made):
            workflow.dag.forcefiles.update(path for path in scores if not exists(path))
        return []

    return of_job
