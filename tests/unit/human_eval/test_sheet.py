"""The sheet: what is drawn, what the page shows and hides, and what is refused when it is read back."""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.base.errors import UserError
from common.base.paths import ROOT
from common.files.whole_files import canonical_json, read_json, sha256_of_text, write_json
from common.human_eval.sheet import Answered, Answers, Pair, Sheet, draw_sheet, load_sheet, render_page
from support.amounts import examples
from support.rating_sheets import ARMS, STAGES, answers_of, sheet_of, write_sheet

PAGE = ROOT / "resources/human_eval"
TEMPLATE, STYLE, SCRIPT = ((PAGE / f"sheet.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
HOSTILE = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<!--<script>", "]]>", "<img src=x onerror=1>",
    "{{sheet}}{{script}}", "\\1 \\g<0> \\u003c", "\u2028\u2029\u202e", "&lt;b&gt;", "'\"`${1}", "\0\r\n",
]  # fmt: skip
OTHERS = [ARMS, Pair("m", "rl_sft", "sft"), Pair("n", "sft", "coh")]


# --- drawing the sheet ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 3), st.integers(0, 9), st.data())
def test_sheet_shows_each_drawn_answer_with_its_key(
    heldout: int, unshown: int, others: int, seed: int, data: st.DataObject
) -> None:
    wanted, pairs = data.draw(st.integers(1, heldout)), [STAGES, *OTHERS[:others]]
    answers = {pair: answers_of(heldout + unshown, pair) for pair in pairs}
    answered = [Answered(pair, found[:heldout], found) for pair, found in answers.items()]
    sheet = draw_sheet(answered, wanted, seed)
    assert sheet.pairs == tuple(pairs)
    assert list(sheet.sides) == [item["item"] for item in sheet.items]
    assert len(sheet.sides) == wanted * len(pairs)
    prompts = []
    for pair in pairs:
        by_id = {one.id: one for one in answers[pair][:heldout]}
        shown, first_left = sheet.items_of(pair), 0
        for item in shown:
            side = sheet.sides[item["item"]]
            one = by_id[side["prompt"]]
            texts = {pair.first: one.first, pair.second: one.second}
            assert side["pair"] == f"{pair.model}/{pair.first}-{pair.second}"
            assert {side["left"], side["right"]} == {pair.first, pair.second}
            asked = {"item": item["item"], "instruction": one.instruction, "input": one.input}
            assert item == {**asked, "left": texts[side["left"]], "right": texts[side["right"]]}
            first_left += side["left"] == pair.first
        assert first_left in {wanted // 2, wanted - wanted // 2}
        prompts.append(sorted(sheet.sides[item["item"]]["prompt"] for item in shown))
        assert len(set(prompts[-1])) == wanted
    assert prompts == [prompts[0]] * len(pairs), "every pair has the same prompts"
    assert draw_sheet(answered, wanted, seed) == sheet


def test_the_items_of_one_pair_are_named_and_ordered_by_their_prompts() -> None:
    found = answers_of(12)
    sheet = draw_sheet([Answered(STAGES, found, found)], 5, seed=3)
    order = sorted((one.id for one in found), key=lambda name: sha256_of_text(f"3\0human_eval\0{name}"))
    assert [item["item"] for item in sheet.items] == order[:5]


def test_a_sheet_of_one_pair_keeps_the_hash_that_ratings_of_it_carry() -> None:
    assert sheet_of(4).sha256 == "73fb33551c786cc17e6d17ffa14e269bf670096f3406051fcd891f58aab763b4"


def test_neither_name_nor_place_of_an_item_tells_its_pair() -> None:
    numbers: Counter[tuple[str, str]] = Counter()
    places: Counter[str] = Counter()
    for seed in range(200):
        sheet = sheet_of(6, STAGES, ARMS, seed=seed)
        for place, item in enumerate(sheet.items):
            side = sheet.sides[item["item"]]
            prompt, _, number = item["item"].rpartition("-")
            assert prompt == side["prompt"]
            numbers[side["pair"], number] += 1
            places[side["pair"]] += place
    assert {number for _, number in numbers} == {"1", "2"}
    # five standard deviations of 1200 draws of one half; the mean place of 1200 of 12, with a standard deviation of 3.5
    assert all(abs(count - 600) < 87 for count in numbers.values())
    assert all(abs(total / 1200 - 5.5) < 0.5 for total in places.values())


def test_another_pair_moves_neither_prompts_nor_sides_of_a_pair() -> None:
    alone, both = sheet_of(6), sheet_of(6, ARMS, STAGES)
    for sheet in (alone, both):
        assert {side["pair"] for side in sheet.sides.values()} == {pair.name for pair in sheet.pairs}
    of_stages = {side["prompt"]: side for side in both.sides.values() if side["pair"] == STAGES.name}
    assert of_stages == alone.sides


def test_every_prompt_and_every_side_comes_up_as_often_as_chance_says() -> None:
    sampled = answers_of(6)
    shown, left = dict.fromkeys((one.id for one in sampled), 0), dict.fromkeys((one.id for one in sampled), 0)
    for seed in range(600):
        sheet = draw_sheet([Answered(STAGES, sampled, sampled)], 3, seed)
        for item in sheet.items:
            shown[item["item"]] += 1
            left[item["item"]] += sheet.sides[item["item"]]["left"] == STAGES.first
    # five standard deviations of 600 draws of one half, and of 300 of one half
    assert all(abs(count - 300) < 62 for count in shown.values())
    assert all(abs(left[name] - shown[name] / 2) < 46 for name in shown)


def test_seed_and_shown_texts_do_not_give_the_key_away() -> None:
    shown = {pair: answers_of(10, pair) for pair in (STAGES, ARMS)}
    left: dict[tuple[str, str], set[str]] = {}
    numbers: dict[tuple[str, str], set[str]] = {}
    for variant in range(20):
        unshown = Answers("unshown", "do", "", "one", f"other {variant}")
        answered = [Answered(pair, found, [*found, unshown]) for pair, found in shown.items()]
        for name, side in draw_sheet(answered, 10, seed=7).sides.items():
            left.setdefault((side["pair"], side["prompt"]), set()).add(side["left"])
            numbers.setdefault((side["pair"], side["prompt"]), set()).add(name)
    assert len(left) == 20
    assert all(len(methods) == 2 for methods in left.values())
    assert all(len(names) == 2 for names in numbers.values())


def test_hash_covers_every_text_and_the_order() -> None:
    sheet = sheet_of(4)
    variants = [replace(sheet, items=sheet.items[::-1])]
    for key in ("item", "instruction", "input", "left", "right"):
        variants.append(replace(sheet, items=({**sheet.items[0], key: "other"}, *sheet.items[1:])))
    swapped = {**sheet.items[0], "left": sheet.items[0]["right"], "right": sheet.items[0]["left"]}
    variants.append(replace(sheet, items=(swapped, *sheet.items[1:])))
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
    found = [Answers(f"id{i}", text, text, text, f"{text}.") for i, text in enumerate(texts)]
    sheet = draw_sheet([Answered(STAGES, found, found)], len(found), seed=1)
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
    pairs = [STAGES, ARMS]
    found = {pair: [Answers("id", "do", "", "one", f"other {i}")] for i, pair in enumerate(pairs)}
    sheet = draw_sheet([Answered(pair, answers, answers) for pair, answers in found.items()], 1, seed=1)
    turned = {item: {**side, "left": side["right"], "right": side["left"]} for item, side in sheet.sides.items()}
    page = render_page(TEMPLATE, STYLE, SCRIPT, sheet)
    assert render_page(TEMPLATE, STYLE, SCRIPT, replace(sheet, sides=turned)) == page
    assert render_page(TEMPLATE, STYLE, SCRIPT, replace(sheet, pairs=pairs[::-1])) == page
    told = re.sub("sha256-[^']+", "", page)
    assert not re.search("stage ?[13]|rl_sft|ppo|coh|fine-tun|reinforce", told, re.IGNORECASE)


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


# --- sheet and key read back ----------------------------------------------------------------------------------


@pytest.fixture
def built(tmp_path: Path) -> Path:
    write_sheet(tmp_path, sheet_of(4, STAGES, ARMS))
    return tmp_path


def test_a_sheet_is_read_back_as_it_was_written(built: Path) -> None:
    assert load_sheet(built / "items.json", built / "key.json") == sheet_of(4, STAGES, ARMS)


def turn_first(content: dict[str, Any]) -> None:
    content["items"][0]["left"] = "another response"


def forget_first(content: dict[str, Any]) -> None:
    del content["sides"][next(iter(content["sides"]))]


def side_of(**values: str) -> Callable[[dict[str, Any]], None]:
    """Writes over the key of the first item."""

    def spoil(content: dict[str, Any]) -> None:
        next(iter(content["sides"].values())).update(values)

    return spoil


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("items.json", turn_first),
        ("items.json", lambda content: content.update(sheet_sha256="0" * 64)),
        ("items.json", lambda content: content.pop("items")),
        ("items.json", lambda content: content.update(items=3)),
        ("key.json", forget_first),
        ("key.json", side_of(left="coh", right="coh")),
        ("key.json", side_of(left="pretrained")),
        ("key.json", side_of(pair="m/sft-dpo")),
        ("key.json", side_of(comment="hm")),
        ("key.json", lambda content: content["pairs"].pop()),
        ("key.json", lambda content: content["pairs"].append({"model": "m", "first": "sft", "second": "dpo"})),
        ("key.json", lambda content: content["pairs"][0].update(third="dpo")),
        ("key.json", lambda content: content["pairs"][0].update(first=["sft"])),
        ("key.json", lambda content: content.pop("pairs")),
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
