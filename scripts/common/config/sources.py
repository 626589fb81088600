"""The sources of models and instructions: what they are, and what is only told of them."""

from collections.abc import Mapping
from typing import Any

# Keys for model cards; nothing that is fetched or trained depends on them.
TOLD = ("license", "language", "origin")


def fetched(source: Mapping[str, Any]) -> dict[str, Any]:
    """What the content of a source depends on."""
    return {key: value for key, value in source.items() if key not in TOLD}
