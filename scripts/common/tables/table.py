"""One table, four renderings: Markdown, LaTeX, HTML and JSON, every text escaped for where it goes."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from common.files.whole_files import write_json, write_text
from common.tables.language import ENGLISH, Text, Words


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: one sentence.
        header: column titles; `groups` spans them.
        groups: (title, number of columns) above the header; the numbers add up to its length.
        rows: cells; a `Text` is words and is translated, any other cell is data and stays as it is.
        bold: (row, column) of cells set in bold.
        notes: sentences under the table.
        cells: ids in cells.csv by (row, column).
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    groups: Sequence[tuple[str, int]] = ()
    bold: frozenset[tuple[int, int]] = frozenset()
    notes: Sequence[str] = field(default_factory=tuple)
    cells: Mapping[tuple[int, int], str] = field(default_factory=dict)


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "*": "{*}", "\u2013": "--", "\u00b1": r"$\pm$",
}  # fmt: skip


_LONG = 60  # characters that no longer fit beside other columns


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is, without blank lines: they would end a caption."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "".join(_LATEX.get(char, char) for char in "\n".join(lines))


def escape_markdown(text: str) -> str:
    """Text that Markdown (with HTML, and GitHub's formulas and struck-out text) prints as it is, in a table cell."""
    escaped = html.escape(text, quote=False)
    for char in "\\`*_[]|$~":
        escaped = escaped.replace(char, "\\" + char)
    for line_end in ("\r\n", "\r", "\n"):
        escaped = escaped.replace(line_end, "<br>")
    return escaped


def _full_header(table: Table) -> list[str]:
    titles = [title for title, count in table.groups for _ in range(count)] or [""] * len(table.header)
    return [f"{group} {name}".strip() for group, name in zip(titles, table.header, strict=True)]


def to_markdown(table: Table) -> str:
    rows = [
        [
            f"**{escape_markdown(cell)}**" if (i, j) in table.bold else escape_markdown(cell)
            for j, cell in enumerate(row)
        ]
        for i, row in enumerate(table.rows)
    ]
    header = [escape_markdown(title) for title in _full_header(table)]
    body = tabulate(rows, headers=header, tablefmt="pipe", disable_numparse=True)
    notes = "".join(f"\n- {escape_markdown(note)}" for note in table.notes)
    return f"**{escape_markdown(table.caption)}**\n\n{body}\n{notes}\n"


def _latex_columns(table: Table) -> str:
    """Column types: as wide as their text, or sharing the page's width where a text is long."""
    longest = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    wide = sum(length > _LONG for length in longest)
    width = rf"p{{{0.8 / wide:.2f}\linewidth}}" if wide else ""
    return "".join(width if length > _LONG else "l" for length in longest)


def to_latex(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\"

    rows = [
        line(
            [
                rf"\textbf{{{escape_latex(cell)}}}" if (i, j) in table.bold else escape_latex(cell)
                for j, cell in enumerate(row)
            ]
        )
        for i, row in enumerate(table.rows)
    ]
    spans = [rf"\multicolumn{{{count}}}{{c}}{{{escape_latex(title)}}}" for title, count in table.groups]
    head = ([line(spans)] if spans else []) + [line([escape_latex(title) for title in table.header])]
    notes = [rf"\par\footnotesize {escape_latex(note)}" for note in table.notes]
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\begin{{tabular}}{{{_latex_columns(table)}}}", r"\toprule", *head, r"\midrule", *rows, r"\bottomrule",
        r"\end{tabular}", *notes, r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { padding: .35rem .7rem; text-align: left; white-space: pre-line; vertical-align: top; }
thead th { border-bottom: 1px solid; }
tbody tr:nth-child(even) { background: color-mix(in srgb, currentColor 6%, transparent); }
.notes { font-size: .9rem; max-width: 60rem; }
"""


def to_html(table: Table, language: str = "en") -> str:
    def row(cells: Sequence[str], i: int) -> str:
        inner = "".join(
            f"<td>{f'<strong>{html.escape(cell)}</strong>' if (i, j) in table.bold else html.escape(cell)}</td>"
            for j, cell in enumerate(cells)
        )
        return f"<tr>{inner}</tr>"

    spans = "".join(
        f'<th colspan="{count}" scope="colgroup">{html.escape(title)}</th>' for title, count in table.groups
    )
    heads = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in table.header)
    body = "\n".join(row(cells, i) for i, cells in enumerate(table.rows))
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(table.caption)}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f'<div class="scroll"><table>\n<caption>{html.escape(table.caption)}</caption>\n<thead>'
        f"{f'<tr>{spans}</tr>' if spans else ''}<tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n"
        f'<ul class="notes">{notes}</ul>\n</body>\n</html>\n'
    )


def text_of(value: Any) -> str:
    """A configured value as a table shows it."""
    if isinstance(value, list):
        return ", ".join(map(text_of, value))
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def translate(table: Table, words: Words) -> Table:
    """The table with its caption, titles, notes and cells of words in another language; data stay as they are."""
    return replace(
        table,
        caption=words(table.caption),
        header=[words(title) for title in table.header],
        groups=[(words(title), count) for title, count in table.groups],
        rows=[[words(cell) if isinstance(cell, Text) else cell for cell in row] for row in table.rows],
        notes=[words(note) for note in table.notes],
    )


def as_json(table: Table) -> dict[str, Any]:
    """The table for programs: rows of {text, bold, cell}."""
    return {
        "caption": table.caption,
        "groups": [{"title": title, "columns": count} for title, count in table.groups],
        "header": list(table.header),
        "rows": [
            [
                {"text": text, "bold": (i, j) in table.bold, "cell": table.cells.get((i, j))}
                for j, text in enumerate(row)
            ]
            for i, row in enumerate(table.rows)
        ],
        "notes": list(table.notes),
    }


def write_table(
    table: Table, folder: Path, name: str, words: Words = ENGLISH, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write the Markdown, LaTeX, HTML and JSON renderings.

    Args:
        table: in English.
        folder: for the files.
        name: of the files, without suffix.
        words: the language to write in.
        provenance: where the table came from, for the JSON.
    """
    table = translate(table, words)
    write_text(folder / f"{name}.md", to_markdown(table))
    write_text(folder / f"{name}.tex", to_latex(table))
    write_text(folder / f"{name}.html", to_html(table, words.language))
    content = {"table": name, "language": words.language, **as_json(table), "provenance": provenance}
    write_json(folder / f"{name}.json", content)
