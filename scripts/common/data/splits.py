"""Who trains on what (paper section 3.1; readings in docs/decisions.md)."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.base.errors import UserError
from common.data.examples import PROMPT_COLUMNS, Row, _prompt, coh_rows, hindsight_pairs, reward_rows, sft_rows
from common.data.plain_text import spelling
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


def _spelling(row: Row) -> tuple[str, str]:
    """What prompts share that differ in case, spacing or Unicode form alone."""
    return spelling(row["instruction"]), spelling(row["input"])


def deal(rows: Sequence[Row], settings: Mapping[str, Any], seed: int) -> dict[str, list[Row]]:
    """The prompts of each part, `others` being those of SFT and CoH alone; all spellings of a prompt are in one part.

    Each part takes the next prompts in shuffled order. One that does not fit with all its spellings waits for the next
    part; where only such prompts are left, the spellings that do not fit are left out.

    Raises:
        UserError: when there are fewer prompts than the configuration counts on.
    """
    if len(rows) < settings["prompts"]:
        what = f"{settings['prompts']} prompts are configured, {len(rows)} usable ones were found"
        raise UserError(what, "splits.prompts", "lower the counts in `splits`, or give more instructions")
    spellings: dict[tuple[str, str], list[Row]] = {}
    for row in shuffled(rows, seed):
        spellings.setdefault(_spelling(row), []).append(row)
    sizes = {name: settings[name] for name in ("heldout", "rl_sft", "rl_reward", "rl_prompts")}
    sizes["others"] = settings["prompts"] - sum(sizes.values())
    parts, waiting = {}, list(spellings.values())
    for name, size in sizes.items():
        parts[name], waiting = _take(waiting, size)
    return parts


def _take(groups: Sequence[list[Row]], size: int) -> tuple[list[Row], list[list[Row]]]:
    """`size` rows in whole groups, if it can be done, and the groups left."""
    taken: list[Row] = []
    waiting = []
    for group in groups:
        if len(taken) + len(group) <= size:
            taken += group
        else:
            waiting.append(group)
    if waiting and len(taken) < size:
        taken += waiting.pop(0)[: size - len(taken)]
    return taken, waiting


def split(rows: Sequence[Row], settings: Mapping[str, Any], seed: int) -> dict[str, list[Row]]:
    """All splits by name.

    Raises:
        UserError: when there are fewer prompts than the configuration counts on.
    """
    parts = deal(rows, settings, seed)
    fine_tuning = _fine_tuning(parts, settings)
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


def _fine_tuning(parts: Mapping[str, list[Row]], settings: Mapping[str, Any]) -> list[Row]:
    """The prompts SFT and CoH train on."""
    used = [name for name in parts if name != "heldout" or settings["fine_tune_on_heldout"]]
    return [row for name in used for row in parts[name]]


def check_heldout(splits: Mapping[str, Sequence[Row]], fine_tune_on_heldout: bool) -> None:
    """No held-out prompt is trained on in the RL arm, nor, unless so configured, in SFT and CoH.

    Prompts are compared by text but for case, spacing and Unicode form, not by id.

    Raises:
        UserError: naming the first one that is.
    """
    heldout = {_spelling(row) for row in splits["heldout"]}
    trained = ["rl_sft", "rl_reward", "rl_prompts"] + ([] if fine_tune_on_heldout else ["sft", "coh"])
    for name in trained:
        for row in splits[name]:
            if _spelling(row) in heldout:
                remedy = "remove one of the two spellings of this prompt from the instruction files"
                raise UserError("a held-out prompt is trained on", f"split {name}, prompt {row['id']}", remedy)


def manifest(splits: Mapping[str, Sequence[Row]], rows: Sequence[Row], settings: Mapping[str, Any], seed: int) -> Row:
    """Counts, ties by source and lengths, for people and for the report."""
    pairs = splits["coh"]
    ties = Counter(" = ".join(sorted((p["better_source"], p["worse_source"]))) for p in pairs if p["tie"])
    parts = deal(rows, settings, seed)
    used = sum(len(part) for part in parts.values())
    fine_tuning = _fine_tuning(parts, settings)
    unpaired = sum(len(row["responses"]) < 2 for row in fine_tuning)
    told_apart, identical = hindsight_pairs(fine_tuning, seed)
    return {
        "seed": seed,
        "prompts_found": len(rows),
        "prompts_used": used,
        "prompts_in_other_spellings": used - len({_spelling(row) for part in parts.values() for row in part}),
        "counts": {name: len(part) for name, part in splits.items()},
        "reward_prompts": settings["rl_reward"],
        "reward_pairs": len(splits["rl_reward"]),
        "left_out": {
            "sft_without_reference": len(fine_tuning) - len(splits["sft"]),
            "coh_without_pair": unpaired,
            "coh_identical_responses": identical,
            "coh_tie_dropped": len(told_apart) - len(pairs),
            "rl_sft_without_reference": len(parts["rl_sft"]) - len(splits["rl_sft"]),
            "rl_reward_without_pair": len(parts["rl_reward"]) - len({r["id"] for r in splits["rl_reward"]}),
            "spellings_that_do_not_fit": settings["prompts"] - used,
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
