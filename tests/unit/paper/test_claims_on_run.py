"""Claims judged on a run of our own: made-up tables, responses and ratings, and the report."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import check_claims
from common.base.errors import UserError
from common.files.csv_files import to_csv
from common.files.parquet import write_parquet
from common.files.whole_files import canonical_json, write_json
from common.paper.claim_evidence import RunEvidence, Subject
from common.paper.claims_on_run import check_run, load_run
from common.paper.matching import task_names
from common.paper.published import Published
from common.stats.significance import mcnemar_p_value
from support.paper_claims import PAPER, SHOTS, claim
from support.samples import NOT_DRAWN

TASKS = {"sst2": "SST2", "csqa": "CSQA", "mnli": "MNLI", "copa": "CoPA"}
PAPERS_PAIR = {"model": "actor", "first": "rl_sft", "second": "ppo"}
OTHER_PAIRS = [{**PAPERS_PAIR, "model": "small"}, {**PAPERS_PAIR, "first": "sft"}, {**PAPERS_PAIR, "second": "coh"}]


# --- a run of our own -----------------------------------------------------------------------------------------


def made_settings(marked: bool) -> dict[str, Any]:
    """Two models on all tasks, marked as the paper's or not."""
    labels = {"small": "Llama-7B", "big": "Llama-13B"}
    return {
        "models": list(labels),
        "model_info": {
            name: {"label": f"our {name}", **({"published": label} if marked else {})} for name, label in labels.items()
        },
        "methods": ["pretrained", "sft", "coh"],
        "shots": list(SHOTS),
        "published_tasks": {name: task if marked else None for name, task in TASKS.items()},
        "rl": {
            "actor": {"name": "actor", "label": "our actor", "published": None},
            "reward": {"name": "scorer", "label": "our scorer", "published": None},
        },
    }


def shares(published: Published) -> dict[tuple[str, str, str, int], float]:
    """Accuracies like the published ones, by the run's names."""
    models = dict(zip(("small", "big"), published.models, strict=True))
    return {
        (model, method, task, k): published.cells[models[model], method, TASKS[task], k].percent / 100
        for model in models
        for method in ("pretrained", "sft", "coh")
        for task in TASKS
        for k in SHOTS
    }


def write_run(folder: Path, accuracies: Mapping[tuple[str, str, str, int], float], items: int = 200) -> None:
    """table3.csv and paired.csv of runs in which every method gets the items below its share right."""
    ranks = (np.random.default_rng(5).permutation(items) + 0.5) / items
    correct = {key: (ranks < share)[None] for key, share in accuracies.items()}
    rows, lines = [], []
    columns = [f"{task}_k{k}" for task in TASKS for k in SHOTS]
    for model in ("small", "big"):
        for method in ("pretrained", "sft", "coh"):
            cells = [correct.get((model, method, task, k)) for task in TASKS for k in SHOTS]
            rows.append([model, method, *(None if c is None else f"{100 * c.mean():.2f}" for c in cells)])
        for task in TASKS:
            for k in SHOTS:
                for first, second in (("sft", "pretrained"), ("coh", "pretrained"), ("coh", "sft")):
                    a, b = correct.get((model, first, task, k)), correct.get((model, second, task, k))
                    numbers: list[Any] = [None] * 5
                    if a is not None and b is not None:
                        ahead = a.astype(int)[0] - b[0]
                        mean, half = 100 * ahead.mean(), 196 * ahead.std() / np.sqrt(items)
                        p_value = mcnemar_p_value(int((ahead > 0).sum()), int((ahead < 0).sum()))
                        points = (mean, mean - half, mean + half)
                        numbers = [*(f"{value:.2f}" for value in points), f"{p_value:.6f}", None]
                    lines.append([model, task, k, first, second, *numbers, items, 1])
    folder.mkdir(exist_ok=True)
    (folder / "table3.csv").write_text(to_csv(["model", "method", *columns], rows))
    header = ["model", "task", "k", "first", "second", "difference", "low", "high", "p", "p_holm", "n", "draws"]
    (folder / "paired.csv").write_text(to_csv(header, lines))


def verdicts_of(folder: Path, published: Published, marked: bool, name: str) -> dict[str, tuple[bool | None, str, str]]:
    run = load_run(made_settings(marked), published, folder / "table3.csv", folder / "paired.csv", {}, None)
    return {
        one.models: (one.the_papers, one.verdict.as_printed, one.verdict.at_n)
        for one in check_run(claim(published, name), published, run)
    }


def test_the_papers_models_are_judged_together_and_stand_ins_apart(published: Published, tmp_path: Path) -> None:
    write_run(tmp_path, shares(published))
    name = "coh-beats-sft-zero-shot"
    together = verdicts_of(tmp_path, published, True, name)
    assert set(together) == {"our small, our big"}
    assert together["our small, our big"][:2] == (True, "holds")
    apart = verdicts_of(tmp_path, published, False, name)
    assert set(apart) == {"our small", "our big"}
    assert {result[0] for result in apart.values()} == {False}


def test_stand_ins_are_not_asked_about_one_models_exception(published: Published, tmp_path: Path) -> None:
    write_run(tmp_path, shares(published))
    run = load_run(made_settings(False), published, tmp_path / "table3.csv", tmp_path / "paired.csv", {}, None)
    of_small = check_run(claim(published, "sft-ahead-in-the-exceptions"), published, run)[0].verdict
    assert [one.contrast.where for one in of_small.judged] == ["our small CSQA k=0"]
    only_one_model = {"kind": "higher", "first": "coh", "second": "sft", "cells": [{"models": ["Llama-7B"]}]}
    apart = check_run({"id": "x", "test": only_one_model}, published, run)
    assert {one.verdict.at_n for one in apart} == {"not comparable"}


def test_a_model_counts_as_the_papers_only_on_the_papers_tasks(published: Published, tmp_path: Path) -> None:
    write_run(tmp_path, shares(published))
    settings = made_settings(True)
    settings["published_tasks"]["copa"] = None
    run = load_run(settings, published, tmp_path / "table3.csv", tmp_path / "paired.csv", {}, None)
    assert [the_papers for the_papers, _ in run.groups] == [False, False]


def test_differences_are_turned_to_the_direction_of_the_claim(published: Published, tmp_path: Path) -> None:
    write_run(tmp_path, shares(published))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "paired.csv").read_text())))
    subject = Subject("small", "our small", None)
    accuracies = {("small", "sft", "csqa", 0): 51.0, ("small", "coh", "csqa", 0): 48.0}
    evidence = RunEvidence(accuracies, rows, [subject], {"CSQA": "csqa"})
    one, other = (evidence.compare(subject, *pair, "CSQA", 0) for pair in (("sft", "coh"), ("coh", "sft")))
    assert one is not None
    assert other is not None
    assert one.difference == -other.difference == pytest.approx(3.0)
    assert one.interval == (-other.interval[1], -other.interval[0])  # type: ignore[index]
    assert (one.first, one.second, one.p_value) == (other.second, other.first, other.p_value)


def test_a_missing_cell_leaves_a_claim_undecided_or_not_run(published: Published, tmp_path: Path) -> None:
    better = {key: 0.9 if key[1] == "coh" else 0.2 for key in shares(published)}
    write_run(tmp_path, better)
    assert verdicts_of(tmp_path, published, True, "coh-beats-pretrained")["our small, our big"][1:] == (
        "holds",
        "holds",
    )
    write_run(tmp_path, {key: value for key, value in better.items() if key != ("big", "coh", "mnli", 3)})
    result = verdicts_of(tmp_path, published, True, "coh-beats-pretrained")["our small, our big"]
    assert result[1:] == ("undecided", "undecided")
    write_run(tmp_path, {key: value for key, value in better.items() if key[1] != "coh"})
    result = verdicts_of(tmp_path, published, True, "coh-beats-pretrained")["our small, our big"]
    assert result[1:] == ("not run", "not run")


def test_opposite_numbers_make_a_claim_fail(published: Published, tmp_path: Path) -> None:
    write_run(tmp_path, {key: 0.2 if key[1] == "coh" else 0.9 for key in shares(published)})
    assert verdicts_of(tmp_path, published, False, "coh-beats-pretrained")["our big"] == (False, "fails", "fails")


def test_a_run_without_scores_is_not_run(published: Published) -> None:
    run = load_run(made_settings(True), published, None, None, {}, None)
    for one in published.claims:
        expected = {"none": "not tested", "compared": "fails"}.get(one["test"]["kind"], "not run")
        assert {own.verdict.at_n for own in check_run(one, published, run)} == {expected}


def test_tables_that_do_not_belong_together_are_refused(published: Published, tmp_path: Path) -> None:
    write_run(tmp_path, shares(published))
    (tmp_path / "table3.csv").write_text((tmp_path / "table3.csv").read_text().replace("small,coh", "small,other"))
    run = load_run(made_settings(True), published, tmp_path / "table3.csv", tmp_path / "paired.csv", {}, None)
    with pytest.raises(UserError, match="lacks a cell"):
        check_run(claim(published, "coh-beats-pretrained"), published, run)


@pytest.mark.parametrize("damage", ["no columns\n1\n", "", None])
def test_a_damaged_table_is_refused(published: Published, tmp_path: Path, damage: str | None) -> None:
    write_run(tmp_path, shares(published))
    (tmp_path / "paired.csv").unlink()
    if damage is not None:
        (tmp_path / "paired.csv").write_text(damage)
    with pytest.raises(UserError) as refused:
        load_run(made_settings(True), published, tmp_path / "table3.csv", tmp_path / "paired.csv", {}, None)
    assert "paired.csv" in refused.value.where


def test_a_task_is_found_by_its_mark_before_its_name() -> None:
    names = ["SST2", "CSQA", "MNLI"]
    chosen = {"sst2": None, "reviews": "SST2", "csqa": None, "boolq": None}
    assert task_names(names, chosen) == {"SST2": "reviews", "CSQA": "csqa"}


# --- the RL arm -----------------------------------------------------------------------------------------------


def write_samples(folder: Path, published: Published, gain: float, heldout: int = 30) -> dict[str, Path]:
    """Both stages' responses: the paper's examples as published, held-out ones longer and better scored in stage 3."""
    noise = np.random.default_rng(2).normal(0, 0.3, size=heldout)
    paths = {}
    for stage in ("rl_sft", "ppo"):
        later = stage == "ppo"
        rows = [
            {"id": example["id"], "source": "paper", "instruction": example["prompt"], "input": example["input"],
             "prompt": example["prompt"], "response": example[stage], "tokens": 2, "finish": "eos", "reward": 0.0,
             **NOT_DRAWN}
            for example in published.examples
        ]  # fmt: skip
        rows += [
            {"id": f"p{i}", "source": "heldout", "instruction": "q", "input": "", "prompt": "q",
             "response": "word " * (2 + later), "tokens": 2 + later, "finish": "eos",
             "reward": later * (gain + noise[i]), **NOT_DRAWN}
            for i in range(heldout)
        ]  # fmt: skip
        paths[stage] = folder / f"{stage}.parquet"
        write_parquet(paths[stage], rows, tuple(rows[0]))
    return paths


def stage_verdicts(published: Published, samples: dict[str, Path], ratings: Path | None = None) -> dict[str, Any]:
    run = load_run(made_settings(True), published, None, None, samples, ratings)
    kinds = ("preferred", "reward", "example", "longer")
    return {
        one["id"]: check_run(one, published, run)[0].verdict for one in published.claims if one["test"]["kind"] in kinds
    }


def test_stages_are_judged_on_their_own_responses(published: Published, tmp_path: Path) -> None:
    verdicts = stage_verdicts(published, write_samples(tmp_path, published, gain=1.0))
    assert {name: verdict.at_n for name, verdict in verdicts.items()} == {
        "rl-follows-instructions-better": "not run",
        "rl-raises-reward": "holds",
        "example-one-follows-instruction": "holds",
        "example-two-is-complete": "holds",
        "sft-answers-are-short": "holds",
    }
    assert "30 prompts" in verdicts["rl-raises-reward"].summary


@pytest.mark.parametrize(("gain", "expected"), [(-1.0, "fails"), (0.0, "undecided"), (1.0, "holds")])
def test_reward_difference_follows_the_rewards(
    published: Published, tmp_path: Path, gain: float, expected: str
) -> None:
    samples = write_samples(tmp_path, published, gain)
    verdict = stage_verdicts(published, samples)["rl-raises-reward"]
    one = verdict.judged[0].contrast
    noise = np.random.default_rng(2).normal(0, 0.3, size=30)
    assert one.difference == pytest.approx(gain + noise.mean())
    assert one.interval[0] < one.difference < one.interval[1]
    assert verdict.at_n == expected


@pytest.mark.parametrize(
    ("pooled", "expected"),
    [(None, "not run"), ({"first": 1, "similar": 6, "second": 3}, "undecided"),
     ({"first": 0, "similar": 2, "second": 8}, "holds"), ({"first": 9, "similar": 1, "second": 0}, "fails")],
)  # fmt: skip
def test_ratings_are_read_from_the_summary(
    published: Published, tmp_path: Path, pooled: dict[str, int] | None, expected: str
) -> None:
    others = [{**pair, "pooled": {"first": 50, "similar": 0, "second": 0}} for pair in OTHER_PAIRS]
    write_json(tmp_path / "summary.json", {"pairs": [*others, {**PAPERS_PAIR, "pooled": pooled}]})
    verdicts = stage_verdicts(published, {}, tmp_path / "summary.json")
    assert verdicts["rl-follows-instructions-better"].at_n == expected
    assert verdicts["rl-raises-reward"].at_n == "not run"


def test_ratings_of_other_pairs_are_no_ratings_of_the_stages(published: Published, tmp_path: Path) -> None:
    others = [{**pair, "pooled": {"first": 0, "similar": 0, "second": 50}} for pair in OTHER_PAIRS]
    write_json(tmp_path / "summary.json", {"pairs": others})
    verdict = stage_verdicts(published, {}, tmp_path / "summary.json")["rl-follows-instructions-better"]
    assert verdict.at_n == "not run"
    assert "Nobody has rated" in verdict.summary


def test_a_summary_without_counts_is_refused(published: Published, tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"pairs": [{**PAPERS_PAIR, "pooled": {"first": 1}}]})
    with pytest.raises(UserError, match="lacks its counts"):
        stage_verdicts(published, {}, tmp_path / "summary.json")


def test_stages_that_answered_different_prompts_are_refused(published: Published, tmp_path: Path) -> None:
    samples = write_samples(tmp_path, published, 1.0)
    reordered = replace(published, examples=published.examples[::-1])
    (tmp_path / "other").mkdir()
    samples["ppo"] = write_samples(tmp_path / "other", reordered, 1.0)["ppo"]
    with pytest.raises(UserError, match="different prompts"):
        stage_verdicts(published, samples)


# --- the report -----------------------------------------------------------------------------------------------


def test_the_report_holds_every_claim_in_both_languages(published: Published, tmp_path: Path) -> None:
    write_run(tmp_path, shares(published))
    samples = write_samples(tmp_path, published, 1.0)
    files = ["--table3", tmp_path / "table3.csv", "--paired", tmp_path / "paired.csv", "--samples", *samples.values()]
    arguments = ["--settings", canonical_json(made_settings(False)), "--paper", str(PAPER), *map(str, files)]
    assert check_claims.main([*arguments, "--output", str(tmp_path / "report")]) == 0
    report = json.loads((tmp_path / "report/claims.json").read_text(encoding="utf-8"))
    text = (tmp_path / "report/claims.md").read_text(encoding="utf-8")
    for one, source in zip(
        report["claims"], yaml.safe_load((PAPER / "claims.yaml").read_text())["claims"], strict=True
    ):
        assert one["text"] == source["text"]
        assert f"## {one['id']}" in text
        assert one["text"]["ko"] in text
    assert "This run, our small (not a model of the paper)" in text
    assert "Llama-7B SST2 k=1\u2020" in text
    by_name = {one["id"]: one for one in report["claims"]}
    ours = by_name["coh-beats-pretrained"]["this_run"]
    assert [(one["models"], one["the_papers_models"], len(one["comparisons"])) for one in ours] == [
        ("our small", False, 12), ("our big", False, 12),
    ]  # fmt: skip
    first = ours[0]["comparisons"][0]
    assert first["difference"] == pytest.approx(first["first"] - first["second"], abs=0.011)
    assert first["interval"][0] <= first["difference"] <= first["interval"][1]
