"""The digest of a script: it names what the script can reach, and knows code from comments."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.base.paths import SCRIPTS
from common.jobs import digest
from support.sources import clear_digests, existing


def test_import_closure_stays_small_for_light_scripts() -> None:
    closure = {path.relative_to(SCRIPTS).as_posix() for path in digest.import_closure("collect_cells.py")}
    assert closure.isdisjoint(existing("training/frame.py", "evaluation/scoring.py", "models/loading.py"))
    assert "common/tables/cells.py" in closure


PROBE = '''"""What the module is for."""

import math

LIMIT = 3  # a comment


class Probe:
    """A class."""

    def area(self, radius: float) -> float:
        """Of a circle."""
        return math.pi * radius**2 if radius < LIMIT else 0.0
'''


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of scripts/ with a module `common.probe` and a script `ask.py` that imports it."""
    folder = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "common" / "probe.py").write_text(PROBE, encoding="utf-8")
    (folder / "ask.py").write_text("def main():\n    from common import probe\n", encoding="utf-8")
    monkeypatch.setattr(digest, "SCRIPTS", folder)
    yield folder
    clear_digests()


def fresh_digest(script: str) -> str:
    clear_digests()
    return digest.script_digest(script)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_digest_does_not_depend_on_where_the_code_lies(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_copy = fresh_digest("evaluate_task.py")
    monkeypatch.setattr(digest, "SCRIPTS", SCRIPTS)
    assert fresh_digest("evaluate_task.py") == of_copy
    assert len(of_copy) == 16


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another comment"),
        ('"""What the module is for."""', '"""Something else."""'),
        ('    """A class."""\n', ""),
        ("Of a circle", "Of a disc"),
        ("math.pi * radius**2", "(\n            math.pi\n            * radius ** 2)"),
        ("LIMIT = 3", "\n\nLIMIT = (3)"),
    ],
)
def test_digest_ignores_comments_docstrings_and_layout(copied: Path, old: str, new: str) -> None:
    before = fresh_digest("ask.py")
    rewrite(copied / "common" / "probe.py", old, new)
    assert fresh_digest("ask.py") == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("else 0.0", "else 0"),
        ("<", "<="),
        ("radius**2", "radius**2.0"),
        ("LIMIT = 3", 'LIMIT = 3\n"""Not a docstring of anything that has one."""'),
    ],
)
def test_digest_notices_changed_code(copied: Path, old: str, new: str) -> None:
    before = fresh_digest("ask.py")
    rewrite(copied / "common" / "probe.py", old, new)
    assert fresh_digest("ask.py") != before


def test_digest_is_of_what_every_version_of_python_reads_alike() -> None:
    """Newer ones have fields such as `type_params`, older ones print empty lists."""
    code = ast.parse("def f(a):\n    return None\n")
    argument = ("arguments", ("args", [("arg", ("arg", "'a'"))]))
    body = ("body", [("Return", ("value", ("Constant",)))])
    assert digest._bare(code) == ("Module", ("body", [("FunctionDef", ("name", "'f'"), ("args", argument), body)]))


def test_digest_concerns_only_reachable_code(copied: Path) -> None:
    rewrite(copied / "common" / "evaluation" / "scoring.py", "SCORINGS = ", "import common.probe\nSCORINGS = ")
    before = {script: fresh_digest(script) for script in ("train_sft.py", "evaluate_task.py", "ask.py")}
    rewrite(copied / "common" / "probe.py", "LIMIT = 3", "LIMIT = 4")
    changed = {script for script, old in before.items() if fresh_digest(script) != old}
    assert changed == {"evaluate_task.py", "ask.py"}


def test_digest_notices_every_module_of_the_closure(copied: Path) -> None:
    unnoticed, before = [], fresh_digest("prepare_task.py")
    for path in digest.import_closure("prepare_task.py"):
        original = path.read_bytes()
        path.write_bytes(original + b"\nADDED = 1\n")
        if fresh_digest("prepare_task.py") == before:
            unnoticed.append(path.name)
        path.write_bytes(original)
    assert unnoticed == []
    assert fresh_digest("prepare_task.py") == before


@pytest.mark.parametrize(
    ("script", "absent"),
    [
        ("train_ppo.py", {"training/trl_training.py", "training/supervised.py", "training/reward.py"}),
        ("train_reward.py", {"training/supervised.py", "training/ppo/loop.py"}),
        ("train_dpo.py", {"training/supervised.py", "training/reward.py"}),
        ("evaluate_task.py", {"training/engine.py"}),
        ("sample_responses.py", {"training/engine.py"}),
    ],
)
def test_an_edit_to_one_method_reruns_no_other(script: str, absent: set[str]):
    closure = {path.relative_to(SCRIPTS).as_posix() for path in digest.import_closure(script)}
    assert closure.isdisjoint(existing(*absent))
