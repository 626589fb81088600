"""The configuration: checked against its schema, defaults filled, and cut into each job's `settings`.

Imported while the DAG is planned, so it loads nothing heavy.
"""

import copy
import difflib
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jsonschema
import yaml

from common.errors import UserError
from common.files import read_yaml

SCHEMA = Path(__file__).resolve().parents[2] / "config" / "schema.yaml"


def check_configuration(config: Mapping[str, Any], where: str = "the configuration") -> dict[str, Any]:
    """A copy of `config` with defaults filled in.

    Raises:
        UserError: naming every offending key, with the nearest known one for a typo.
    """
    schema = _schema()
    validator = jsonschema.Draft202012Validator(schema)
    filled = copy.deepcopy(dict(config))
    problems = [line for error in validator.iter_errors(filled) for line in _explain(error, schema)]
    problems += _not_finite(filled)
    if not problems:
        _fill_defaults(filled, schema, schema)
        problems = _check_selections(filled)
    if problems:
        remedy = "mend these keys; config/schema.yaml describes every key"
        raise UserError("the configuration is not valid:\n    " + "\n    ".join(problems), where, remedy)
    return filled


@functools.cache
def _schema() -> dict[str, Any]:
    return dict(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))


def _explain(error: jsonschema.ValidationError, root: Mapping[str, Any]) -> list[str]:
    """Lines for people; for a choice between alternatives, the complaints of the one meant."""
    kinds = _kinds(error, root)
    if kinds and isinstance(error.instance, dict):
        kind = error.instance.get("kind")
        if kind not in kinds:
            return [f"{error.json_path[2:]}.kind: {kind!r} is not one of {', '.join(sorted(kinds))}"]
        meant = [sub for sub in error.context or [] if sub.schema_path[0] == kinds.index(kind)]
        return [line for sub in meant for line in _explain(sub, root)]
    key = error.json_path[2:] or "(top level)"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        return [_unknown(key, name, known) for name in error.instance if name not in known]
    if error.validator == "required":
        return [f"{key}: {error.message}"]
    if error.validator == "type" and isinstance(error.instance, str):
        hint = " (YAML reads 1e-5 as text: write 1.0e-5)" if _is_number(error.instance) else ""
        return [f"{key}: {error.message}{hint}"]
    return [f"{key}: {error.message}"]


def _kinds(error: jsonschema.ValidationError, root: Mapping[str, Any]) -> list[str]:
    """The kinds a violated choice between alternatives offers, in order; empty when it is no such choice."""
    if error.validator != "oneOf":
        return []
    branches = [_resolve(branch, root).get("properties", {}) for branch in cast(list[Any], error.validator_value)]
    return [branch["kind"]["const"] for branch in branches if "kind" in branch]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _not_finite(value: Any, key: str = "") -> list[str]:
    """Complaints about every NaN and infinity in a configuration."""
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{key}: {value} is no finite number"]
    children: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        children = [(f"{key}.{name}" if key else name, child) for name, child in value.items()]
    elif isinstance(value, list):
        children = [(f"{key}[{i}]", child) for i, child in enumerate(value)]
    return [line for name, child in children for line in _not_finite(child, name)]


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
    selected = [(f"table3.{registry}", name, registry) for registry in ("models", "tasks")
                for name in config["table3"][registry]]  # fmt: skip
    selected += [(f"rl.{role}", config["rl"][role], "models") for role in ("actor", "reward")]
    for key, name, registry in selected:
        if name not in config[registry]:
            near = difflib.get_close_matches(name, list(config[registry]), n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            problems.append(f"{key}: `{name}` is not in `{registry}`{hint}")
    for method in {*config["table3"]["methods"], *config["marker_table"]["methods"]} - {"pretrained"}:
        if method not in config["methods"]:
            problems.append(f"methods.{method}: missing, though a table selects it")
    splits = config["splits"]
    needed = sum(splits[key] for key in ("heldout", "rl_sft", "rl_reward", "rl_prompts"))
    if needed > splits["prompts"]:
        total = splits["prompts"]
        problems.append(f"splits: heldout + rl_sft + rl_reward + rl_prompts = {needed} exceeds prompts = {total}")
    examples = config["human_eval"]["examples"]
    if examples > splits["heldout"]:
        problems.append(f"human_eval.examples: {examples} exceeds splits.heldout = {splits['heldout']}")
    return problems


def load_configuration(base: Path, overlays: Sequence[Path], command_line: Mapping[str, Any]) -> dict[str, Any]:
    """The base configuration with overlays and command-line values laid over it, checked.

    Mappings merge key by key, lists and single values are replaced, and a block that names its `kind` replaces the
    block under it whole, so that no key of another kind is left behind.

    Args:
        base: the default configuration file.
        overlays: further files, the later ones on top.
        command_line: values given with `--config`.

    Raises:
        UserError: when a file is unreadable, an overlay names no preset, or the result is not valid.
    """
    config = _read_mapping(base)
    for overlay in overlays:
        if overlay.resolve() == base.resolve():
            continue
        content = _read_mapping(overlay)
        if "preset" not in content:
            remedy = "add a line such as `preset: my-run`; without it the demo's results would be overwritten"
            raise UserError("a configuration overlay names no preset", str(overlay), remedy)
        config = merge(config, content)
    where = ", ".join(str(path) for path in (base, *overlays))
    return check_configuration(merge(config, command_line), where)


def _read_mapping(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "a configuration file")
    if not isinstance(content, dict):
        raise UserError("a configuration file is no mapping of keys", str(path), "mend the file")
    return content


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `under`; see `load_configuration`."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both and "kind" not in value else value
    return merged
