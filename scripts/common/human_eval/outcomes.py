"""What the ratings say of each pair of methods, and the summary of it read back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.base.errors import UserError
from common.files.whole_files import read_json
from common.human_eval.ratings import Rating, fleiss_agreement, majority, verdicts
from common.human_eval.sheet import FIRST, LEFT, RIGHT, SECOND, SIMILAR, VERDICTS, Pair, Sheet
from common.stats.intervals import wilson_interval
from common.stats.significance import mcnemar_p_value


def counts(given: Sequence[str]) -> dict[str, int]:
    """How often each verdict was given."""
    found = Counter(given)
    return {verdict: found[verdict] for verdict in VERDICTS}


def outcome(counted: Mapping[str, int]) -> dict[str, Any]:
    """Counts over independent prompts with share, interval and test.

    The share is that of the second method among the decided prompts (one method preferred), with Wilson's 95 %
    interval. The test is the exact two-sided sign test, a binomial test of one half on the decided prompts; it equals
    the exact McNemar test. Prompts rated as similar are left out of both.

    Args:
        counted: verdict -> number of prompts; each prompt counts once.
    """
    losses, wins = counted[FIRST], counted[SECOND]
    decided = losses + wins
    return {
        "n": sum(counted.values()),
        **counted,
        "decided": decided,
        "second_share": wins / decided if decided else None,
        "second_share_interval": list(wilson_interval(wins, decided)) if decided else None,
        "p_value": mcnemar_p_value(wins, losses),
    }


def summarise(sheet: Sheet, ratings: Sequence[Rating], paper: Mapping[str, int]) -> dict[str, Any]:
    """Everything the ratings say, pair by pair.

    Args:
        sheet: what was rated.
        ratings: all files, incomplete ones included.
        paper: the published counts by verdict, of stages 1 and 3.
    """
    complete = [rating for rating in ratings if rating.complete]
    return {
        "sheet_sha256": sheet.sha256,
        "items": len(sheet.items),
        "raters": [rating.alias for rating in complete],
        "incomplete": [
            {"file": rating.file, "alias": rating.alias, "rated": len(rating.choices)}
            for rating in ratings
            if not rating.complete
        ],
        "paper": outcome(paper),
        "pairs": [_pair_summary(sheet, pair, complete) for pair in sheet.pairs],
    }


def _pair_summary(sheet: Sheet, pair: Pair, complete: Sequence[Rating]) -> dict[str, Any]:
    """Everything the ratings of one pair say.

    Several raters rate the same prompts, so their ratings of one prompt depend on each other, and a test over all
    ratings would count one prompt several times. So the pooled test uses the prompt as its unit: each prompt gets the
    majority's verdict, then the sign test and Wilson's interval apply as for one rater. That stays exact however few
    prompts there are, which a bootstrap over ten prompts would not. The counts over all ratings are also given,
    without interval or test.
    """
    items = sheet.items_of(pair)
    by_rater = {rating.alias: verdicts(rating, sheet, pair) for rating in complete}
    by_prompt = list(zip(*by_rater.values(), strict=True))
    pooled = majority(by_prompt)
    agreement, kappa = fleiss_agreement(by_prompt) if len(complete) > 1 else (None, None)
    sides = Counter(rating.choices[item["item"]] for rating in complete for item in items)
    prompts = [sheet.sides[item["item"]]["prompt"] for item in items]
    return {
        "model": pair.model,
        "first": pair.first,
        "second": pair.second,
        "prompts": len(items),
        "identical_responses": sum(item[LEFT] == item[RIGHT] for item in items),
        "raters": {alias: outcome(counts(given)) for alias, given in by_rater.items()},
        "pooled": outcome(counts(pooled)) if complete else None,
        "all_ratings": counts([verdict for given in by_prompt for verdict in given]) if complete else None,
        "agreement": {"pairs_agreeing": agreement, "fleiss_kappa": kappa},
        "sides": {side: sides[side] for side in (LEFT, RIGHT)},
        "by_prompt": {
            prompt: {**counts(given), "majority": verdict}
            for prompt, given, verdict in zip(prompts, by_prompt, pooled, strict=False)
        },
    }


def read_preferences(path: Path, model: str, methods: tuple[str, str]) -> dict[str, int] | None:
    """Prompts by what the majority of the raters preferred: one of two methods of a model, or `similar`.

    None when nobody rated these two. Which of them comes first does not matter.

    Raises:
        UserError: when the file is not a summary of `score_human_eval`.
    """
    summary = read_json(path)
    try:
        for pair in summary["pairs"]:
            if pair["model"] == model and {pair["first"], pair["second"]} == {*methods} and pair["pooled"] is not None:
                names = {pair["first"]: FIRST, SIMILAR: SIMILAR, pair["second"]: SECOND}
                return {name: int(pair["pooled"][verdict]) for name, verdict in names.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("a summary of ratings lacks its counts", str(path), "score the ratings again") from error
    return None
