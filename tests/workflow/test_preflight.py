"""The check before a long run: every problem is told at once, nothing is told of a machine that is ready."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from project_copy import copy_project

from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.machine_settings import machine_settings
from common.config.settings import used_models
from common.files.whole_files import canonical_json
from common.planning.machine_checks import (
    GpuState,
    gpu_states,
)

SNAKEMAKE = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "host", "reason"]


def preset(name: str) -> dict[str, Any]:
    return load_configuration(ROOT / "config.yaml", [ROOT / f"config/{name}.yaml"], {})


def driver(folder: Path, lines: list[str]) -> str:
    """PATH with an nvidia-smi that answers these lines."""
    tool = folder / "bin" / "nvidia-smi"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    tool.chmod(0o755)
    return f"{tool.parent}{os.pathsep}{os.environ['PATH']}"


def check(config: dict[str, Any], results: Path, gpus: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script as its rule does."""
    command = [
        sys.executable, "scripts/check_machine.py", "--settings", canonical_json(machine_settings(config)),
        "--gpus", str(gpus), "--results", str(results), "--output", str(results / "report/machine.json"),
    ]  # fmt: skip
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_machine_that_lacks_everything_is_told_all_of_it_at_once(tmp_path: Path) -> None:
    path = driver(tmp_path, ["0, GPU-aa, Tesla V100-SXM2-16GB, 16384, 16000, 7.0",
                             "1, GPU-bb, Tesla V100-SXM2-16GB, 16384, 200, 7.0"])  # fmt: skip
    results = tmp_path / "results"
    results.write_text("a file where a directory should be")
    done = check(preset("paper"), results, 8, PATH=path, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="0,1")
    assert done.returncode == 3, done.stderr[-3000:]
    told = done.stderr
    assert "8 GPUs are requested, 2 are visible" in told
    assert "train_sft llama-13b" in told
    assert "17.2 GB are there" in told  # what the driver said, not what the configured type has
    assert "no bf16" in told
    assert told.count("not downloaded, and HF_HUB_OFFLINE is set") == 10
    assert told.count("no file can be written") >= 2
    assert "GB more are needed" in told
    assert "Traceback" not in told
    assert told.count("what to do:") >= told.count("problem:") > 10


def test_a_machine_that_is_ready_leaves_a_report(tmp_path: Path) -> None:
    done = check(preset("smoke"), tmp_path, 0)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((tmp_path / "report/machine.json").read_text())
    assert report["passed"]
    assert report["findings"] == []
    assert report["disk_free_bytes"] > 0
    assert report["provenance"]["rule"] == "check_machine"


def test_a_plan_that_cannot_be_made_is_one_problem_among_others(tmp_path: Path) -> None:
    config = preset("paper")
    config["methods"]["sft"]["training"]["per_device_batch_size"] = 3
    path = driver(tmp_path, [f"{i}, GPU-{i}, A100, 40441, 40000, 8.0" for i in range(2)])
    done = check(config, tmp_path / "results", 8, PATH=path, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="0,1")
    assert done.returncode == 3
    assert "a global batch of 128 is not a multiple of 3" in done.stderr
    assert "8 GPUs are requested, 2 are visible" in done.stderr
    assert not (tmp_path / "results/report/machine.json").exists()


# --- devices --------------------------------------------------------------------------------------------


def test_gpus_are_read_from_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", driver(tmp_path, ["0, GPU-12ab, NVIDIA A10, 23028, 22515, 8.6"]))
    assert gpu_states() == [GpuState("0", "GPU-12ab", "NVIDIA A10", 23028 * 2**20, 22515 * 2**20, 8.6)]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_states() == []


# --- downloads --------------------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does: one repository is gated, one is missing, all others are there."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        code, error = 200, ""
        if "llama-13b" in self.path:
            code, error = 403, "GatedRepo"
        elif "opt-350m" in self.path:
            code, error = 404, "RepoNotFound"
        body = b'{"id": "x", "sha": "0", "siblings": []}'
        self.send_response(code)
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


FIND_DOWNLOADS = """
import json, sys
from pathlib import Path
sys.path.insert(0, "scripts")
from common.planning.download_checks import check_downloads
config = json.load(sys.stdin)
print(json.dumps([[f.what, f.where, f.blocks] for f in check_downloads(config, Path(sys.argv[1]))]))
"""


def downloads(config: dict[str, Any], results: Path, **environment: str) -> list[list[Any]]:
    """Findings of a process of its own: the hub's library reads its environment once."""
    done = subprocess.run(
        [sys.executable, "-c", FIND_DOWNLOADS, str(results)], input=json.dumps(config), cwd=ROOT, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "0", **environment}, capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    return list(json.loads(done.stdout))


def without_addresses(config: dict[str, Any]) -> dict[str, Any]:
    local = {"kind": "file", "path": "unused"}
    return {**config, "instructions": {**config["instructions"], "references": local, "comparisons": local}}


def test_gated_and_missing_repositories_are_told_apart(hub: str, tmp_path: Path) -> None:
    found = downloads(without_addresses(preset("paper")), tmp_path, HF_ENDPOINT=hub)
    by_name = {where.split(":")[0]: (what, blocks) for what, where, blocks in found}
    assert by_name == {
        "models.llama-13b": ("this repository is gated", True),
        "models.opt-350m": ("no such repository or revision on the hub", True),
    }


def test_an_unreachable_hub_is_a_note_and_what_is_there_is_not_asked_for(tmp_path: Path) -> None:
    config = without_addresses(preset("paper"))
    (tmp_path / "downloads/models/llama-7b").mkdir(parents=True)
    (tmp_path / "models/opt-350m/pretrained").mkdir(parents=True)
    found = downloads(config, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert {where for _, where, _ in found} == {
        "models.llama-13b", "models.opt-6.7b", "tasks.sst2", "tasks.csqa", "tasks.mnli", "tasks.copa",
    }  # fmt: skip
    assert not any(blocks for _, _, blocks in found)
    offline = downloads(config, tmp_path, HF_HUB_OFFLINE="1")
    assert len(offline) == 6
    assert all(blocks for _, _, blocks in offline)


def test_addresses_of_the_instructions_are_asked_for_too(tmp_path: Path) -> None:
    config = preset("paper")
    for part in ("references", "comparisons"):
        config["instructions"][part]["url"] = f"https://127.0.0.1:9/{part}.json"
    config["table3"]["tasks"] = []
    for name in used_models(config):
        (tmp_path / "models" / name / "pretrained").mkdir(parents=True)
    assert {where for _, where, _ in downloads(config, tmp_path)} == {
        "instructions.references", "instructions.comparisons",
    }  # fmt: skip


# --- the workflow -----------------------------------------------------------------------------------------------------

OVERLAY = """
preset: ahead
compute: {gpus: 2}
methods:
  sft: {training: {per_device_batch_size: 4}}
  coh: {training: {per_device_batch_size: 4}}
  rl_sft: {training: {per_device_batch_size: 4}}
models: {m: {label: m, source: {kind: local, path: base}}}
table3: {models: [m]}
rl: {actor: m, reward: m}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository whose supervised fine-tuning is done, and nothing else."""
    target = copy_project(tmp_path_factory.mktemp("project") / "repository")
    (target / "ahead.yaml").write_text(OVERLAY)
    results = target / "results/ahead"
    folders = [target / "base", results / "models/m/pretrained", results / "models/m/sft"]
    splits = ("sft", "coh", "rl_sft", "rl_reward", "rl_prompts", "heldout", "heldout_sft", "heldout_coh",
              "heldout_rl_reward")  # fmt: skip
    files = [results / "data/instructions.parquet", results / "data/instructions.json",
             results / "data/splits/manifest.json", results / "training/m/sft/metrics.csv",
             *(results / f"data/splits/{name}.parquet" for name in splits)]  # fmt: skip
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for path in [target / "resources/demo/instructions", target / "base", *target.rglob("resources/**/*")]:
        os.utime(path, (1e9, 1e9))
    for path in [*files, *folders[1:]]:
        os.utime(path, (1.1e9, 1.1e9))
    return target


def planned(project: Path, *options: str) -> set[str]:
    """Rules a dry run of the fine-tuned model would run."""
    command = [*SNAKEMAKE, "--configfile", "ahead.yaml", "--", *options[:1]]
    command[3:3] = options[1:]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[0] for line in lines if len(line) == 2 and line[1].isdigit() and line[0] != "total"}


def test_training_on_gpus_waits_for_the_check_but_is_never_repeated_for_it(project: Path) -> None:
    model, report = "results/ahead/models/m/sft", project / "results/ahead/report/machine.json"
    assert planned(project, model) == set()
    report.parent.mkdir(parents=True)
    report.touch()
    assert planned(project, model) == set()
    assert planned(project, model, "--forcerun", "check_machine") == {"check_machine"}
    report.unlink()
    os.rename(project / model, project / "set-aside")
    assert planned(project, model) == {"check_machine", "train_sft"}
    (project / "ahead.yaml").write_text(OVERLAY.replace("gpus: 2", "gpus: 0"))
    assert planned(project, model) == {"train_sft"}
    (project / "ahead.yaml").write_text(OVERLAY.replace("gpus: 2", "gpus: 2, preflight: false"))
    assert planned(project, model) == {"train_sft"}
