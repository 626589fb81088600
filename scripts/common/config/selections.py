"""What a schema cannot say of a configuration: the names it selects must exist, and its counts add up."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def near_name(name: str, known: Iterator[str] | Sequence[str]) -> str:
    """A question that suggests the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def check_selections(config: Mapping[str, Any]) -> list[str]:
    """What a schema cannot say: names must exist and counts must add up."""
    problems = []
    selected = [(f"table3.{registry}", name, registry) for registry in ("models", "tasks")
                for name in config["table3"][registry]]  # fmt: skip
    selected += [(f"rl.{role}", config["rl"][role], "models") for role in ("actor", "reward")]
    for key, name, registry in selected:
        if name not in config[registry]:
            problems.append(f"{key}: `{name}` is not in `{registry}`{near_name(name, config[registry])}")
    for method in {*config["table3"]["methods"], *config["marker_table"]["methods"]} - {"pretrained"}:
        if method not in config["methods"]:
            problems.append(f"methods.{method}: missing, though a table selects it")
    splits = config["splits"]
    needed = sum(splits[key] for key in ("heldout", "rl_sft", "rl_reward", "rl_prompts"))
    if needed > splits["prompts"]:
        total = splits["prompts"]
        problems.append(f"splits: heldout + rl_sft + rl_reward + rl_prompts = {needed} exceeds prompts = {total}")
    examples = config["human_eval"]["examples"]
    if examples > splits["heldout"]:
        problems.append(f"human_eval.examples: {examples} exceeds splits.heldout = {splits['heldout']}")
    return problems + _check_rating_pairs(config)


def _check_rating_pairs(config: Mapping[str, Any]) -> list[str]:
    """Pairs of a model or method that does not exist, of a method with itself, and the same two methods again."""
    problems = []
    seen: dict[tuple[str, frozenset[str]], str] = {}
    for number, pair in enumerate(config["human_eval"]["pairs"]):
        key, model, methods = f"human_eval.pairs[{number}]", pair["model"], (pair["first"], pair["second"])
        if model not in config["models"]:
            problems.append(f"{key}.model: `{model}` is not in `models`{near_name(model, config['models'])}")
        for method in dict.fromkeys(methods):
            if method not in ("pretrained", *config["methods"]):
                problems.append(f"methods.{method}: missing, though {key} selects it")
        if methods[0] == methods[1]:
            problems.append(f"{key}: `{methods[0]}` is compared with itself")
        earlier = seen.setdefault((model, frozenset(methods)), key)
        if earlier != key:
            problems.append(f"{key}: {model}, {' and '.join(methods)} are compared in {earlier} already")
    return problems
