"""Documents: what they link to is there, and the tables in them are those of one run."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from common.base.paths import ROOT

FOLDERS = ("docs", "resources", "profiles", "comparisons")
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "results/README.md")),
    *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md") if "/." not in str(path)),
]
BLOCKS = {
    "README.md": ["short"],
    "docs/demo.md": ["table3", "training", "table1", "table5", "table4", "table2"],
}


def links(page: Path) -> set[str]:
    """Where the links and pictures of a page lead."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    inside = [child for token in tokens for child in token.children or []]
    return {str(token.attrs[key]) for token in inside for key in ("href", "src") if key in token.attrs}


def block(page: str, name: str) -> str:
    """What `make readme` put into a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return text.split(f"<!-- begin {name} -->\n")[1].split(f"<!-- end {name} -->")[0]


def rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|") and not line.startswith("|:")]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    local = {link.split("#")[0] for link in links(page) if not link.startswith(("http://", "https://", "#"))}
    assert [link for link in sorted(local) if not (page.parent / link).exists()] == []


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        reached.add(page)
        found = {(page.parent / link.split("#")[0]).resolve() for link in links(page) if link.endswith(".md")}
        waiting += found - reached
    assert {path.resolve() for path in (ROOT / "docs").rglob("*.md")} <= reached


@pytest.mark.parametrize("page", BLOCKS)
def test_the_tables_of_a_run_are_in_place(page: str) -> None:
    assert re.findall(r"<!-- begin (\w+) -->", (ROOT / page).read_text(encoding="utf-8")) == BLOCKS[page]
    for name in BLOCKS[page]:
        assert block(page, name).strip()


def test_the_short_table_agrees_with_the_full_one() -> None:
    (_, *methods), *short = rows(block("README.md", "short"))
    titles, *full = rows(block("docs/demo.md", "table3"))
    assert titles == ["Task", "k", *methods]
    fewest = full[0][1]
    zero_shot = [[task, *(cell.split("<br>") for cell in cells)] for task, k, *cells in full if k == fewest]
    assert short == [[task, *(f"{mean} ({interval})" for mean, interval in cells)] for task, *cells in zero_shot]
