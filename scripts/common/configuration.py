"""The configuration: checked against its schema, defaults filled, and cut into each job's `settings`.

Imported while the DAG is planned, so it loads nothing heavy.
"""

import copy
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from common.errors import UserError

SCHEMA = Path(__file__).resolve().parents[2] / "config" / "schema.yaml"


def check_configuration(config: Mapping[str, Any], where: str = "the configuration") -> dict[str, Any]:
    """A copy of `config` with defaults filled in.

    Raises:
        UserError: naming every offending key, with the nearest known one for a typo.
    """
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    filled = copy.deepcopy(dict(config))
    problems = [line for error in validator.iter_errors(filled) for line in _explain(error)]
    if not problems:
        _fill_defaults(filled, schema, schema)
        problems = _check_selections(filled)
    if problems:
        remedy = "mend these keys; config/schema.yaml describes every key"
        raise UserError("the configuration is not valid:\n    " + "\n    ".join(problems), where, remedy)
    return filled


def _explain(error: jsonschema.ValidationError) -> list[str]:
    """Lines for people; for a choice between alternatives, the complaints of the one meant."""
    if error.validator == "oneOf" and isinstance(error.instance, dict):
        kind = error.instance.get("kind")
        branches: dict[int, list[jsonschema.ValidationError]] = {}
        for sub in error.context or []:
            branches.setdefault(int(sub.schema_path[0]), []).append(sub)
        meant = [b for b in branches.values() if not any(list(s.path)[-1:] == ["kind"] for s in b)]
        if kind is not None and meant:
            return [line for sub in meant[0] for line in _explain(sub)]
        kinds = sorted(str(s.validator_value) for b in branches.values() for s in b if s.validator == "const")
        return [f"{error.json_path[2:]}.kind: {kind!r} is not one of {', '.join(kinds)}"]
    key = error.json_path[2:] or "(top level)"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        return [_unknown(key, name, known) for name in error.instance if name not in known]
    if error.validator == "required":
        return [f"{key}: {error.message}"]
    if error.validator == "type" and isinstance(error.instance, str):
        hint = " (YAML reads 1e-5 as text: write 1.0e-5)" if "e" in error.instance.lower() else ""
        return [f"{key}: {error.message}{hint}"]
    return [f"{key}: {error.message}"]


def _unknown(where: str, name: str, known: Mapping[str, Any]) -> str:
    key = name if where == "(top level)" else f"{where}.{name}"
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"{key}: unknown key" + (f"; did you mean `{near[0]}`?" if near else "")


def _fill_defaults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Set every missing key that has a default, through references, registries and chosen alternatives."""
    schema = _resolve(schema, root)
    if not isinstance(value, dict):
        return
    for branch in schema.get("oneOf", []):
        resolved = _resolve(branch, root)
        if resolved.get("properties", {}).get("kind", {}).get("const") == value.get("kind"):
            _fill_defaults(value, resolved, root)
    for key, sub in schema.get("properties", {}).items():
        resolved = _resolve(sub, root)
        if key not in value and "default" in resolved:
            value[key] = copy.deepcopy(resolved["default"])
        if key in value:
            _fill_defaults(value[key], resolved, root)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        for key in value.keys() - schema.get("properties", {}).keys():
            _fill_defaults(value[key], others, root)


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    target: Any = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _check_selections(config: Mapping[str, Any]) -> list[str]:
    """What a schema cannot say: names must exist and counts must add up."""
    problems = []
    for registry in ("models", "tasks"):
        for name in config["table3"][registry]:
            if name not in config[registry]:
                near = difflib.get_close_matches(name, list(config[registry]), n=1)
                hint = f"; did you mean `{near[0]}`?" if near else ""
                problems.append(f"table3.{registry}: `{name}` is not in `{registry}`{hint}")
    splits = config["splits"]
    needed = sum(splits[key] for key in ("heldout", "rl_sft", "rl_reward", "rl_prompts"))
    if needed > splits["prompts"]:
        problems.append(f"splits: heldout + rl_sft + rl_reward + rl_prompts = {needed} exceeds prompts = {splits['prompts']}")
    return problems


def check_overlay(path: str) -> None:
    """Refuse an overlay that does not name its preset: it would overwrite another preset's results.

    Raises:
        UserError: when the file names none.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"a configuration file cannot be read: {error}", path, "mend the file") from error
    if not isinstance(content, dict) or "preset" not in content:
        raise UserError("a configuration overlay names no preset", path, "add a line such as `preset: my-run`")


# --- the part of the configuration each job depends on -------------------------------------------------------


def prepare_model_settings(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    source = config["models"][model]["source"]
    settings = {"source": source}
    if source["kind"] == "random":
        settings["seed"] = config["seed"]
    return settings


def split_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"seed": config["seed"], "splits": config["splits"]}


def task_settings(config: Mapping[str, Any], task: str) -> dict[str, Any]:
    block = config["tasks"][task]
    return {"task": task, "source": block["source"], "max_rejected_share": block["max_rejected_share"]}


def training_settings(config: Mapping[str, Any], method: str, model: str) -> dict[str, Any]:
    """Everything a checkpoint depends on; devices and checkpoint intervals are not among it."""
    markers = config["prompt"]["markers"]
    used = {"sft": ("response",), "coh": ("better", "worse", "tie")}[method]
    prompt = {**config["prompt"], "markers": {name: markers[name] for name in used}}
    engine = {key: config["compute"][key] for key in ("device", "engine", "gradient_checkpointing")}
    return {
        "model": model,
        "method": method,
        "seed": config["seed"],
        "prompt": prompt,
        "heldout_loss": not config["splits"]["fine_tune_on_heldout"],
        **config["methods"][method],
        "compute": engine,
    }


def evaluation_settings(config: Mapping[str, Any], model: str, method: str, task: str) -> dict[str, Any]:
    block = {key: value for key, value in config["evaluation"].items() if key != "markers"}
    marker = config["evaluation"]["markers"].get(method, "response")
    return {
        "model": model,
        "method": method,
        "task": task,
        "seed": config["seed"],
        "marker": config["prompt"]["markers"][marker],
        "device": config["compute"]["device"],
        **block,
    }


def draws(config: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(k, seed) of every run: zero-shot once as seed 0, the others once a seed."""
    evaluation = config["evaluation"]
    return [(k, seed) for k in evaluation["shots"] for seed in (evaluation["seeds"] if k else [0])]


def table3_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    models = {name: {key: value for key, value in config["models"][name].items() if key != "source"}
              for name in config["table3"]["models"]}
    evaluation = config["evaluation"]
    return {**config["table3"], "models": models, "shots": evaluation["shots"], "seeds": evaluation["seeds"]}
