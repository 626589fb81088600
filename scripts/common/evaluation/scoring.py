"""From generated text to the answer it names (paper section 5.1: the generated text is scored)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# The scorings, and the column that says whether an answer was right under each.
SCORINGS = {"generation": "correct", "strict": "correct_strict", "likelihood": "correct_likelihood"}
# A negating word, at most three words before a mention; "not only" and "not sad but happy" deny nothing that follows.
_NEGATION = re.compile(r"(?:\b(?:not|never|neither|nor|cannot)|n't)\s+(?:(?!(?:but|and|only|just)\b)[\w']+\s+){0,3}$")


@dataclass(frozen=True)
class NamedAnswer:
    """Which answer a text names: its index, or None with the reason."""

    answer: int | None
    reason: str  # one, none or several


def first_line(text: str) -> str:
    """The first line with visible text, stripped; empty if there is no such line."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _normal(text: str) -> str:
    """Case folded, typographic apostrophes made plain, runs of white space made one space."""
    return re.sub(r"\s+", " ", text.replace("\u2019", "'").casefold()).strip()


def _wordings(accepted: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """(answer, wording) without a final full stop; empty ones name nothing."""
    pairs = [(i, _normal(w).rstrip(".")) for i, wordings in enumerate(accepted) for w in wordings]
    return [pair for pair in pairs if pair[1]]


def _mentions(line: str, accepted: Sequence[Sequence[str]]) -> list[tuple[int, int, int]]:
    """(start, end, answer) of every wording that is in a line at word boundaries."""
    return [
        (match.start(), match.start() + len(wording), answer)
        for answer, wording in _wordings(accepted)
        for match in re.finditer(rf"(?<!\w)(?={re.escape(wording)}(?!\w))", line)
    ]


def _only_one(named: set[int]) -> NamedAnswer:
    if len(named) == 1:
        return NamedAnswer(next(iter(named)), "one")
    return NamedAnswer(None, "several" if named else "none")


def generation_verdict(text: str, accepted: Sequence[Sequence[str]]) -> NamedAnswer:
    """The one answer the first line names.

    Wordings count at word boundaries and case-insensitively; where mentions overlap the longest counts (of equally
    long ones, each); a negated mention ("not positive", "I don't think it is positive") names nothing. A line that
    names no answer, or several, is unparseable.

    Args:
        text: what the model generated.
        accepted: for each answer, every wording that counts as it.
    """
    line = _normal(first_line(text))
    mentions = _mentions(line, accepted)
    named = set()
    for start, end, answer in mentions:
        inside_longer = any(a < end and start < b and b - a > end - start for a, b, _ in mentions)
        if not inside_longer and not _NEGATION.search(line[:start]):
            named.add(answer)
    return _only_one(named)


def strict_verdict(text: str, accepted: Sequence[Sequence[str]]) -> NamedAnswer:
    """The answer that is the whole first line, except for a final full stop."""
    line = _normal(first_line(text)).rstrip(".")
    named = {answer for answer, wording in _wordings(accepted) if wording == line}
    return _only_one(named)


def likelihood_verdict(logprobs: Sequence[float], tokens: Sequence[int]) -> int:
    """The answer with the highest log-likelihood per token; the first of equals.

    Args:
        logprobs: log-likelihood of each answer.
        tokens: number of tokens of each.
    """
    return max(range(len(logprobs)), key=lambda i: logprobs[i] / tokens[i])
