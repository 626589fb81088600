"""A second scorer, from the description alone.

`python tests/support/independent_scorer.py results/demo` checks a whole run.
"""

import re
import sys
from pathlib import Path

from pyarrow.parquet import read_table

NEGATORS = ("not", "never", "neither", "nor", "cannot")
TURNS = ("but", "and", "only", "just")
PART_OF_WORD = re.compile(r"\w")


def plain(text: str) -> str:
    return " ".join(text.replace("\u2019", "'").casefold().split())


def negated(before: str) -> bool:
    """Whether a negating word stands before, with at most three words of letters and apostrophes between."""
    words = before.split(" ")[:-1] if before.endswith(" ") else []
    for i, word in enumerate(reversed(words[-4:])):
        last = re.split(r"[^\w']", word)[-1].rpartition("'")[2] if word[-1:] != "'" else ""
        if last in NEGATORS or word.endswith("n't"):
            return True
        if word in TURNS or i == 3 or re.search(r"[^\w']", word):
            return False
    return False


def named_answers(line: str, wordings: list[list[str]]) -> set[int]:
    """Answers named in a line: whole words that no longer wording overlaps and nothing negates."""
    found = []
    for answer, word in ((i, word) for i, words in enumerate(wordings) for word in words if word):
        starts = [i for i in range(len(line)) if line.startswith(word, i)]
        apart = [i for i in starts if not PART_OF_WORD.search(line[i - 1 : i] + line[i + len(word) :][:1])]
        found += [(set(range(i, i + len(word))), answer) for i in apart]
    kept = [(place, i) for place, i in found if not any(len(place) < len(q) and place & q for q, _ in found)]
    return {answer for place, answer in kept if not negated(line[: min(place)])}


def verdicts(row: dict, question: dict) -> dict[str, bool]:
    """Whether an answer is right under each scoring, by the name of the column that says so."""
    line = plain(next((line for line in row["generation"].splitlines() if line.strip()), ""))
    wordings = [[plain(word).rstrip(".") for word in words] for words in question["accepted"]]
    strict = {i for i, words in enumerate(wordings) if line.rstrip(".") and line.rstrip(".") in words}
    each = [logprob / tokens for logprob, tokens in zip(row["answer_logprobs"], row["answer_tokens"], strict=True)]
    answers = {"": named_answers(line, wordings), "_strict": strict, "_likelihood": {each.index(max(each))}}
    return {f"correct{scoring}": named == {question["gold"]} for scoring, named in answers.items()}


def check(results: Path) -> dict[str, list[str]]:
    """For every stored item of a results folder, the verdicts this scorer does not share."""
    items = {}
    for path in sorted([*results.glob("eval/**/*.parquet"), *results.glob("markers/**/*.parquet")]):
        questions = read_table(results / "data/tasks" / path.parent.name / "eval.parquet").to_pylist()
        by_id = {question["id"]: question for question in questions}
        for row in read_table(path).to_pylist():
            mine = verdicts(row, by_id[row["id"]])
            items[f"{path} {row['id']}"] = [name for name in mine if mine[name] != row[name]]
    return items


if __name__ == "__main__":
    checked = check(Path(sys.argv[1]))
    print(*(f"{item}: {names}" for item, names in checked.items() if names), f"{len(checked)} items checked", sep="\n")
    sys.exit(any(checked.values()) or not checked)
