"""Splits: the paper's counts, pairs against a slow reference, seeds, held-out prompts and the manifest."""

import json
import statistics
from collections import Counter

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import split_instructions
from common.base.errors import EXIT_BAD_INPUT, UserError
from common.base.paths import ROOT
from common.data.examples import coh_rows, hindsight_pair, reward_rows
from common.data.instructions import COLUMNS as INSTRUCTION_COLUMNS
from common.data.instructions import prompt_id
from common.data.splits import COLUMNS, check_heldout, manifest, shuffled, split
from common.files.parquet import read_parquet, write_parquet
from common.files.whole_files import sha256_of_file
from support.amounts import examples

PAPER = yaml.safe_load((ROOT / "config/paper.yaml").read_text(encoding="utf-8"))
RL_SPLITS = ("rl_sft", "rl_reward", "rl_prompts")
SMALL = {
    "prompts": 40,
    "heldout": 4,
    "rl_sft": 10,
    "rl_reward": 10,
    "rl_prompts": 16,
    "fine_tune_on_heldout": False,
    "ties": "keep",
    "pairs": "all_distinct",
}
SCORES = ((9, 7, 3), (8, 8, 5), (9, 6, 6), (4, 4, 4))


def response(score, source="a", text=None):
    return {"source": source, "text": text or f"{source} scored {score}", "score": float(score)}


def prompt_row(number, scores=(9, 7, 3), reference=None, instruction=None, input_text=""):
    instruction = instruction or f"Task number {number}"
    return {
        "id": prompt_id(instruction, input_text),
        "instruction": instruction,
        "input": input_text,
        "reference": f"Answer {number}" if reference is None else reference,
        "responses": [response(score, source) for score, source in zip(scores, ("gpt4", "gpt3", "opt"), strict=False)],
    }


def prompt_rows(count):
    return [prompt_row(number, SCORES[number % len(SCORES)]) for number in range(count)]


def ids(rows):
    return [row["id"] for row in rows]


RESPONSES = st.lists(
    st.builds(response, st.integers(1, 4), st.sampled_from(["gpt4", "gpt3", "opt"]), st.sampled_from(["x", "y", "z"])),
    max_size=5,
)
ROWS_OF_RESPONSES = st.builds(lambda responses: {**prompt_row(0), "responses": responses}, RESPONSES)
ROWS_WITH_PAIRS = ROWS_OF_RESPONSES.filter(lambda row: len(row["responses"]) >= 2)
SEEDS = st.integers(0, 2**31)


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


def test_reward_row_names_chosen_and_rejected():
    assert reward_rows([prompt_row(1, (3, 8))], "all_distinct") == [
        {
            **{key: prompt_row(1)[key] for key in ("id", "instruction", "input")},
            "chosen": "gpt3 scored 8",
            "rejected": "gpt4 scored 3",
            "chosen_source": "gpt3",
            "rejected_source": "gpt4",
            "chosen_score": 8.0,
            "rejected_score": 3.0,
        }
    ]


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


def slow_pairs(row):
    """Every ordered pair of a prompt's responses of which the first has the higher score."""
    found = Counter()
    for first in row["responses"]:
        for second in row["responses"]:
            if first["score"] > second["score"]:
                found[tuple(first.values()), tuple(second.values())] += 1
    return list(found.elements())


def pairs_of(rows):
    keys = ("source", "", "score")
    return [
        tuple(tuple(row[f"{side}_{key}" if key else side] for key in keys) for side in ("chosen", "rejected"))
        for row in rows
    ]


@settings(deadline=None, max_examples=examples(100))
@given(rows=st.lists(ROWS_OF_RESPONSES, max_size=4))
def test_all_distinct_pairs_equal_the_slow_reference(rows):
    expected = Counter(pair for row in rows for pair in slow_pairs(row))
    assert Counter(pairs_of(reward_rows(rows, "all_distinct"))) == expected


@settings(deadline=None, max_examples=examples(100))
@given(row=ROWS_OF_RESPONSES)
def test_best_vs_worst_is_one_pair_of_the_extremes(row):
    scores = [item["score"] for item in row["responses"]]
    found = pairs_of(reward_rows([row], "best_vs_worst"))
    assert [(chosen[2], rejected[2]) for chosen, rejected in found] == (
        [(max(scores), min(scores))] if len(set(scores)) > 1 else []
    )
    assert set(found) <= set(slow_pairs(row))


@settings(deadline=None, max_examples=examples(100))
@given(row=ROWS_OF_RESPONSES)
def test_best_vs_rest_pairs_one_best_with_every_lower_one(row):
    best = max((item["score"] for item in row["responses"]), default=0)
    found = pairs_of(reward_rows([row], "best_vs_rest"))
    lower = Counter(tuple(item.values()) for item in row["responses"] if item["score"] < best)
    assert Counter(rejected for _, rejected in found) == lower
    assert len({chosen for chosen, _ in found}) == bool(lower)
    assert all(chosen[2] == best for chosen, _ in found)


@settings(deadline=None, max_examples=examples(100))
@given(row=ROWS_WITH_PAIRS, seed=SEEDS)
def test_a_hindsight_pair_is_the_top_two_responses(row, seed):
    pair = hindsight_pair(row, seed)
    top = sorted((item["score"] for item in row["responses"]), reverse=True)[:2]
    assert pair["better_score"] >= pair["worse_score"]
    assert [pair["better_score"], pair["worse_score"]] == top
    assert pair["tie"] == (top[0] == top[1])
    taken = [(pair[f"{side}_source"], pair[side], pair[f"{side}_score"]) for side in ("better", "worse")]
    assert Counter(taken) <= Counter(tuple(item.values()) for item in row["responses"])


@settings(deadline=None, max_examples=examples(100))
@given(row=ROWS_WITH_PAIRS, seed=SEEDS)
def test_a_hindsight_pair_is_the_same_each_time(row, seed):
    before = json.dumps(row)
    assert hindsight_pair(row, seed) == hindsight_pair(row, seed)
    assert json.dumps(row) == before


@pytest.mark.parametrize("responses", [0, 1])
def test_fewer_than_two_responses_give_no_pair(responses):
    row = prompt_row(1, (9,) * responses)
    assert hindsight_pair(row, 1) is None
    assert coh_rows([row], 1, "keep") == []
    assert reward_rows([row], "all_distinct") == []


def draws(scores, count=1200):
    return [hindsight_pair(prompt_row(0, scores), seed) for seed in range(count)]


def test_two_equal_bests_each_come_first_about_half_the_time():
    firsts = Counter((pair["better_source"], pair["worse_source"]) for pair in draws((8, 8, 2)))
    assert firsts.keys() == {("gpt4", "gpt3"), ("gpt3", "gpt4")}
    assert all(520 < count < 680 for count in firsts.values())


def test_equal_second_bests_are_each_taken_about_half_the_time():
    pairs = draws((6, 9, 6))
    assert {pair["better_source"] for pair in pairs} == {"gpt3"}
    seconds = Counter(pair["worse_source"] for pair in pairs)
    assert seconds.keys() == {"gpt4", "opt"}
    assert all(520 < count < 680 for count in seconds.values())


def test_three_equals_give_every_ordered_pair_about_equally_often():
    found = Counter((pair["better_source"], pair["worse_source"]) for pair in draws((5, 5, 5)))
    assert len(found) == 6
    assert all(140 < count < 260 for count in found.values())


@pytest.mark.parametrize("scores", [(9, 7, 3), (8, 8, 2)])
def test_better_first_is_about_fair_whichever_response_is_the_better(scores):
    pairs = draws(scores)
    for source in {pair["better_source"] for pair in pairs}:
        flags = [pair["better_first"] for pair in pairs if pair["better_source"] == source]
        assert 0.42 < sum(flags) / len(flags) < 0.58


def test_equals_of_different_prompts_are_drawn_apart():
    rows = [prompt_row(number, (8, 8)) for number in range(400)]
    firsts = Counter(pair["better_source"] for pair in coh_rows(rows, 1, "keep"))
    assert all(150 < count < 250 for count in firsts.values())
    assert sum(firsts.values()) == 400


@settings(deadline=None, max_examples=examples(100))
@given(rows=st.lists(ROWS_OF_RESPONSES, max_size=6), seed=SEEDS)
def test_ties_are_kept_dropped_or_kept_for_the_marker(rows, seed):
    kept, dropped, marked = (coh_rows(rows, seed, rule) for rule in ("keep", "drop", "tie_marker"))
    pairs = [hindsight_pair(row, seed) for row in rows]
    assert kept == [pair for pair in pairs if pair and pair["better"] != pair["worse"]]
    assert marked == kept
    assert dropped == [pair for pair in kept if pair["better_score"] != pair["worse_score"]]


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
