"""Raters' files: what is read, what is refused, and what several raters say together, against slow references."""

import itertools
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.base.errors import UserError
from common.human_eval.ratings import Rating, fleiss_agreement, load_rating, load_ratings, majority, verdicts
from common.human_eval.sheet import CHOICES, VERDICTS, Sheet
from support.amounts import examples
from support.rating_sheets import ARMS, STAGES, choices_for, exported, sheet_of, written


def refused(path: Path, sheet: Sheet) -> UserError:
    with pytest.raises(UserError) as caught:
        load_rating(path, sheet)
    assert str(path) in caught.value.where
    assert caught.value.remedy
    return caught.value


# --- ratings --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(st.sampled_from(CHOICES), max_size=5))
def test_exported_rating_is_read_as_given(tmp_path_factory: pytest.TempPathFactory, choices: list[str]) -> None:
    sheet = sheet_of(5)
    path = written(tmp_path_factory.mktemp("rating"), exported(sheet, choices))
    rating = load_rating(path, sheet)
    given_choices = dict(zip((item["item"] for item in sheet.items), choices, strict=False))
    assert rating == Rating(str(path), "blue-heron", given_choices, len(choices) == 5)


def entry(number: int, **values: Any) -> Any:
    def spoil(content: dict[str, Any]) -> None:
        content["ratings"][number].update(values)

    return spoil


def repeat(content: dict[str, Any]) -> None:
    content["ratings"][2]["item"] = content["ratings"][0]["item"]


@pytest.mark.parametrize(
    ("key", "spoil"),
    [
        ("sheet_sha256", lambda content: content.update(sheet_sha256="0" * 64)),
        ("sheet_sha256", lambda content: content.update(sheet_sha256=None)),
        ("consent", lambda content: content.update(consent=False)),
        ("consent", lambda content: content.update(consent=None)),
        ("consent", lambda content: content.update(consent="true")),
        ("consent", lambda content: content.update(consent=1)),
        ("alias", lambda content: content.update(alias=3)),
        ("started", lambda content: content.update(started="yesterday")),
        ("started", lambda content: content.update(started="2024-01-31T12:00:00")),
        ("started", lambda content: content.update(started=None)),
        ("finished", lambda content: content.update(finished=None)),
        ("finished", lambda content: content.update(finished=12)),
        ("finished", lambda content: content["ratings"].pop()),
        ("ratings", lambda content: content.update(ratings={})),
        ("ratings", lambda content: content.update(ratings=None)),
        ("ratings[1]", lambda content: content["ratings"].insert(1, "left")),
        ("ratings[1]", lambda content: content["ratings"][1].pop("choice")),
        ("ratings[1]", entry(1, comment="hm")),
        ("ratings[1].item", entry(1, item="unknown")),
        ("ratings[1].item", entry(1, item=["id1"])),
        ("ratings[2].item", repeat),
        ("ratings[1].choice", entry(1, choice="better")),
        ("ratings[1].choice", entry(1, choice=None)),
        ("ratings[1].choice", entry(1, choice=["left"])),
        ("comment", lambda content: content.update(comment="hm")),
        *((key, lambda content, key=key: content.pop(key)) for key in exported(sheet_of(1), ["left"])),
    ],
)
def test_rating_that_is_not_as_exported_is_refused_by_file_and_key(tmp_path: Path, key: str, spoil: Any) -> None:
    sheet = sheet_of(4)
    content = exported(sheet, ["left", "similar", "right", "left"])
    load_rating(written(tmp_path, content, "good.json"), sheet)
    spoil(content)
    error = refused(written(tmp_path, content), sheet)
    assert f"key `{key}`" in error.where


@pytest.mark.parametrize("alias", ["heron", "blue-heron_2", "왜가리", "é", "x" * 32])
def test_alias_may_be_a_nickname_in_any_script(tmp_path: Path, alias: str) -> None:
    sheet = sheet_of(1)
    assert load_rating(written(tmp_path, exported(sheet, ["left"], alias)), sheet).alias == alias


@pytest.mark.parametrize("alias", ["", " ", "blue heron", "a@b.org", "x" * 33, "a/b", "<b>", "heron\n", "\u202eheron"])
def test_alias_that_could_be_an_address_or_break_a_table_is_refused(tmp_path: Path, alias: str) -> None:
    sheet = sheet_of(1)
    assert "key `alias`" in refused(written(tmp_path, exported(sheet, ["left"], alias)), sheet).where


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"alias": "a"', b"[]", b"3", b"null", b'"text"', b"\xff{}", b"NaN", b"[" * 100_000]
)
def test_file_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rating.json"
    path.write_bytes(content)
    refused(path, sheet_of(1))


def test_file_that_is_not_called_json_is_refused(tmp_path: Path) -> None:
    sheet = sheet_of(1)
    assert "not a .json file" in refused(written(tmp_path, exported(sheet, ["left"]), "rating.json.txt"), sheet).what


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["id0", "left", "right"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["item", "choice"]), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=examples(100))
@given(st.sampled_from(["alias", "consent", "started", "finished", "ratings"]), any_json)
def test_any_value_is_read_or_refused_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    sheet = sheet_of(2)
    path = written(tmp_path_factory.mktemp("rating"), {**exported(sheet, ["left", "right"]), key: value})
    told = ""
    try:
        rating = load_rating(path, sheet)
    except UserError as error:
        told = error.where
    if told:
        assert str(path) in told
    else:
        assert key != "consent" or value is True
        assert set(rating.choices) <= {"id0", "id1"}


@pytest.mark.parametrize("alias", ["heron", "Heron", "\uff28eron"])
def test_alias_used_twice_is_refused_with_both_files(tmp_path: Path, alias: str) -> None:
    sheet = sheet_of(2)
    first = written(tmp_path, exported(sheet, ["left", "left"], "heron"), "first.json")
    second = written(tmp_path, exported(sheet, ["right"], alias), "second.json")
    with pytest.raises(UserError) as caught:
        load_ratings([first, second], sheet)
    assert str(first) in caught.value.where
    assert f"{second}, key `alias`" in caught.value.where


def test_order_of_the_files_changes_nothing(tmp_path: Path) -> None:
    sheet = sheet_of(2)
    paths = [written(tmp_path, exported(sheet, ["left", "left"], name), f"{name}.json") for name in "cab"]
    assert load_ratings(paths, sheet) == load_ratings(paths[::-1], sheet)


# --- verdicts and their statistics ----------------------------------------------------------------------------

told_verdicts = st.sampled_from(VERDICTS)
prompts_by_raters = st.integers(2, 5).flatmap(
    lambda raters: st.lists(st.lists(told_verdicts, min_size=raters, max_size=raters), min_size=1, max_size=8)
)


def test_verdicts_name_the_method_behind_the_side_of_a_pair_alone() -> None:
    sheet = sheet_of(9, STAGES, ARMS)
    told = [VERDICTS[i % 3] for i in range(18)]
    names = [item["item"] for item in sheet.items]
    choices = dict(zip(names, choices_for(sheet, told), strict=True))
    assert len(set(choices.values())) == 3
    for pair in (STAGES, ARMS):
        shown = [
            (item, verdict) for item, verdict in zip(sheet.items, told, strict=True) if item in sheet.items_of(pair)
        ]
        assert len(shown) == 9
        assert verdicts(Rating("file", "a", choices, True), sheet, pair) == [verdict for _, verdict in shown]
        for item, verdict in shown:
            if verdict != "similar":
                assert item[choices[item["item"]]].startswith(f"m {getattr(pair, verdict)} ")


@given(prompts_by_raters)
def test_majority_is_the_median_verdict(prompts: list[list[str]]) -> None:
    scale = {"first": -1, "similar": 0, "second": 1}
    medians = [statistics.median(scale[vote] for vote in votes) for votes in prompts]
    names = {-1: "first", 1: "second"}
    assert majority(prompts) == [names.get(median, "similar") for median in medians]


def slow_agreement(prompts: list[list[str]]) -> float:
    pairs = [one == other for votes in prompts for one, other in itertools.combinations(votes, 2)]
    return sum(pairs) / len(pairs)


def slow_kappa(prompts: list[list[str]]) -> float | None:
    """Chance agreement: two ratings drawn from all ratings with replacement."""
    ratings = [vote for votes in prompts for vote in votes]
    chance = sum(one == other for one in ratings for other in ratings) / len(ratings) ** 2
    return None if chance == 1 else (slow_agreement(prompts) - chance) / (1 - chance)


@given(prompts_by_raters)
def test_agreement_follows_its_definition(prompts: list[list[str]]) -> None:
    agreement, kappa = fleiss_agreement(prompts)
    assert agreement == pytest.approx(slow_agreement(prompts))
    assert kappa == (pytest.approx(slow_kappa(prompts)) if slow_kappa(prompts) is not None else None)


def test_agreement_of_a_worked_example() -> None:
    """Fourteen raters, ten subjects, five categories: the worked example of Wikipedia's article on Fleiss' kappa."""
    table = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1), (7, 7, 0, 0, 0),
        (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    votes = [[str(category) for category, count in enumerate(row) for _ in range(count)] for row in table]
    assert fleiss_agreement(votes) == pytest.approx((0.378, 0.210), abs=5e-4)


def test_perfect_and_one_sided_agreement() -> None:
    assert fleiss_agreement([["first"] * 3, ["second"] * 3]) == (1.0, 1.0)
    assert fleiss_agreement([["similar"] * 3, ["similar"] * 3]) == (1.0, None)
