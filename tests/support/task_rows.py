"""A row of each of the paper's tasks as its data set has it, and the tasks' definitions."""

from functools import cache

from common.base.paths import ROOT
from common.data.task_definitions import load_task

NAMES = ("sst2", "csqa", "mnli", "copa")
ROWS = {
    "sst2": {"idx": 7, "sentence": "a warm , funny film . ", "label": 1},
    "csqa": {
        "id": "1a2b",
        "question": "Where would you store bread?",
        "choices": {"label": ["A", "B", "C"], "text": ["sea", " bread bin ", "roof"]},
        "answerKey": "B",
    },
    "mnli": {"premise": "A man sleeps.", "hypothesis": "Someone is awake", "label": 2, "idx": 11},
    "copa": {
        "id": 1001,
        "premise": "The man turned on the tap.",
        "question": "effect",
        "choice1": "The toilet filled with water.",
        "choice2": "Water flowed from the spout.",
        "label": 1,
    },
}


@cache
def task(name):
    """The project's own definition of a task."""
    return load_task(ROOT / f"resources/tasks/{name}.yaml")
