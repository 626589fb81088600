"""Templates with plain `{name}` fields."""

import string
from collections.abc import Mapping
from typing import Any


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """Fill `{name}` fields; attribute and index access are refused, so a template reads nothing but its fields.

    Raises:
        ValueError: naming the field that is unknown or not a plain name.
    """
    parts = []
    for literal, name, spec, conversion in string.Formatter().parse(template):
        parts.append(literal)
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(f"`{{{name}}}` is not a plain field name")
        if name not in fields:
            raise ValueError(f"unknown field `{{{name}}}`; known are {', '.join(sorted(fields))}")
        parts.append(str(fields[name]))
    return "".join(parts)
