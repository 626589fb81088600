"""The raters' files, and what several of them say together."""

import datetime
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.whole_files import read_json
from common.human_eval.sheet import CHOICES, FIRST, SECOND, SIMILAR, Pair, Sheet

RATING_KEYS = ("sheet_sha256", "alias", "consent", "started", "finished", "ratings")

ALIAS_LENGTH = 32


@dataclass(frozen=True)
class Rating:
    """One rater's file.

    Attributes:
        file: its name.
        alias: what the rater calls themselves.
        choices: item -> left, similar or right; without the items not rated yet.
        complete: whether every item of the sheet is rated.
    """

    file: str
    alias: str
    choices: Mapping[str, str]
    complete: bool


def load_ratings(paths: Sequence[Path], sheet: Sheet) -> list[Rating]:
    """All raters' files, incomplete ones included, in the order of their aliases.

    Raises:
        UserError: naming file and key of whatever is not a rating of this sheet, and aliases used twice.
    """
    ratings: dict[str, Rating] = {}
    for path in paths:
        rating = load_rating(path, sheet)
        name = _comparable(rating.alias)
        if name in ratings:
            raise UserError(
                f"the alias `{rating.alias}` stands in two files",
                f"{path}, key `alias`; also in {ratings[name].file}",
                "keep the rater's last complete file and move the other one out of this folder, "
                "or ask one of two raters for another alias",
            )
        ratings[name] = rating
    return [ratings[name] for name in sorted(ratings)]


def load_rating(path: Path, sheet: Sheet) -> Rating:
    """One rater's file.

    Raises:
        UserError: naming file and key, when it is not JSON as the page exports it, or belongs to another sheet.
    """
    if path.suffix != ".json":
        remedy = "this folder is for the JSON files the rating page exports; move other files elsewhere"
        raise UserError("a file among the ratings is not a .json file", str(path), remedy)
    content = read_json(path)
    if not isinstance(content, dict):
        raise _refused(path, "(top level)", "is not a JSON object")
    for key in (*RATING_KEYS, *content):
        if key not in content:
            raise _refused(path, key, "is missing")
        if key not in RATING_KEYS:
            raise _refused(path, key, "is unknown")
    if content["sheet_sha256"] != sheet.sha256:
        raise UserError(
            "a rating belongs to another sheet than the present one",
            f"{path}, key `sheet_sha256`: {content['sheet_sha256']!r}, present sheet {sheet.sha256}",
            "the responses have changed since it was given: move it into a subfolder (nothing there is read), "
            "or restore the results it belongs to",
        )
    if content["consent"] is not True:
        raise _refused(path, "consent", "is not true; a rating without consent must not be used")
    if not _is_alias(content["alias"]):
        raise _refused(path, "alias", f"is not 1 to {ALIAS_LENGTH} letters, digits, `-` or `_`")
    choices = _choices(path, content["ratings"], [item["item"] for item in sheet.items])
    complete = len(choices) == len(sheet.items)
    if not _is_time(content["started"]):
        raise _refused(path, "started", "is not a time as 2024-01-31T12:00:00Z")
    if complete and not _is_time(content["finished"]):
        raise _refused(path, "finished", "is not a time, though every prompt is rated")
    if not complete and content["finished"] is not None:
        raise _refused(path, "finished", f"is not null, though only {len(choices)} of {len(sheet.items)} are rated")
    return Rating(str(path), content["alias"], choices, complete)


def _refused(path: Path, key: str, problem: str) -> UserError:
    remedy = "ask the rater to export again, or move the file into a subfolder, where nothing is read"
    return UserError(f"a rating cannot be used: `{key}` {problem}", f"{path}, key `{key}`", remedy)


def _choices(path: Path, ratings: Any, known: Sequence[str]) -> dict[str, str]:
    """Item -> choice, every entry checked."""
    if not isinstance(ratings, list):
        raise _refused(path, "ratings", "is not a list")
    choices: dict[str, str] = {}
    for number, entry in enumerate(ratings):
        where = f"ratings[{number}]"
        if not isinstance(entry, dict) or {*entry} != {"item", "choice"}:
            raise _refused(path, where, "is not {item, choice}")
        item, choice = entry["item"], entry["choice"]
        if item not in known:
            raise _refused(path, f"{where}.item", f"{item!r} is not on the sheet")
        if item in choices:
            raise _refused(path, f"{where}.item", f"{item!r} appears twice")
        if choice not in CHOICES:
            raise _refused(path, f"{where}.choice", f"{choice!r} is not one of {', '.join(CHOICES)}")
        choices[item] = choice
    return choices


def _is_alias(value: Any) -> bool:
    """Letters and digits of any script, `-` and `_`: room for a nickname, none for an address."""
    if not isinstance(value, str) or not 1 <= len(value) <= ALIAS_LENGTH:
        return False
    return all(unicodedata.category(char)[0] in "LN" or char in "-_" for char in value)


def _comparable(alias: str) -> str:
    return unicodedata.normalize("NFKC", alias).casefold()


def _is_time(value: Any) -> bool:
    try:
        return datetime.datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def verdicts(rating: Rating, sheet: Sheet, pair: Pair) -> list[str]:
    """What a complete rating prefers on each item of a pair, in the sheet's order: first, second or similar."""
    names = {pair.first: FIRST, pair.second: SECOND}
    choices = [(sheet.sides[item["item"]], rating.choices[item["item"]]) for item in sheet.items_of(pair)]
    return [SIMILAR if choice == SIMILAR else names[side[choice]] for side, choice in choices]


def majority(prompts: Sequence[Sequence[str]]) -> list[str]:
    """One verdict per prompt: the method that more than half of the raters preferred, else similar.

    This is the median on the scale first < similar < second, where a median between two steps is similar.

    Args:
        prompts: the raters' verdicts, shape (prompts, raters).
    """
    verdict = []
    for votes in prompts:
        counts = Counter(votes)
        won = [method for method in (FIRST, SECOND) if 2 * counts[method] > len(votes)]
        verdict.append(won[0] if won else SIMILAR)
    return verdict


def fleiss_agreement(prompts: Sequence[Sequence[str]]) -> tuple[float, float | None]:
    """Share of rater pairs that agree, and Fleiss' kappa (Fleiss 1971), which corrects for agreement by chance.

    Kappa is None when all verdicts are the same: chance alone then explains every agreement.

    Args:
        prompts: verdicts as nominal categories, shape (prompts, raters), at least one prompt and two raters.
    """
    raters = len(prompts[0])
    total: Counter[str] = Counter()
    agreeing = 0
    for votes in prompts:
        counts = Counter(votes)
        total += counts
        agreeing += sum(count * (count - 1) for count in counts.values())
    observed = agreeing / (len(prompts) * raters * (raters - 1))
    expected = sum((count / (len(prompts) * raters)) ** 2 for count in total.values())
    return observed, None if len(total) == 1 else (observed - expected) / (1 - expected)
