"""Where the paper's numbers are, its numbers of examples, and its claims by name."""

from typing import Any

from common.base.paths import ROOT
from common.paper.published import Published

PAPER = ROOT / "resources/paper"
SHOTS = (0, 1, 3)


def claim(published: Published, name: str) -> dict[str, Any]:
    """The claim of that name."""
    return next(one for one in published.claims if one["id"] == name)
