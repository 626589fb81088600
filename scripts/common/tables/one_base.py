"""What Table 5 says of a method: accuracy over all tasks, rewards on held-out prompts, distance from the base."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.base.errors import UserError
from common.stats.intervals import bootstrap_interval, wilson_interval
from common.stats.paired import Comparison, compare_means
from common.tables.scores import SEED, Cell, Grid

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

    Two responses of the same text that end alike are equal, whatever the last digits of their rewards are.

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


@dataclass(frozen=True)
class Preferred:
    """Prompts on which most raters preferred one method to another, the other to it, and neither."""

    wins: int
    losses: int
    similar: int


@dataclass(frozen=True)
class Row:
    """A method on a base model.

    Attributes:
        model: name of the base model.
        method: name of the method.
        accuracies: by number of examples; None where a score is missing.
        unparseable: share of answers from which no single one could be read, mean over tasks and numbers of examples.
        responses: to the held-out prompts.
        preferred: by other method, what people said of the two.
    """

    model: str
    method: str
    accuracies: Mapping[int, Accuracy | None]
    unparseable: float | None
    responses: Responses
    preferred: Mapping[str, Preferred]


def load_row(
    settings: Mapping[str, Any], grid: Grid, answers: Answers, preferred: Mapping[str, Preferred], model: str,
    method: str,
) -> Row:  # fmt: skip
    """A row of the table.

    Args:
        settings: of the job.
        grid: score files read back.
        answers: of all methods to the held-out prompts of `model`.
        preferred: what people said of it, by other method.
        model: name of the base model.
        method: name of the method.
    """
    shots, tasks = settings["shots"], settings["tasks"]
    cells, sft = ({k: [grid[model, name, task, k] for task in tasks] for k in shots} for name in (method, YARDSTICK))
    against = {k: None if method == YARDSTICK else sft[k] for k in shots}
    found = {k: accuracy(cells[k], against[k], f"{model}, {method}, k={k}") for k in shots}
    shares = [cell.unparseable for k in shots for cell in cells[k] if cell]
    return Row(
        model=model,
        method=method,
        accuracies=found,
        unparseable=float(np.mean(shares)) if shares else None,
        responses=responses(answers, method),
        preferred=preferred,
    )


def csv_columns(shots: Sequence[int]) -> list[str]:
    """Names of the numbers that any row may have, in cells.csv and, with `_` for `/`, in the CSV."""
    of_shots = [f"k{k}{part}" for k in shots for part in ("", "/difference", "/low", "/high")]
    rewards = ["reward", "reward/low", "reward/high", "wins", "losses", "win_share", "win_share/low", "win_share/high"]
    return [*of_shots, "unparseable", *rewards, "tokens", "kl_k1", "kl_k3"]


def numbers(row: Row) -> dict[str, str]:
    """The row's numbers by column, shares in percent; one that does not exist has no entry."""
    found: dict[str, float | None] = {}
    for k, at_k in row.accuracies.items():
        against = at_k.against if at_k else None
        ends = against.interval if against else (None, None)
        shares = (at_k.mean if at_k else None, against.difference if against else None, *ends)
        names = (f"k{k}", f"k{k}/difference", f"k{k}/low", f"k{k}/high")
        found |= {name: None if share is None else 100 * share for name, share in zip(names, shares, strict=True)}
    answers, base = row.responses, row.method == "pretrained"
    found |= {"unparseable": None if row.unparseable is None else 100 * row.unparseable, "reward": answers.reward}
    found |= zip(("reward/low", "reward/high"), answers.reward_interval, strict=True)
    found |= {"wins": answers.wins, "losses": answers.losses}
    if share := answers.win_share:
        found |= zip(("win_share", "win_share/low", "win_share/high"), (100 * part for part in share), strict=True)
    found["tokens"] = answers.tokens
    found |= {"kl_k1": 0.0 if base else answers.kl_k1, "kl_k3": 0.0 if base else answers.kl_k3}
    for other, said in row.preferred.items():
        found |= {f"raters_won/{other}": said.wins, f"raters_lost/{other}": said.losses}
    return {
        name: str(value) if isinstance(value, int) else f"{value:.4f}"
        for name, value in found.items()
        if value is not None
    }
