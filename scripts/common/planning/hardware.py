"""GPU types and the assumptions of a plan, read from resources/hardware."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.base.paths import HARDWARE
from common.files.yaml_files import read_mapping

INTERCONNECTS = ("nvlink", "pcie")
LARGEST = 1e12


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


POSITIVE = "a positive number"
TEXT = "a text"
OPTIONAL = "a positive number or null"
TRUTH = "true or false"
GPU_FIELDS = {"label": TEXT, "memory_gb": POSITIVE, "bf16_tflops": POSITIVE, "memory_gb_s": POSITIVE,
              "nvlink_gb_s": OPTIONAL, "pcie_gb_s": POSITIVE, "bf16": TRUTH, "source": TEXT}  # fmt: skip
ASSUMPTION_FIELDS = {"value": POSITIVE, "unit": TEXT, "source": TEXT}


def _is(value: Any, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    if kind == TRUTH:
        return isinstance(value, bool)
    if value is None:
        return kind == OPTIONAL
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LARGEST


def _checked(entry: Any, fields: Mapping[str, str], where: str) -> dict[str, Any]:
    """An entry with exactly these fields.

    Raises:
        UserError: naming the field that is missing, unknown or of another kind.
    """
    if not isinstance(entry, Mapping):
        raise UserError("an entry is no mapping of keys", where, f"give it the keys {', '.join(fields)}")
    for name in (*fields, *entry):
        if name not in fields:
            raise UserError(f"unknown key `{name}`", where, f"the keys are {', '.join(fields)}")
        if name not in entry or not _is(entry[name], fields[name]):
            raise UserError(f"`{name}` is no{fields[name].removeprefix('a')}: {entry.get(name)!r}", where, "mend it")
    return dict(entry)


def load_gpu(name: str) -> Gpu:
    """A GPU type by its name in gpus.yaml.

    Raises:
        UserError: when there is none of that name.
    """
    known = read_mapping(HARDWARE / "gpus.yaml")
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise UserError(f"no GPU type `{name}`", "resources/hardware/gpus.yaml",
                        f"{hint}choose one of {', '.join(known)}, or add it to that file")  # fmt: skip
    return Gpu(name=name, **_checked(known[name], GPU_FIELDS, f"resources/hardware/gpus.yaml, {name}"))


def load_assumptions(path: Path | None = None) -> dict[str, Assumption]:
    """What a plan assumes.

    Args:
        path: a file with other values than those of assumptions.yaml; what it does not name is taken from there.

    Raises:
        UserError: when it names something no plan assumes, or gives no positive number.
    """
    found = read_mapping(HARDWARE / "assumptions.yaml")
    given = read_mapping(path) if path else {}
    for name, entry in given.items():
        if name not in found:
            raise UserError(f"no plan assumes `{name}`", str(path), f"choose one of {', '.join(found)}")
        found[name] = {**found[name], **entry} if isinstance(entry, Mapping) else {**found[name], "value": entry}
    where = path or HARDWARE / "assumptions.yaml"
    checked = {name: _checked(entry, ASSUMPTION_FIELDS, f"{where}, {name}") for name, entry in found.items()}
    return {name: Assumption(**entry) for name, entry in checked.items()}


# What joins nodes where GPUs are joined like this within one.
BETWEEN_NODES = {"nvlink": "infiniband", "pcie": "ethernet"}


def bandwidth(gpu: Gpu, interconnect: str, assumed: Mapping[str, float], nodes: int = 1) -> float | None:
    """Bytes a second a GPU exchanges with the others, one direction; None where the type has no such link.

    Collective operations go round a ring, all of whose links carry the same; over several nodes the slowest is that
    between two of them, InfiniBand beside NVLink, Ethernet beside PCIe.
    """
    peak = gpu.nvlink_gb_s if interconnect == "nvlink" else gpu.pcie_gb_s
    if peak is None:
        return None
    within = peak * 1e9 * assumed[f"{interconnect}_efficiency"]
    return within if nodes == 1 else min(within, assumed[f"{BETWEEN_NODES[interconnect]}_gb_s"] * 1e9)
