"""Settings of jobs: what changes them, and what must not."""

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.config import settings
from common.config.loading import check_configuration, load_configuration
from common.files.whole_files import canonical_json
from support.configurations import BASE, MODEL, PAPER, PRESETS, overlaid, written


def job_settings(config: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """Canonical settings of every selected job, by function and its required arguments."""
    selected = config["table3"]
    jobs = {}
    functions = {name: value for name, value in vars(settings).items() if name.endswith("_settings")}
    for name, function in functions.items():
        trained = [method for method in selected["methods"] if method in config["methods"]]
        domains = {
            "model": selected["models"],
            "method": {
                "training_settings": [*trained, "rl_sft", "reward"],
                "sample_settings": ["rl_sft", "ppo"],
            }.get(name, selected["methods"]),
            "actor": [config["rl"]["actor"]],
            "task": selected["tasks"],
            "part": ["train", "eval"],
        }
        parameters = inspect.signature(function).parameters.items()
        names = [key for key, parameter in parameters if key != "config" and parameter.default is parameter.empty]
        for values in itertools.product(*(domains[parameter] for parameter in names)):
            arguments = dict(zip(names, values, strict=True))
            job = (name, *(f"{parameter}={value}" for parameter, value in arguments.items()))
            jobs[job] = canonical_json(function(config, **arguments))
    return jobs


def changed_jobs(before: dict[str, Any], after: dict[str, Any]) -> set[tuple[str, ...]]:
    old, new = job_settings(before), job_settings(after)
    return {job for job in old.keys() | new.keys() if old.get(job) != new.get(job)}


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(value, dict):
        yield path
        return
    for key, inner in value.items():
        yield from leaves(inner, (*path, key))


def test_paper_alone_gives_the_same_settings_as_over_the_demo() -> None:
    alone = job_settings(check_configuration(yaml.safe_load(PAPER.read_text(encoding="utf-8"))))
    over_demo = job_settings(load_configuration(BASE, [PAPER], {}))
    assert alone == over_demo
    assert len({job[0] for job in alone}) >= 6


@pytest.mark.parametrize(
    ("block", "first", "second"),
    [
        (("methods", "sft", "training"), "learning_rate", "warmup_ratio"),
        (("prompt", "markers"), "better", "worse"),
        (("splits",), "heldout", "rl_sft"),
        (("tasks", "sst2", "source"), "train", "eval"),
        (("evaluation",), "shots", "seeds"),
    ],
)
def test_swapped_values_change_settings(demo: dict[str, Any], block: tuple[str, ...], first: str, second: str) -> None:
    values = demo
    for key in block:
        values = values[key]
    assert values[first] != values[second]
    swapped = overlaid(overlaid(demo, (*block, first), values[second]), (*block, second), values[first])
    assert changed_jobs(demo, swapped) != set()


@pytest.mark.parametrize(
    ("table", "selection"),
    [("table3", "models"), ("table3", "methods"), ("table3", "tasks"), ("marker_table", "markers")],
)
def test_order_of_rows_and_columns_is_part_of_the_settings(table: str, selection: str) -> None:
    config = load_configuration(BASE, [PAPER], {})
    turned = overlaid(config, (table, selection), config[table][selection][::-1])
    rendering = {"table3": ("table3_settings",), "marker_table": ("marker_settings",)}[table]
    assert rendering in changed_jobs(config, turned)


def turned_over(value: Any) -> Any:
    return {key: turned_over(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


@pytest.mark.parametrize("preset", PRESETS)
def test_reordered_keys_change_no_settings(tmp_path: Path, preset: str) -> None:
    config = load_configuration(BASE, PRESETS[preset], {})
    reordered = written(tmp_path, yaml.safe_dump(turned_over(config), sort_keys=False))
    assert changed_jobs(config, load_configuration(reordered, [], {})) == set()


@pytest.mark.parametrize("method", ["sft", "coh"])
def test_keys_of_a_method_change_that_methods_training_alone(demo: dict[str, Any], method: str) -> None:
    paths = list(leaves(demo["methods"][method]))
    assert len(paths) >= 11
    for path in paths:
        changed = overlaid(demo, ("methods", method, *path), "something else")
        training = ("training_settings", f"method={method}", f"model={MODEL}")
        assert changed_jobs(demo, changed) == {training}, path


@pytest.mark.parametrize("marker", ["response", "better", "worse", "tie"])
def test_marker_changes_only_the_methods_that_use_it(demo: dict[str, Any], marker: str) -> None:
    changed = changed_jobs(demo, overlaid(demo, ("prompt", "markers", marker), "another:"))
    rl = {"rl_sft", "reward", "ppo"}
    users = {"response": {"sft", "pretrained", *rl}, "better": {"coh"}, "worse": {"coh"}, "tie": {"coh"}}[marker]
    assert {part for job in changed for part in job if "method=" in part} == {f"method={name}" for name in users}


def test_devices_and_checkpoint_intervals_change_no_settings(demo: dict[str, Any]) -> None:
    values = {"gpus": 4, "processes": 2, "evaluation_gpus": 1, "threads": 9, "offload": "optimizer"}
    small = overlaid(demo, ("methods", "sft", "training", "per_device_batch_size"), 1)
    for method in ("coh", "rl_sft"):
        small = overlaid(small, ("methods", method, "training", "per_device_batch_size"), 1)
    small = overlaid(small, ("methods", "ppo", "per_device_batch_size"), 1)
    small = overlaid(small, ("compute", "gpus"), 2)  # with any GPU the machine is checked, which the report tells
    for key, value in {**values, "checkpoint_seconds": 5, "stop_lead_seconds": 5}.items():
        changed = check_configuration(overlaid(small, ("compute", key), value))
        assert changed != small
        assert changed_jobs(small, changed) == set(), key


def test_unselected_model_changes_no_settings(demo: dict[str, Any]) -> None:
    other = {"label": "Other", "source": {"kind": "local", "path": "/models/other"}}
    assert changed_jobs(demo, check_configuration(overlaid(demo, ("models", "other"), other))) == set()
