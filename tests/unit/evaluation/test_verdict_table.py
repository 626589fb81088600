"""The texts of docs/tasks.md have the verdicts that stand beside them, by both scorers."""

import re

import pytest
import yaml

from common.base.paths import ROOT
from common.evaluation.scoring import generation_verdict
from support import independent_scorer

PAGE = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| (?:`([^`|]+)`|`` ([^|]+?) ``) \| ([^|]+) \|$", PAGE, re.MULTILINE)
CASES = [(answers, text or quoted, verdict) for answers, text, quoted, verdict in ROWS]


def accepted_wordings(answers: str) -> list[list[str]]:
    """The wordings of a task of the project, or the answers that are named themselves."""
    if answers not in ("SST2", "MNLI"):
        return [[answer] for answer in answers.split(" / ")]
    definition = yaml.safe_load((ROOT / f"resources/tasks/{answers.lower()}.yaml").read_text(encoding="utf-8"))
    return [[label["text"], *label.get("also", [])] for label in definition["answers"]["labels"].values()]


def test_the_page_shows_a_hundred_texts_and_every_verdict() -> None:
    assert len({text for _, text, _ in CASES}) == len(CASES) >= 100
    assert len(CASES) == sum(line.startswith("| ") and not line.startswith("| answers |") for line in PAGE.splitlines())
    assert {"none", "several", "Yes", "No", "It's impossible to say"} <= {verdict for *_, verdict in CASES}


@pytest.mark.parametrize(("answers", "text", "verdict"), CASES, ids=[text for _, text, _ in CASES])
def test_a_text_has_the_verdict_beside_it(answers: str, text: str, verdict: str) -> None:
    accepted = accepted_wordings(answers)
    found = generation_verdict(text, accepted)
    assert (found.reason if found.answer is None else accepted[found.answer][0]) == verdict
    named = independent_scorer.named_answers(text, accepted)
    expected = {"none": set(), "several": named if len(named) > 1 else None}
    assert named == expected.get(verdict, {found.answer})
