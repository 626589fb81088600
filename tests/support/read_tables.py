"""Tables as a reader of HTML, Markdown or LaTeX sees them."""

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt


class Page(HTMLParser):
    """Cells, spans and bold cells of the table on an HTML page, and every tag on it."""

    def __init__(self, text: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.spans: list[list[int]] = []
        self.bold: set[tuple[int, int]] = set()
        self.tags: set[str] = set()
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
            self.spans.append([])
        if tag in ("td", "th"):
            self._inside = True
            self.rows[-1].append("")
            self.spans[-1].append(int(dict(attrs).get("colspan") or 1))
        if tag == "strong" and self._inside:
            self.bold.add((len(self.rows) - 1, len(self.rows[-1]) - 1))
        if tag == "br" and self._inside:
            self.rows[-1][-1] += "\n"

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data


def markdown_page(text: str) -> Page:
    return Page(MarkdownIt("commonmark").enable("table").render(text))


def read_latex(text: str) -> str:
    """What LaTeX prints for escaped text; a special character left bare is an error."""
    commands = {
        r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
        r"\textgreater{}": ">", r"\textbar{}": "|", "{[}": "[", "{*}": "*", **{f"\\{char}": char for char in "&%$#_{}"},
    }  # fmt: skip
    pattern = "|".join(map(re.escape, commands)) + r"|[^\\&%$#_{}~^]"
    assert re.fullmatch(f"(?:{pattern})*", text), text
    return re.sub(pattern, lambda match: commands.get(match[0], match[0]), text)
