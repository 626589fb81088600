"""A run as Workflow Run RO-Crate: complete, the same bytes for the same run, and valid.

The validator needs an environment of its own (`pip install roc-validator==0.13.0`); ROC_VALIDATOR names its Python.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import rocrate

import build_crate
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.settings import crate_facts
from common.files.whole_files import canonical_json, sha256_of_file, write_json, write_text

RECORD = {"rule": "evaluate_task", "script": "scripts/evaluate_task.py", "script_digest": "0" * 16, "commit": "a" * 40,
          "dirty": False, "settings": {}, "versions": {}, "hardware": {"cpu": "a CPU", "cpus": 2, "gpus": []},
          "started": "2026-01-01T00:00:00+00:00", "seconds": 125.0}  # fmt: skip
FILES = {
    "tables/table3.csv": "a\n1\n",
    "figures/accuracy.svg": "<svg/>",
    "report/report.html": "<p>",
    "report/claims.json": "{}",
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        write_text(tmp_path / "demo" / name, text)
    write_json(tmp_path / "demo/eval/smollm2-135m/sft/sst2/k0_seed0.json", {"provenance": RECORD})
    left_over = {**RECORD, "started": "2001-01-01T10:00:00+00:00", "commit": "of an earlier configuration"}
    write_json(tmp_path / "demo/eval/smollm2-135m/sft/sst2/k9_seed0.json", {"provenance": left_over})
    return tmp_path / "demo"


def build(results: Path, output: Path) -> Path:
    settings = canonical_json(crate_facts(load_configuration(ROOT / "config.yaml", [], {})))
    command = [
        "--settings",
        settings,
        "--results",
        str(results),
        "--output",
        str(output),
        "--workflow",
        str(ROOT / "Snakefile"),
    ]
    command += [str(path) for path in sorted((ROOT / "rules").glob("*.smk"))]
    assert build_crate.main([*command, "--files", *(str(results / name) for name in FILES)]) == 0
    return output


def entities(crate: Path) -> dict[str, dict[str, Any]]:
    graph = json.loads((crate / "ro-crate-metadata.json").read_text(encoding="utf-8"))["@graph"]
    return {entity["@id"]: entity for entity in graph}


def validate(crate: Path) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("ROC_VALIDATOR")
    if not python:
        pytest.skip("ROC_VALIDATOR names no Python with roc-validator")
    context = Path(rocrate.__file__).parent / "data/ro-crate.jsonld"
    command = [python, str(ROOT / "tests/support/validate_crate.py"), str(crate), str(context)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_the_crate_tells_what_was_run_from_what_to_what(results: Path, tmp_path: Path) -> None:
    crate = build(results, tmp_path / "crate")
    found = entities(crate)
    root, run, main = found["./"], found["#run"], found["workflow/Snakefile"]
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow"} == set(main["@type"])
    assert root["mainEntity"] == {"@id": "workflow/Snakefile"}
    assert root["mentions"] == [{"@id": "#run"}]
    assert main["version"] == "a" * 40
    assert (run["startTime"], run["endTime"]) == ("2026-01-01T00:00:00+00:00", "2026-01-01T00:02:00+00:00")
    assert run["instrument"] == {"@id": "workflow/Snakefile"}
    assert {part["@id"] for part in run["result"]} == set(FILES)
    assert json.loads((crate / run["object"][0]["@id"]).read_text())["preset"] == "demo"
    parts = {part["@id"] for part in root["hasPart"]}
    files = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    assert parts == files - {"ro-crate-metadata.json"}
    for name in FILES:
        assert (crate / name).read_bytes() == (results / name).read_bytes()


def test_the_same_run_gives_the_same_bytes(results: Path, tmp_path: Path) -> None:
    first, second = (build(results, tmp_path / name) for name in ("first", "second"))
    hashes = [
        {path.relative_to(crate): sha256_of_file(path) for path in crate.rglob("*") if path.is_file()}
        for crate in (first, second)
    ]
    assert hashes[0] == hashes[1]


def test_the_validator_finds_nothing_missing(results: Path, tmp_path: Path) -> None:
    done = validate(build(results, tmp_path / "crate"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("key", ["license", "mainEntity", "datePublished"])
def test_the_validator_notices_what_is_missing(results: Path, tmp_path: Path, key: str) -> None:
    crate = build(results, tmp_path / "crate")
    path = crate / "ro-crate-metadata.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for entity in content["@graph"]:
        if entity["@id"] == "./":
            del entity[key]
    path.write_text(json.dumps(content))
    assert validate(crate).returncode == 1
