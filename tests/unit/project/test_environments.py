"""Pins of the environments agree with the lock, and the lock covers what the code imports."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from common.base.paths import ROOT
from common.jobs.digest import SCRIPTS, import_closure

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
SOURCES = sorted(SCRIPTS.rglob("*.py"))
DISTRIBUTIONS = importlib.metadata.packages_distributions()


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lines: list[str]) -> dict[str, str]:
    """`name==version` lines; anything else is an error."""
    pins = {}
    for line in lines:
        matched = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s=;]+)", line)
        assert matched, f"no exact pin: {line}"
        assert normal(matched[1]) not in pins, f"pinned twice: {line}"
        pins[normal(matched[1])] = matched[2]
    return pins


def lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return pinned([line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")])


def environment_pins(path: Path) -> dict[str, str]:
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    return pinned(next(entry["pip"] for entry in dependencies if isinstance(entry, dict)))


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def required_names(requirements: list[str]) -> set[str]:
    return {normal(re.match(r"[A-Za-z0-9._-]+", requirement)[0]) for requirement in requirements}


def imported_names(nodes: Iterator[ast.AST]) -> set[str]:
    """Top-level names of all absolute imports among `nodes`."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def third_party(names: set[str]) -> set[str]:
    ours = {path.stem for path in SCRIPTS.iterdir()}
    return names - ours - set(sys.stdlib_module_names)


def distributions(name: str) -> set[str]:
    return {normal(found) for found in DISTRIBUTIONS.get(name, [])}


HEAD = re.compile(r"^(?:use rule (\w+) as (\w+) with|rule (\w+)):$", re.MULTILINE)
SCRIPT = re.compile(r'(?:calls|renders|renders_table)\(\s*"(\w+)"|trains\("(\w+)"')
BASES = ("plain_job", "launched_job")  # what all others take their command from; no job is theirs


def rules() -> dict[str, tuple[str, str]]:
    """(environment, script) of every rule in rules/; what a rule does not name is that of the rule it uses."""
    found: dict[str, tuple[str | None, list[str], list[str]]] = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        _, *parts = HEAD.split(path.read_text(encoding="utf-8"))
        for used, derived, plain, block in zip(*(parts[i::4] for i in range(4)), strict=True):
            environments = re.findall(r'"\.\./(envs/\w+\.yaml)"', block)
            scripts = [called or f"train_{method}" for called, method in SCRIPT.findall(block)]
            found[plain or derived] = (used, environments, scripts)

    def inherited(rule: str, place: int) -> str:
        named = found[rule][place]
        assert len(named) <= 1, rule
        return named[0] if named else inherited(str(found[rule][0]), place)

    return {rule: (inherited(rule, 1), f"{inherited(rule, 2)}.py") for rule in found if rule not in BASES}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environment_pins_equal_the_lock(path: Path) -> None:
    locked = lock()
    pins = environment_pins(path)
    assert pins != {}
    assert {name: locked.get(name) for name in pins} == pins


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environment_runs_on_the_python_the_project_asks_for(path: Path) -> None:
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    assert project()["project"]["requires-python"] == ">=3.11,<3.14"
    assert "python=3.11" in dependencies
    assert "pip" in dependencies


def test_every_rule_has_an_environment_and_every_environment_a_rule() -> None:
    found = rules()
    assert {"prepare_task", "train_sft", "train_coh", "evaluate_task", "render_table3"} <= found.keys()
    assert {environment for environment, _ in found.values()} == {f"envs/{path.name}" for path in ENVIRONMENTS}


def test_every_rule_starts_the_script_of_its_name() -> None:
    assert {rule: script for rule, (_, script) in rules().items() if script != f"{rule}.py"} == {
        "evaluate_marker": "evaluate_task.py"
    }


def test_environment_of_a_rule_has_what_its_script_imports() -> None:
    lacking = []
    for rule, (environment, script) in rules().items():
        pins = environment_pins(ROOT / environment).keys()
        for source in import_closure(script):
            top_level = iter(ast.parse(source.read_text(encoding="utf-8")).body)
            names = third_party(imported_names(top_level))
            lacking += [(rule, source.name, name) for name in names if not distributions(name) & pins]
    assert lacking == []


def test_direct_dependencies_are_pinned() -> None:
    declared = project()
    direct = required_names(declared["project"]["dependencies"])
    development = required_names(declared["dependency-groups"]["dev"])
    assert len(direct) > 10
    assert len(development) > 5
    assert (direct | development) - lock().keys() == set()


# What torch brings along in its builds for GPUs, in versions that torch itself names.
OF_TORCH = re.compile(r"nvidia-.+|cuda-.+|(pytorch-)?triton(-.+)?")


def test_what_pinned_packages_need_is_pinned() -> None:
    needed = set()
    for name in lock():
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed |= required_names([requirement.name])
    assert {"setuptools", "numpy"} <= needed
    assert {name for name in needed - lock().keys() if not OF_TORCH.fullmatch(name)} == set()


def test_third_party_imports_are_direct_dependencies() -> None:
    direct = required_names(project()["project"]["dependencies"])
    names = set()
    for source in SOURCES:
        names |= third_party(imported_names(ast.walk(ast.parse(source.read_text(encoding="utf-8")))))
    assert {"torch", "yaml", "pandas"} <= names
    assert {name for name in names if not distributions(name) & direct} == set()
