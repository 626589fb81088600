"""The blind comparison of methods by people (paper section 5.2): the sheet raters see, and its key.

Light on purpose: nothing but the standard library.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.base.errors import UserError
from common.base.safe_html import content_security_policy, json_for_html
from common.files.whole_files import canonical_json, read_json, sha256_of_text

FIRST, SIMILAR, SECOND = VERDICTS = ("first", "similar", "second")
LEFT, RIGHT = "left", "right"
CHOICES = (LEFT, SIMILAR, RIGHT)


@dataclass(frozen=True)
class Pair:
    """Two methods that are compared.

    Attributes:
        model: whose checkpoints answered.
        first: one method.
        second: the other.
    """

    model: str
    first: str
    second: str

    @property
    def name(self) -> str:
        return f"{self.model}/{self.first}-{self.second}"


@dataclass(frozen=True)
class Answers:
    """One prompt and what both methods of a pair answered.

    Attributes:
        id: the prompt's name.
        instruction: what was asked.
        input: what the instruction is about; may be empty.
        first: response of the pair's first method.
        second: response of its second.
    """

    id: str
    instruction: str
    input: str
    first: str
    second: str


@dataclass(frozen=True)
class Answered:
    """Everything both methods of a pair answered.

    Attributes:
        pair: the methods.
        shown_from: the answers that may be shown.
        sampled: all of them, shown or not.
    """

    pair: Pair
    shown_from: Sequence[Answers]
    sampled: Sequence[Answers]


@dataclass(frozen=True)
class Sheet:
    """What a rater sees, in order, and what is behind it.

    Attributes:
        items: {item, instruction, input, left, right}.
        pairs: the methods compared.
        sides: item -> {prompt, pair, left, right}: the prompt's id, the pair's name, the method on either side.
    """

    items: tuple[dict[str, str], ...]
    pairs: tuple[Pair, ...]
    sides: Mapping[str, Mapping[str, str]]

    @property
    def sha256(self) -> str:
        """Hash over everything shown, its order included; ratings name their sheet by it."""
        return sha256_of_text(canonical_json(list(self.items)))

    def items_of(self, pair: Pair) -> list[dict[str, str]]:
        """The items of one pair, in order."""
        return [item for item in self.items if self.sides[item["item"]]["pair"] == pair.name]


def draw_sheet(answered: Sequence[Answered], examples: int, seed: int) -> Sheet:
    """Draw prompts, sides and order.

    Every pair gets the same prompts, as far as it may show them. An item is named as its prompt; with several pairs a
    number is added, since a prompt is an item of each. Neither the number nor the item's place tells the pair.

    In each pair the first method is on the left in half of the prompts (with an odd number, one side has one more), so
    that a preference for one side favours neither. Which half, and which number, depends on every sampled response of
    the pair, also those not shown: it cannot be computed from the seed and the sheet alone.

    Args:
        answered: the pairs; the same two methods of a model are not twice among them.
        examples: number of prompts of each pair, at most those in its `shown_from`.
        seed: of the run.
    """
    items: list[dict[str, str]] = []
    sides: dict[str, dict[str, str]] = {}
    secrets = {one.pair: _secret(one.sampled, seed) for one in answered}
    for one in answered:
        chosen = sorted(one.shown_from, key=lambda answers: _place(seed, answers.id))[:examples]
        on_the_left = _first_on_the_left([answers.id for answers in chosen], secrets[one.pair])
        for answers in chosen:
            name = _item_name(answers.id, one.pair, secrets)
            methods, texts = (one.pair.first, one.pair.second), (answers.first, answers.second)
            if answers.id not in on_the_left:
                methods, texts = methods[::-1], texts[::-1]
            asked = {"item": name, "instruction": answers.instruction, "input": answers.input}
            items.append({**asked, LEFT: texts[0], RIGHT: texts[1]})
            sides[name] = {"prompt": answers.id, "pair": one.pair.name, LEFT: methods[0], RIGHT: methods[1]}
    items.sort(key=lambda item: _place(seed, item["item"]))
    return Sheet(
        tuple(items), tuple(one.pair for one in answered), {item["item"]: sides[item["item"]] for item in items}
    )


def _place(seed: int, name: str) -> str:
    """What prompts and items are sorted by."""
    return sha256_of_text(f"{seed}\0human_eval\0{name}")


def _secret(sampled: Sequence[Answers], seed: int) -> str:
    """A number that only who has every response can compute."""
    return sha256_of_text(canonical_json([seed, [[one.id, one.first, one.second] for one in sampled]]))


def _first_on_the_left(prompts: Sequence[str], secret: str) -> set[str]:
    """Half of a pair's prompts."""
    shuffled = sorted(prompts, key=lambda prompt: sha256_of_text(f"{secret}\0{prompt}"))
    odd_one = int(secret, 16) % 2
    return set(shuffled[: (len(prompts) + odd_one) // 2])


def _item_name(prompt: str, pair: Pair, secrets: Mapping[Pair, str]) -> str:
    """The prompt's id, and with several pairs the pair's number for this prompt."""
    if len(secrets) == 1:
        return prompt
    order = sorted(secrets, key=lambda other: sha256_of_text(f"{secrets[other]}\0number\0{other.name}\0{prompt}"))
    return f"{prompt}-{order.index(pair) + 1}"


def load_sheet(items: Path, key: Path) -> Sheet:
    """The sheet that `build_human_eval` wrote.

    Raises:
        UserError: when the two files are not what it writes, or do not belong together.
    """
    shown, hidden = read_json(items), read_json(key)
    try:
        pairs = tuple(Pair(**pair) for pair in hidden["pairs"])
        sheet = Sheet(tuple(shown["items"]), pairs, dict(hidden["sides"]))
        whole = sheet.sha256 == shown["sheet_sha256"] == hidden["sheet_sha256"]
        whole = whole and [item["item"] for item in sheet.items] == list(sheet.sides)
        methods = {pair.name: {pair.first, pair.second} for pair in pairs}
        whole = whole and all({*side} == {"prompt", "pair", LEFT, RIGHT} for side in sheet.sides.values())
        whole = whole and all({side[LEFT], side[RIGHT]} == methods[side["pair"]] for side in sheet.sides.values())
        whole = whole and {side["pair"] for side in sheet.sides.values()} == methods.keys()
    except (KeyError, TypeError, ValueError, AttributeError):
        whole = False
    if not whole:
        raise UserError("sheet and key do not belong together", f"{items}, {key}", "delete both and build them again")
    return sheet


def render_page(template: str, style: str, script: str, sheet: Sheet) -> str:
    """The self-contained page; everything a model wrote is in one escaped JSON block.

    Args:
        template: HTML with the fields {{policy}}, {{style}}, {{sheet}} and {{script}}, each once.
        style: CSS.
        script: JavaScript.
        sheet: what to show; pairs and sides are left out.

    Raises:
        ValueError: when the template lacks a field or has another.
    """
    fields = {
        "policy": content_security_policy(style, script),
        "style": style,
        "sheet": json_for_html({"sheet_sha256": sheet.sha256, "items": sheet.items}),
        "script": script,
    }
    found = re.findall(r"\{\{(\w+)\}\}", template)
    if sorted(found) != sorted(fields):
        raise ValueError(f"the template's fields are {found}, not {list(fields)}")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], template)
