"""What is configured never becomes a command, and nothing secret is written down."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from project_copy import copy_project

from common.base.paths import ROOT
from support.workflow_runs import SMOKE, snakemake

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
    commands = re.findall(r"^Shell command: exec \S+/python (.*)$", output, re.MULTILINE)
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
