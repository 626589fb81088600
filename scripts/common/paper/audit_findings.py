"""What a check of the audit found: one question of the published numbers, its answer and the numbers behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from common.tables.table import Table, escape_markdown, to_markdown


@dataclass(frozen=True)
class Finding:
    """One question asked of the published numbers.

    Attributes:
        name: its key in audit.json.
        title: heading.
        question: what was asked.
        method: how it was answered.
        answer: what came out, in sentences.
        tables: the numbers behind the answer.
        by_hand: how to check one of them without this package.
        data: the same for programs.
    """

    name: str
    title: str
    question: str
    method: str
    answer: str
    tables: Sequence[Table] = field(default_factory=tuple)
    by_hand: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def finding_markdown(finding: Finding) -> str:
    """A section for a reviewer: question, method, finding, numbers, check by hand."""
    parts = [
        f"## {escape_markdown(finding.title)}",
        f"*Question.* {escape_markdown(finding.question)}",
        f"*Method.* {escape_markdown(finding.method)}",
        f"*Finding.* {escape_markdown(finding.answer)}",
        *(to_markdown(table).rstrip() for table in finding.tables if table.rows),
    ]
    if finding.by_hand:
        parts.append(f"*By hand.* {escape_markdown(finding.by_hand)}")
    return "\n\n".join(parts)
