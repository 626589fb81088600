"""Set-up against a package index on this disk, with the network out of reach."""

import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from common.base.paths import ROOT

UV = re.search(r'^UV = "uv==(.+)"$', (ROOT / "tools/set_up.py").read_text(encoding="utf-8"), re.MULTILINE)[1]
TORCH = {"torch/version.py": b"__version__ = '2.13.0+cpu'\ncuda = None\n"}


def add_wheel(index: Path, name: str, version: str, files: dict[str, bytes]) -> None:
    """Put a wheel with `files` into a simple package index."""
    folder = index / name
    folder.mkdir(parents=True)
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / wheel, "w") as archive:
        for path, content in (files | {f"{info}/RECORD": record.encode()}).items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, content)
    (folder / "index.html").write_text(f'<a href="{wheel.replace("+", "%2B")}">{wheel}</a>\n')


def add_uv(index: Path) -> None:
    """Put the uv of this environment into the index, as the wheel it came from."""
    program = shutil.which("uv", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("this environment was made without uv")
    assert importlib.metadata.version("uv") == UV
    add_wheel(index, "uv", UV, {f"uv-{UV}.data/scripts/uv": Path(program).read_bytes()})


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A package index that has a torch and nothing else."""
    add_wheel(tmp_path / "index", "torch", "2.13.0+cpu", TORCH)
    return tmp_path / "index"


@pytest.fixture
def unreachable() -> dict[str, str]:
    """Environment variables of a process for which every host lies behind a closed local port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    own = {key: value for key, value in own.items() if not key.lower().endswith("_proxy")}
    return own | {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}


def set_up(folder: Path, pin: str, environ: dict[str, str]) -> tuple[int, str, str]:
    """Exit code, output and errors of setting up `folder`/environment with one package."""
    lock = folder / "requirements.lock"
    lock.write_text(f"{pin}\n")
    command = [sys.executable, ROOT / "tools/set_up.py", "--environment", "environment", "--lock", lock]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def installer(folder: Path) -> str:
    """Which program installed torch."""
    (info,) = folder.glob("environment/lib/python3*/site-packages/torch-2.13.0+cpu.dist-info")
    return (info / "INSTALLER").read_text(encoding="utf-8").strip()


def test_without_the_index_of_torch_set_up_goes_on(tmp_path: Path, index: Path, unreachable: dict[str, str]) -> None:
    add_uv(index)
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = file://{index}\n")
    settings = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "UV_TORCH_BACKEND": "cu128"}
    code, told, errors = set_up(tmp_path, "torch==2.13.0", unreachable | settings)
    assert (code, errors) == (0, ""), told
    begun, torch, ended = told.splitlines()
    assert begun.startswith("setting up environment with Python 3.")
    assert torch.startswith("torch: the build of the package index, since download.pytorch.org cannot be reached (")
    assert "refused" in torch
    assert re.fullmatch(r"set up in \d+ s: torch 2\.13\.0\+cpu, built for CPUs.*", ended)
    assert installer(tmp_path) == "uv"
    assert not (tmp_path / "environment/uv-cache").exists()


def test_without_uv_pip_installs(tmp_path: Path, index: Path, unreachable: dict[str, str]) -> None:
    code, told, errors = set_up(tmp_path, "torch==2.13.0", unreachable | {"UV_DEFAULT_INDEX": f"file://{index}"})
    assert (code, errors) == (0, ""), told
    _, by_pip, ended = told.splitlines()
    assert by_pip.startswith("pip installs the packages, which takes longer, since uv cannot: ")
    assert by_pip.endswith(f"No matching distribution found for uv=={UV}")
    assert ended.endswith("torch 2.13.0+cpu, built for CPUs")
    assert installer(tmp_path) == "pip"


def test_a_package_that_cannot_be_had_is_told(tmp_path: Path, index: Path, unreachable: dict[str, str]) -> None:
    code, _, errors = set_up(tmp_path, "torch==1.0", unreachable | {"PIP_INDEX_URL": f"file://{index}"})
    assert code == 3
    what, where, remedy = errors.splitlines()[-3:]
    assert what == "error: the packages cannot be installed"
    assert where == "  where: ERROR: No matching distribution found for torch==1.0"
    assert remedy.startswith("  what to do: ")
