"""Prompts and responses that differ in case, spacing or Unicode form alone: one side of every split, no CoH pair."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import split_instructions
from common.data.examples import coh_rows, hindsight_pair, hindsight_pairs
from common.data.instructions import COLUMNS, prompt_id
from common.data.plain_text import plain_text, spelling
from common.data.splits import check_heldout, deal, heldout_examples, manifest, shuffled, split
from common.files.parquet import write_parquet
from support.amounts import examples

SIZES = {
    "prompts": 40, "heldout": 5, "rl_sft": 10, "rl_reward": 9, "rl_prompts": 11, "fine_tune_on_heldout": False,
    "ties": "keep", "pairs": "all_distinct",
}  # fmt: skip
SPELLINGS = (
    str, str.upper, str.title, lambda text: text.replace(" ", "  "), lambda text: text.replace(" ", "\u00a0"),
    lambda text: text.replace(" ", "\n"), lambda text: f"\u200b{text}", lambda text: text.replace("t", "\uff54"),
)  # fmt: skip


def prompt_row(number: int, instruction: str | None = None, responses: Any = None) -> dict[str, Any]:
    instruction = instruction or f"Say the number {number} to it"
    given = responses or [("good", 9.0), ("poor", 2.0)]
    return {
        "id": prompt_id(instruction, ""), "instruction": instruction, "input": "", "reference": "x",
        "responses": [{"source": f"s{i}", "text": text, "score": score} for i, (text, score) in enumerate(given)],
    }  # fmt: skip


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Name a fruit.", "name a FRUIT."), ("Name a fruit.", " Name\ta  fruit.\n"), ("a b", "a\u00a0b"),
        ("don't", "don\u2019t"), ('say "x"', "say \u201cx\u201d"), ("caf\u00e9", "cafe\u0301"),
        ("Stra\u00dfe", "STRASSE"), ("\uff21\uff22\uff23", "abc"), ("re-use", "re\u2011use"),
        ("\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
        ("\u30ab\u30bf", "\uff76\uff80"), ("soft", "so\u00adft"), ("white space", "whitespace"),
    ],
)  # fmt: skip
def test_texts_that_differ_in_case_spacing_or_form_are_one(one: str, other: str) -> None:
    assert spelling(one) == spelling(other)


@pytest.mark.parametrize(("one", "other"), [("1+2", "1-2"), ("caf\u00e9", "cafe"), ("a.", "a"), ("\u00bd", "12")])
def test_texts_that_differ_otherwise_are_two(one: str, other: str) -> None:
    assert spelling(one) != spelling(other)


@settings(deadline=None, max_examples=examples(200))
@given(st.text())
def test_a_plain_text_is_its_own_plain_text(text: str) -> None:
    assert plain_text(plain_text(text)) == plain_text(text)


@settings(deadline=None, max_examples=examples(60))
@given(
    st.lists(st.sets(st.sampled_from(SPELLINGS), min_size=1, max_size=4), min_size=40, max_size=40), st.integers(0, 99)
)
def test_all_spellings_of_a_prompt_are_in_one_part(forms: list[set[Any]], seed: int) -> None:
    rows = {prompt_row(n, form(f"Say the number {n} to it"))["id"]: prompt_row(n, form(f"Say the number {n} to it"))
            for n, chosen in enumerate(forms) for form in sorted(chosen, key=SPELLINGS.index)}  # fmt: skip
    parts = deal(list(rows.values()), SIZES, seed)
    where: dict[str, set[str]] = {}
    for name, part in parts.items():
        for row in part:
            where.setdefault(spelling(row["instruction"]), set()).add(name)
    assert {name: len(part) for name, part in parts.items()} == {
        "heldout": 5, "rl_sft": 10, "rl_reward": 9, "rl_prompts": 11, "others": 5,
    }  # fmt: skip
    assert {len(names) for names in where.values()} == {1}
    assert Counter(row["id"] for part in parts.values() for row in part).most_common(1)[0][1] == 1
    check_heldout(split(list(rows.values()), SIZES, seed), fine_tune_on_heldout=False)


def test_without_other_spellings_each_part_takes_the_next_prompts() -> None:
    rows = [prompt_row(number) for number in range(50)]
    order = ids(shuffled(rows, 3))
    assert [identity for part in deal(rows, SIZES, 3).values() for identity in ids(part)] == order[:40]


def test_where_no_whole_prompt_fits_a_spelling_is_left_out_and_counted() -> None:
    rows = [prompt_row(n, form(f"Say the number {n} to it")) for n in range(20) for form in (str, str.upper)]
    parts = deal(rows, SIZES, 1)
    assert {name: len(part) for name, part in parts.items()} == {
        "heldout": 5, "rl_sft": 10, "rl_reward": 9, "rl_prompts": 11, "others": 2,
    }  # fmt: skip
    summary = manifest(split(rows, SIZES, 1), rows, SIZES, 1)
    assert (summary["prompts_used"], summary["left_out"]["spellings_that_do_not_fit"]) == (37, 3)
    assert summary["prompts_in_other_spellings"] == 17
    assert summary["counts"]["sft"] == 32
    assert summary["left_out"]["sft_without_reference"] == 0


@pytest.mark.parametrize(
    ("responses", "taken"),
    [
        ([("Plum.", 9), ("Plum.", 3)], None),
        ([("Plum.", 9), ("Plum.", 9)], None),
        ([("Plum. Fig.", 9), ("Plum.\nFig. ", 3), ("Pear.", 1)], None),
        ([("caf\u00e9", 9), ("cafe\u0301", 3)], None),
        ([("Plum.", 9), ("Plum.", 3), ("Pear.", 3)], ("Plum.", "Pear.")),
        ([("Plum.", 9), ("Pear.", 3), ("Pear.", 3)], ("Plum.", "Pear.")),
        ([("Paris", 9), ("paris", 3)], ("Paris", "paris")),
    ],
)
def test_two_responses_of_one_text_are_no_pair(responses: list[tuple[str, float]], taken: Any) -> None:
    for seed in range(20):
        row = prompt_row(0, None, responses)
        pairs, identical = hindsight_pairs([row], seed)
        assert [(pair["better"], pair["worse"]) for pair in pairs] == ([taken] if taken else [])
        assert identical == (taken is None)
        assert all(coh_rows([row], seed, rule) == pairs for rule in ("keep", "drop", "tie_marker"))


def test_of_equal_responses_another_text_is_taken_first() -> None:
    row = prompt_row(0, None, [("Plum.", 5), ("Plum.", 5), ("Pear.", 5)])
    pairs = [hindsight_pair(row, seed) for seed in range(40)]
    assert {(pair["better"], pair["worse"]) for pair in pairs if pair} == {("Plum.", "Pear."), ("Pear.", "Plum.")}


def test_identical_responses_are_counted_apart_from_ties() -> None:
    same, tie, good = [("Plum.", 9), ("Plum.", 3)], [("a", 5), ("b", 5)], [("a", 5), ("b", 4)]
    rows = [prompt_row(n, None, same if n < 7 else tie if n < 18 else good) for n in range(40)]
    chosen = {**SIZES, "ties": "drop", "fine_tune_on_heldout": True}
    left_out = manifest(split(rows, chosen, 1), rows, chosen, 1)["left_out"]
    assert (left_out["coh_identical_responses"], left_out["coh_tie_dropped"], left_out["coh_without_pair"]) == (
        7,
        11,
        0,
    )
    assert len(heldout_examples(rows, chosen, 1)["coh"]) == 22


def test_the_script_tells_other_spellings_and_identical_responses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [prompt_row(n, None, [("Plum.", 9), ("Plum.", 3)] if n == 3 else None) for n in range(39)]
    rows.append(prompt_row(7, "say the number 7 TO it"))
    write_parquet(tmp_path / "rows.parquet", rows, COLUMNS)
    chosen = json.dumps({"seed": 1, "splits": {**SIZES, "fine_tune_on_heldout": True}})
    files = ["--instructions", str(tmp_path / "rows.parquet"), "--output", str(tmp_path / "splits")]
    assert split_instructions.main(["--settings", chosen, *files]) == 0
    told = capsys.readouterr().err
    assert "1 prompts differ from another in case or spacing alone" in told
    assert "1 prompts are left out of CoH: their two best responses are one text" in told
