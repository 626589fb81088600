"""The configuration: files merged, checked against the schema and beyond it, defaults filled.

Imported while the DAG is planned, so it loads nothing heavy.
"""

import copy
import functools
import math
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jsonschema
import yaml

from common.base.batch_sizes import accumulation_steps
from common.base.errors import UserError
from common.base.paths import HARDWARE, SCHEMA
from common.base.templates import fill
from common.config.selection_checks import check_selections, near
from common.files.yaml_files import read_mapping, read_yaml

# The fields of the prompt's templates; each must be in its template, and no other may be.
PROMPT_FIELDS = {"without_input": ("instruction",), "with_input": ("instruction", "input")}


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
        problems = [*check_selections(filled), *_check_prompt(filled["prompt"]), *_check_compute(filled)]
    if problems:
        remedy = "fix these keys; config/schema.yaml describes every key"
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
    """The kinds that a violated choice between alternatives offers, in order; empty if it is not such a choice."""
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
        return [f"{key}: {value} is not a finite number"]
    children: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        children = [(f"{key}.{name}" if key else name, child) for name, child in value.items()]
    elif isinstance(value, list):
        children = [(f"{key}[{i}]", child) for i, child in enumerate(value)]
    return [line for name, child in children for line in _not_finite(child, name)]


def _unknown(where: str, name: str, known: Mapping[str, Any]) -> str:
    key = name if where == "(top level)" else f"{where}.{name}"
    return f"{key}: unknown key{near(str(name), list(known))}"


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


def _check_prompt(block: Mapping[str, Any]) -> list[str]:
    """Templates with unknown or missing fields, and markers that cannot be told apart."""
    problems = []
    for key, fields in PROMPT_FIELDS.items():
        try:
            fill(block[key], dict.fromkeys(fields, ""))
        except ValueError as error:
            problems.append(f"prompt.{key}: {error} (a brace that is not a field is written twice)")
            continue
        used = {name for _, name, _, _ in string.Formatter().parse(block[key])}
        problems += [f"prompt.{key}: the field `{{{name}}}` is missing" for name in fields if name not in used]
    for text, count in Counter(block["markers"].values()).items():
        if count > 1:
            names = ", ".join(name for name, marker in block["markers"].items() if marker == text)
            problems.append(f"prompt.markers: {names} are the same, {text!r}; each needs a text of its own")
    return problems


def _check_compute(config: Mapping[str, Any]) -> list[str]:
    """A GPU type nobody knows, and global batches that the devices cannot share."""
    compute, problems = config["compute"], []
    kind = compute["gpu_type"]
    if kind not in _gpu_types():
        known = ", ".join(_gpu_types())
        problems.append(f"compute.gpu_type: `{kind}` is not in resources/hardware/gpus.yaml ({known})"
                        f"{near(kind, _gpu_types())}")  # fmt: skip
    for key in ("gpus", "processes"):
        if compute["nodes"] > 1 and compute[key] % compute["nodes"] and (key == "gpus" or not compute["gpus"]):
            problems.append(f"compute.{key}: {compute[key]} cannot be shared equally by {compute['nodes']} nodes")
    lead, longest = compute["stop_lead_seconds"], config["site"]["longest_minutes"]
    if 2 * lead > 60 * longest:
        problems.append(f"site.longest_minutes: {longest} leave a training little before it stops, {lead} seconds "
                        "(`compute.stop_lead_seconds`) before the end; give at least twice as long")  # fmt: skip
    on_gpus = compute["gpus"] > 0 and compute["device"] != "cpu"
    for method, block in config["methods"].items():
        key = f"methods.{method}.training" if "training" in block else f"methods.{method}"
        sizes = block.get("training", block)
        try:
            accumulation_steps(sizes["global_batch_size"], sizes["per_device_batch_size"],
                               compute["gpus"] if on_gpus else compute["processes"])  # fmt: skip
        except UserError as error:
            number = "compute.gpus" if on_gpus else "compute.processes"
            problems.append(f"{key}: {error.what} (`{number}`); {error.remedy}")
    return problems


@functools.cache
def _gpu_types() -> tuple[str, ...]:
    return tuple(read_mapping(HARDWARE / "gpus.yaml"))


def load_configuration(
    base: Path, overlays: Sequence[Path], command_line: Mapping[str, Any], module: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The base configuration with overlays and command-line values applied to it, checked.

    Mappings merge key by key, lists and single values are replaced, and a block that names its `kind` replaces the
    block under it whole, so that no key of another kind is left behind.

    Args:
        base: the default configuration file.
        overlays: further files, the later ones on top.
        command_line: values given with `--config`; nested ones come as text, read by the schema's types.
        module: what a module statement gives as `config`, an overlay too.

    Raises:
        UserError: when a file is unreadable, an overlay names no preset or the base's, or the result is not valid.
    """
    config = _read_overlay(base)
    preset = config.get("preset")
    contents = {str(path): _read_overlay(path) for path in overlays if path.resolve() != base.resolve()}
    if module:
        contents["`config` of the module statement"] = dict(module)
    for where, content in contents.items():
        _refuse_preset(content, preset, where)
        config = merge(config, content)
    given = read_text_values(command_line, _schema(), _schema())
    return check_configuration(merge(config, given), ", ".join([str(base), *contents]))


def _refuse_preset(overlay: Mapping[str, Any], taken: Any, where: str) -> None:
    """Refuse an overlay whose results would overwrite those of the base; one that only describes a site has none.

    Raises:
        UserError: when it names no preset, or the base's.
    """
    if overlay and overlay.keys() <= {"site"}:
        return
    if "preset" not in overlay:
        remedy = "add a line such as `preset: my-run`; without it the demo's results would be overwritten"
        raise UserError("a configuration overlay names no preset", where, remedy)
    if overlay["preset"] == taken:
        remedy = f"give it a name of its own; with this one it would overwrite results/{taken}"
        raise UserError(f"a configuration overlay takes the preset of config.yaml: `{taken}`", where, remedy)


def read_text_values(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Texts within a value turned into what YAML reads in them, where the schema takes that and not the text.

    Args:
        value: of a configuration; mappings and lists are gone through.
        schema: of the value.
        root: the whole schema, for references.
    """
    if isinstance(value, Mapping):
        known = _properties(value, schema, root)
        return {key: read_text_values(child, known.get(key, {}), root) for key, child in value.items()}
    if isinstance(value, list):
        items = _resolve(schema, root).get("items", {})
        return [read_text_values(child, items, root) for child in value]
    validator = jsonschema.Draft202012Validator(root).evolve(schema=schema)
    if not isinstance(value, str) or validator.is_valid(value):
        return value
    try:
        meant = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return meant if validator.is_valid(meant) else value


def _properties(value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of each key of a mapping, through references, registries and the chosen alternative."""
    schema = _resolve(schema, root)
    others = schema.get("additionalProperties")
    known = dict.fromkeys(value, others) if isinstance(others, dict) else {}
    for branch in schema.get("oneOf", []):
        resolved = _resolve(branch, root)
        if resolved.get("properties", {}).get("kind", {}).get("const") == value.get("kind"):
            known |= resolved.get("properties", {})
    return {**known, **schema.get("properties", {})}


def _read_overlay(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "a configuration file")
    if not isinstance(content, dict):
        raise UserError("a configuration file is not a mapping of keys", str(path), "fix the file")
    return content


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `under`; see `load_configuration`."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both and "kind" not in value else value
    return merged
