"""What jobs ask of a machine, and what check_machine depends on: everything a plan is made of.

Kept apart from `settings`, because it decides no result: devices and unused keys may change it. Loaded while the DAG is
planned.
"""

from collections.abc import Mapping
from typing import Any

PARTS = ("seed", "compute", "instructions", "splits", "methods", "evaluation", "table3", "marker_table", "rl", "table4")


def machine_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the models and tasks that are used."""
    table = config["table3"]
    models = sorted({*table["models"], *config["rl"].values()})
    used = {"models": {name: config["models"][name] for name in models},
            "tasks": {name: config["tasks"][name] for name in table["tasks"]}}  # fmt: skip
    return {"config": {**{part: config[part] for part in PARTS}, **used}}


def job_threads(asked: int | None, cores: int | None) -> int:
    """CPU threads of a job: as configured, or a quarter of the cores (None: unknown), since jobs run side by side."""
    return asked or max(1, (cores or 1) // 4)
