"""The Containerfile agrees with the project: what it copies, what it installs, and what it leaves out."""

import fnmatch
import http.server
import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import set_up

from common.base.paths import ROOT

TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/containers.md").read_text(encoding="utf-8")
DECISIONS = (ROOT / "docs/decisions.md").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
SET_UP = (ROOT / "tools/set_up.py").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """(instruction, its arguments), lines that go on joined, without comments."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def left_out(path: str) -> bool:
    """Whether .dockerignore leaves a file of the project out; the last pattern that fits decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        names = [path, *map(str, Path(path).parents)]
        if line and not line.startswith("#") and any(fits(name, pattern) for name in names):
            ignored = not line.startswith("!")
    return ignored


def fits(name: str, pattern: str) -> bool:
    """As container engines read a pattern: `*` within one folder, `**/` at any depth."""
    if pattern.startswith("**/"):
        return fnmatch.fnmatch(name.split("/")[-1], pattern[3:])
    return name.count("/") == pattern.count("/") and fnmatch.fnmatch(name, pattern)


def variants() -> set[str]:
    """Values of the build argument that are named anywhere."""
    return {name for text in (TEXT, PAGE) for name in re.findall(r"\bTORCH=([\w.]+)", text)}


def test_every_file_it_copies_is_there() -> None:
    copied = [name for rest in arguments("COPY") for name in shlex.split(rest)[:-1] if not name.startswith("--")]
    assert {"requirements.lock", "tools/set_up.py", "."} == set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert not any(left_out(name) for name in copied)


def test_its_python_is_one_the_project_supports() -> None:
    (image,) = arguments("FROM")
    version = re.fullmatch(r"docker\.io/library/python:(\d+)\.(\d+)\.\d+-slim-[a-z]+", image)
    assert version, "a tag with the full version of Python"
    set_up.check_python((int(version[1]), int(version[2])))
    environments = [path.read_text(encoding="utf-8") for path in (ROOT / "envs").glob("*.yaml")]
    assert all(f"python={version[1]}.{version[2]}" in text for text in environments)


def test_set_up_installs_the_lock_and_nothing_installs_beside_it() -> None:
    commands = " ".join(arguments("RUN"))
    assert "python tools/set_up.py --environment .venv" in commands
    assert set_up.LOCK == ROOT / "requirements.lock"
    assert not re.search(r"\b(pip|uv|conda|pipx|easy_install)\b", commands)
    assert "==" not in commands


def test_what_set_up_and_triton_need_is_installed() -> None:
    (system,) = re.findall(r"apt-get install ([^&]*)", " ".join(arguments("RUN")))
    assert {word for word in system.split() if not word.startswith("-")} == {"g++", "git", "make"}


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An index of torch that answers."""
    answers = {"do_GET": lambda self: self.send_error(404), "log_message": lambda *_: None}
    handler = type("Handler", (http.server.BaseHTTPRequestHandler,), answers)
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(set_up, "TORCH_INDEX", f"http://127.0.0.1:{server.server_port}/torch/")
        yield
        server.shutdown()


@pytest.mark.usefixtures("index")
def test_set_up_takes_the_torch_that_the_build_names() -> None:
    assert arguments("ARG") == ["TORCH=cpu"]
    (command,) = [rest for rest in arguments("RUN") if "set_up.py" in rest]
    (variable,) = re.findall(r'(\w+)="\$TORCH"', command)
    assert f'environ.pop("{variable}", None)' in SET_UP
    assert variants() == {"cpu", "cu130"}
    (locked,) = re.findall(r"^torch==(.+)$", LOCK, re.MULTILINE)
    for name in variants():
        assert set_up.choose_backends(name, None, False)[0][0] == name
        assert f"{locked}+{name}`" in DECISIONS, "no build of the torch that is locked"


def test_another_torch_than_the_named_one_ends_the_build() -> None:
    (command,) = [rest for rest in arguments("RUN") if "set_up.py" in rest]
    assert "&& .venv/bin/python -c \"import torch; assert torch.__version__.endswith('+$TORCH')" in command


def test_it_does_not_run_as_root() -> None:
    assert arguments("USER") == ["runner"]
    assert all("--chown=runner" in rest for rest in arguments("COPY"))


def test_make_and_snakemake_work_in_the_folder_that_the_page_mounts() -> None:
    (folder,) = arguments("WORKDIR")
    assert f"PATH={folder}/.venv/bin:$PATH" in arguments("ENV")
    assert arguments("CMD") == ['["make", "run"]']
    targets = set(re.findall(r"(?:results|\.snakemake):(/[^\s\",]+)", PAGE))
    assert targets == {f"{folder}/results", f"{folder}/.snakemake"}
    assert [rest for _, rest in instructions()].index("touch .venv/installed") > arguments("COPY").index(
        "--chown=runner . ."
    )


@pytest.mark.parametrize(
    "path", [".venv/bin/python", "results/demo/models/x", "comparisons/.environments/trl/x", ".snakemake/log",
             "scripts/common/__pycache__/x.pyc"],
)  # fmt: skip
def test_environments_and_results_stay_out(path: str) -> None:
    assert left_out(path)


def test_what_belongs_to_the_project_goes_in() -> None:
    folders = ("scripts", "rules", "config", "resources", "profiles", "tools", "tests", "envs", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    names = ["Snakefile", "Makefile", "config.yaml", "results/README.md", ".git/HEAD"]
    names += [str(path.relative_to(ROOT)) for path in files]
    assert [name for name in names if left_out(name)] == []
