"""How docs/models.md says that each architecture is asked."""

import re

from common.base.paths import ROOT


def documented_ways() -> dict[str, str]:
    """The first cell of each architecture's row."""
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| (.+) \|$", page, re.MULTILINE)
    return {name: how for how, names in rows for name in re.findall(r"`([^`]+)`", names)}
