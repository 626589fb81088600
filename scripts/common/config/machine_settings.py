"""What jobs ask of a machine, and what check_machine depends on: everything a plan is made of.

Kept apart from `settings`, because it decides no result: devices and unused keys may change it. Loaded while the DAG is
planned.
"""

from collections.abc import Mapping
from typing import Any

from common.config.settings import used_models

PARTS = ("seed", "compute", "instructions", "splits", "methods", "evaluation", "table3", "marker_table", "rl", "table4",
         "human_eval")  # fmt: skip


def machine_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the models and tasks that are used."""
    used = {"models": {name: config["models"][name] for name in sorted(used_models(config))},
            "tasks": {name: config["tasks"][name] for name in config["table3"]["tasks"]}}  # fmt: skip
    return {"config": {**{part: config[part] for part in PARTS}, **used}}


def job_threads(asked: int | None, cores: int | None) -> int:
    """CPU threads of a job: as configured, or a quarter of the cores (None: unknown), since jobs run side by side."""
    return asked or max(1, (cores or 1) // 4)
