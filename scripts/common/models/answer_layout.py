"""Possible answers of several prompts laid out for one forward pass: a row's answers side by side, blind to each other.

An answer's first token is scored by the logits after its prompt, so that only the tokens after it take room here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch


class Target(NamedTuple):
    """A token to be scored: the place whose logits say how likely it is, whose answer it belongs to, and its id."""

    row: int
    place: int
    answer: int
    token: int


@dataclass(frozen=True)
class AnswerLayout:
    """Answers without their last token, which no other follows.

    Attributes:
        ids: token ids, shape (rows, width); zero beyond a row's answers.
        positions: of the tokens in their sequences, shape (rows, width).
        visible: which tokens of its row each one sees, shape (rows, width, width), bool.
        targets: every token after the first of each answer.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    visible: torch.Tensor
    targets: list[Target]


def layout_width(answers: Sequence[Sequence[int]]) -> int:
    """Places a row's answers take."""
    return sum(len(answer) - 1 for answer in answers)


def lay_out_answers(rows: Sequence[Sequence[list[int]]], starts: Sequence[int]) -> AnswerLayout:
    """
    Args:
        rows: the answers of each row, as tokens.
        starts: position of each row's first answer token.
    """
    width = max(layout_width(answers) for answers in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    positions = torch.zeros_like(ids)
    visible = torch.eye(width, dtype=torch.bool).repeat(len(rows), 1, 1)
    targets: list[Target] = []
    for i, answers in enumerate(rows):
        start = 0
        for j, answer in enumerate(answers):
            count = len(answer) - 1
            own = slice(start, start + count)
            ids[i, own] = torch.tensor(answer[:-1], dtype=torch.long)
            positions[i, own] = starts[i] + torch.arange(count)
            visible[i, own, own] = torch.ones(count, count, dtype=torch.bool).tril()
            targets += [Target(i, start + t, j, answer[t + 1]) for t in range(count)]
            start += count
    return AnswerLayout(ids, positions, visible, targets)
