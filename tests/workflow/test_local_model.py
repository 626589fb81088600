"""A local base model is told by the content of its files: written over it is prepared again, copied or touched not."""

import json
import os
import shutil
from pathlib import Path

from project_copy import copy_project

from common.files.whole_files import sha256_of_file
from support.workflow_runs import SMOKE, snakemake

TARGET = "results/own/models/mine/pretrained"
OVERLAY = """
preset: own
models: {{mine: {{label: Mine, source: {{kind: local, path: {path}}}}}}}
rl: {{actor: mine, reward: mine}}
table3: {{models: [mine], notes: []}}
"""


def test_a_model_written_over_is_prepared_again_and_a_touched_one_is_not(
    model_folders: dict[str, Path], tmp_path: Path
) -> None:
    project, model = copy_project(tmp_path / "project"), tmp_path / "model"
    shutil.copytree(model_folders["llama"], model)
    (project / "own.yaml").write_text(OVERLAY.format(path=model))

    def planned(folder: Path) -> bool:
        output = snakemake(folder, TARGET, "--dry-run", "--configfile", SMOKE, "own.yaml")
        return "rule prepare_model" in output

    snakemake(project, TARGET, "--configfile", SMOKE, "own.yaml")
    settings = json.loads((project / TARGET / "run.json").read_text())["provenance"]["settings"]
    assert settings["files"] == {path.name: sha256_of_file(path) for path in sorted(model.iterdir())}
    assert not planned(project)
    for path in model.iterdir():
        path.touch()
    assert not planned(project)
    assert not planned(shutil.copytree(project, tmp_path / "elsewhere"))

    weights = model / "model.safetensors"
    times, size = weights.stat(), weights.stat().st_size
    with open(weights, "r+b") as stream:
        stream.seek(size - 1)
        last = stream.read(1)
        stream.seek(size - 1)
        stream.write(bytes([last[0] ^ 1]))
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert planned(project)
