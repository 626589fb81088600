"""No source file runs data as code, and nothing that is configured becomes a command."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from common.base.errors import UserError
from common.base.paths import ROOT

SOURCES = sorted(
    path
    for folder in ("scripts", "comparisons", "tools", "tests", "profiles")
    for path in (ROOT / folder).rglob("*.py")
    if ".environments" not in path.parts  # the peers' packages
)


# Modules that run what they read, and calls that do.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load",
         "yaml.full_load", "tarfile.open", "shutil.unpack_archive", "numpy.load", "np.load", "pandas.read_pickle",
         "pd.read_pickle"}  # fmt: skip


METHODS = {"extractall", "extract"}


# What is allowed after all, and why.
ALLOWED = {
    ("tests/unit/models/test_hostile_models.py", "pickle"): "makes a pickle to see that it is refused",
    ("tests/support/independent_readings.py", "yaml.load"): "with the safe loader of libyaml",
    (
        "scripts/common/report/archives.py",
        "tarfile.open",
    ): "member by member, each with its hash",
    ("tests/unit/report/test_archives.py", "tarfile.open"): "makes archives that must be refused",
    ("tests/support/model_cards.py", "exec"): "runs a card's own example, as its reader would",
    ("tests/support/model_cards.py", "compile"): "the same",
    ("tests/unit/report/test_model_card.py", "compile"): "sees that a card's example is Python",
}


def spelled(node: ast.expr) -> str:
    """`a.b.c` of a call's function."""
    return ast.unparse(node)


def forbidden(path: Path) -> Iterator[str]:
    """Names of what in a source file could run data as code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            name = spelled(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in CALLS or name.split(".")[-1] in METHODS:
                yield name
            if name == "torch.load" and options.get("weights_only") != "True":
                yield name
            for option in ("shell", "allow_pickle", "trust_remote_code"):
                if options.get(option, "False") != "False":
                    yield f"{name}({option}=...)"
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                named = isinstance(key, ast.Constant) and key.value in ("trust_remote_code", "allow_pickle", "shell")
                if named and ast.unparse(value) != "False":
                    yield ast.unparse(key)


def test_no_source_file_runs_data_as_code() -> None:
    assert len(SOURCES) > 100
    found = {(str(path.relative_to(ROOT)), name) for path in SOURCES for name in forbidden(path)}
    assert found - ALLOWED.keys() == set()
    assert ALLOWED.keys() - found == set(), "no longer needed"


# Fields of shell commands that are no text of the configuration: numbers, words of a closed list, names of the code.
PLAIN = {"threads", "params.script", "params.further", "resources.gpu", "resources.device", "resources.processes",
         "resources.stop_lead", "resources.nodes"}  # fmt: skip
QUOTED_BEFORE = {"params.options", "params.python"}  # by shlex.quote, in rules/calls.smk


def test_every_text_in_a_shell_command_is_quoted() -> None:
    fields, commands = [], 0
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for command in re.findall(r"\n    shell:\n((?:        .*\n?)+)", path.read_text(encoding="utf-8")):
            commands += 1
            fields += re.findall(r"\{([\w.]+)(:q)?\}", command)
    assert commands == 2, "of a plain job, of a launched one"
    assert len(fields) > 12
    assert {name for name, quoted in fields if not quoted} <= PLAIN | QUOTED_BEFORE


@pytest.mark.parametrize("name", ["my model", "m;touch x", "m'", "../m", "m$(x)", "M"])
def test_odd_model_and_preset_names_are_refused(tmp_path: Path, name: str) -> None:
    from common.config.loading import load_configuration

    local = {"label": "x", "source": {"kind": "local", "path": "x"}}
    for number, content in enumerate(({"preset": "my", "models": {name: local}}, {"preset": name})):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(UserError, match="the configuration is not valid"):
            load_configuration(ROOT / "config.yaml", [path], {})
