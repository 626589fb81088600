"""Which model and task of a run stand for those of the paper."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.base.errors import UserError


def task_names(published: Sequence[str], marked_as: Mapping[str, str | None]) -> dict[str, str]:
    """The run's task for each published one: the one that is marked as it, otherwise one of the same name.

    Args:
        published: tasks of Table 3.
        marked_as: for each task of the run the published task it is marked as, or None.
    """
    marked = {stands_for: name for name, stands_for in marked_as.items() if stands_for}
    alike = {name.lower(): name for name, stands_for in marked_as.items() if not stands_for}
    found = {task: marked.get(task) or alike.get(task.lower()) for task in published}
    return {task: name for task, name in found.items() if name}


def counterparts(settings: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The run's model and task for each published one that is among them.

    Raises:
        UserError: when two are marked as the same.
    """
    models = {name: settings["model_info"][name].get("published") for name in settings["models"]}
    found = []
    for registry, marked in (("models", models), ("tasks", settings["published_tasks"])):
        names = {stands_for: name for name, stands_for in marked.items() if stands_for}
        if len(names) < sum(stands_for is not None for stands_for in marked.values()):
            twice = ", ".join(sorted(name for name, stands_for in marked.items() if stands_for))
            raise UserError("two of these are marked as the same of the paper", f"{registry}: {twice}", "unmark one")
        found.append(names)
    return found[0], found[1]
