"""From generated text to the answer it names (paper section 5.1: the generated text is scored)."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.evaluation.denials import affirmed
from common.evaluation.mentions import find_mentions, readable, wordings

# The scorings, and the column that says whether an answer was right under each.
SCORINGS = {"generation": "correct", "strict": "correct_strict", "likelihood": "correct_likelihood"}


@dataclass(frozen=True)
class NamedAnswer:
    """Which answer a text names: its index, or None with the reason."""

    answer: int | None
    reason: str  # one, none or several


def first_line(text: str) -> str:
    """The first line with visible text, stripped; empty when there is none."""
    return next((line.strip() for line in text.splitlines() if readable(line)), "")


def _only_one(named: set[int]) -> NamedAnswer:
    if len(named) == 1:
        return NamedAnswer(next(iter(named)), "one")
    return NamedAnswer(None, "several" if named else "none")


def generation_verdict(text: str, accepted: Sequence[Sequence[str]]) -> NamedAnswer:
    """The one answer the first line affirms; a line that affirms none, or several, is unparseable.

    docs/tasks.md gives the rules and a hundred texts with their verdict.

    Args:
        text: what the model generated.
        accepted: for each answer, every wording that counts as it.
    """
    line = readable(first_line(text))
    return _only_one({mention.answer for mention in affirmed(line, find_mentions(line, accepted))})


def strict_verdict(text: str, accepted: Sequence[Sequence[str]]) -> NamedAnswer:
    """The answer that is the whole first line, a final full stop apart."""
    line = readable(first_line(text)).rstrip(".。")
    return _only_one({answer for answer, wording in wordings(accepted) if wording == line})


def likelihood_verdict(logprobs: Sequence[float], tokens: Sequence[int]) -> int:
    """The answer with the highest log-likelihood per token; the first of equals.

    Args:
        logprobs: log-likelihood of each answer.
        tokens: number of tokens of each.
    """
    return max(range(len(logprobs)), key=lambda i: logprobs[i] / tokens[i])
