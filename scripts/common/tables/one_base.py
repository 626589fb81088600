"""What Table 5 says of a method: accuracy over all tasks, rewards on held-out prompts, distance from the base."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.base.errors import UserError
from common.stats.intervals import bootstrap_interval, wilson_interval
from common.stats.paired import Comparison, compare_means
from common.tables.scores import SEED, Cell

# What the other methods are compared with.
YARDSTICK = "sft"
Answers = Sequence[Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Accuracy:
    """Accuracy at one number of examples, every task with the same weight.

    Attributes:
        mean: over the tasks.
        items: of all tasks.
        against: difference from the yardstick on the same items and draws; None for the yardstick itself.
    """

    mean: float
    items: int
    against: Comparison | None


def accuracy(tasks: Sequence[Cell | None], yardstick: Sequence[Cell | None] | None, where: str) -> Accuracy | None:
    """The mean over the tasks at one number of examples; None when a score is missing.

    Args:
        tasks: the method's cells.
        yardstick: of the same tasks; None for the yardstick itself.
        where: for errors.

    Raises:
        UserError: when the two methods were asked different items.
    """
    found, others = ([cell for cell in cells or () if cell is not None] for cells in (tasks, yardstick))
    if len(found) < len(tasks):
        return None
    mean, items = float(np.mean([cell.mean for cell in found])), sum(cell.n for cell in found)
    if len(others) < len(found):
        return Accuracy(mean, items, None)
    if any(one.ids != other.ids for one, other in zip(found, others, strict=True)):
        raise UserError("two methods were asked different items", where, "delete the scores of both, evaluate again")
    pairs = [(one.correct, other.correct) for one, other in zip(found, others, strict=True)]
    return Accuracy(mean, items, compare_means(pairs, SEED))


@dataclass(frozen=True)
class Responses:
    """What the reward model says of a method's greedy responses, and how far its own are from the base model's.

    Attributes:
        prompts: held-out prompts.
        reward: mean over them, and its 95 % interval.
        wins: prompts on which the reward is higher than the yardstick's; None for the yardstick itself.
        losses: prompts on which it is lower; on all others the two are equal.
        tokens: mean length of a response, the token that ends it included.
        kl_k1: mean log-ratio per token of responses drawn from the method; None where it was not measured.
        kl_k3: Schulman's estimate, which is never negative.
    """

    prompts: int
    reward: float
    reward_interval: tuple[float, float]
    wins: int | None
    losses: int | None
    tokens: float
    kl_k1: float | None
    kl_k3: float | None

    @property
    def win_share(self) -> tuple[float, float, float] | None:
        """Share of wins among the prompts on which one of both wins, with Wilson's 95 % interval."""
        if self.wins is None or self.losses is None or not self.wins + self.losses:
            return None
        decided = self.wins + self.losses
        return (self.wins / decided, *wilson_interval(self.wins, decided))


def responses(answers: Answers, method: str) -> Responses:
    """A method's responses to the held-out prompts beside those of the yardstick.

    Two responses of the same text that end alike are equal, whatever the last digits of their rewards are: these depend
    on the batch that a response was scored in.

    Args:
        answers: for each held-out prompt the row of every method, as `load_together` reads them.
        method: one of them.
    """
    rows = [row[method] for row in answers]
    rewards = np.array([row["reward"] for row in rows], dtype=np.float64)
    signs = [_sign(row[method], row[YARDSTICK]) for row in answers]
    itself = method == YARDSTICK
    drawn = sum(row["drawn_tokens"] or 0 for row in rows)
    k1, k3 = (sum(row[name] or 0.0 for row in rows) / drawn if drawn else None for name in ("kl_k1", "kl_k3"))
    return Responses(
        prompts=len(rows),
        reward=float(rewards.mean()),
        reward_interval=bootstrap_interval(rewards, SEED),
        wins=None if itself else signs.count(1),
        losses=None if itself else signs.count(-1),
        tokens=float(np.mean([row["tokens"] for row in rows])),
        kl_k1=k1,
        kl_k3=k3,
    )


def _sign(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    if all(one[name] == other[name] for name in ("response", "tokens", "finish")):
        return 0
    return int(np.sign(one["reward"] - other["reward"]))
