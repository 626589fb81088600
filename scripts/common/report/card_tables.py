"""The tables of a model card."""

import json
from collections.abc import Mapping
from typing import Any

from common.jobs.console import format_seconds
from common.report.licences import Licence, called
from common.report.run_records import hardware_told, heldout_loss_told
from common.tables.accuracy_table import precision_note
from common.tables.scores import Cell
from common.tables.table import Table

# Facts of a training by their place in run.json; a checkpoint has those that its method records.
FACTS = {
    "steps": "Optimizer steps",
    "train.sequences": "Sequences",
    "train.pairs": "Pairs of responses",
    "train.prompts": "Prompts",
    "prompts": "Prompts",
    "episodes": "Episodes",
    "train.left_out_ties": "Pairs left out as ties",
    "train.left_out_prompt_too_long": "Prompts left out as too long",
    "left_out_prompt_too_long": "Prompts left out as too long",
    "tokens_seen.total": "Tokens seen",
    "tokens_seen.target": "Tokens seen with loss",
    "response_tokens": "Tokens of its own responses",
    "first_steps.reward": "Mean reward, first steps",
    "last_steps.reward": "Mean reward, last steps",
    "last_steps.kl_k3": "KL divergence from stage 1, last steps (nats per token)",
    "engine": "Engine",
    "dtype": "Precision",
    "processes": "Processes",
}
# Settings of a training that are no hyper-parameters: the card says them elsewhere, or they say what is measured.
ELSEWHERE = ("model", "method", "prompt", "heldout_loss")


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def leaves(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Values of nested settings by their own names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= leaves(value) if isinstance(value, Mapping) else {name: value}
    return found


def hyper_parameters(run: Mapping[str, Any]) -> Table:
    """Every setting of a training, by its name in the configuration."""
    used = {name: value for name, value in run["provenance"]["settings"].items() if name not in ELSEWHERE}
    values = sorted({"optimizer": "AdamW", **leaves(used)}.items())
    rows = [[name, value if isinstance(value, str) else json.dumps(value)] for name, value in values]
    return Table("Hyper-parameters", ["Name", "Value"], rows)


def training_facts(run: Mapping[str, Any]) -> Table:
    """What a training saw, measured and ran on."""
    rows = [[label, _number(value)] for place, label in FACTS.items() if (value := _at(run, place)) is not None]
    if "heldout_loss" in run:
        of = "pairs" if "heldout_pairs" in run else "prompts"
        rows.append(["Held-out data", heldout_loss_told(run["heldout_loss"], of)])
    if run["resumed_from_step"]:
        rows.append(["Resumed from step", _number(run["resumed_from_step"])])
    made = run["provenance"]
    changed = " with uncommitted changes" if made["dirty"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    rows += [["Hardware", hardware_told(made["hardware"])], ["Started", made["started"]],
             ["Time", format_seconds(made["seconds"])], ["Versions", versions],
             ["Commit of the package", f"{made['commit'] or 'unknown'}{changed}"]]  # fmt: skip
    return Table("The training", ["", ""], rows)


def _at(run: Mapping[str, Any], place: str) -> Any:
    """The value at a dotted place, None where there is none."""
    value: Any = run
    for name in place.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def results_table(scores: Mapping[tuple[str, int], Cell], places: Mapping[str, str]) -> Table:
    """Accuracy and interval of every task and number of in-context examples.

    Args:
        scores: by (task, k).
        places: where each task's items are from.
    """
    rows = [
        [score.title, str(k), percent(score.mean), " to ".join(map(percent, score.interval)),
         str(score.n), percent(score.unparseable)]
        for (_, k), score in scores.items()
    ]  # fmt: skip
    items = dict.fromkeys(f"{places[task]} ({score.title})" for (task, _), score in scores.items())
    notes = [
        f"Items from {', '.join(items)}.",
        "Intervals: Wilson for one run, bootstrap over items for means. An answer is unparseable when it names none of "
        "the task's answers or several; it counts as wrong.",
    ]
    draws = max(len(score.draws) for score in scores.values())
    notes += [f"Accuracies with k > 0 are means of {draws} draws of the examples."] if draws > 1 else []
    changed = precision_note(scores.values())
    header = ["Task", "k", "Accuracy in %", "95 % interval", "Items", "Unparseable in %"]
    return Table("Accuracy with k in-context examples", header, rows, notes=[*notes, *([changed] if changed else [])])


def licence_table(licences: Mapping[str, Licence | None]) -> Table:
    rows = [
        [what, "not recorded" if licence is None else " ".join([called(licence), licence.get("link", "")]).strip()]
        for what, licence in licences.items()
    ]
    return Table("Licences of what the weights are derived from", ["Of", "Licence"], rows)
