"""GPU types and the assumptions of a plan, read from resources/hardware."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import UserError

FOLDER = Path(__file__).resolve().parents[2] / "resources" / "hardware"
INTERCONNECTS = ("nvlink", "pcie")


@dataclass(frozen=True)
class Gpu:
    """A GPU type; see resources/hardware/gpus.yaml for the units."""

    name: str
    label: str
    memory_gb: float
    bf16_tflops: float
    memory_gb_s: float
    nvlink_gb_s: float | None
    pcie_gb_s: float
    bf16: bool
    source: str


@dataclass(frozen=True)
class Assumption:
    """A number a plan takes for granted."""

    value: float
    unit: str
    source: str


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        UserError: when it is missing, no YAML or something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"a file cannot be read: {error}", str(path), "check the path and mend the file") from error
    if not isinstance(content, dict):
        raise UserError("a file is no mapping of keys", str(path), "mend the file")
    return content


def load_gpu(name: str) -> Gpu:
    """A GPU type by its name in gpus.yaml.

    Raises:
        UserError: when there is none of that name.
    """
    known = read_mapping(FOLDER / "gpus.yaml")
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise UserError(f"no GPU type `{name}`", "resources/hardware/gpus.yaml",
                        f"{hint}choose one of {', '.join(known)}, or add it to that file")  # fmt: skip
    return Gpu(name=name, **known[name])


def load_assumptions(path: Path | None = None) -> dict[str, Assumption]:
    """What a plan assumes.

    Args:
        path: a file with other values than those of assumptions.yaml; what it does not name is taken from there.

    Raises:
        UserError: when it names something no plan assumes, or gives no positive number.
    """
    found = read_mapping(FOLDER / "assumptions.yaml")
    given = read_mapping(path) if path else {}
    for name, entry in given.items():
        if name not in found:
            raise UserError(f"no plan assumes `{name}`", str(path), f"choose one of {', '.join(found)}")
        found[name] = {**found[name], **entry} if isinstance(entry, Mapping) else {**found[name], "value": entry}
    for name, entry in found.items():
        if not isinstance(entry["value"], int | float) or entry["value"] <= 0:
            raise UserError(f"`{name}` is no positive number: {entry['value']!r}", str(path or FOLDER), "mend it")
    return {name: Assumption(**entry) for name, entry in found.items()}


def bandwidth(gpu: Gpu, interconnect: str, assumed: Mapping[str, float]) -> float | None:
    """Bytes a second a GPU exchanges with the others, one direction; None where the type has no such link."""
    peak = gpu.nvlink_gb_s if interconnect == "nvlink" else gpu.pcie_gb_s
    return None if peak is None else peak * 1e9 * assumed[f"{interconnect}_efficiency"]
