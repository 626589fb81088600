"""What Snakemake is told of the score files that rules read: which rule makes each, and which of them are lost."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Exists = Callable[[str], bool]


def ask_for_lost(workflow: Any, exists: Exists, made: Iterable[str], scores: Iterable[str]) -> list[str]:
    """Have lost score files made again for a result that is there; no inputs besides.

    Snakemake passes over a file that is gone as long as what was made of it is there. In `forcefiles` stands what is to
    be made all the same, if a job of this run reads it.
    """
    if any(exists(path) for path in made):
        workflow.dag.forcefiles.update(path for path in scores if not exists(path))
    return []


def know_scores(workflow: Any, exists: Exists, makers: Mapping[str, str]) -> None:
    """Tell Snakemake the rule that makes each score file a rule reads, and have it look for lost ones.

    It would compare each of these files with every output of `evaluate_task`, two a draw, so that planning would grow
    with the square of the draws; in `dependencies` it looks first.

    Args:
        workflow: Snakemake's.
        exists: Snakemake's function of this name.
        makers: rules by the folder of the score files they make.
    """

    def look(made: Iterable[str], scores: Iterable[str]) -> Callable[[Any], list[str]]:
        return lambda wildcards: ask_for_lost(workflow, exists, made, scores)

    for reader in workflow.rules:
        paths = [path for path in reader.input if isinstance(path, str)]
        scores = {path: maker for folder, maker in makers.items() for path in paths if folder in path}
        reader.dependencies.update(scores)
        if scores and reader.output:
            reader.set_input(look(reader.output, scores))
