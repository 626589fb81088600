"""Sheets of made-up answers, and ratings of them as the page exports them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.files.whole_files import write_json
from common.human_eval.ratings import Rating
from common.human_eval.sheet import FIRST, SECOND, Answered, Answers, Pair, Sheet, draw_sheet

STAGES = Pair("m", "rl_sft", "ppo")
ARMS = Pair("m", "sft", "coh")


def answers_of(count: int, pair: Pair = STAGES) -> list[Answers]:
    """Answers to numbered prompts; a method of a model always gives the same one."""
    first, second = (f"{pair.model} {method}" for method in (pair.first, pair.second))
    return [Answers(f"id{i}", f"do {i}", f"with {i}", f"{first} {i}", f"{second} {i}") for i in range(count)]


def sheet_of(count: int, *pairs: Pair, seed: int = 1) -> Sheet:
    """A sheet of so many prompts for each pair, by default the stages."""
    answers = {pair: answers_of(count, pair) for pair in pairs or [STAGES]}
    return draw_sheet([Answered(pair, found, found) for pair, found in answers.items()], count, seed)


def write_sheet(folder: Path, sheet: Sheet) -> tuple[Path, Path]:
    """Items and key of a sheet as files."""
    key = {"pairs": [asdict(pair) for pair in sheet.pairs], "sides": sheet.sides}
    write_json(folder / "items.json", {"sheet_sha256": sheet.sha256, "items": sheet.items})
    write_json(folder / "key.json", {"sheet_sha256": sheet.sha256, **key})
    return folder / "items.json", folder / "key.json"


def exported(sheet: Sheet, choices: Sequence[str], alias: str = "blue-heron") -> dict[str, Any]:
    """A file as the page exports it, for the first `len(choices)` items."""
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


def choices_for(sheet: Sheet, told: Sequence[str]) -> list[str]:
    """What a rater must press to say `told`: first, similar or second of each item's own pair, in the sheet's order."""
    pairs = {f"{pair.model}/{pair.first}-{pair.second}": pair for pair in sheet.pairs}
    choices = []
    for item, verdict in zip(sheet.items, told, strict=True):
        side = sheet.sides[item["item"]]
        pair = pairs[side["pair"]]
        wanted = {FIRST: pair.first, SECOND: pair.second}.get(verdict)
        choices.append("similar" if wanted is None else "left" if side["left"] == wanted else "right")
    return choices


def rated(sheet: Sheet, *raters: Sequence[str]) -> list[Rating]:
    """Complete ratings that say what each rater told."""
    ids = [item["item"] for item in sheet.items]
    return [
        Rating(f"{i}.json", f"rater{i}", dict(zip(ids, choices_for(sheet, told), strict=True)), True)
        for i, told in enumerate(raters)
    ]
