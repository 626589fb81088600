"""Presets and their files, and configurations with one key changed."""

from pathlib import Path
from typing import Any

from common.base.paths import ROOT
from common.config.loading import merge

BASE, SMOKE, PAPER = ROOT / "config.yaml", ROOT / "config/smoke.yaml", ROOT / "config/paper.yaml"
PRESETS = {"demo": [], "smoke": [SMOKE], "paper": [PAPER]}
MODEL = "smollm2-135m"


def overlaid(config: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`config` with the key at `path` given on the command line."""
    for key in reversed(path):
        value = {key: value}
    return merge(config, value)


def written(folder: Path, content: str) -> Path:
    """An overlay file of that content."""
    path = folder / "overlay.yaml"
    path.write_text(content, encoding="utf-8")
    return path
