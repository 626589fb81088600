"""The blind comparison: sheet and key, what is refused, and the score against slow references."""

import base64
import csv
import hashlib
import itertools
import json
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import build_human_eval
import collect_cells
import score_human_eval
from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import check_configuration, load_configuration
from common.config.settings import human_eval_settings
from common.files.parquet import write_parquet
from common.files.whole_files import canonical_json, read_json, sha256_of_file, write_json
from common.human_eval.ratings import Rating, fleiss_agreement, load_rating, load_ratings, majority, verdicts
from common.human_eval.sheet import CHOICES, VERDICTS, Pair, Sheet, draw_sheet, load_sheet, render_page
from score_human_eval import counts, outcome, published_counts
from support.amounts import examples
from support.samples import NOT_DRAWN

PAGE = ROOT / "resources/human_eval"
TEMPLATE, STYLE, SCRIPT = ((PAGE / f"sheet.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
PUBLISHED = ROOT / "resources/paper/human_evaluation.yaml"
HOSTILE = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<!--<script>", "]]>", "<img src=x onerror=1>",
    "{{sheet}}{{script}}", "\\1 \\g<0> \\u003c", "\u2028\u2029\u202e", "&lt;b&gt;", "'\"`${1}", "\0\r\n",
]  # fmt: skip


def pairs_of(count: int) -> list[Pair]:
    return [Pair(f"id{i}", f"do {i}", f"with {i}", f"one {i}", f"three {i}") for i in range(count)]


def sheet_of(count: int, seed: int = 1) -> Sheet:
    return draw_sheet(pairs_of(count), pairs_of(count), count, seed)


def exported(sheet: Sheet, choices: list[str], alias: str = "blue-heron") -> dict[str, Any]:
    """A file as the page exports it, for the first `len(choices)` prompts."""
    return {
        "sheet_sha256": sheet.sha256,
        "alias": alias,
        "consent": True,
        "started": "2024-01-31T12:00:00.000Z",
        "finished": "2024-01-31T12:09:00.000Z" if len(choices) == len(sheet.items) else None,
        "ratings": [
            {"item": item["item"], "choice": choice} for item, choice in zip(sheet.items, choices, strict=False)
        ],
    }


def written(folder: Path, content: Any, name: str = "rating.json") -> Path:
    write_json(folder / name, content)
    return folder / name


def choices_for(sheet: Sheet, stages: list[str]) -> list[str]:
    """What a rater must press to say `stages`."""
    turned = [{stage: side for side, stage in sheet.sides[item["item"]].items()} for item in sheet.items]
    return [sides.get(stage, "similar") for sides, stage in zip(turned, stages, strict=True)]


def refused(path: Path, sheet: Sheet) -> UserError:
    with pytest.raises(UserError) as caught:
        load_rating(path, sheet)
    assert str(path) in caught.value.where
    assert caught.value.remedy
    return caught.value


# --- drawing the sheet ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 9), st.data())
def test_sheet_shows_each_drawn_pair_with_its_key(heldout: int, others: int, seed: int, data: st.DataObject) -> None:
    examples = data.draw(st.integers(1, heldout))
    sampled = pairs_of(heldout + others)
    sheet = draw_sheet(sampled[:heldout], sampled, examples, seed)
    by_id = {pair.id: pair for pair in sampled[:heldout]}
    assert len({item["item"] for item in sheet.items}) == len(sheet.items) == examples
    for item in sheet.items:
        pair, sides = by_id[item["item"]], sheet.sides[item["item"]]
        assert sorted(sides.values()) == ["stage1", "stage3"]
        assert item == {
            "item": pair.id, "instruction": pair.instruction, "input": pair.input,
            "left": getattr(pair, sides["left"]), "right": getattr(pair, sides["right"]),
        }  # fmt: skip
    first_left = sum(sides["left"] == "stage1" for sides in sheet.sides.values())
    assert first_left in {examples // 2, examples - examples // 2}
    assert draw_sheet(sampled[:heldout], sampled, examples, seed) == sheet


def test_every_prompt_and_every_side_comes_up_as_often_as_chance_says() -> None:
    sampled = pairs_of(6)
    shown, left = dict.fromkeys((pair.id for pair in sampled), 0), dict.fromkeys((pair.id for pair in sampled), 0)
    for seed in range(600):
        sheet = draw_sheet(sampled, sampled, 3, seed)
        for item in sheet.items:
            shown[item["item"]] += 1
            left[item["item"]] += sheet.sides[item["item"]]["left"] == "stage1"
    # five standard deviations of 600 draws of one half, and of 300 of one half
    assert all(abs(count - 300) < 62 for count in shown.values())
    assert all(abs(left[name] - shown[name] / 2) < 46 for name in shown)


def test_seed_and_shown_texts_do_not_give_the_key_away() -> None:
    shown = pairs_of(10)
    left: dict[str, set[str]] = {pair.id: set() for pair in shown}
    for variant in range(20):
        unshown = Pair("unshown", "do", "", "one", f"three {variant}")
        for name, sides in draw_sheet(shown, [*shown, unshown], 10, seed=7).sides.items():
            left[name].add(sides["left"])
    assert all(stages == {"stage1", "stage3"} for stages in left.values())


def test_hash_covers_every_text_and_the_order() -> None:
    sheet = sheet_of(4)
    variants = [Sheet(sheet.items[::-1], sheet.sides)]
    for key in ("item", "instruction", "input", "left", "right"):
        variants.append(Sheet(({**sheet.items[0], key: "other"}, *sheet.items[1:]), sheet.sides))
    swapped = {**sheet.items[0], "left": sheet.items[0]["right"], "right": sheet.items[0]["left"]}
    variants.append(Sheet((swapped, *sheet.items[1:]), sheet.sides))
    assert len({variant.sha256 for variant in [sheet, *variants]}) == 8
    assert sheet.sha256 == hashlib.sha256(canonical_json(list(sheet.items)).encode()).hexdigest()


# --- the page -------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Tags of a page, the texts of its scripts and styles, and its content security policy."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.policy = ""
        self.attributes: set[str] = set()
        self._raw = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        found = dict(attrs)
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(found["content"])
        if tag in ("script", "style"):
            self._raw = tag
            self.texts.append((str(found.get("type") or tag), ""))

    def handle_endtag(self, tag: str) -> None:
        self._raw = ""

    def handle_data(self, data: str) -> None:
        if self._raw:
            self.texts[-1] = (self.texts[-1][0], self.texts[-1][1] + data)


def page_of(*texts: str) -> tuple[Sheet, Elements]:
    pairs = [Pair(f"id{i}", text, text, text, f"{text}.") for i, text in enumerate(texts)]
    sheet = draw_sheet(pairs, pairs, len(pairs), seed=1)
    return sheet, Elements(render_page(TEMPLATE, STYLE, SCRIPT, sheet))


def assert_shows_exactly(sheet: Sheet, page: Elements) -> None:
    plain = page_of("plain")[1]
    assert page.tags == plain.tags
    assert [kind for kind, _ in page.texts] == ["style", "application/json", "script"]
    assert json.loads(page.texts[1][1]) == {"sheet_sha256": sheet.sha256, "items": list(sheet.items)}
    assert page.texts[2] == plain.texts[2]


def test_hostile_model_text_stays_inside_the_data_block() -> None:
    assert_shows_exactly(*page_of(*HOSTILE))


@settings(deadline=None, max_examples=examples(60))
@given(st.text(st.sampled_from("</!->scriptSCRIPT{}\\&\"' \n"), max_size=40))
def test_random_markup_stays_inside_the_data_block(text: str) -> None:
    assert_shows_exactly(*page_of(text))


def test_page_depends_on_what_is_shown_and_not_on_the_key() -> None:
    sheet = sheet_of(6)
    turned = {item: dict(zip(sides, [*sides.values()][::-1], strict=True)) for item, sides in sheet.sides.items()}
    assert turned != sheet.sides
    page = render_page(TEMPLATE, STYLE, SCRIPT, sheet)
    assert render_page(TEMPLATE, STYLE, SCRIPT, Sheet(sheet.items, turned)) == page
    assert not re.search("stage ?[13]|rl_sft|ppo|fine-tun|reinforce", page, re.IGNORECASE)


def test_policy_allows_the_page_its_own_style_and_script_only() -> None:
    page = page_of("plain")[1]
    directives = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    sources = {
        kind: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for kind, text in page.texts
    }
    assert directives == {
        "default-src": "'none'", "style-src": sources["style"], "script-src": sources["script"], "base-uri": "'none'",
        "form-action": "'none'", "require-trusted-types-for": "'script'",
    }  # fmt: skip
    assert not {"src", "href", "style", "onclick"} & page.attributes
    assert "url(" not in STYLE
    assert "@import" not in STYLE


@pytest.mark.parametrize("template", ["{{policy}}{{style}}{{sheet}}", TEMPLATE + "{{more}}", TEMPLATE + "{{style}}"])
def test_template_with_wrong_fields_is_an_error(template: str) -> None:
    with pytest.raises(ValueError, match="fields"):
        render_page(template, STYLE, SCRIPT, sheet_of(1))


# --- building from sampled responses --------------------------------------------------------------------------

Rows = list[dict[str, Any]]


def sampled_rows(stage: str, heldout: int = 8) -> Rows:
    sources = ["paper", "paper", *["heldout"] * heldout]
    return [
        {"id": f"p{i}", "source": source, "instruction": f"Do {i}", "input": "", "prompt": f"Do {i}\nResponse:",
         "response": f"{stage} says {i}", "tokens": 3, "finish": "eos", "reward": 0.5, **NOT_DRAWN}
        for i, source in enumerate(sources)
    ]  # fmt: skip


def build(folder: Path, first: Rows, second: Rows, examples: int = 4) -> int:
    for name, rows in (("first", first), ("second", second)):
        write_parquet(folder / f"{name}.parquet", rows, [*rows[0]] if rows else ["id"])
    return build_files(folder, folder / "first.parquet", folder / "second.parquet", examples)


def build_files(folder: Path, first: Path, second: Path, examples: int = 4) -> int:
    page = {"template": PAGE / "sheet.html", "style": PAGE / "sheet.css", "script": PAGE / "sheet.js"}
    options = {"stage1": first, "stage3": second, **page, "output": folder / "human_eval"}
    command = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return build_human_eval.main(["--settings", json.dumps({"seed": 5, "examples": examples}), *command])


def test_build_writes_page_items_and_key_of_one_sheet(tmp_path: Path) -> None:
    assert build(tmp_path, sampled_rows("A"), sampled_rows("B")) == 0
    output = tmp_path / "human_eval"
    sheet = load_sheet(output / "items.json", output / "key.json")
    assert (output / "sheet.html").read_text(encoding="utf-8") == render_page(TEMPLATE, STYLE, SCRIPT, sheet)
    assert len(sheet.items) == 4
    for item in sheet.items:
        number = item["item"].removeprefix("p")
        assert int(number) >= 2, "a prompt of the paper is shown"
        for side, stage in sheet.sides[item["item"]].items():
            assert item[side] == f"{ {'stage1': 'A', 'stage3': 'B'}[stage] } says {number}"
    record = read_json(output / "key.json")["provenance"]
    assert record["inputs"] == {
        stage: sha256_of_file(tmp_path / f"{name}.parquet")
        for stage, name in (("stage1", "first"), ("stage3", "second"))
    }
    assert "sides" not in read_json(output / "items.json")


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(tmp_path / name, sampled_rows("A"), sampled_rows("B"))
    first, second = ((tmp_path / name / "human_eval/sheet.html").read_bytes() for name in ("one", "two"))
    assert first == second


def changed(rows: Rows, number: int, **values: Any) -> Rows:
    return [{**row, **values} if i == number else row for i, row in enumerate(rows)]


def without(rows: Rows, column: str) -> Rows:
    return [{key: value for key, value in row.items() if key != column} for row in rows]


A, B = sampled_rows("A"), sampled_rows("B")


@pytest.mark.parametrize(
    ("first", "second", "examples", "told"),
    [
        (A, [], 4, "has no rows"),
        ([], B, 4, "has no rows"),
        (A, B[:-1], 4, "10 responses of rl_sft face 9 of ppo"),
        (A, changed(B, 3, id="other"), 4, "row 4, column id"),
        (A, [B[1], B[0], *B[2:]], 4, "row 1, column id"),
        (A, changed(B, 3, instruction="Do not"), 4, "row 4, column instruction"),
        (A, changed(B, 3, source="paper"), 4, "row 4, column source"),
        (A, changed(B, 3, prompt="Do 3\nAnswer:"), 4, "row 4, column prompt"),
        (changed(A, 3, id="p2"), B, 4, "the prompt p2 appears twice"),
        (changed(A, 3, response=None), B, 4, "`response` is not a text"),
        (A, [{**row, "response": 7} for row in B], 4, "`response` is not a text"),
        (A, B, 9, "9 prompts asked for, 8 held-out ones found"),
        *((without(A, column), B, 4, f"lack {column}") for column in A[0]),
        *((A, without(B, column), 4, f"lack {column}") for column in A[0]),
    ],
)
def test_unusable_samples_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], first: Rows, second: Rows, examples: int, told: str
) -> None:
    assert build(tmp_path, first, second, examples) == 2
    error = capfd.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert "what to do: " in error
    assert not (tmp_path / "human_eval").exists()


def test_samples_that_are_missing_or_no_parquet_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.parquet"
    text.write_text("id,response\n")
    for first, told in ((tmp_path / "absent.parquet", "a file is missing"), (text, "not a readable parquet file")):
        assert build_files(tmp_path, first, first) == 2
        error = capfd.readouterr().err
        assert told in error
        assert str(first) in error


# --- sheet and key read back ----------------------------------------------------------------------------------


@pytest.fixture
def built(tmp_path: Path) -> Path:
    build(tmp_path, sampled_rows("A"), sampled_rows("B"))
    return tmp_path / "human_eval"


def turn_first(content: dict[str, Any]) -> None:
    content["items"][0]["left"] = "another response"


def forget_first(content: dict[str, Any]) -> None:
    del content["sides"][next(iter(content["sides"]))]


def same_stage(content: dict[str, Any]) -> None:
    content["sides"][next(iter(content["sides"]))] = {"left": "stage1", "right": "stage1"}


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("items.json", turn_first),
        ("items.json", lambda content: content.update(sheet_sha256="0" * 64)),
        ("items.json", lambda content: content.pop("items")),
        ("items.json", lambda content: content.update(items=3)),
        ("key.json", forget_first),
        ("key.json", same_stage),
        ("key.json", lambda content: content.update(sheet_sha256="0" * 64)),
        ("key.json", lambda content: content.update(sides=[])),
        ("key.json", lambda content: content.pop("sides")),
    ],
)
def test_sheet_and_key_that_do_not_belong_together_are_refused(built: Path, name: str, spoil: Any) -> None:
    content = read_json(built / name)
    spoil(content)
    write_json(built / name, content)
    with pytest.raises(UserError, match="do not belong together") as caught:
        load_sheet(built / "items.json", built / "key.json")
    assert str(built / name) in caught.value.where


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

stages = st.sampled_from(VERDICTS)
prompts_by_raters = st.integers(2, 5).flatmap(
    lambda raters: st.lists(st.lists(stages, min_size=raters, max_size=raters), min_size=1, max_size=8)
)


def test_verdicts_name_the_stage_behind_the_side() -> None:
    sheet = sheet_of(9)
    told = [VERDICTS[i % 3] for i in range(9)]
    choices = dict(zip((item["item"] for item in sheet.items), choices_for(sheet, told), strict=True))
    assert len(set(choices.values())) == 3
    assert verdicts(Rating("file", "a", choices, True), sheet) == told
    shown = {item["item"]: item for item in sheet.items}
    for name, stage in zip(shown, told, strict=True):
        if stage != "similar":
            assert shown[name][choices[name]].startswith({"stage1": "one", "stage3": "three"}[stage])


@given(prompts_by_raters)
def test_majority_is_the_median_verdict(prompts: list[list[str]]) -> None:
    scale = {"stage1": -1, "similar": 0, "stage3": 1}
    medians = [statistics.median(scale[vote] for vote in votes) for votes in prompts]
    names = {-1: "stage1", 1: "stage3"}
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
    assert fleiss_agreement([["stage1"] * 3, ["stage3"] * 3]) == (1.0, 1.0)
    assert fleiss_agreement([["similar"] * 3, ["similar"] * 3]) == (1.0, None)


@pytest.mark.parametrize(("wins", "losses"), [(3, 1), (0, 0), (5, 0), (0, 6), (4, 4), (7, 2)])
def test_sign_test_counts_all_coin_tosses(wins: int, losses: int) -> None:
    found = outcome({"stage1": losses, "similar": 2, "stage3": wins})
    tosses = [sum(toss) for toss in itertools.product((-1, 1), repeat=wins + losses)]
    extreme = sum(abs(total) >= abs(wins - losses) for total in tosses) / len(tosses)
    assert found["p_value"] == pytest.approx(extreme)
    assert found["n"] == wins + losses + 2
    assert found["decided"] == wins + losses
    assert found["stage3_share"] == (wins / (wins + losses) if wins + losses else None)


def test_published_counts_and_what_follows_from_them() -> None:
    published = published_counts(PUBLISHED)
    assert published == {"stage1": 1, "similar": 6, "stage3": 3}
    found = outcome(published)
    assert found["n"] == 10
    assert found["p_value"] == 0.625
    assert found["stage3_share"] == 0.75
    # Wilson's interval for 3 of 4, written out
    z2, n, share = 1.959963984540054**2, 4, 0.75
    middle, half = share + z2 / (2 * n), (z2 * (share * (1 - share) / n + z2 / (4 * n * n))) ** 0.5
    limits = [(middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)]
    assert found["stage3_share_interval"] == pytest.approx(limits)


def summarise(sheet: Sheet, ratings: list[Rating]) -> dict[str, Any]:
    return score_human_eval.summarise(sheet, ratings, published_counts(PUBLISHED))


def rated(sheet: Sheet, *raters: list[str]) -> list[Rating]:
    ids = [item["item"] for item in sheet.items]
    return [
        Rating(f"{i}.json", f"rater{i}", dict(zip(ids, choices_for(sheet, told), strict=True)), True)
        for i, told in enumerate(raters)
    ]


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(stages, min_size=6, max_size=6), st.integers(1, 6))
def test_asking_the_same_opinion_again_adds_no_evidence(told: list[str], raters: int) -> None:
    sheet = sheet_of(6)
    summary = summarise(sheet, rated(sheet, *[told] * raters))
    assert summary["pooled"] == outcome(counts(told)) == summary["raters"]["rater0"]
    assert summary["all_ratings"] == {stage: raters * count for stage, count in counts(told).items()}


def test_summary_of_three_raters_written_out() -> None:
    sheet = sheet_of(4)
    one, three, tie = "stage1", "stage3", "similar"
    ratings = rated(sheet, [three, three, tie, one], [three, tie, tie, three], [three, three, tie, tie])
    incomplete = Rating("d.json", "d", {sheet.items[0]["item"]: "left"}, False)
    summary = summarise(sheet, [*ratings, incomplete])
    assert summary["status"] == "rated"
    assert summary["pooled"] == outcome({one: 0, tie: 2, three: 2})
    assert summary["all_ratings"] == {one: 1, tie: 5, three: 6}
    assert summary["raters"]["rater1"] == outcome({one: 0, tie: 2, three: 2})
    assert summary["agreement"]["raters"] == 3
    assert summary["agreement"]["pairs_agreeing"] == pytest.approx((3 + 1 + 3 + 0) / 12)
    assert list(summary["by_prompt"].values()) == [
        {one: 0, tie: 0, three: 3, "majority": three},
        {one: 0, tie: 1, three: 2, "majority": three},
        {one: 0, tie: 3, three: 0, "majority": tie},
        {one: 1, tie: 1, three: 1, "majority": tie},
    ]
    assert summary["incomplete"] == [{"file": "d.json", "alias": "d", "rated": 1}]
    choices = [choice for rating in ratings for choice in rating.choices.values()]
    assert summary["sides"] == {"left": choices.count("left"), "right": choices.count("right")}


def test_equal_responses_are_counted() -> None:
    pairs = [Pair("a", "do", "", "same", "same"), Pair("b", "do", "", "same", "other")]
    assert summarise(draw_sheet(pairs, pairs, 2, 1), [])["identical_responses"] == 1


# --- scoring from files to tables -----------------------------------------------------------------------------


def score(built: Path, *ratings: Path) -> int:
    folder = built.parent
    options = {"items": built / "items.json", "key": built / "key.json", "summary": built / "summary.json"}
    command = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command += ["--published", str(PUBLISHED), "--tables", str(folder / "tables"), "--ratings", *map(str, ratings)]
    return score_human_eval.main(["--settings", "{}", *command])


def rating_files(built: Path, *raters: list[str]) -> list[Path]:
    sheet = load_sheet(built / "items.json", built / "key.json")
    return [
        written(built, exported(sheet, choices_for(sheet, told), f"rater{i}"), f"rating{i}.json")
        for i, told in enumerate(raters)
    ]


def table_lines(built: Path, name: str = "human_eval.csv", key: str = "rated_by") -> dict[str, dict[str, str]]:
    with open(built.parent / "tables" / name, encoding="utf-8", newline="") as file:
        return {line[key]: line for line in csv.DictReader(file)}


PAPER_LINE = {
    "rated_by": "paper", "n": "10", "stage1": "1", "similar": "6", "stage3": "3", "decided": "4",
    "stage3_share": "0.750000", "share_low": "0.300642", "share_high": "0.954413", "p_value": "0.625000",
}  # fmt: skip


def test_without_ratings_every_rendering_says_not_rated(built: Path) -> None:
    assert score(built) == 0
    summary = read_json(built / "summary.json")
    assert summary["status"] == "not rated"
    assert summary["raters"] == summary["by_prompt"] == {}
    assert summary["pooled"] is summary["all_ratings"] is None
    for kind in ("csv", "md", "tex", "html"):
        assert "not rated" in (built.parent / f"tables/human_eval.{kind}").read_text(encoding="utf-8")
    lines = table_lines(built)
    assert lines["paper"] == PAPER_LINE
    assert lines["pooled"]["n"] == "0"
    assert {lines["pooled"][stage] for stage in VERDICTS} == {"not rated"}
    assert {lines["pooled"][key] for key in ("decided", "stage3_share", "p_value")} == {""}
    cells = table_lines(built, "human_eval_cells.csv", "cell")
    assert {name for name, cell in cells.items() if cell["value"] == "not rated"} == {
        f"human_eval/pooled/{stage}" for stage in VERDICTS
    }
    assert "needs two raters" in (built.parent / "tables/human_eval.md").read_text(encoding="utf-8")


def test_one_rater_stands_beside_the_paper(built: Path) -> None:
    (path,) = rating_files(built, ["stage3", "stage3", "similar", "stage1"])
    assert score(built, path) == 0
    lines = table_lines(built)
    assert set(lines) == {"paper", "rater-rater0", "pooled"}
    counted = {"n": "4", "stage1": "1", "similar": "1", "stage3": "2", "decided": "3", "stage3_share": "0.666667"}
    for name in ("rater-rater0", "pooled"):
        assert {key: lines[name][key] for key in counted} == counted
        assert lines[name]["p_value"] == "1.000000"
    markdown = (built.parent / "tables/human_eval.md").read_text(encoding="utf-8")
    assert "needs two raters" in markdown
    assert "| Paper, one rater | 10  | 1                | 6         | 3                |" in markdown
    assert "Majority" not in markdown
    record = read_json(built / "summary.json")["provenance"]
    assert record["inputs"][str(path)] == sha256_of_file(path)


def test_three_raters_are_pooled_by_prompt(built: Path) -> None:
    paths = rating_files(
        built,
        ["stage3", "stage3", "similar", "stage1"],
        ["stage3", "similar", "similar", "stage1"],
        ["stage3", "stage3", "stage1", "stage1"],
    )
    assert score(built, *paths) == 0
    lines = table_lines(built)
    assert [lines["all-ratings"][key] for key in ("n", *VERDICTS)] == ["12", "4", "3", "5"]
    assert [lines["all-ratings"][key] for key in ("decided", "share_low", "p_value")] == [""] * 3
    assert [lines["pooled"][key] for key in ("n", *VERDICTS)] == ["4", "1", "1", "2"]
    markdown = (built.parent / "tables/human_eval.md").read_text(encoding="utf-8")
    assert "Majority by prompt" in markdown
    assert "67 % of the pairs of ratings agree; Fleiss' kappa 0.49" in markdown


def test_cells_are_named_once_and_collected(built: Path) -> None:
    score(built, *rating_files(built, ["stage3"] * 4, ["similar"] * 4))
    tables = built.parent / "tables"
    cells = ["--cells", str(tables / "human_eval_cells.csv"), "--output", str(tables / "cells.csv")]
    assert collect_cells.main(["--settings", "{}", *cells]) == 0
    lines = table_lines(built, "cells.csv", "cell")
    assert lines["human_eval/rater-rater0/stage3"]["value"] == "4"
    share = lines["human_eval/rater-rater0/stage3_share"]
    assert [share[key] for key in ("value", "stderr", "n")] == ["100.0000", "0.0000", "4"]
    assert "human_eval/rater-rater1/stage3_share" not in lines
    assert lines["human_eval/paper/stage3"]["source"] == "resources/paper/human_evaluation.yaml"
    assert all(name == f"{cell['table']}/{cell['row']}/{cell['column']}" for name, cell in lines.items())


def test_incomplete_rating_is_named_and_not_counted(built: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sheet = load_sheet(built / "items.json", built / "key.json")
    path = written(built, exported(sheet, ["left", "right"]))
    assert score(built, path) == 0
    assert f"not counted, incomplete: {path} (2 of 4 rated)" in capfd.readouterr().err
    assert read_json(built / "summary.json")["status"] == "not rated"
    assert "2 of 4 prompts rated" in (built.parent / "tables/human_eval.html").read_text(encoding="utf-8")


def test_bad_rating_ends_scoring_before_anything_is_written(built: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good, bad = rating_files(built, ["stage3"] * 4, ["stage1"] * 4)
    write_json(bad, {**read_json(bad), "consent": False})
    assert score(built, good, bad) == 2
    error = capfd.readouterr().err
    assert f"{bad}, key `consent`" in error
    assert "Traceback" not in error
    assert not (built / "summary.json").exists()
    assert not (built.parent / "tables").exists()


def test_scoring_leaves_the_ratings_as_they_are(built: Path) -> None:
    paths = rating_files(built, ["stage3"] * 4, ["stage1"] * 4)
    before = [path.read_bytes() for path in paths]
    score(built, *paths)
    assert [path.read_bytes() for path in paths] == before


# --- configuration and clean-up -------------------------------------------------------------------------------


def test_number_of_prompts_defaults_to_the_papers_ten() -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config.pop("human_eval", None)
    assert human_eval_settings(check_configuration(config)) == {"seed": 2023, "examples": 10}
    paper = load_configuration(ROOT / "config/paper.yaml", [], {})
    assert paper["human_eval"]["examples"] == 10


def test_more_examples_than_held_out_prompts_are_refused_before_anything_runs() -> None:
    with pytest.raises(UserError, match=r"human_eval.examples: 25 exceeds splits.heldout = 24"):
        load_configuration(ROOT / "config.yaml", [], {"human_eval": {"examples": 25}})
