"""The blind comparison of two stages by people (paper section 5.2): the sheet raters see, and its key.

Light on purpose: nothing but the standard library.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.base.errors import UserError
from common.base.safe_html import content_security_policy, json_for_html
from common.files.whole_files import canonical_json, read_json, sha256_of_text

STAGE_1, SIMILAR, STAGE_3 = VERDICTS = ("stage1", "similar", "stage3")
LEFT, RIGHT = "left", "right"
CHOICES = (LEFT, SIMILAR, RIGHT)


@dataclass(frozen=True)
class Pair:
    """One prompt and what both stages answered.

    Attributes:
        id: the prompt's name.
        instruction: what was asked.
        input: what the instruction is about; may be empty.
        stage1: response after supervised fine-tuning.
        stage3: response after reinforcement learning.
    """

    id: str
    instruction: str
    input: str
    stage1: str
    stage3: str


@dataclass(frozen=True)
class Sheet:
    """What a rater sees, in order, and which stage is on which side.

    Attributes:
        items: {item, instruction, input, left, right}.
        sides: prompt id -> {left, right} -> stage.
    """

    items: tuple[dict[str, str], ...]
    sides: Mapping[str, Mapping[str, str]]

    @property
    def sha256(self) -> str:
        """Hash over everything shown, its order included; ratings name their sheet by it."""
        return sha256_of_text(canonical_json(list(self.items)))


def draw_sheet(shown_from: Sequence[Pair], sampled: Sequence[Pair], examples: int, seed: int) -> Sheet:
    """Draw prompts and sides.

    Stage 1 is on the left in half of the prompts (with an odd number, one side has one more), so that a preference for
    one side favours neither stage. Which half depends on every sampled response, also those not shown: it cannot be
    computed from the seed and the sheet alone.

    Args:
        shown_from: pairs that may be shown.
        sampled: all pairs, shown or not.
        examples: number of prompts, at most those in `shown_from`.
        seed: of the run.
    """
    chosen = sorted(shown_from, key=lambda pair: sha256_of_text(f"{seed}\0human_eval\0{pair.id}"))[:examples]
    secret = sha256_of_text(canonical_json([seed, [[pair.id, pair.stage1, pair.stage3] for pair in sampled]]))
    shuffled = sorted(chosen, key=lambda pair: sha256_of_text(f"{secret}\0{pair.id}"))
    odd_one = int(secret, 16) % 2
    stage_1_left = {pair.id for pair in shuffled[: (examples + odd_one) // 2]}
    items, sides = [], {}
    for pair in chosen:
        stages = (STAGE_1, STAGE_3) if pair.id in stage_1_left else (STAGE_3, STAGE_1)
        texts = {STAGE_1: pair.stage1, STAGE_3: pair.stage3}
        items.append(
            {
                "item": pair.id,
                "instruction": pair.instruction,
                "input": pair.input,
                LEFT: texts[stages[0]],
                RIGHT: texts[stages[1]],
            }
        )
        sides[pair.id] = dict(zip((LEFT, RIGHT), stages, strict=True))
    return Sheet(tuple(items), sides)


def load_sheet(items: Path, key: Path) -> Sheet:
    """The sheet that `build_human_eval` wrote.

    Raises:
        UserError: when the two files are not what it writes, or do not belong together.
    """
    shown, sides = read_json(items), read_json(key)
    try:
        sheet = Sheet(tuple(shown["items"]), dict(sides["sides"]))
        whole = sheet.sha256 == shown["sheet_sha256"] == sides["sheet_sha256"]
        whole = whole and [item["item"] for item in sheet.items] == list(sheet.sides)
        whole = whole and all({*side} == {LEFT, RIGHT} for side in sheet.sides.values())
        whole = whole and all({*side.values()} == {STAGE_1, STAGE_3} for side in sheet.sides.values())
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
        sheet: what to show; its sides are left out.

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
