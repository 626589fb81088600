"""A second scorer, written from the description alone: word lists are matched with word lists."""

import re

NEGATORS = [["not"], ["isn", "'", "t"], ["is", "n", "'", "t"], ["aren", "'", "t"], ["wasn", "'", "t"],
            ["never"], ["neither"], ["nor"]]  # fmt: skip
FILLERS = [["a"], ["an"], ["the"], ["very"], ["really"], ["at", "all"]]


def words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.replace("\u2019", "'").casefold())


def ending(line: list[str], options: list[list[str]]) -> int:
    return next((len(option) for option in options if line[-len(option) :] == option), 0)


def negated(before: list[str]) -> bool:
    while count := ending(before, FILLERS):
        before = before[:-count]
    return ending(before, NEGATORS) > 0


def named_answers(text: str, accepted: list[list[str]]) -> set[int]:
    """Indices of the answers the first visible line names."""
    visible = [line for line in text.splitlines() if line.strip()]
    line = words(visible[0]) if visible else []
    found = []
    for answer, wordings in enumerate(accepted):
        for wording in wordings:
            target = words(wording.rstrip("."))
            places = [i for i in range(len(line)) if target and line[i : i + len(target)] == target]
            found += [(len(wording.rstrip(".")), set(range(i, i + len(target))), answer) for i in places]
    kept: list[tuple[int, set[int], int]] = []
    for size, place, answer in sorted(found, key=lambda mention: -mention[0]):
        if not any(place & other and size < longer for longer, other, _ in kept):
            kept.append((size, place, answer))
    return {answer for _, place, answer in kept if not negated(line[: min(place)])}
