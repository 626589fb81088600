"""What docs/walkthrough.md leads through: a method, a task and a model of one's own, and a table of one's own."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.workflow_runs import SMOKE, rules_run, snakemake


@pytest.mark.full
def test_walkthrough_leads_to_a_table_of_ones_own(project: Path):
    page = (project / "docs/walkthrough.md").read_text(encoding="utf-8")
    commands = "\n".join(re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=project, env=environment, capture_output=True, text=True,
        timeout=1700, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert done.stdout.count("=== b") == 7
    assert done.stdout.count("Does it open early?\nResponse:") == 14
    with open(project / "results/my/tables/table3.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["pretrained", "sft", "dpo", "coh"]
    assert all(row[f"boolean_k{k}_n"] == "7" for row in rows for k in (0, 1, 3))
    with open(project / "results/my/tables/table5.csv", newline="") as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["pretrained", "sft", "dpo", "coh", "ppo"]
    assert re.search(r"KL beta.*0\.1 ", (project / "results/my/tables/table2.md").read_text())


def test_a_table_of_ones_own_touches_the_files_that_the_walkthrough_names(project: Path):
    page = (project / "docs/walkthrough.md").read_text(encoding="utf-8").split("# Your own table\n")[1]
    named = {path.replace("mine", "scale") for path in re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)}
    before = {path: (project / path).read_bytes() for path in named if (project / path).exists()}

    def edit(name: str, old: str, new: str) -> None:
        text = (project / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, name
        (project / name).write_text(text.replace(old, new), encoding="utf-8")

    script = (project / "scripts/render_sensitivity.py").read_text(encoding="utf-8")
    (project / "scripts/render_scale.py").write_text(script.replace("sensitivity", "scale"), encoding="utf-8")
    (project / "resources/report/captions/scale.rst").write_text("The scale of it.\n")
    rule = 'use rule render_sensitivity as render_scale with:\n    output:\n        table_outputs("scale"),\n'
    rule += '    pathvars:\n        job="render_scale/all",\n    localrule: True\n    params:\n'
    call = '**renders_table("render_scale", settings.sensitivity_settings, eval="<results>/eval"),'
    tables = project / "rules/tables.smk"
    tables.write_text(f"{tables.read_text()}\n\n{rule}        {call}\n")
    edit("scripts/common/config/artifact_labels.py", '    "table4": ', '    "scale": "The scale",\n    "table4": ')
    edit("scripts/common/config/settings.py", '"table4", ', '"table4", "scale", ')
    edit("resources/report/report.html.jinja", "{{ parts.table(tables.sensitivity) }}",
         "{{ parts.table(tables.sensitivity) }}{{ parts.table(tables.scale) }}")  # fmt: skip
    changed = {path for path in named if before.get(path) != (project / path).read_bytes()}
    assert changed == named
    snakemake(project, "--configfile", SMOKE)
    assert set(rules_run(project)) == {"render_scale", "collect_cells", "build_report", "build_crate", "all"}
    results = project / "results/smoke"
    assert (results / "tables/scale.csv").read_bytes() == (results / "tables/sensitivity.csv").read_bytes()
    assert "scale/tiny-llama/sft/" in (results / "tables/cells.csv").read_text()
    assert (results / "report/report.html").read_text().count("scale/tiny-llama/sft/") > 0
