"""Splits: the paper's counts, order by seed, held-out prompts on one side alone, and the script."""

import json
from collections import Counter

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import split_instructions
from common.base.errors import EXIT_BAD_INPUT, UserError
from common.base.paths import ROOT
from common.data.instructions import COLUMNS as INSTRUCTION_COLUMNS
from common.data.splits import COLUMNS, check_heldout, manifest, shuffled, split
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import sha256_of_file
from support.amounts import examples
from support.prompt_rows import SEEDS, SMALL, ids, prompt_row, prompt_rows, slow_pairs

PAPER = yaml.safe_load((ROOT / "config/paper.yaml").read_text(encoding="utf-8"))
RL_SPLITS = ("rl_sft", "rl_reward", "rl_prompts")


@pytest.fixture(scope="module")
def full_rows():
    """As many prompts as GPT-4-LLM holds, two more than the paper uses."""
    return prompt_rows(52_002)


@pytest.fixture(scope="module")
def full_splits(full_rows):
    return split(full_rows, PAPER["splits"], PAPER["seed"])


def test_the_paper_preset_has_the_papers_counts():
    counts = {key: PAPER["splits"][key] for key in ("prompts", "rl_sft", "rl_reward", "rl_prompts", "heldout")}
    assert counts == {
        "prompts": 52_000,
        "rl_sft": 10_000,
        "rl_reward": 10_000,
        "rl_prompts": 30_000,
        "heldout": 2_000,
    }
    assert PAPER["splits"]["pairs"] == "all_distinct"


@pytest.mark.slow
def test_full_size_splits_have_the_papers_counts(full_splits):
    assert len(full_splits["rl_sft"]) == 10_000
    assert len(full_splits["rl_prompts"]) == 30_000
    assert len(full_splits["heldout"]) == 2_000


@pytest.mark.slow
def test_full_size_fine_tuning_takes_all_prompts(full_splits):
    assert len(full_splits["sft"]) == len(full_splits["coh"]) == 52_000
    assert len(set(ids(full_splits["sft"]))) == 52_000
    assert ids(full_splits["sft"]) == ids(full_splits["coh"])


@pytest.mark.slow
def test_full_size_fine_tuning_leaves_heldout_prompts_out_when_so_configured(full_rows):
    splits = split(full_rows, {**PAPER["splits"], "fine_tune_on_heldout": False}, PAPER["seed"])
    heldout = set(ids(splits["heldout"]))
    assert len(heldout) == 2_000
    for name in ("sft", "coh"):
        assert len(splits[name]) == 50_000
        assert heldout.isdisjoint(ids(splits[name]))


def test_full_size_rl_splits_share_no_prompt(full_rows, full_splits):
    scores = {row["id"]: [item["score"] for item in row["responses"]] for row in full_rows}
    with_pairs = set(ids(full_splits["rl_reward"]))
    others = [*full_splits["rl_sft"], *full_splits["rl_prompts"], *full_splits["heldout"]]
    assert with_pairs.isdisjoint(ids(others))
    assert len(set(ids(others))) == len(others) == 42_000
    without_pairs = set(ids(full_splits["sft"])) - with_pairs - set(ids(others))
    assert len(with_pairs) + len(without_pairs) == 10_000
    assert {len(set(scores[identity])) for identity in without_pairs} == {1}


def test_full_size_reward_pairs_are_all_whose_scores_differ(full_rows, full_splits):
    rows = {row["id"]: row for row in full_rows}
    reward_ids = set(ids(full_splits["rl_reward"]))
    assert len(full_splits["rl_reward"]) == sum(len(slow_pairs(rows[identity])) for identity in reward_ids)


def test_full_size_manifest(full_rows, full_splits):
    summary = manifest(full_splits, full_rows, PAPER["splits"], PAPER["seed"])
    assert (summary["prompts_found"], summary["prompts_used"], summary["reward_prompts"]) == (52_002, 52_000, 10_000)
    assert summary["heldout_trained_on"] == {"rl": False, "sft_and_coh": True}
    assert 0.49 < summary["ties"]["share"] < 0.51


@pytest.mark.parametrize("name", COLUMNS)
def test_every_row_has_the_columns_written_to_its_file(name):
    rows = split(prompt_rows(40), SMALL, 1)[name]
    assert rows
    assert {frozenset(row) for row in rows} == {frozenset(COLUMNS[name])}


def test_rows_carry_the_texts_of_their_prompt():
    row = prompt_row(1, (9, 7, 3), "Right", "Translate.", "Tag")
    parts = {**SMALL, "prompts": 1, "heldout": 0, "rl_sft": 1, "rl_reward": 0, "rl_prompts": 0}
    splits = split([row], parts, 5)
    prompt = {"id": row["id"], "instruction": "Translate.", "input": "Tag"}
    assert splits["sft"] == splits["rl_sft"] == [{**prompt, "response": "Right"}]
    better_first = splits["coh"][0].pop("better_first")
    assert better_first in (True, False)
    assert splits["coh"] == [
        {
            **prompt,
            "better": "gpt4 scored 9",
            "worse": "gpt3 scored 7",
            "better_source": "gpt4",
            "worse_source": "gpt3",
            "better_score": 9.0,
            "worse_score": 7.0,
            "tie": False,
        }
    ]
    parts = {**parts, "rl_sft": 0, "rl_prompts": 1}
    assert split([row], parts, 5)["rl_prompts"] == [prompt]


def test_prompts_without_reference_are_left_out_of_fine_tuning_and_counted():
    rows = prompt_rows(40)
    for row in rows[:7]:
        row["reference"] = ""
    parts = {**SMALL, "fine_tune_on_heldout": True}
    splits = split(rows, parts, 3)
    assert set(ids(splits["sft"])) == set(ids(rows[7:]))
    assert len(splits["coh"]) == 40
    assert manifest(splits, rows, parts, 3)["left_out"]["sft_without_reference"] == 7


@pytest.mark.parametrize("found", [0, 1, 39])
def test_too_few_prompts_are_refused(found):
    with pytest.raises(UserError) as caught:
        split(prompt_rows(found), SMALL, 1)
    assert caught.value.what == f"40 prompts are configured, {found} usable ones were found"
    assert caught.value.where == "splits.prompts"


@settings(deadline=None, max_examples=examples(50))
@given(order=st.permutations(range(40)), seed=SEEDS)
def test_splits_do_not_depend_on_the_order_of_the_file(order, seed):
    rows = prompt_rows(40)
    assert split([rows[index] for index in order], SMALL, seed) == split(rows, SMALL, seed)


def test_splits_do_not_depend_on_what_else_a_row_holds():
    rows = prompt_rows(40)
    changed = [{**row, "reference": "other", "responses": row["responses"][::-1]} for row in rows]
    assert ids(shuffled(changed, 9)) == ids(shuffled(rows, 9))
    assert ids(split(changed, SMALL, 9)["heldout"]) == ids(split(rows, SMALL, 9)["heldout"])


def test_splits_depend_on_the_seed():
    rows = prompt_rows(40)
    orders = {tuple(ids(shuffled(rows, seed))) for seed in range(20)}
    heldouts = {frozenset(ids(split(rows, SMALL, seed)["heldout"])) for seed in range(20)}
    assert len(orders) == 20
    assert len(heldouts) > 15


def test_an_order_has_each_row_once():
    rows = prompt_rows(40)
    assert Counter(ids(shuffled(rows, 4))) == Counter(ids(rows))


def test_prompts_past_the_configured_number_are_not_used():
    rows = prompt_rows(60)
    splits = split(rows, {**SMALL, "fine_tune_on_heldout": True}, 2)
    assert ids(splits["sft"]) == ids(shuffled(rows, 2))[:40]


@settings(deadline=None, max_examples=examples(50))
@given(seed=SEEDS, parts=st.tuples(*[st.integers(1, 10)] * 4), fine_tune_on_heldout=st.booleans())
def test_no_heldout_prompt_is_in_the_rl_splits_for_any_counts(seed, parts, fine_tune_on_heldout):
    counts = dict(zip(("heldout", *RL_SPLITS), parts, strict=True))
    rows = [prompt_row(number) for number in range(40)]
    splits = split(rows, {**SMALL, **counts, "fine_tune_on_heldout": fine_tune_on_heldout}, seed)
    heldout = set(ids(splits["heldout"]))
    groups = [set(ids(splits[name])) for name in ("heldout", *RL_SPLITS)]
    assert [len(group) for group in groups] == list(parts)
    assert len(set.union(*groups)) == sum(parts)
    for name in ("sft", "coh"):
        assert heldout.issubset(ids(splits[name])) == fine_tune_on_heldout
        assert len(splits[name]) == 40 - (0 if fine_tune_on_heldout else len(heldout))


def smuggle(name, change):
    """Splits with a changed copy of a held-out prompt in one of them, under another id."""
    splits = split(prompt_rows(40), SMALL, 1)
    stowaway = {**splits[name][0], **{key: change(splits["heldout"][1][key]) for key in ("instruction", "input")}}
    return {**splits, name: [*splits[name], {**stowaway, "id": "stowaway"}]}


CHANGES = {"the same text": str, "upper case": str.upper, "lower case": str.lower, "swapped case": str.swapcase}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("fine_tune_on_heldout", [True, False])
@pytest.mark.parametrize("name", RL_SPLITS)
def test_a_heldout_prompt_in_an_rl_split_is_caught(name, change, fine_tune_on_heldout):
    with pytest.raises(UserError) as caught:
        check_heldout(smuggle(name, CHANGES[change]), fine_tune_on_heldout)
    assert caught.value.where == f"split {name}, prompt stowaway"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["sft", "coh"])
def test_a_heldout_prompt_in_fine_tuning_is_caught_unless_configured(name, change):
    splits = smuggle(name, CHANGES[change])
    with pytest.raises(UserError) as caught:
        check_heldout(splits, fine_tune_on_heldout=False)
    assert caught.value.where == f"split {name}, prompt stowaway"
    check_heldout(splits, fine_tune_on_heldout=True)


def test_a_heldout_instruction_with_another_input_is_another_prompt():
    splits = split(prompt_rows(40), SMALL, 1)
    neighbour = {**splits["rl_sft"][0], "instruction": splits["heldout"][0]["instruction"], "input": "other"}
    check_heldout({**splits, "rl_sft": [neighbour]}, fine_tune_on_heldout=False)
    with pytest.raises(UserError):
        check_heldout({**splits, "rl_sft": [{**neighbour, "input": ""}]}, fine_tune_on_heldout=False)


def test_two_spellings_of_a_prompt_never_end_on_both_sides():
    rows = [*prompt_rows(38), prompt_row(0, instruction="Name a Colour"), prompt_row(1, instruction="name a colour")]
    would_part = 0
    for seed in range(60):
        order, both = ids(shuffled(rows, seed)), set(ids(rows[-2:]))
        would_part += len(both.intersection(order[:4])) == 1
        splits = split(rows, SMALL, seed)
        assert {name: len(splits[name]) for name in ("heldout", "rl_sft", "rl_prompts")} == {
            "heldout": 4, "rl_sft": 10, "rl_prompts": 16,
        }  # fmt: skip
        assert all(len(both.intersection(ids(part))) in (0, 2) for part in splits.values())
    assert would_part


def run_script(folder, rows):
    write_parquet(folder / "rows.parquet", rows, INSTRUCTION_COLUMNS)
    settings_text = json.dumps({"seed": 1, "splits": SMALL})
    files = ["--instructions", str(folder / "rows.parquet"), "--output", str(folder / "splits")]
    return split_instructions.main(["--settings", settings_text, *files])


def test_the_script_writes_every_split_and_its_hash(tmp_path):
    rows = prompt_rows(40)
    assert run_script(tmp_path, rows) == 0
    summary = json.loads((tmp_path / "splits/manifest.json").read_text())
    for name, part in split(rows, SMALL, 1).items():
        path = tmp_path / f"splits/{name}.parquet"
        assert read_parquet(path) == part
        assert summary["hashes"][name] == sha256_of_file(path)
        assert summary["counts"][name] == len(part)


def test_the_script_ends_with_bad_input_on_too_few_prompts(tmp_path, capsys):
    assert run_script(tmp_path, prompt_rows(39)) == EXIT_BAD_INPUT
    assert "39 usable ones were found" in capsys.readouterr().err
    assert not (tmp_path / "splits").exists()
