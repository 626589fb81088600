"""Who trains on what (paper section 3.1; readings in docs/decisions.md)."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.base.errors import UserError
from common.data.examples import PROMPT_COLUMNS, Row, _prompt, coh_rows, reward_rows, sft_rows
from common.files.whole_files import sha256_of_text

COLUMNS: dict[str, tuple[str, ...]] = {
    "sft": (*PROMPT_COLUMNS, "response"),
    "coh": (
        *PROMPT_COLUMNS,
        "better",
        "worse",
        "better_source",
        "worse_source",
        "better_score",
        "worse_score",
        "tie",
        "better_first",
    ),
    "rl_sft": (*PROMPT_COLUMNS, "response"),
    "rl_reward": (
        *PROMPT_COLUMNS,
        "chosen",
        "rejected",
        "chosen_source",
        "rejected_source",
        "chosen_score",
        "rejected_score",
    ),
    "rl_prompts": PROMPT_COLUMNS,
    "heldout": (*PROMPT_COLUMNS, "reference", "responses"),
}


def shuffled(rows: Iterable[Row], seed: int) -> list[Row]:
    """Rows in an order that depends on the seed and each prompt's text alone, not on the order of the file."""
    return sorted(rows, key=lambda row: sha256_of_text(f"{seed}\0{row['id']}"))


def split(rows: Sequence[Row], settings: Mapping[str, Any], seed: int) -> dict[str, list[Row]]:
    """All splits by name.

    Raises:
        UserError: when there are fewer prompts than the configuration counts on.
    """
    if len(rows) < settings["prompts"]:
        what = f"{settings['prompts']} prompts are configured, {len(rows)} usable ones were found"
        raise UserError(what, "splits.prompts", "lower the counts in `splits`, or give more instructions")
    ordered = shuffled(rows, seed)[: settings["prompts"]]
    parts, start = {}, 0
    for name in ("heldout", "rl_sft", "rl_reward", "rl_prompts"):
        parts[name] = ordered[start : start + settings[name]]
        start += settings[name]
    fine_tuning = _fine_tuning(ordered, settings)
    splits = {
        "sft": sft_rows(fine_tuning),
        "coh": coh_rows(fine_tuning, seed, settings["ties"]),
        "rl_sft": sft_rows(parts["rl_sft"]),
        "rl_reward": reward_rows(parts["rl_reward"], settings["pairs"]),
        "rl_prompts": [_prompt(row) for row in parts["rl_prompts"]],
        "heldout": parts["heldout"],
    }
    check_heldout(splits, settings["fine_tune_on_heldout"])
    return splits


def heldout_examples(heldout: Sequence[Row], settings: Mapping[str, Any], seed: int) -> dict[str, list[Row]]:
    """What each split would hold of the held-out prompts, by the split's name; splits of equal form share one.

    The order and the ties of pairs are drawn as for the splits themselves, so held-out losses are of the same task.
    """
    return {
        "sft": sft_rows(heldout),
        "coh": coh_rows(heldout, seed, settings["ties"]),
        "rl_reward": reward_rows(heldout, settings["pairs"]),
    }


def _fine_tuning(ordered: Sequence[Row], settings: Mapping[str, Any]) -> Sequence[Row]:
    """The prompts SFT and CoH train on; the held-out ones stand first."""
    return ordered if settings["fine_tune_on_heldout"] else ordered[settings["heldout"] :]


def check_heldout(splits: Mapping[str, Sequence[Row]], fine_tune_on_heldout: bool) -> None:
    """No held-out prompt is trained on in the RL arm, nor, unless so configured, in SFT and CoH.

    Prompts are compared by text, not by id.

    Raises:
        UserError: naming the first one that is.
    """
    heldout = {(row["instruction"].casefold(), row["input"].casefold()): row["id"] for row in splits["heldout"]}
    trained = ["rl_sft", "rl_reward", "rl_prompts"] + ([] if fine_tune_on_heldout else ["sft", "coh"])
    for name in trained:
        for row in splits[name]:
            if (row["instruction"].casefold(), row["input"].casefold()) in heldout:
                remedy = "remove one of the two spellings of this prompt from the instruction files"
                raise UserError("a held-out prompt is trained on", f"split {name}, prompt {row['id']}", remedy)


def manifest(splits: Mapping[str, Sequence[Row]], rows: Sequence[Row], settings: Mapping[str, Any], seed: int) -> Row:
    """Counts, ties by source and lengths, for people and for the report."""
    pairs = splits["coh"]
    ties = Counter(" = ".join(sorted((p["better_source"], p["worse_source"]))) for p in pairs if p["tie"])
    fine_tuning = _fine_tuning(shuffled(rows, seed)[: settings["prompts"]], settings)
    unpaired = sum(len(row["responses"]) < 2 for row in fine_tuning)
    return {
        "seed": seed,
        "prompts_found": len(rows),
        "prompts_used": settings["prompts"],
        "counts": {name: len(part) for name, part in splits.items()},
        "reward_prompts": settings["rl_reward"],
        "reward_pairs": len(splits["rl_reward"]),
        "left_out": {
            "sft_without_reference": len(fine_tuning) - len(splits["sft"]),
            "coh_without_pair": unpaired,
            "coh_tie_dropped": len(fine_tuning) - len(pairs) - unpaired,
            "rl_sft_without_reference": settings["rl_sft"] - len(splits["rl_sft"]),
            "rl_reward_without_pair": settings["rl_reward"] - len({r["id"] for r in splits["rl_reward"]}),
        },
        "ties": {
            "rule": settings["ties"],
            "pairs": sum(ties.values()),
            "share": round(sum(ties.values()) / len(pairs), 4) if pairs else None,
            "by_source": dict(sorted(ties.items())),
        },
        "words": {
            "instruction_and_input": _spread(f"{row['instruction']} {row['input']}" for row in rows),
            "sft_response": _spread(row["response"] for row in splits["sft"]),
            "coh_better": _spread(row["better"] for row in pairs),
            "coh_worse": _spread(row["worse"] for row in pairs),
        },
        "heldout_trained_on": {"rl": False, "sft_and_coh": settings["fine_tune_on_heldout"]},
    }


def _spread(texts: Iterable[str]) -> Row:
    """Mean, median and largest number of words."""
    lengths = sorted(len(text.split()) for text in texts)
    if not lengths:
        return {"mean": None, "median": None, "max": None}
    return {"mean": round(sum(lengths) / len(lengths), 1), "median": statistics.median(lengths), "max": lengths[-1]}
