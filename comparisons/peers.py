"""What the comparisons share: an environment for the peer, and commands run one at a time."""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def environment(folder: Path, requirements: list[str]) -> Path:
    """Python of a virtual environment with `requirements`, made at the first call."""
    python = folder / "bin" / "python"
    marker = folder / "installed.json"
    if not marker.exists() or json.loads(marker.read_text()) != requirements:
        print(f"installing {', '.join(requirements)} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        marker.write_text(json.dumps(requirements))
    return python


def run_worker(python: Path | str, script: Path, threads: int, *arguments: str) -> dict[str, Any]:
    """Run a script alone and return the JSON object its last line of output is."""
    settings = {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    command = [str(python), str(script), *arguments]
    with tempfile.TemporaryDirectory() as scratch:  # what a trainer leaves behind
        done = subprocess.run(
            command, env={**os.environ, **settings, "TMPDIR": scratch}, cwd=ROOT, stdout=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"error: {script.name} failed with exit code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"  {json.dumps(result)}", flush=True)
    return result
