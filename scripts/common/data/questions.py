"""Questions of an evaluation task, and the draws of items and in-context examples."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from common.base.errors import UserError
from common.base.keyed_random import keyed_random


@dataclass(frozen=True)
class Question:
    """One item: the question as sent (marker apart), its possible answers and the index of the right one.

    `accepted[i]` lists every wording that counts as `answers[i]`, that one first.
    """

    id: str
    question: str
    answers: list[str]
    accepted: list[list[str]]
    gold: int

    def row(self) -> dict[str, Any]:
        return asdict(self)


def draw_items(questions: Sequence[Question], count: int | None, seed: int, task: str) -> list[Question]:
    """The items to evaluate, in file order: all, or `count` drawn by seed.

    Raises:
        UserError: when there are fewer than `count`.
    """
    if count is None:
        return list(questions)
    if count > len(questions):
        remedy = "lower `evaluation.items`, or set it to null for all"
        raise UserError(f"{count} items asked for, {len(questions)} usable ones found", f"task {task}", remedy)
    chosen = keyed_random("items", seed, task).sample(range(len(questions)), count)
    return [questions[index] for index in sorted(chosen)]


def draw_examples(
    pool: Sequence[Question], k: int, seed: int, task: str, item: Question | None = None
) -> list[tuple[str, str]]:
    """`k` in-context examples (question, right answer), one draw a (task, k, seed) or, with `item`, one an item.

    Raises:
        UserError: when the training split has fewer than `k` questions other than `item`.
    """
    usable = [question for question in pool if item is None or question.question != item.question]
    if k > len(usable):
        raise UserError(f"{k} examples asked for, {len(usable)} training rows found", f"task {task}", "lower `shots`")
    key = ("examples", task, k, seed) if item is None else ("examples", task, k, seed, item.id)
    return [(q.question, q.answers[q.gold]) for q in keyed_random(*key).sample(usable, k)]
