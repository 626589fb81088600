"""What every result says about where it came from."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from common.files.whole_files import canonical_json, sha256_of_file, sha256_of_text
from common.jobs.digest import SCRIPTS, script_digest

_PACKAGES = ("torch", "transformers", "trl", "deepspeed", "accelerate", "datasets", "pandas", "numpy", "snakemake")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=SCRIPTS.parent, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _hardware() -> dict[str, Any]:
    """The machine; of a job that computed with PyTorch also what it computed on. No job imports PyTorch to be told."""
    hardware: dict[str, Any] = {"machine": platform.machine(), "cpu": _cpu_model(), "cpus": os.cpu_count()}
    torch = sys.modules.get("torch")
    return {**hardware, **_computed_on(torch)} if torch else hardware


def _computed_on(torch: ModuleType) -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        # What else decides a result's last digits: where these differ, so may they.
        "kernels": {
            "blas": "mkl" if torch.backends.mkl.is_available() else "other",
            "onednn": torch.backends.mkldnn.is_available(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
            "tf32": torch.backends.cuda.matmul.allow_tf32,
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        },
    }


class Provenance:
    """Collected from the start of a job; `record` closes it with what the job found out."""

    def __init__(self, script: str, settings: dict[str, Any]):
        self._script = script
        self._settings = settings
        self._started = time.time()

    def record(self, inputs: dict[str, Path] | None = None, **facts: Any) -> dict[str, Any]:
        """A JSON-ready record.

        Args:
            inputs: files the result depends on, by name; their hashes are stored.
            facts: what only the job knows: seed, n, revisions.
        """
        status = _git("status", "--porcelain", "--untracked-files=no")
        return {
            "rule": Path(self._script).stem,
            "script": f"scripts/{self._script}",
            "script_digest": script_digest(self._script),
            "commit": _git("rev-parse", "HEAD"),
            "dirty": bool(status) if status is not None else None,
            "settings": self._settings,
            "settings_hash": sha256_of_text(canonical_json(self._settings))[:16],
            "inputs": {name: sha256_of_file(path) for name, path in (inputs or {}).items()},
            "versions": _versions(),
            "hardware": _hardware(),
            "started": datetime.datetime.fromtimestamp(self._started, datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self._started, 1),
            **facts,
        }
