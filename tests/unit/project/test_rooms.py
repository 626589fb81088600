"""The rooms of `scripts/common`: who imports whom, as docs/architecture.md says it."""

import ast
import fnmatch
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.base.paths import ROOT, SCRIPTS
from common.jobs import digest
from support.sources import clear_digests, existing

COMMON = SCRIPTS / "common"
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
ENTRY_POINTS = sorted(path.name for path in SCRIPTS.glob("*.py"))
TRAINING = sorted(path.name for path in SCRIPTS.glob("train_*.py"))
# What is edited while results are looked at, and must neither train nor evaluate anything again.
RENDERING = (
    "stats/significance.py", "stats/paired.py", "files/yaml_files.py", "tables/table.py",
    "paper/audit_digits.py", "paper/claims.py", "report/page_data.py", "human_eval/ratings.py",
)  # fmt: skip


def table(heading: str) -> dict[str, set[str]]:
    """First column (names in backticks) and last column (rooms) of the table under a heading."""
    section = ARCHITECTURE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    words = {row[0].strip(): set(re.findall(r"[a-z_]+", row[-1])) - {"nothing"} for row in rows}
    return {name: rooms for names, rooms in words.items() for name in re.findall(r"`([^`]+)`", names) or [names]}


ROOMS, REACH = table("The rooms"), table("What a script reaches")


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of ours that a source file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from [alias.name for alias in node.names]


def forbidden(source: str, room: str) -> set[str]:
    """Rooms that a source file of `room` imports and may not."""
    found = {module.split(".")[1] for module in imported(ast.parse(source)) if module.startswith("common.")}
    return found - ROOMS[room] - {room}


def room_of(path: Path) -> str:
    return path.relative_to(COMMON).parts[0]


def modules() -> list[Path]:
    return sorted(path for path in COMMON.rglob("*.py") if path.parent != COMMON)


def test_every_room_stands_in_the_table() -> None:
    assert {room_of(path) for path in modules()} == set(ROOMS)
    assert set().union(*ROOMS.values()) <= set(ROOMS)
    assert [path.name for path in COMMON.glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_what_the_table_allows(room: str) -> None:
    found = {
        path.name: forbidden(path.read_text(encoding="utf-8"), room) for path in modules() if room_of(path) == room
    }
    assert {name: rooms for name, rooms in found.items() if rooms} == {}


@pytest.mark.parametrize(
    "line",
    ["from common.tables.table import Table", "from common.tables import table", "import common.tables.table",
     "def late():\n    from common.tables.table import Table"],
)  # fmt: skip
def test_a_forbidden_import_is_found_wherever_it_stands(line: str) -> None:
    source = (COMMON / "training/supervised.py").read_text(encoding="utf-8")
    assert forbidden(f"{source}\n{line}\n", "training") == {"tables"}


def test_the_rooms_have_an_order() -> None:
    """No circle: rooms can be entered one after the other, each after those it imports."""
    entered: set[str] = set()
    while open_now := {room for room in set(ROOMS) - entered if ROOMS[room] <= entered}:
        entered |= open_now
    assert entered == set(ROOMS)


def test_packages_hold_a_docstring_and_nothing_else() -> None:
    for path in COMMON.rglob("__init__.py"):
        [only] = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(only, ast.Expr), path
        assert isinstance(only.value, ast.Constant), path


def test_no_import_is_relative_or_of_another_script() -> None:
    """The digest of a script's code follows absolute imports; entry points do not import each other."""
    scripts = {Path(name).stem for name in ENTRY_POINTS}
    for path in SCRIPTS.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level], path
        assert not {module.split(".")[0] for module in imported(tree)} & scripts, path


def test_every_script_starts_quickly() -> None:
    for script in ENTRY_POINTS:
        tree = ast.parse((SCRIPTS / script).read_text(encoding="utf-8"))
        assert next(imported(tree)) == "common.base.quick_start", script


@pytest.mark.parametrize("script", ENTRY_POINTS)
def test_a_script_reaches_what_its_line_allows(script: str) -> None:
    patterns = [pattern for pattern in REACH if fnmatch.fnmatch(Path(script).stem, pattern)]
    allowed = REACH[patterns[0] if patterns else "all others"]
    closure = [path for path in digest.import_closure(script) if path.is_relative_to(COMMON) and path.parent != COMMON]
    assert {room_of(path) for path in closure} <= allowed


@pytest.fixture(scope="module")
def rerun(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Scripts whose digest changes with an edit of what renders, so that their jobs would run again."""
    folder = tmp_path_factory.mktemp("edited") / "scripts"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = {script: digest.script_digest(script) for script in ENTRY_POINTS}
    for path in existing(*RENDERING):
        with open(folder / path, "a", encoding="utf-8") as file:
            file.write("\nEDITED = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "SCRIPTS", folder)
        clear_digests()
        changed = {script for script, old in before.items() if digest.script_digest(script) != old}
    clear_digests()
    return changed


@pytest.mark.parametrize("script", [*TRAINING, "evaluate_task.py"])
def test_an_edit_of_what_renders_trains_and_evaluates_nothing(script: str, rerun: set[str]) -> None:
    assert script not in rerun
    assert "render_table3.py" in rerun


def walk(heading: str) -> list[tuple[str, str]]:
    """(rule, file) of a walk, in order; rows without a rule are of the one before."""
    rows = [
        line.strip("|").split("|") for line in ARCHITECTURE.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    ]
    steps, rule = [], ""
    for row in rows:
        if len(row) == 3 and "`" in row[1]:
            rule = (re.findall(r"`(\w+)`", row[0]) or [rule])[0]
            steps += [(rule, name) for name in re.findall(r"`([^`]+)`", row[1])]
    return steps


def place_of(name: str) -> Path:
    return ROOT / name if name.startswith("scripts/") else COMMON / name


@pytest.mark.parametrize("heading", ["From a prompt to a checkpoint", "From an evaluation item to a cell of Table 3"])
def test_a_walk_passes_files_that_its_script_reaches(heading: str) -> None:
    steps = walk(heading)
    assert len(steps) > 10
    for rule, name in steps:
        reached = {*digest.import_closure(f"{rule}.py"), SCRIPTS / "launch.py"}
        assert place_of(name) in reached, (rule, name)


def test_a_prompt_enters_eight_files_of_its_training_and_comes_back_to_none() -> None:
    files = [name for rule, name in walk("From a prompt to a checkpoint") if rule == "train_coh"]
    assert len(set(files)) == len(files) <= 8


def test_files_keep_their_size() -> None:
    """docs/decisions.md, "Sizes"."""
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SCRIPTS.rglob("*.py")}
    assert {path for path, count in lines.items() if count > (250 if path.parent == SCRIPTS else 350)} == set()
    rules = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "rules").glob("*.smk"))
    assert rules <= 950
