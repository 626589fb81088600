"""The card of a trained checkpoint in the form of the Hugging Face hub: metadata, then what its records say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from common.config.methods import METHOD_LABELS, METHODS
from common.report.card_tables import hyper_parameters, licence_table, percent, results_table, training_facts
from common.report.licences import Licence, binding, hub_license
from common.report.markdown import Markdown, code, fenced, literal, one_line, plain, rendered
from common.tables.scores import Cell

# What each method does, after "MODEL after ...", and its tags on the hub; any other is named as in tables.
ABOUT = {
    "sft": ("supervised fine-tuning on the reference response of each prompt", ["sft"]),
    "sft_best": (
        "supervised fine-tuning on the best-scored response of each prompt, which is no arm of the paper",
        ["sft"],
    ),
    "coh": (
        "Chain-of-Hindsight, which learns the best and the second-best response of each prompt in one sequence, each "
        "behind a marker that says which it is",
        ["chain-of-hindsight"],
    ),
    "dpo": ("direct preference optimisation on the pairs of Chain-of-Hindsight, which is no arm of the paper", ["dpo"]),
    "rl_sft": ("supervised fine-tuning, stage 1 of reinforcement learning", ["sft", "rlhf"]),
    "reward": (
        "training as a reward model on pairs of responses, stage 2 of reinforcement learning",
        ["reward-model", "rlhf"],
    ),
    "ppo": ("proximal policy optimisation against a reward model, stage 3 of reinforcement learning", ["ppo", "rlhf"]),
}
BLANK_LINES, BLANK_LINE = r"\n{3,}", "\n\n"


def _about(method: str) -> tuple[str, list[str]]:
    return ABOUT.get(method, (METHOD_LABELS[method], []))


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a checkpoint.

    Attributes:
        settings: its part of the configuration (`card_settings`).
        run: its run.json.
        base: run.json of its base model.
        instructions: data/instructions.json.
        splits: data/splits/manifest.json.
        scores: by (task, k), in the order of the tasks; empty where it was not evaluated.
        samples: record of its sample responses, if there are any.
        chat_template: whether its tokenizer has one.
    """

    settings: Mapping[str, Any]
    run: Mapping[str, Any]
    base: Mapping[str, Any]
    instructions: Mapping[str, Any]
    splits: Mapping[str, Any]
    scores: Mapping[tuple[str, int], Cell]
    samples: Mapping[str, Any] | None
    chat_template: bool

    @property
    def method(self) -> str:
        return str(self.settings["method"])

    @property
    def source(self) -> Mapping[str, Any]:
        """Of the base model."""
        return self.settings["model"]["source"]

    @property
    def title(self) -> str:
        return f"{one_line(self.settings['model']['label'])}, {METHOD_LABELS[self.method]}"

    @property
    def origin(self) -> str | None:
        """Repository of the base model on the hub."""
        return self.source.get("repository") or self.source.get("origin")

    @property
    def places(self) -> dict[str, str]:
        """Where the items of each task are from."""
        sources = self.settings["tasks"]
        return {source["task"]: source.get("repository") or public_place(source["eval"]) for source in sources}

    @property
    def licences(self) -> dict[str, Licence | None]:
        """Of everything the weights are derived from, by what it is; None where none is recorded."""
        base = {} if self.source["kind"] == "random" else {"base model": self.source.get("license")}
        return {**base, **{part: file.get("license") for part, file in self.settings["data"].items()}}


def public_place(path: str) -> str:
    """A path as everyone may read it: one outside the project says nothing but its name."""
    return PurePath(path).name if PurePath(path).is_absolute() or ".." in PurePath(path).parts else path


def metadata(checkpoint: Checkpoint) -> str:
    """The YAML at the head of a card."""
    settings, reward = checkpoint.settings, checkpoint.method == "reward"
    results = [*_pair_results(checkpoint.run), *_task_results(checkpoint)]
    languages = sorted({file["language"] for file in settings["data"].values() if "language" in file})
    licence = hub_license([*checkpoint.licences.values()])
    return ModelCardData(
        language=languages or None,
        license=licence["license"],
        license_name=licence.get("license_name"),
        license_link=licence.get("license_link"),
        library_name="transformers",
        pipeline_tag="text-classification" if reward else "text-generation",
        base_model=checkpoint.origin,
        base_model_relation="finetune" if checkpoint.origin else None,
        tags=["sft-rl-coh", *_about(checkpoint.method)[1]],
        metrics=["accuracy"] if results else None,
        model_name=checkpoint.title,
        eval_results=results or None,
    ).to_yaml()


def _task_results(checkpoint: Checkpoint) -> list[EvalResult]:
    """Accuracies; a file that is not on the hub is no data set of the task's name there."""
    tasks, places = {source["task"]: source for source in checkpoint.settings["tasks"]}, checkpoint.places
    return [
        EvalResult(
            task_type="text-generation",
            task_name=score.title,
            dataset_type=tasks[task].get("repository", "file"),
            dataset_name=f"{score.title} ({places[task]})",
            dataset_config=None if "repository" in tasks[task] else task,
            dataset_split=public_place(tasks[task]["eval"]),
            dataset_revision=tasks[task].get("revision"),
            metric_type="accuracy",
            metric_name=f"accuracy on {score.title}, k = {k}",
            metric_value=round(score.mean, 4),
            metric_args={"k": k, "items": score.n, "interval95": [round(end, 4) for end in score.interval]},
        )
        for (task, k), score in checkpoint.scores.items()
    ]


def _pair_results(run: Mapping[str, Any]) -> list[EvalResult]:
    """Of a reward model: how often it scores the preferred response higher."""
    pairs = run.get("heldout_pairs")
    if not pairs:
        return []
    return [
        EvalResult(
            task_type="text-classification",
            dataset_type="file",
            dataset_name="held-out pairs of responses",
            metric_type="accuracy",
            metric_name="accuracy on pairs",
            metric_value=round(pairs["accuracy"], 4),
            metric_args={"pairs": pairs["pairs"], "interval95": [round(end, 4) for end in pairs["interval95"]]},
        )
    ]


def model_card(checkpoint: Checkpoint, template: Path) -> str:
    """The whole card, README.md of the checkpoint's repository.

    Args:
        checkpoint: what is known of it.
        template: of the body.
    """
    environment = jinja2.Environment(  # noqa: S701 - HTML's escapes are not Markdown's
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markdown) else plain(value),
    )
    environment.filters |= {"code": code, "fenced": fenced, "literal": literal}
    environment.filters |= {"percent": percent, "public": public_place}
    body = environment.from_string(template.read_text(encoding="utf-8")).render(_context(checkpoint)).strip()
    return f"---\n{metadata(checkpoint)}\n---\n\n{re.sub(BLANK_LINES, BLANK_LINE, body)}\n"


def _context(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the template names."""
    settings, run, method = checkpoint.settings, checkpoint.run, checkpoint.method
    hashes, split = checkpoint.instructions["provenance"]["inputs"], METHODS[method].split
    data = [
        {"part": part, "place": file.get("url") or public_place(file["path"]), "sha256": hashes[part]}
        for part, file in settings["data"].items()
    ]
    known = [licence for licence in checkpoint.licences.values() if licence is not None]
    return {
        **{name: settings[name] for name in ("preset", "marker", "max_new_tokens", "reward_model", "notes")},
        "model": {"note": None, **settings["model"]},
        "title": checkpoint.title,
        "method": method,
        "about": _about(method)[0],
        "source": {"origin": None, **checkpoint.source},
        "prompt": run["provenance"]["settings"]["prompt"],
        "base": checkpoint.base,
        "chat_template": checkpoint.chat_template,
        "scores": checkpoint.scores,
        "results": rendered(results_table(checkpoint.scores, checkpoint.places)) if checkpoint.scores else Markdown(),
        "pairs": run.get("heldout_pairs"),
        "samples": checkpoint.samples,
        "hyper_parameters": rendered(hyper_parameters(run)),
        "training": rendered(training_facts(run)),
        "data": data,
        "split": split,
        "examples": checkpoint.splits["counts"][split],
        "splits": checkpoint.splits,
        "licences": rendered(licence_table(checkpoint.licences)),
        "unrecorded": len(known) < len(checkpoint.licences),
        "bound": list(binding(known)),
    }
