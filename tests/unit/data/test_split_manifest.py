"""The manifest of the splits: rows, ties, what is left out, and the spread of words."""

import statistics

import pytest

from common.data.splits import manifest, split
from support.prompt_rows import SMALL, prompt_row, prompt_rows


def small_manifest(rows, seed=1, **changes):
    parts = {**SMALL, **changes}
    splits = split(rows, parts, seed)
    return manifest(splits, rows, parts, seed), splits


def test_manifest_counts_rows_by_split():
    summary, splits = small_manifest(prompt_rows(45))
    assert summary["counts"] == {name: len(part) for name, part in splits.items()}
    assert summary["counts"] == {**summary["counts"], "sft": 36, "coh": 36, "rl_sft": 10, "rl_prompts": 16}
    assert summary["counts"]["heldout"] == 4
    assert summary["counts"]["rl_reward"] == summary["reward_pairs"]
    assert (summary["seed"], summary["prompts_found"], summary["prompts_used"]) == (1, 45, 40)
    assert summary["reward_prompts"] == 10
    assert summary["heldout_trained_on"] == {"rl": False, "sft_and_coh": False}


def test_manifest_counts_ties_by_source():
    scores = [(8, 8, 1)] * 3 + [(1, 8, 8)] * 2 + [(9, 8, 8)] * 5
    rows = [prompt_row(number, item) for number, item in enumerate(scores)]
    parts = {"prompts": 10, "heldout": 1, "rl_sft": 1, "rl_reward": 1, "rl_prompts": 1, "fine_tune_on_heldout": True}
    summary, _ = small_manifest(rows, **parts)
    assert summary["ties"] == {
        "rule": "keep",
        "pairs": 5,
        "share": 0.5,
        "by_source": {"gpt3 = gpt4": 3, "gpt3 = opt": 2},
    }


@pytest.mark.parametrize(("rule", "left_out"), [("keep", 3), ("tie_marker", 3), ("drop", 23)])
def test_manifest_counts_prompts_without_a_pair_and_dropped_ties(rule, left_out):
    rows = [prompt_row(number, (9,)) for number in range(3)]
    rows += [prompt_row(number, (8, 8, 1)) for number in range(3, 23)]
    rows += [prompt_row(number, (9, 8, 1)) for number in range(23, 40)]
    summary, splits = small_manifest(rows, ties=rule, fine_tune_on_heldout=True)
    assert summary["left_out"]["sft_without_reference"] == 0
    assert sum(count for name, count in summary["left_out"].items() if name.startswith("coh")) == left_out
    assert summary["counts"]["coh"] == len(splits["coh"]) == 40 - left_out


def test_manifest_tells_dropped_ties_from_prompts_without_a_pair():
    scores = [(9,)] * 3 + [(8, 8, 1)] * 15 + [(9, 8, 1)] * 22
    rows = [prompt_row(number, item) for number, item in enumerate(scores)]
    summary, _ = small_manifest(rows, ties="drop", fine_tune_on_heldout=True)
    assert 15 in (summary["ties"]["pairs"], *summary["left_out"].values())


def test_manifest_counts_stage_one_prompts_without_reference():
    rows = [prompt_row(number, reference="") for number in range(40)]
    summary, splits = small_manifest(rows)
    assert splits["rl_sft"] == []
    assert sum(count for name, count in summary["left_out"].items() if name.startswith("rl_sft")) == 10


def test_manifest_counts_reward_prompts_without_a_pair():
    rows = [prompt_row(number, (5, 5, 5)) for number in range(40)]
    summary, splits = small_manifest(rows)
    assert splits["rl_reward"] == []
    assert sum(count for name, count in summary["left_out"].items() if name.startswith("rl_reward")) == 10


@pytest.mark.parametrize("count", [3, 4])
def test_manifest_spreads_words(count):
    rows = [prompt_row(n, (9, 8), "word " * (n + 1) ** 2, f"Task {n}", "more words") for n in range(count)]
    parts = {"heldout": 1, "rl_sft": 0, "rl_reward": 1, "rl_prompts": 1, "fine_tune_on_heldout": True}
    words = small_manifest(rows, prompts=count, **parts)[0]["words"]
    lengths = [(n + 1) ** 2 for n in range(count)]
    assert words["instruction_and_input"] == {"mean": 4.0, "median": 4, "max": 4}
    assert words["coh_better"] == words["coh_worse"] == {"mean": 3.0, "median": 3, "max": 3}
    assert words["sft_response"]["mean"] == round(statistics.mean(lengths), 1)
    assert words["sft_response"]["max"] == max(lengths)
    assert words["sft_response"]["median"] == statistics.median(lengths)


def test_manifest_without_rows_holds_no_made_up_numbers():
    rows = [prompt_row(number, (9,), reference="") for number in range(40)]
    summary, _ = small_manifest(rows)
    assert summary["ties"]["share"] is None
    assert (
        summary["words"]["sft_response"] == summary["words"]["coh_better"] == dict.fromkeys(("mean", "median", "max"))
    )
    assert sum(count for name, count in summary["left_out"].items() if name.startswith("coh")) == 36
