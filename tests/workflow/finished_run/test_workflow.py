"""The whole DAG on the smoke preset, and what a change makes it run again."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from project_copy import copy_project

import trace_cell
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.files.whole_files import sha256_of_file
from common.human_eval.sheet import VERDICTS, load_sheet
from support import independent_cells, independent_scorer
from support.rating_sheets import choices_for, exported, written
from support.workflow_runs import SMALL, SMOKE, planned, rules_run, snakemake


def test_every_cell_is_filled_and_follows_from_its_answers(finished: Path):
    results = finished / "results/smoke"
    with open(results / "tables/table3.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    for row in rows:
        for task in ("sst2", "csqa", "mnli", "copa"):
            for k, seeds in ((0, [0]), (1, [1, 2, 3]), (3, [1, 2, 3])):
                folder = results / "eval" / row["model"] / row["method"] / task
                scores = [json.loads((folder / f"k{k}_seed{seed}.json").read_text()) for seed in seeds]
                mean = sum(score["correct"] for score in scores) / sum(score["n"] for score in scores)
                assert float(row[f"{task}_k{k}"]) == pytest.approx(100 * mean, abs=0.005)
                assert int(row[f"{task}_k{k}_n"]) == scores[0]["n"] == 6


def test_every_result_says_where_it_came_from(finished: Path):
    results = finished / "results/smoke"
    records = [*results.glob("eval/*/*/*/*.json"), *results.glob("models/*/*/run.json")]
    assert len(records) == (2 * 3 + 1) * 4 * 7 + 2 * 3 + 6
    keys = {"rule", "script", "script_digest", "commit", "dirty", "settings", "settings_hash", "inputs", "versions",
            "hardware", "started", "seconds"}  # fmt: skip
    for path in records:
        assert keys <= json.loads(path.read_text())["provenance"].keys(), path


def test_an_independent_scorer_agrees_with_every_verdict(finished: Path):
    checked = independent_scorer.check(finished / "results/smoke")
    assert {item: names for item, names in checked.items() if names} == {}
    crossed = 2 * 4 * 3
    assert len(checked) == ((2 * 3 + 1) * 4 * 7 + crossed) * 6


def test_nothing_is_left_in_scratch_but_answered_items(finished: Path):
    scratch = finished / "results/smoke/scratch"
    kept = {path.suffix for path in scratch.rglob("*") if path.is_file()}
    assert kept <= {".jsonl", ".lock"}


def test_a_second_run_has_nothing_to_do(finished: Path):
    assert "Nothing to be done" in snakemake(finished, "--configfile", SMOKE)


def cells_without_examples(results: Path) -> set[str]:
    """Rows of cells.csv that no seed of drawn examples enters."""
    rows = (results / "tables/cells.csv").read_text(encoding="utf-8").splitlines()
    return {row for row in rows if re.match(r"(table2|table4|human_eval)/|\w+/[^,]*/k0,", row)}


def test_a_smaller_run_from_scratch_gives_the_same_bytes(finished: Path, tmp_path: Path):
    """Of the data, of the weights of every training and of all answers; and the tables that show all of them."""
    again = copy_project(tmp_path / "again")
    snakemake(again, "--configfile", SMOKE, SMALL)
    small, whole = again / "results/small", finished / "results/smoke"
    made = [path.relative_to(small) for kind in ("parquet", "safetensors") for path in small.rglob(f"*.{kind}")]
    shown = ("table2", "table4", "human_eval")
    made += [Path(f"tables/{name}.{kind}") for name in shown for kind in ("csv", "html", "md", "tex")]
    assert {path.parts[0] for path in made} >= {"data", "models", "eval", "markers", "samples", "tables"}
    assert {path.parent.name for path in made if path.parts[0] == "models"} == {
        "pretrained", "sft", "coh", "rl_sft", "reward", "ppo"
    }  # fmt: skip
    for path in made:
        assert (small / path).read_bytes() == (whole / path).read_bytes(), path
    cells = cells_without_examples(small)
    assert len(cells) > 60
    assert cells <= cells_without_examples(whole)


def only_coh(jobs: dict[str, list[str]]) -> bool:
    """Whether the plan is CoH's training, its evaluation and what is rendered from it."""
    counts = {rule: len(outputs) for rule, outputs in jobs.items()}
    of_coh = {"train_coh": 2, "plot_training": 2, "sample_responses": 1}
    of_coh |= dict.fromkeys(("evaluate_task", "evaluate_marker", "write_model_card"), 2)
    tables = ("table1", "table3", "sensitivity", "paired", "markers", "figures", "table5", "costs", "tradeoffs")
    rendered = {f"render_{name}": 1 for name in tables}
    only = all(re.search(r"/coh\b", outputs) for rule in of_coh for outputs in jobs.get(rule, []))
    read = dict.fromkeys(("compare_tables", "check_claims", "collect_cells", "build_report", "build_crate"), 1)
    return only and counts == {**of_coh, **rendered, **read, "all": 1}


def edit_smoke(project: Path, edit) -> None:
    path = project / SMOKE
    content = yaml.safe_load(path.read_text())
    edit(content)
    path.write_text(yaml.safe_dump(content))


def test_editing_the_configuration_of_coh_reruns_coh_alone(project: Path):
    edit_smoke(project, lambda config: config["methods"]["coh"]["training"].update(learning_rate=2.0e-3))
    assert only_coh(planned(project))


def test_swapping_two_values_is_noticed(project: Path):
    def swap(config):
        training = config["methods"]["coh"]["training"]
        one, other = "epochs", "per_device_batch_size"
        training[one], training[other] = training[other], training[one]

    edit_smoke(project, swap)
    assert only_coh(planned(project))


def test_reordering_keys_reruns_nothing(project: Path):
    def reorder(config):
        training = config["methods"]["coh"]["training"]
        config["methods"]["coh"]["training"] = dict(reversed(training.items()))

    edit_smoke(project, reorder)
    assert planned(project) == {}


def test_editing_the_script_of_coh_reruns_coh_alone(project: Path):
    script = project / "scripts/train_coh.py"
    script.write_text(script.read_text().replace('"\\n" + second[0]', '"\\n\\n" + second[0]'))
    assert only_coh(planned(project))


def test_editing_a_comment_reruns_nothing(project: Path):
    script = project / "scripts/common/training/trl_training.py"
    script.write_text("# a comment\n" + script.read_text())
    assert planned(project) == {}


def test_results_copied_into_a_fresh_clone_rerun_nothing(finished: Path, tmp_path: Path):
    clone = copy_project(tmp_path / "clone")
    shutil.copytree(finished / "results/smoke", clone / "results/smoke")
    snakemake(clone, "--touch", "--configfile", SMOKE)
    assert planned(clone) == {}


def test_a_deleted_score_is_evaluated_again_from_the_kept_answers(project: Path):
    score = project / "results/smoke/eval/tiny-opt/coh/mnli/k1_seed2.json"
    answers = score.with_suffix(".parquet")
    before, answered = json.loads(score.read_text()), answers.read_bytes()
    score.unlink()
    answers.unlink()
    output = snakemake(project, "--configfile", SMOKE)
    assert "168 items were answered before and are kept" in output
    after = json.loads(score.read_text())
    ours = {"provenance": 0, "record_sha256": 0}
    assert {**after, **ours} == {**before, **ours}
    assert answers.read_bytes() == answered


def test_a_typo_in_the_configuration_is_told_without_a_traceback(finished: Path):
    output = snakemake(finished, "--dry-run", "--config", "sead=1", check=False)
    assert "sead: unknown key; did you mean `seed`?" in output
    assert "Traceback" not in output


def test_an_overlay_that_names_no_preset_is_refused(finished: Path, tmp_path: Path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("seed: 3\n")
    output = snakemake(finished, "--dry-run", "--configfile", str(overlay), check=False)
    assert "names no preset" in output


def test_a_bad_row_ends_the_run_with_file_and_row(project: Path):
    path = project / "resources/demo/sst2/train.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].replace('"label"', '"lable"')
    path.write_text("\n".join(lines) + "\n")
    output = snakemake(project, "--configfile", SMOKE, check=False)
    assert "1 of 46 rows cannot be used (1 x missing field)" in output
    assert "resources/demo/sst2/train.jsonl, row 5: missing field: label" in output
    assert "Traceback" not in output


def test_a_second_base_has_its_own_reward_model_by_configuration_alone(project: Path):
    def add_base(config):
        config["rl"]["reward_models"]["tiny-llama"] = "tiny-llama"
        config["table5"].update(models=["tiny-opt", "tiny-llama"], methods=["pretrained", "sft", "ppo"])

    edit_smoke(project, add_base)
    results = project / "results/smoke"
    tables = [f"results/smoke/tables/{name}.csv" for name in ("table5", "costs", "cells")]
    snakemake(project, *tables, "--configfile", SMOKE)
    ran = rules_run(project)
    assert [ran.count(f"train_{method}") for method in ("rl_sft", "reward", "ppo", "sft", "coh")] == [1, 1, 1, 0, 0]
    for model in ("tiny-opt", "tiny-llama"):
        scorer = sha256_of_file(results / f"models/{model}/reward/run.json")
        for record in (f"models/{model}/ppo/run.json", f"samples/{model}/ppo.json"):
            assert json.loads((results / record).read_text())["provenance"]["inputs"]["reward"] == scorer
        told = list(trace_cell.Trace(results).cell(f"table5/{model}/ppo/reward"))
        shown = {line.split(":")[0].split("models/")[1] for line in told if "/reward: weights" in line}
        assert shown == {f"{model}/reward"}
    with open(results / "tables/table5.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["method"]) for row in rows] == [
        (model, method) for model in ("tiny-opt", "tiny-llama") for method in ("pretrained", "sft", "ppo")
    ]
    recomputed = independent_cells.Recomputed(results, load_configuration(ROOT / "config.yaml", [project / SMOKE], {}))
    for row in rows:
        for column in ("k0", "reward", "kl_k3"):
            mine = recomputed.cell(f"table5/{row['model']}/{row['method']}/{column}")["value"]
            assert float(row[column]) == pytest.approx(mine, abs=5.1e-5)


def test_ratings_of_two_pairs_are_scored_and_nothing_else_runs_again(project: Path):
    results = project / "results/smoke"
    pairs = [{"model": "tiny-opt", "first": "sft", "second": "coh"},
             {"model": "tiny-opt-actor", "first": "rl_sft", "second": "ppo"}]  # fmt: skip
    edit_smoke(project, lambda config: config["human_eval"].update(pairs=pairs))
    snakemake(project, "results/smoke/human_eval/key.json", "--configfile", SMOKE)
    sheet = load_sheet(results / "human_eval/items.json", results / "human_eval/key.json")
    assert len(sheet.items) == 8
    for rater in range(3):
        told = [VERDICTS[(place * (rater + 1) + rater) % 3] for place in range(8)]
        content = exported(sheet, choices_for(sheet, told), f"rater{rater}")
        written(project / "resources/human_eval/ratings/smoke", content, f"{rater}.json")
    snakemake(project, "--configfile", SMOKE)
    ran = {*rules_run(project)}
    assert {"score_human_eval", "collect_cells", "check_claims", "build_report"} <= ran
    assert not [rule for rule in ran if rule.startswith(("train_", "evaluate_", "build_human_eval"))]
    count, wrong = independent_cells.check(results, load_configuration(ROOT / "config.yaml", [project / SMOKE], {}))
    assert wrong == []
    cells = (results / "tables/human_eval_cells.csv").read_text(encoding="utf-8")
    for place in ("", "tiny-opt/sft-coh/"):
        for rated_by in ("rater-rater0", "rater-rater2", "all-ratings", "pooled"):
            assert f"human_eval/{place}{rated_by}/similar," in cells
    shown = (results / "tables/table5_cells.csv").read_text(encoding="utf-8")
    assert "table5/tiny-opt/coh/raters_won/sft," in shown
    assert "Preferred by raters" in (results / "tables/table5.md").read_text(encoding="utf-8")
    claims = json.loads((results / "report/claims.json").read_text(encoding="utf-8"))["claims"]
    (preferred,) = [claim for claim in claims if claim["id"] == "rl-follows-instructions-better"]
    assert preferred["this_run"][0]["at_n"] != "not run"
