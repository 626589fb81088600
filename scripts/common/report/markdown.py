"""Texts that Markdown shows as they are, in the pages of a model."""

import json
import re

from common.tables.table import Table, escape_markdown, to_markdown

_OPENING = re.compile(r"^(#{1,6}|[-+=]+|\d{1,9}[.)])(?=\s|$)")  # of a heading, a list, a line across


class Markdown(str):
    """A text that is Markdown already; any other is escaped where the template prints it."""


def one_line(text: object) -> str:
    """A text with its spaces and line ends as single spaces."""
    return " ".join(str(text).split())


def plain(value: object) -> str:
    """Text that Markdown shows as it is wherever it stands, on one line."""
    return _OPENING.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", escape_markdown(one_line(value)))


def code(text: object) -> Markdown:
    """Text as code within a line, whatever backticks are in it."""
    line = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return Markdown(f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}")


def fenced(text: str) -> Markdown:
    """A block of Python, in which strings are `literal`: no line begins as a fence."""
    return Markdown(f"```python\n{text.strip()}\n```")


def literal(text: str) -> Markdown:
    """A string as Python and JSON write it."""
    return Markdown(json.dumps(text, ensure_ascii=False))


def rendered(table: Table) -> Markdown:
    """A table with its caption and notes."""
    return Markdown(to_markdown(table))
