"""The page on failures agrees with the code, and every test a document names is there."""

import ast
import re
from pathlib import Path

from common.base import errors
from common.base.paths import ROOT

FAILURES = (ROOT / "docs/failures.md").read_text(encoding="utf-8")


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_fault_of_the_documentation_has_a_test() -> None:
    rows = [line for line in FAILURES.splitlines() if line.startswith("| ") and "::" in line]
    assert len(rows) >= 15
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::\w+`", row)] == []


def test_every_test_that_a_document_names_exists() -> None:
    named = set()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        named |= set(re.findall(r"`(tests/[\w/.]*)(?:::(\w+))?`", page.read_text(encoding="utf-8")))
    assert len(named) >= 50
    for path, name in sorted(named):
        assert (ROOT / path).exists(), path
        assert not name or name in functions(ROOT / path), (path, name)


def test_the_documented_exit_codes_are_those_of_the_code() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", FAILURES, re.MULTILINE)}
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert documented == codes | {0, 130}


def test_messages_are_documented_as_the_code_has_them() -> None:
    """Every message quoted in the table stands somewhere in the code."""
    sources = (path for folder in ("scripts", "tools", "profiles") for path in (ROOT / folder).rglob("*.py"))
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    flat = re.sub(r'"\s*\n\s*f?"', "", code)
    quoted = re.findall(r"`error: ([^`]+)`", FAILURES)
    assert len(quoted) >= 12
    for message in quoted:
        for part in re.split(r"<[^>]+>", message):
            assert part.strip() in flat, message
