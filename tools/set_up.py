"""Make the environment: every package of requirements.lock, with the build of torch that this machine can use.

python3 tools/set_up.py --environment .venv

Needs a Python and its standard library only. pip installs uv and uv the packages; without uv, pip installs them.
uv takes torch from PyTorch's own index: the build for the driver of the GPU, or the one for CPUs. If that index
cannot be reached, or a package index is configured for pip or uv, torch comes from the package index, in whatever
build that offers. UV_TORCH_BACKEND (cpu, cu128, ...) chooses another build.
"""

import argparse
import ast
import http.client
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NoReturn

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
UV = "uv==0.13.9"
OLDEST, NEWEST = (3, 11), (3, 13)  # immutables, which snakemake needs, has no wheel for 3.14
TORCH_INDEX = "https://download.pytorch.org/whl/cpu/torch/"
# In the environment, so that uv links files instead of copying them; kept for the next try if a download is cut short.
CACHE = "uv-cache"
PATIENCE = 5.0  # seconds the index of torch may take to answer
BAD_INPUT, MACHINE = 2, 3  # exit codes, as in docs/failures.md


def fail(what: str, where: object, remedy: str, code: int) -> NoReturn:
    """Say what happened, where and what to do, and end."""
    print(f"error: {what}\n  where: {where}\n  what to do: {remedy}", file=sys.stderr)
    sys.exit(code)


def check_python(version: tuple) -> None:
    """End with a message unless the packages are known to install under this version, a pair such as (3, 12)."""
    if OLDEST <= version <= NEWEST:
        return
    others = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    known = next(filter(shutil.which, others), "/path/to/python3.12")
    what = "Python 3.11, 3.12 or 3.13 is needed, this is {}.{}".format(*version)
    fail(what, sys.executable, f"make setup PYTHON={known}", BAD_INPUT)


check_python(sys.version_info[:2])  # before anything an older Python cannot read


def last_line(text: str) -> str:
    """The last line that is not empty: pip and uv end with the cause."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason was given")


def run(command: list, environ: dict[str, str]) -> str:
    """Run `command`; what it printed if it failed, else nothing."""
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    except OSError as error:  # a program that this machine cannot run
        return f"{command[0]}: {error.strerror}"
    return (done.stdout + done.stderr or f"it ended with {done.returncode}") if done.returncode else ""


def make_environment(folder: Path) -> Path:
    """A virtual environment in `folder`, or the one already there; its interpreter is returned."""
    version = "{}.{}".format(*sys.version_info)
    settings = folder / "pyvenv.cfg"
    found = re.search(r"^version = (\d+\.\d+)", settings.read_text() if settings.exists() else "", re.MULTILINE)
    if found and found[1] != version:
        what = f"the environment was made with Python {found[1]}, this is {version}"
        fail(what, settings, f"remove {folder}, or name that Python: make setup PYTHON=python{found[1]}", BAD_INPUT)
    if Path(sys.prefix).resolve() == folder.resolve():
        return folder / "bin/python"  # it is active: its own Python runs this and cannot make it anew
    is_new = not folder.exists()
    told = run([sys.executable, "-m", "venv", folder], dict(os.environ))
    if told:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        print(told, file=sys.stderr)
        remedy = f"see above; Python's venv module is needed (Debian, Ubuntu: apt install python{version}-venv)"
        fail("Python cannot make an environment", folder, remedy, MACHINE)
    return folder / "bin/python"


# --- what is configured for pip and for uv ------------------------------------------------------------------------


def read_pip_settings(listed: str) -> dict[str, str]:
    """pip's settings, from what `pip config list` prints: the environment wins over `install`, that over `global`."""
    lines = re.findall(r"^(global|install|:env:)\.([\w-]+)=(.*)$", listed, re.MULTILINE)
    settings = {}
    for section in ("global", "install", ":env:"):
        settings.update({key: ast.literal_eval(value) for where, key, value in lines if where == section})
    told = {key: value for key, value in settings.items() if value.lower() not in ("", "0", "no", "false", "off")}
    return {key.replace("default-timeout", "timeout"): value for key, value in told.items()}


def uv_options(pip: dict[str, str], environ: dict[str, str]) -> list[str]:
    """Options that hand pip's indexes on to uv, which does not read pip's settings; what is set for uv itself wins."""
    options = []
    for key, option, own in (
        ("index-url", "--default-index", ("UV_DEFAULT_INDEX", "UV_INDEX_URL")),
        ("extra-index-url", "--index", ("UV_INDEX", "UV_EXTRA_INDEX_URL")),
        ("find-links", "--find-links", ("UV_FIND_LINKS",)),
        ("constraint", "--constraints", ("UV_CONSTRAINT",)),
        ("trusted-host", "--allow-insecure-host", ("UV_INSECURE_HOST",)),
    ):
        if not any(map(environ.get, own)):
            options += [word for value in pip.get(key, "").split() for word in (option, value)]
    options += ["--no-index"] if "no-index" in pip else []
    # As pip does: the best version of all indexes, not only those of the first that knows the package.
    return [*options, "--index-strategy", "unsafe-best-match"] if "--index" in options else options


def uv_environment(pip: dict[str, str], environ: dict[str, str], cache: Path) -> dict[str, str]:
    """Environment variables of uv: pip's certificates, proxy and patience, and a cache of its own."""
    wanted = {
        "SSL_CERT_FILE": pip.get("cert"),
        "SSL_CLIENT_CERT": pip.get("client-cert"),
        "ALL_PROXY": pip.get("proxy"),
        "UV_HTTP_TIMEOUT": pip.get("timeout"),
        "UV_CACHE_DIR": str(cache),
    }
    return {**{key: value for key, value in wanted.items() if value}, **environ}


def configured_index(pip: dict[str, str], environ: dict[str, str]) -> str | None:
    """The package index that was configured in place of PyPI, without any password in it."""
    if "no-index" in pip:
        return "none, find-links only"
    index = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or pip.get("index-url")
    return None if index is None or "//pypi.org/" in index else re.sub(r"//[^/@]*@", "//", index)


# --- which build of torch -----------------------------------------------------------------------------------------


def why_unreachable(url: str, patience: float = PATIENCE) -> str | None:
    """Why `url` does not answer within `patience` seconds, or None."""
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=patience).close()  # noqa: S310 - the address stands above
            answers.put(None)
        except urllib.error.HTTPError as error:  # it answers, if only to uv
            answers.put(str(error) if error.code >= 500 else None)
        except (OSError, ValueError, http.client.HTTPException) as error:
            answers.put(str(getattr(error, "reason", error)))

    threading.Thread(target=ask, daemon=True).start()  # looking a host's name up has no time limit of its own
    try:
        return answers.get(timeout=patience)
    except queue.Empty:
        return f"no answer within {patience:g} seconds"


def has_gpu() -> bool:
    """Whether uv will find an NVIDIA driver: here, or the one that UV_CUDA_DRIVER_VERSION names for another machine."""
    if os.environ.get("UV_CUDA_DRIVER_VERSION"):
        return True
    files = ("/sys/module/nvidia/version", "/proc/driver/nvidia/version")
    # Clusters have the program on login nodes too, where it finds no GPU and fails.
    return any(map(os.path.exists, files)) or not run(["nvidia-smi", "-L"], dict(os.environ))


def choose_backends(wanted: str | None, index: str | None, gpus_elsewhere: bool) -> tuple[list[str | None], str]:
    """Torch backends for uv in the order they are tried, None for the configured index, and why in a few words."""
    if index and not wanted:
        return [None], f"of the configured package index ({index})"
    if gpus_elsewhere and not wanted and not has_gpu():
        return [None], "of the package index: the profile is for GPUs and there is none here to choose a build by"
    reason = why_unreachable(TORCH_INDEX)
    if reason:
        return [None], f"of the package index, since {TORCH_INDEX.split('/')[2]} cannot be reached ({reason})"
    if wanted:
        return [wanted, None], f"for {wanted} (UV_TORCH_BACKEND)"
    return ["auto", "cpu", None], "by the driver of this machine's GPU" if has_gpu() else "for CPUs"


def describe_torch(environment: Path) -> str:
    """Version and kind of the installed torch, read from its files: importing it takes seconds."""
    text = next(environment.glob("lib/python3*/site-packages/torch/version.py")).read_text(encoding="utf-8")
    values = dict(re.findall(r"^(__version__|cuda|hip)\b[^=\n]* = '([^']+)'", text, re.MULTILINE))
    build = f"CUDA {values['cuda']}" if "cuda" in values else f"ROCm {values['hip']}" if "hip" in values else "CPUs"
    unused = "; the GPU of this machine is not used" if build == "CPUs" and has_gpu() else ""
    return f"torch {values['__version__']}, built for {build}{unused}"


# --- installing ---------------------------------------------------------------------------------------------------


def install_by_uv(python: Path, lock: Path, environ: dict[str, str], pip: dict[str, str], backends: list) -> str:
    """Install what `lock` pins with the first torch backend that can be had; what uv said if none can, else nothing."""
    command = [python.with_name("uv"), "pip", "install", "--quiet", "--python", python, "--requirement", lock]
    command += uv_options(pip, environ)
    environ = uv_environment(pip, environ, python.parents[1] / CACHE)
    for backend in backends:
        told = run([*command, "--torch-backend", backend] if backend else command, environ)
        if not told:
            return ""
        if backend:
            print(f"torch for {backend} cannot be installed: {last_line(told)}")
    return told


def install(python: Path, lock: Path, gpus_elsewhere: bool) -> None:
    """Install what `lock` pins, by uv or else by pip, and say where torch comes from."""
    environ = dict(os.environ)
    wanted = environ.pop("UV_TORCH_BACKEND", None)
    listed = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    pip = read_pip_settings(listed.stdout)
    for_uv = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
    if for_uv and "index-url" not in pip:
        environ["PIP_INDEX_URL"] = for_uv

    by_pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    told = run([*by_pip, UV], environ)
    if not told:
        backends, reason = choose_backends(wanted, configured_index(pip, environ), gpus_elsewhere)
        print(f"torch: the build {reason}", flush=True)
        told = install_by_uv(python, lock, environ, pip, backends)
    if told:
        print(f"pip installs the packages, which takes longer, since uv cannot: {last_line(told)}")
        told = run([*by_pip, "--no-compile", "--requirement", lock], environ)
    if told:
        print(told, file=sys.stderr)
        fail("the packages cannot be installed", last_line(told), "see above, then run make again", MACHINE)
    shutil.rmtree(python.parents[1] / CACHE, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=Path, required=True, help="folder of the virtual environment")
    parser.add_argument("--lock", type=Path, default=LOCK, help="packages with their versions")
    parser.add_argument("--gpus-elsewhere", action="store_true", help="jobs run on other machines, with GPUs")
    arguments = parser.parse_args()
    started = time.monotonic()
    print(f"setting up {arguments.environment} with Python {'.'.join(map(str, sys.version_info[:3]))}", flush=True)
    python = make_environment(arguments.environment.absolute())
    install(python, arguments.lock, arguments.gpus_elsewhere)
    print(f"set up in {time.monotonic() - started:.0f} s: {describe_torch(arguments.environment)}")


if __name__ == "__main__":
    main()
