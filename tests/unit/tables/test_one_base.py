"""Table 5's numbers against plain loops."""

from typing import Any

import numpy as np
import pytest

from common.base.errors import UserError
from common.stats.intervals import wilson_interval
from common.stats.paired import compare, compare_means
from common.tables.one_base import accuracy, responses
from common.tables.scores import SEED, Cell


def cell(*runs: str, start: int = 0) -> Cell:
    correct = np.array([[char == "1" for char in run] for run in runs])
    return Cell(correct, tuple(str(start + i) for i in range(correct.shape[1])), "T")


def row(reward: float, response: str = "a", tokens: int = 2, **drawn: Any) -> dict[str, Any]:
    return {"response": response, "tokens": tokens, "finish": "eos", "reward": reward, "drawn_tokens": None,
            "kl_k1": None, "kl_k3": None, **drawn}  # fmt: skip


def test_every_task_has_the_same_weight() -> None:
    found = accuracy([cell("1111"), cell("00000000", start=9)], [cell("0000"), cell("00000000", start=9)], "here")
    assert found is not None
    assert found.against is not None
    assert (found.mean, found.items, found.against.difference) == (0.5, 12, 0.5)


def test_the_yardstick_is_not_compared_with_itself_and_a_missing_score_leaves_a_gap() -> None:
    cells = [cell("10"), cell("11", start=5)]
    itself = accuracy(cells, None, "here")
    assert itself is not None
    assert (itself.mean, itself.against) == (0.75, None)
    assert accuracy([cells[0], None], cells, "here") is None
    without = accuracy(cells, [cells[0], None], "here")
    assert without is not None
    assert without.against is None


def test_methods_that_were_asked_different_items_are_not_compared() -> None:
    with pytest.raises(UserError, match="asked different items"):
        accuracy([cell("10")], [cell("10", start=1)], "here")


def test_one_task_is_compared_as_everywhere_else() -> None:
    generator = np.random.default_rng(3)
    first, second = (generator.random((3, 40)) < share for share in (0.7, 0.5))
    mean, plain = compare_means([(first, second)], SEED), compare(first, second, SEED)
    assert mean.difference == pytest.approx(plain.difference)
    assert mean.interval == pytest.approx(plain.interval, abs=0.02)


def test_the_interval_over_tasks_is_that_of_a_plain_loop() -> None:
    generator = np.random.default_rng(5)
    pairs = [(generator.random(shape) < 0.6, generator.random(shape) < 0.4) for shape in ((1, 30), (3, 50))]
    means = []
    for _ in range(4000):
        drawn = []
        for first, second in pairs:
            differences = first.astype(float) - second
            runs, items = (generator.integers(0, size, size) for size in differences.shape)
            drawn.append(differences[runs][:, items].mean())
        means.append(sum(drawn) / len(drawn))
    expected = np.quantile(means, [0.025, 0.975])
    assert compare_means(pairs, 0).interval == pytest.approx(tuple(expected), abs=0.015)


def test_equal_answers_on_every_task_are_not_a_certain_equality() -> None:
    same = np.ones((1, 10), dtype=bool)
    slack = wilson_interval(0, 10)[1]
    assert compare_means([(same, same), (same, same)], 0).interval == pytest.approx((-slack, slack))


def test_rewards_wins_and_lengths_are_counted_prompt_by_prompt() -> None:
    """The third pair is the same text with rewards that differ in their last digits: neither wins."""
    pairs = [(1.0, 0.0, "a", "b"), (-1.0, 0.5, "c", "d"), (0.3000001, 0.3, "e", "e"), (0.2, 0.2, "f", "g")]
    answers = [{"coh": row(mine, text), "sft": row(other, its)} for mine, other, text, its in pairs]
    found = responses(answers, "coh")
    assert (found.prompts, found.wins, found.losses) == (4, 1, 1)
    assert found.reward == pytest.approx(sum(pair[0] for pair in pairs) / 4)
    assert found.win_share == pytest.approx((0.5, *wilson_interval(1, 2)))
    assert (found.tokens, found.kl_k1, found.kl_k3) == (2.0, None, None)
    itself = responses(answers, "sft")
    assert (itself.wins, itself.losses, itself.win_share) == (None, None, None)


def test_a_response_that_ends_otherwise_is_another_response() -> None:
    cut = {**row(0.1, "a"), "finish": "length"}
    assert responses([{"ppo": cut, "sft": row(0.2, "a")}], "ppo").losses == 1


def test_divergence_is_per_token_over_all_prompts() -> None:
    drawn = [(10, 1.0, 2.0), (30, -0.5, 0.4)]
    answers = [{"sft": row(0.0, drawn_tokens=tokens, kl_k1=k1, kl_k3=k3)} for tokens, k1, k3 in drawn]
    found = responses(answers, "sft")
    assert (found.kl_k1, found.kl_k3) == pytest.approx((0.5 / 40, 2.4 / 40))
