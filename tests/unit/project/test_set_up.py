"""What set-up chooses: Python, package index, and the build of torch."""

import http.server
import socket
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import set_up

from common.base import errors
from common.base.paths import ROOT

PYPI = "https://pypi.org/simple"
MIRROR = "https://packages.example.org/simple"


@pytest.fixture
def closed_port() -> int:
    """A local port nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A local port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """The address of a package index that answers."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(tmp_path), **options)

        def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
            if self.path == "/overloaded":
                self.send_error(503)
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


# --- Python -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_python_that_the_packages_support_is_taken(version: tuple[int, int]) -> None:
    set_up.check_python(version)


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 10), (3, 14), (4, 0)])
def test_another_python_is_refused_in_three_lines(version: tuple[int, int], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        set_up.check_python(version)
    what, where, remedy = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert what == f"error: Python 3.11, 3.12 or 3.13 is needed, this is {version[0]}.{version[1]}"
    assert where.startswith("  where: /")
    assert remedy.startswith("  what to do: make setup PYTHON=")


def test_the_project_asks_for_the_same_pythons() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    (oldest, newest) = (set_up.OLDEST, set_up.NEWEST)
    assert asked == f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"
    assert (set_up.BAD_INPUT, set_up.MACHINE) == (errors.EXIT_BAD_INPUT, errors.EXIT_MACHINE)


def test_an_environment_of_another_python_is_kept_and_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.9.2\n")
    with pytest.raises(SystemExit) as ended:
        set_up.make_environment(tmp_path)
    assert ended.value.code == 2
    assert "error: the environment was made with Python 3.9" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pyvenv.cfg"]


def test_an_active_environment_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyvenv.cfg").write_text("version = {}.{}.0\n".format(*sys.version_info))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(set_up, "run", lambda *_: "Unable to copy python to itself")
    assert set_up.make_environment(tmp_path) == tmp_path / "bin/python"


# --- what is configured for pip reaches uv ------------------------------------------------------------------------


def test_pips_environment_wins_over_its_files() -> None:
    listed = (
        ":env:.default-timeout='60'\nglobal.index-url='https://a/simple'\nglobal.cert='/etc/ca.pem'\n"
        "install.index-url='https://b/simple'\nglobal.extra-index-url='\\nhttps://c/simple\\nhttps://d/simple'\n"
        "global.find-links=''\nglobal.no-index='false'\nwheel.no-deps='1'\n"
    )
    settings = set_up.read_pip_settings(listed)
    assert settings == {
        "timeout": "60", "index-url": "https://b/simple", "cert": "/etc/ca.pem",
        "extra-index-url": "\nhttps://c/simple\nhttps://d/simple",
    }  # fmt: skip
    assert set_up.read_pip_settings(listed + ":env:.index-url='https://e/simple'\n")["index-url"] == "https://e/simple"


def test_pips_indexes_become_uvs() -> None:
    pip = {"index-url": MIRROR, "extra-index-url": "https://c/simple https://d/simple", "find-links": "/wheels"}
    assert set_up.uv_options(pip, {}) == [
        "--default-index", MIRROR, "--index", "https://c/simple", "--index", "https://d/simple",
        "--find-links", "/wheels", "--index-strategy", "unsafe-best-match",
    ]  # fmt: skip
    assert set_up.uv_options({"index-url": MIRROR}, {}) == ["--default-index", MIRROR]
    assert set_up.uv_options({"no-index": "true", "find-links": "/w"}, {}) == ["--find-links", "/w", "--no-index"]


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_what_is_set_for_uv_wins(name: str) -> None:
    assert set_up.uv_options({"index-url": MIRROR}, {name: PYPI}) == []
    settings = set_up.uv_environment({"cert": "/a.pem", "timeout": "9"}, {"SSL_CERT_FILE": "/b.pem"}, Path("/cache"))
    assert settings == {"SSL_CERT_FILE": "/b.pem", "UV_HTTP_TIMEOUT": "9", "UV_CACHE_DIR": "/cache"}


@pytest.mark.parametrize(
    ("pip", "environ", "found"),
    [
        ({}, {}, None),
        ({"index-url": PYPI, "extra-index-url": MIRROR}, {}, None),
        ({"index-url": MIRROR}, {}, MIRROR),
        ({"index-url": PYPI}, {"UV_DEFAULT_INDEX": MIRROR}, MIRROR),
        ({}, {"UV_INDEX_URL": "https://me:secret@packages.example.org/simple"}, MIRROR),
        ({"no-index": "1"}, {}, "none, find-links only"),
    ],
)
def test_an_index_in_place_of_pypi_is_seen(pip: dict, environ: dict, found: str | None) -> None:
    assert set_up.configured_index(pip, environ) == found


# --- which build of torch -----------------------------------------------------------------------------------------


def test_an_index_that_answers_is_reachable(index: str, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    assert set_up.why_unreachable(f"{index}/torch/") is None
    assert set_up.why_unreachable(f"{index}/for-known-programs-only/") is None
    assert "503" in str(set_up.why_unreachable(f"{index}/overloaded"))


def test_a_closed_port_is_told_at_once(closed_port: int) -> None:
    started = time.monotonic()
    assert "refused" in str(set_up.why_unreachable(f"http://127.0.0.1:{closed_port}/torch/"))
    assert time.monotonic() - started < 2


def test_an_index_that_never_answers_costs_only_the_patience(silent_port: int) -> None:
    started = time.monotonic()
    told = str(set_up.why_unreachable(f"http://127.0.0.1:{silent_port}/torch/", patience=0.5))
    assert time.monotonic() - started < 2
    assert "timed out" in told or told == "no answer within 0.5 seconds"


def test_without_the_index_of_torch_the_package_index_serves(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_up, "TORCH_INDEX", f"http://127.0.0.1:{closed_port}/torch/")
    for wanted in (None, "cu128"):
        backends, reason = set_up.choose_backends(wanted, None, gpus_elsewhere=False)
        assert backends == [None]
        assert reason.startswith(f"of the package index, since 127.0.0.1:{closed_port} cannot be reached (")


def test_with_it_the_machine_decides(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_up, "TORCH_INDEX", f"{index}/")
    assert set_up.choose_backends(None, None, gpus_elsewhere=False)[0] == ["auto", "cpu", None]
    assert set_up.choose_backends("cu128", MIRROR, gpus_elsewhere=True)[0] == ["cu128", None]
    assert set_up.choose_backends(None, MIRROR, gpus_elsewhere=False) == (
        [None], f"of the configured package index ({MIRROR})",
    )  # fmt: skip


def test_for_gpus_elsewhere_no_build_for_cpus_is_chosen(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_up, "TORCH_INDEX", f"{index}/")
    expected = ["auto", "cpu", None] if set_up.has_gpu() else [None]
    assert set_up.choose_backends(None, None, gpus_elsewhere=True)[0] == expected


@pytest.mark.parametrize(
    ("version", "lines", "told"),
    [
        ("2.13.0+cpu", "cuda: Optional[str] = None\nhip: Optional[str] = None\n", "torch 2.13.0+cpu, built for CPUs"),
        ("2.13.0+cu130", "cuda: Optional[str] = '13.0'\n", "torch 2.13.0+cu130, built for CUDA 13.0"),
        ("2.13.0+rocm7.1", "cuda = None\nhip = '7.1.25424'\n", "torch 2.13.0+rocm7.1, built for ROCm 7.1.25424"),
    ],
)  # fmt: skip
def test_the_installed_build_is_told(tmp_path: Path, version: str, lines: str, told: str) -> None:
    file = tmp_path / "lib/python3.12/site-packages/torch/version.py"
    file.parent.mkdir(parents=True)
    file.write_text(f"from typing import Optional\n__version__ = '{version}'\n{lines}")
    assert set_up.describe_torch(tmp_path).startswith(told)
