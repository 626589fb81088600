"""What a schema cannot say of a configuration: names must exist, selections must fit each other, counts must add up."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common.config.selection import evaluated, reward_models, sampled, table5_models


def near(name: str, known: Iterator[str] | Sequence[str]) -> str:
    """A question that suggests the nearest known name, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean `{found[0]}`?" if found else ""


def check_selections(config: Mapping[str, Any]) -> list[str]:
    """Complaints about selections; the configuration follows the schema and has its defaults."""
    problems = [*_unknown_names(config), *_check_methods(config), *_check_rewards(config), *_check_counts(config)]
    return problems + _check_rating_pairs(config)


def _unknown_names(config: Mapping[str, Any]) -> list[str]:
    rl = config["rl"]
    selected = [(f"table3.{registry}", name, registry) for registry in ("models", "tasks")
                for name in config["table3"][registry]]  # fmt: skip
    selected += [("table5.models", name, "models") for name in table5_models(config)]
    selected += [(f"rl.{role}", rl[role], "models") for role in ("actor", "reward")]
    selected += [("rl.reward_models", name, "models") for pair in rl["reward_models"].items() for name in pair]
    return [
        f"{key}: `{name}` is not in `{registry}`{near(name, config[registry])}"
        for key, name, registry in selected
        if name not in config[registry]
    ]


def _check_methods(config: Mapping[str, Any]) -> list[str]:
    tables = [config[name]["methods"] for name in ("table3", "table5", "marker_table")]
    methods = dict.fromkeys(method for table in tables for method in table if method != "pretrained")
    problems = [
        f"methods.{method}: missing, though a table selects it" for method in methods if method not in config["methods"]
    ]
    table5 = config["table5"]["methods"]
    if table5 and "sft" not in table5:
        problems.append("table5.methods: `sft` is missing, which the other rows are compared with")
    return problems


def _check_rewards(config: Mapping[str, Any]) -> list[str]:
    """PPO, Table 5 and the rating page, whose responses are scored too, need a reward model of each base model."""
    rl, scorers = config["rl"], reward_models(config)
    problems = []
    if rl["reward_models"].get(rl["actor"], rl["reward"]) != rl["reward"]:
        problems.append(f"rl.reward_models: `{rl['actor']}` has another reward model in `rl.reward`")
    ppo = [name for name, method in evaluated(config) if method == "ppo"]
    needed = dict.fromkeys([*(name for name, _ in sampled(config)), *ppo])
    problems += [
        f"rl.reward_models: `{name}` has none, which PPO, Table 5 and the rating page need: name one of its tokenizer"
        for name in needed
        if name not in scorers
    ]
    return problems


def _check_counts(config: Mapping[str, Any]) -> list[str]:
    splits, problems = config["splits"], []
    needed = sum(splits[key] for key in ("heldout", "rl_sft", "rl_reward", "rl_prompts"))
    if needed > splits["prompts"]:
        total = splits["prompts"]
        problems.append(f"splits: heldout + rl_sft + rl_reward + rl_prompts = {needed} exceeds prompts = {total}")
    examples = config["human_eval"]["examples"]
    if examples > splits["heldout"]:
        problems.append(f"human_eval.examples: {examples} exceeds splits.heldout = {splits['heldout']}")
    return problems


def _check_rating_pairs(config: Mapping[str, Any]) -> list[str]:
    """Pairs of a model or method that does not exist, of a method with itself, and the same two methods again."""
    problems = []
    seen: dict[tuple[str, frozenset[str]], str] = {}
    for number, pair in enumerate(config["human_eval"]["pairs"]):
        key, model, methods = f"human_eval.pairs[{number}]", pair["model"], (pair["first"], pair["second"])
        if model not in config["models"]:
            problems.append(f"{key}.model: `{model}` is not in `models`{near(model, config['models'])}")
        for method in dict.fromkeys(methods):
            if method not in ("pretrained", *config["methods"]):
                problems.append(f"methods.{method}: missing, though {key} selects it")
        if methods[0] == methods[1]:
            problems.append(f"{key}: `{methods[0]}` is compared with itself")
        earlier = seen.setdefault((model, frozenset(methods)), key)
        if earlier != key:
            problems.append(f"{key}: {model}, {' and '.join(methods)} are compared in {earlier} already")
    return problems
