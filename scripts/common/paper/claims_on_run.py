"""Claims of the paper checked on a run's own tables, sampled responses and ratings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.evaluation.samples import HELDOUT, load_stages
from common.files.csv_files import read_columns
from common.human_eval.outcomes import read_preferences
from common.paper.claim_evidence import Contrast, Evidence, RunEvidence, Subject
from common.paper.claims import (
    NOT_RUN,
    NOT_TESTED,
    STAGES,
    Verdict,
    check_compared,
    check_example,
    check_lengths,
    check_preference,
    check_table_claim,
    judge_one,
)
from common.paper.matching import task_names
from common.paper.published import Key, Published
from common.stats.intervals import bootstrap_interval
from common.stats.paired import bootstrap_p_value, paired_bootstrap

SEED = 0
# The stage of the RL arm that Table 5 has as the paper's RL.
OF_TABLE5 = {"ppo": "rl"}
PAIRED_COLUMNS = ("model", "task", "k", "first", "second", "difference", "low", "high", "p", "n")


@dataclass(frozen=True)
class Stages:
    """What the two stages of the RL arm answered.

    Attributes:
        label: the actor's name for people.
        published: the paper's model it is, or None.
        rows: pairs of sampled rows by prompt, keyed rl_sft and ppo; empty when not sampled.
        counts: prompts by what the raters preferred (rl_sft, similar, ppo), or None if nobody has rated.
    """

    label: str
    published: str | None
    rows: Sequence[Mapping[str, Mapping[str, Any]]]
    counts: Mapping[str, int] | None


@dataclass(frozen=True)
class Run:
    """A run's evidence on Table 3, group by group: the paper's models together, every other model by itself.

    Attributes:
        groups: whether the models are the paper's, and their evidence.
        methods: of Table 3.
        stages: responses and ratings of the RL arm.
        one_base: by base model of Table 5, its name for people and the paper's methods measured on it.
    """

    groups: Sequence[tuple[bool, Evidence]]
    methods: frozenset[str]
    stages: Stages
    one_base: Sequence[tuple[str, frozenset[str]]]


@dataclass(frozen=True)
class OwnVerdict:
    """A verdict on the run's numbers.

    Attributes:
        models: their names for people.
        the_papers: whether they are models of the paper; None where that does not matter.
        verdict: what the numbers say.
    """

    models: str
    the_papers: bool | None
    verdict: Verdict


def load_run(
    settings: Mapping[str, Any],
    published: Published,
    table3: Path | None,
    paired: Path | None,
    samples: Mapping[str, Path],
    ratings: Path | None,
    table5: Path | None = None,
) -> Run:
    """Everything that claims are checked on; what is not given counts as not run.

    Args:
        settings: of check_claims.
        published: for the names of tasks.
        table3: table3.csv.
        paired: paired.csv.
        samples: parquet files of sampled responses by stage, rl_sft and ppo.
        ratings: summary.json of the human evaluation.
        table5: table5.csv.

    Raises:
        UserError: when a file does not have the form its rule gives it.
    """
    tasks = task_names(published.tasks, settings["published_tasks"])
    accuracies = read_accuracies(table3, settings) if table3 else {}
    rows = read_columns(paired, PAIRED_COLUMNS) if paired else []
    the_papers = all(settings["published_tasks"].values())
    groups: list[tuple[bool, Evidence]] = []
    mapped: list[Subject] = []
    others: list[Subject] = []
    for name in settings["models"]:
        info = settings["model_info"][name]
        stands_for = info.get("published") if the_papers else None
        if stands_for in published.models:
            mapped.append(Subject(name, info["label"], stands_for))
        else:
            others.append(Subject(name, info["label"], None))
    for subjects in ([mapped] if mapped else []) + [[subject] for subject in others]:
        groups.append((subjects is mapped, RunEvidence(accuracies, rows, subjects, tasks)))
    actor = settings["rl"]["actor"]
    stages = Stages(
        actor["label"],
        actor["published"],
        load_stages(**samples) if samples else [],
        read_preferences(ratings, actor["name"], ("rl_sft", "ppo")) if ratings else None,
    )
    one_base = read_one_base(table5, settings["base_labels"]) if table5 else []
    return Run(groups, frozenset(settings["methods"]), stages, one_base)


def read_one_base(path: Path, labels: Mapping[str, str]) -> list[tuple[str, frozenset[str]]]:
    """The paper's methods, sft, coh and rl, that Table 5 measures on each base model; only rows without a gap count.

    Args:
        path: table5.csv.
        labels: of the base models.
    """
    rows = read_columns(path, ("model", "method", "reward"))
    measured = [row for row in rows if all(row[name] for name in row if name[:1] == "k" and name[1:].isdecimal())]
    found = {label: frozenset(OF_TABLE5.get(row["method"], row["method"]) for row in measured if row["model"] == model)
             for model, label in labels.items()}  # fmt: skip
    return list(found.items())


def read_accuracies(path: Path, settings: Mapping[str, Any]) -> dict[Key, float]:
    """Percent by (model, method, task, k) from table3.csv; cells that are missing there are left out."""
    columns = [f"{task}_k{k}" for task in settings["published_tasks"] for k in settings["shots"]]
    found: dict[Key, float] = {}
    for row in read_columns(path, ("model", "method", *columns)):
        for task in settings["published_tasks"]:
            for k in settings["shots"]:
                if row[f"{task}_k{k}"]:
                    found[row["model"], row["method"], task, k] = float(row[f"{task}_k{k}"])
    return found


def check_run(claim: Mapping[str, Any], published: Published, run: Run) -> list[OwnVerdict]:
    """One claim on the run, group by group of models."""
    test = claim["test"]
    if test["kind"] == "none":
        return [OwnVerdict("all models", None, Verdict(NOT_TESTED, NOT_TESTED, test["reason"]["en"]))]
    if test["kind"] == "compared":
        measures = [(f"Table 3, {_labels(evidence)}", run.methods) for _, evidence in run.groups]
        measures += [(f"Table 5, {label}", methods) for label, methods in run.one_base]
        if run.stages.rows:
            measures.append((f"responses of {run.stages.label}", frozenset({"sft", "rl"})))
        return [OwnVerdict("all models", None, check_compared(test["pairs"], measures))]
    if test["kind"] in ("preferred", "reward", "example", "longer"):
        the_papers = run.stages.published is not None
        return [OwnVerdict(run.stages.label, the_papers, _check_stages(test, published, run.stages))]
    return [
        OwnVerdict(_labels(evidence), the_papers, check_table_claim(test, published, evidence))
        for the_papers, evidence in run.groups
    ]


def _labels(evidence: Evidence) -> str:
    return ", ".join(subject.label for subject in evidence.subjects)


def _check_stages(test: Mapping[str, Any], published: Published, stages: Stages) -> Verdict:
    first, second = test["first"], test["second"]
    if test["kind"] == "preferred":
        if stages.counts is None:
            return Verdict(NOT_RUN, NOT_RUN, "Nobody has rated this run's responses.")
        counts = stages.counts
        return check_preference(counts[first], counts[second], counts["similar"])
    if not stages.rows:
        return Verdict(NOT_RUN, NOT_RUN, "No responses of the two stages were sampled.")
    if test["kind"] == "example":
        example = next(example for example in published.examples if example["id"] == test["example"])
        asked = (example["prompt"], example["input"])
        rows = [pair for pair in stages.rows if (pair[first]["instruction"], pair[first]["input"]) == asked]
        if not rows:
            return Verdict(NOT_RUN, NOT_RUN, "The example's prompt is not among those sampled.")
        responses = [(STAGES[stage], rows[0][stage]["response"]) for stage in (first, second)]
        return check_example(example["asks_for"], *responses)
    heldout = [pair for pair in stages.rows if pair[first]["source"] == HELDOUT]
    if not heldout:
        return Verdict(NOT_RUN, NOT_RUN, "No response to a held-out prompt was sampled.")
    if test["kind"] == "longer":
        return check_lengths([(pair[first]["response"], pair[second]["response"]) for pair in heldout])
    return _check_rewards([(float(pair[first]["reward"]), float(pair[second]["reward"])) for pair in heldout])


def _check_rewards(rewards: Sequence[tuple[float, float]]) -> Verdict:
    """Mean scores of both stages on the same prompts; interval and p-value by bootstrap over prompts."""
    pairs = np.array(rewards)
    differences = pairs[:, 0] - pairs[:, 1]
    low, high = bootstrap_interval(differences, SEED)
    p_value = bootstrap_p_value(paired_bootstrap(differences[None], SEED))
    first, second = (float(mean) for mean in pairs.mean(axis=0))
    where = f"mean reward on {len(pairs)} held-out prompts"
    contrast = Contrast(
        where=where,
        first=first,
        second=second,
        difference=first - second,
        interval=(low, high),
        p_value=p_value,
        worst_p_value=None,
        n=len(pairs),
    )
    return judge_one(
        contrast,
        f"{first:.3f} against {second:.3f}: {first - second:+.3f} (95 % interval {low:+.3f} to {high:+.3f}, "
        f"{len(pairs)} prompts).",
    )
