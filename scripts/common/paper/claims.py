"""Claims of the paper checked on a body of evidence: each test gives comparisons, which are judged together.

Verdicts: `as_printed` takes the numbers as they are (holds, fails); `at_n` says what they can show for the number of
items behind them (holds, fails, undecided), with Holm's correction over all comparisons of the claim. not tested: no
number tests the claim; not run: the numbers it needs were not made; not comparable: it is about other models.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from common.paper.claim_evidence import Change, Contrast, Evidence, Subject
from common.paper.proportions import normal_p_value
from common.paper.published import Published
from common.stats.intervals import Z95
from common.stats.significance import LEVEL, holm, mcnemar_p_value, p_value_text

HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
NOT_TESTED, NOT_RUN, NOT_COMPARABLE = "not tested", "not run", "not comparable"
STAGES = {"rl_sft": "Stage 1", "ppo": "Stage 3"}


@dataclass(frozen=True)
class Judged:
    """A comparison with its corrected p-value and the verdict on it."""

    contrast: Contrast
    adjusted_p_value: float
    at_n: str


@dataclass(frozen=True)
class Verdict:
    """What the evidence says about a claim.

    Attributes:
        as_printed: verdict on the numbers as they are.
        at_n: verdict on what they can show.
        summary: one or two sentences.
        judged: the comparisons behind it.
        whatever_the_pairing: whether a decision at n would be the same for every way the right items may overlap; None
            when nothing is decided, or the pairing is known or does not matter.
    """

    as_printed: str
    at_n: str
    summary: str
    judged: Sequence[Judged] = field(default_factory=tuple)
    whatever_the_pairing: bool | None = None


def judge(contrasts: Sequence[Contrast], missing: int = 0) -> Verdict:
    """The verdict on a claim that puts `first` ahead in every contrast.

    Args:
        contrasts: those that could be made.
        missing: how many could not, because numbers are missing.
    """
    total = len(contrasts) + missing
    if not total:
        return Verdict(NOT_COMPARABLE, NOT_COMPARABLE, "The claim names no cell that this evidence could have.")
    if not contrasts:
        return Verdict(NOT_RUN, NOT_RUN, f"None of the {total} comparisons was run.")
    judged = _judge_each(contrasts, [contrast.p_value for contrast in contrasts])
    ahead = sum(contrast.difference > 0 for contrast in contrasts)
    contrary = len(contrasts) - ahead
    unopposed = UNDECIDED if missing else HOLDS
    as_printed = FAILS if contrary else unopposed
    at_n = _overall(judged, missing)
    counts = {verdict: sum(one.at_n == verdict for one in judged) for verdict in (HOLDS, FAILS, UNDECIDED)}
    summary = (
        f"Ahead as stated in {ahead} of {len(contrasts)} comparisons; after correction {counts[HOLDS]} are clear in "
        f"the stated direction, {counts[FAILS]} in the opposite one, {counts[UNDECIDED]} are not decided."
    )
    summary += f" {missing} more were not run." if missing else ""
    same = _same_for_worst_pairing(contrasts, at_n, missing)
    return Verdict(as_printed, at_n, summary, judged=judged, whatever_the_pairing=same)


def judge_one(contrast: Contrast, summary: str) -> Verdict:
    """The verdict on a claim that rests on one contrast."""
    return replace(judge([contrast]), summary=summary)


def _judge_each(contrasts: Sequence[Contrast], p_values: Sequence[float]) -> list[Judged]:
    judged = []
    for contrast, p_value in zip(contrasts, holm(p_values), strict=True):
        clear = p_value <= LEVEL and contrast.difference != 0
        direction = HOLDS if contrast.difference > 0 else FAILS
        judged.append(Judged(contrast, p_value, direction if clear else UNDECIDED))
    return judged


def _overall(judged: Sequence[Judged], missing: int) -> str:
    verdicts = {one.at_n for one in judged}
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts == {HOLDS} and not missing else UNDECIDED


def _same_for_worst_pairing(contrasts: Sequence[Contrast], at_n: str, missing: int) -> bool | None:
    if at_n == UNDECIDED:  # a better pairing than an independent one might decide
        return None
    worst = [c.worst_p_value for c in contrasts if c.worst_p_value is not None]
    if len(worst) < len(contrasts):
        return None
    return _overall(_judge_each(contrasts, worst), missing) == at_n


def asserted_cells(test: Mapping[str, Any], published: Published, model: str | None) -> list[tuple[str, int]]:
    """(task, k) that a claim is about for one published model; for None, those it states for every published model."""
    if model is None:
        each = [asserted_cells(test, published, name) for name in published.models]
        return [cell for cell in each[0] if all(cell in cells for cells in each)]
    grid = itertools.product(published.tasks, published.shots)
    selectors = test.get("cells", [{}])
    return [
        (task, k)
        for task, k in grid
        if any(
            model in selector.get("models", [model])
            and task in selector.get("tasks", [task])
            and k in selector.get("shots", [k])
            for selector in selectors
        )
    ]


def check_table_claim(test: Mapping[str, Any], published: Published, evidence: Evidence) -> Verdict:
    """A claim of kind higher, higher_on_average or largest_change on Table 3 or on a run's scores."""
    kinds: dict[str, Callable[..., list[Contrast | None]]] = {
        "higher": _higher,
        "higher_on_average": _higher_on_average,
        "largest_change": _largest_change,
    }
    results = [
        result for subject in evidence.subjects for result in kinds[test["kind"]](test, published, evidence, subject)
    ]
    found = [result for result in results if result is not None]
    return judge(found, len(results) - len(found))


def _higher(
    test: Mapping[str, Any], published: Published, evidence: Evidence, subject: Subject
) -> list[Contrast | None]:
    cells = asserted_cells(test, published, subject.published)
    methods = {"first": test["first"], "second": test["second"]}
    return [evidence.compare(subject, **methods, task=task, k=k) for task, k in cells]


def _higher_on_average(
    test: Mapping[str, Any], published: Published, evidence: Evidence, subject: Subject
) -> list[Contrast | None]:
    """Tasks have equal weight; their errors are independent because their items differ."""
    methods = {"first": test["first"], "second": test["second"]}
    changes = [evidence.change(subject, **methods, task=task, shots=published.shots) for task in published.tasks]
    complete = [change for change in changes if change is not None]
    if len(complete) < len(changes):
        return [None]
    first, second, mean = (
        statistics.fmean(getattr(change, name) for change in complete) for name in ("first", "second", "mean")
    )
    deviation = math.hypot(*(change.deviation for change in complete)) / len(complete)
    where = f"{subject.label}, mean over {len(complete)} tasks, k = {', '.join(map(str, published.shots))}"
    n = sum(change.n for change in complete)
    cells = tuple(name for change in complete for name in change.cells)
    return [_normal_contrast(where, (first, second), mean, deviation=deviation, n=n, cells=cells)]


def _largest_change(
    test: Mapping[str, Any], published: Published, evidence: Evidence, subject: Subject
) -> list[Contrast | None]:
    """The task's rise against the change of every other task, up or down; their items are independent."""
    methods = {"first": test["first"], "second": test["second"]}
    changes = {task: evidence.change(subject, **methods, task=task, shots=test["shots"]) for task in published.tasks}
    own = changes.pop(test["task"])
    return [
        None
        if own is None or other is None
        else _compare_changes(f"{subject.label} {test['task']} / {task}", own, other)
        for task, other in changes.items()
    ]


def _compare_changes(where: str, own: Change, other: Change) -> Contrast:
    deviation = math.hypot(own.deviation, other.deviation)
    n, cells = min(own.n, other.n), own.cells + other.cells
    sizes = own.mean, abs(other.mean)
    return _normal_contrast(where, sizes, sizes[0] - sizes[1], deviation=deviation, n=n, cells=cells)


def _normal_contrast(
    where: str, pair: tuple[float, float], difference: float, *, deviation: float, n: int, cells: tuple[str, ...]
) -> Contrast:
    """A contrast with interval and p-value from a normal approximation."""
    interval = (difference - Z95 * deviation, difference + Z95 * deviation)
    p_value = normal_p_value(difference / deviation) if deviation > 0 else float(difference == 0)
    return Contrast(
        where=where,
        first=pair[0],
        second=pair[1],
        difference=difference,
        interval=interval,
        p_value=p_value,
        worst_p_value=None,
        n=n,
        cells=cells,
    )


def check_preference(wins: int, losses: int, similar: int) -> Verdict:
    """Ratings of two responses: exact sign test on those that prefer one."""
    contrast = _sign_test(f"{wins + losses + similar} ratings, {similar} of them similar", wins, losses)
    summary = f"{wins} for, {losses} against, {similar} similar; exact sign test {p_value_text(contrast.p_value)}."
    return judge_one(contrast, summary)


def check_example(asks_for: Sequence[str], first: tuple[str, str], second: tuple[str, str]) -> Verdict:
    """Whether one response names all that a prompt asks for and another does not; one example, so nothing is inferred.

    Args:
        asks_for: what a response has to name.
        first: label and text of the response that should.
        second: the same of the one that should not.
    """
    lacking = [missing_from(text, asks_for) for _, text in (first, second)]
    parts = [
        f"{label} lacks {', '.join(missing)}" if missing else f"{label} has all that is asked for"
        for (label, _), missing in zip((first, second), lacking, strict=True)
    ]
    ending = cut_word(second[1], asks_for)
    broken = f" and breaks off in \u201c{ending}\u201d" if ending else ""
    verdict = HOLDS if lacking[1] and not lacking[0] else FAILS
    return Verdict(verdict, verdict, f"{parts[0]}, {parts[1]}{broken}. This is one example.")


def missing_from(response: str, asked: Sequence[str]) -> list[str]:
    """What a response does not name, in upper or lower case."""
    return [part for part in asked if part.lower() not in response.lower()]


def cut_word(response: str, asked: Sequence[str]) -> str:
    """The last word of a response if it is only the beginning of a word that was asked for; else empty."""
    words = {word.strip(":,.") for part in asked for word in part.lower().split()}
    last = (response.lower().split() or [""])[-1]
    return last if last and last not in words and any(word.startswith(last) for word in words) else ""


def check_lengths(pairs: Sequence[tuple[str, str]]) -> Verdict:
    """Whether the first response of a pair usually has more words; sign test over the pairs."""
    counts = [(len(first.split()), len(second.split())) for first, second in pairs]
    wins, losses = sum(a > b for a, b in counts), sum(a < b for a, b in counts)
    contrast = _sign_test(f"{len(pairs)} pairs of responses", wins, losses)
    medians = [statistics.median(words) for words in zip(*counts, strict=True)]
    return judge_one(
        contrast,
        f"Longer in {wins} and shorter in {losses} of {len(pairs)} pairs (median {medians[0]:g} against {medians[1]:g} "
        f"words); exact sign test {p_value_text(contrast.p_value)}.",
    )


def _sign_test(where: str, wins: int, losses: int) -> Contrast:
    return Contrast(
        where=where,
        first=wins,
        second=losses,
        difference=wins - losses,
        interval=None,
        p_value=mcnemar_p_value(wins, losses),
        worst_p_value=None,
        n=wins + losses,
    )


def check_compared(pairs: Sequence[Sequence[str]], measures: Sequence[tuple[str, frozenset[str]]]) -> Verdict:
    """Whether each pair of methods is covered by one measure.

    Args:
        pairs: methods, sft, coh or rl.
        measures: name of each measure on one model and the methods in it.
    """
    described, complete = [], True
    for first, second in pairs:
        shared = [name for name, methods in measures if {first, second} <= methods]
        complete = complete and bool(shared)
        described.append(f"{first}-{second}: {', '.join(shared) if shared else 'by none'}")
    verdict = HOLDS if complete else FAILS
    return Verdict(verdict, verdict, f"Measured together: {'; '.join(described)}.")


def check_published(claim: Mapping[str, Any], published: Published, evidence: Evidence) -> Verdict:
    """One claim on the published numbers."""
    test = claim["test"]
    if test["kind"] == "none":
        return Verdict(NOT_TESTED, NOT_TESTED, test["reason"]["en"])
    if test["kind"] == "reward":
        return Verdict(NOT_TESTED, NOT_TESTED, "The paper prints no rewards.")
    if test["kind"] == "compared":
        return check_compared(test["pairs"], published_measures(published))
    if test["kind"] == "preferred":
        ratings = published.ratings
        counts = ratings["preferred"]
        return check_preference(counts[test["first"]], counts[test["second"]], ratings["similar"])
    if test["kind"] == "example":
        example = next(example for example in published.examples if example["id"] == test["example"])
        first, second = ((STAGES[test[role]], example[test[role]]) for role in ("first", "second"))
        return check_example(example["asks_for"], first, second)
    if test["kind"] == "longer":
        return check_lengths([(example[test["first"]], example[test["second"]]) for example in published.examples])
    return check_table_claim(test, published, evidence)


def published_measures(published: Published) -> list[tuple[str, frozenset[str]]]:
    """The paper's measures and the methods each holds side by side on one model."""
    table = [
        (f"Table 3, {model}", frozenset(cell.method for cell in published.table3 if cell.model == model))
        for model in published.models
    ]
    return [*table, ("ratings, OPT-6.7B", frozenset({"sft", "rl"}))]
