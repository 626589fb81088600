"""The formulas of PPO against loops written straight from their definitions, token by token."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.models.divergence import kl_k1, kl_k3
from common.training.ppo import losses as ppo
from support.amounts import examples

Rows = list[list[float]]
CLIPS = st.floats(0.05, 0.9)


@st.composite
def batches(draw: st.DrawFn, tensors: int) -> tuple[torch.Tensor, list[int], list[torch.Tensor]]:
    """A mask, the lengths it stands for (zero: a filler) and random tensors of its shape, rubbish at padding."""
    lengths = draw(st.lists(st.integers(0, 7), min_size=1, max_size=4))
    width = max([1, *lengths]) + draw(st.integers(0, 2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    mask = torch.tensor([[1.0] * n + [0.0] * (width - n) for n in lengths], dtype=torch.float64)
    shape = (len(lengths), width)
    return mask, lengths, [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(tensors)]


def exactly(expected: Rows) -> torch.Tensor:
    return torch.tensor(expected, dtype=torch.float64)


def assert_equal(found: torch.Tensor, expected: Rows) -> None:
    torch.testing.assert_close(found, exactly(expected), rtol=1e-9, atol=1e-9)


@given(batches(2), st.floats(0, 3), st.floats(0.1, 2), st.integers(0, 100))
def test_reward_of_a_token_is_the_kl_penalty_and_the_clipped_score_joins_the_last(batch, beta, limit, seed):
    mask, lengths, (logprobs, reference) = batch
    scores = 3 * torch.randn(len(lengths), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = []
    for i, length in enumerate(lengths):
        row = []
        for t in range(mask.shape[1]):
            reward = -beta * (float(logprobs[i, t]) - float(reference[i, t])) if t < length else 0.0
            if t == length - 1:
                reward += min(limit, max(-limit, float(scores[i])))
            row.append(reward)
        expected.append(row)
    before = logprobs.clone()
    assert_equal(ppo.token_rewards(logprobs, reference, scores, mask, beta, limit), expected)
    assert torch.equal(logprobs, before)


def test_a_reward_sums_up_to_the_objective_of_section_3_4():
    """Score minus beta times the log-ratio of the whole response."""
    logprobs, reference = torch.tensor([[-1.0, -2.0, -0.5]]), torch.tensor([[-1.5, -1.0, -1.5]])
    rewards = ppo.token_rewards(logprobs, reference, torch.tensor([1.25]), torch.ones(1, 3), 0.02, 5.0)
    assert float(rewards.sum()) == pytest.approx(1.25 - 0.02 * (-3.5 - -4.0))


@given(batches(2), st.floats(0, 1), st.floats(0, 1))
def test_advantages_are_the_double_sum_of_discounted_differences(batch, gamma, lam):
    """A_t = sum over l of (gamma lambda)^l delta_{t+l} with delta_t = r_t + gamma V_{t+1} - V_t, V = 0 at the end."""
    mask, lengths, (values, rewards) = batch
    advantages, returns = [], []
    for i, length in enumerate(lengths):
        value = [float(values[i, t]) if t < length else 0.0 for t in range(mask.shape[1] + 1 if length else 1)]
        value += [0.0] * (mask.shape[1] + 1 - len(value))
        delta = [float(rewards[i, t]) + gamma * value[t + 1] - value[t] for t in range(length)]
        row = [sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, length)) for t in range(mask.shape[1])]
        advantages.append(row)
        returns.append([row[t] + value[t] if t < length else 0.0 for t in range(mask.shape[1])])
    found = ppo.advantages_and_returns(values, rewards, mask, gamma, lam)
    assert_equal(found[0], advantages)
    assert_equal(found[1], returns)


@given(batches(2))
def test_without_discount_and_with_lambda_1_the_return_is_the_reward_to_go(batch):
    mask, lengths, (values, rewards) = batch
    expected = [[sum(float(r) for r in rewards[i, t:n]) for t in range(mask.shape[1])] for i, n in enumerate(lengths)]
    advantages, returns = ppo.advantages_and_returns(values, rewards, mask, 1.0, 1.0)
    assert_equal(returns, expected)
    torch.testing.assert_close(advantages, (returns - values) * mask, rtol=1e-9, atol=1e-9)


@given(batches(2), st.floats(0, 1))
def test_lambda_0_is_the_one_step_difference(batch, gamma):
    mask, lengths, (values, rewards) = batch
    following = [
        [float(values[i, t + 1]) if t + 1 < n else 0.0 for t in range(mask.shape[1])] for i, n in enumerate(lengths)
    ]
    advantages, _ = ppo.advantages_and_returns(values, rewards, mask, gamma, 0.0)
    torch.testing.assert_close(advantages, (rewards + gamma * exactly(following) - values) * mask, rtol=1e-9, atol=1e-9)


@given(batches(3), CLIPS)
def test_policy_loss_is_the_clipped_surrogate(batch, limit):
    mask, lengths, (logprobs, old, advantages) = batch
    loss, bound = 0.0, []
    for i, length in enumerate(lengths):
        bound.append([False] * mask.shape[1])
        for t in range(length):
            ratio, advantage = math.exp(float(logprobs[i, t] - old[i, t])), float(advantages[i, t])
            clipped = min(1 + limit, max(1 - limit, ratio))
            loss -= min(ratio * advantage, clipped * advantage)
            bound[i][t] = clipped * advantage < ratio * advantage
    found, found_bound = ppo.policy_loss(logprobs, old, advantages, mask, limit)
    assert float(found) == pytest.approx(loss, abs=1e-9)
    assert found_bound.tolist() == bound


@given(batches(3), CLIPS)
def test_value_loss_is_half_the_larger_squared_error(batch, limit):
    mask, lengths, (values, old, returns) = batch
    loss, bound = 0.0, []
    for i, length in enumerate(lengths):
        bound.append([False] * mask.shape[1])
        for t in range(length):
            value, before, goal = float(values[i, t]), float(old[i, t]), float(returns[i, t])
            near = min(max(value, before - limit), before + limit)
            loss += 0.5 * max((value - goal) ** 2, (near - goal) ** 2)
            bound[i][t] = (near - goal) ** 2 > (value - goal) ** 2
    found, found_bound = ppo.value_loss(values, old, returns, mask, limit)
    assert float(found) == pytest.approx(loss, abs=1e-9)
    assert found_bound.tolist() == bound


@settings(max_examples=examples(50))
@given(batches(3), CLIPS)
def test_where_the_policy_clip_binds_and_at_padding_no_gradient_flows(batch, limit):
    mask, _, (logprobs, old, advantages) = batch
    logprobs.requires_grad_(True)
    loss, bound = ppo.policy_loss(logprobs, old, advantages, mask, limit)
    loss.backward()
    free = -(logprobs - old).detach().exp() * advantages
    expected = torch.where(bound | (mask == 0), 0.0, free)
    torch.testing.assert_close(logprobs.grad, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=examples(50))
@given(batches(3), CLIPS)
def test_where_the_value_clip_binds_and_at_padding_the_critic_gets_no_gradient(batch, limit):
    mask, _, (values, old, returns) = batch
    values.requires_grad_(True)
    loss, bound = ppo.value_loss(values, old, returns, mask, limit)
    loss.backward()
    expected = torch.where(bound | (mask == 0), 0.0, (values - returns).detach())
    torch.testing.assert_close(values.grad, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("ratio", "advantage", "bound"),
    [(1.5, 1.0, True), (1.5, -1.0, False), (0.5, 1.0, False), (0.5, -1.0, True), (1.1, 1.0, False), (1.0, -1.0, False)],
)
def test_the_clip_binds_only_where_it_takes_an_incentive_away(ratio: float, advantage: float, bound: bool):
    logprobs = torch.tensor([[math.log(ratio)]], requires_grad=True)
    loss, found = ppo.policy_loss(logprobs, torch.zeros(1, 1), torch.tensor([[advantage]]), torch.ones(1, 1), 0.2)
    loss.backward()
    assert found.item() is bound
    assert (logprobs.grad == 0).item() is bound


@given(batches(2), CLIPS)
def test_the_first_update_of_a_rollout_is_the_plain_policy_gradient(batch, limit):
    mask, lengths, (logprobs, advantages) = batch
    logprobs.requires_grad_(True)
    loss, bound = ppo.policy_loss(logprobs, logprobs.detach(), advantages, mask, limit)
    loss.backward()
    assert not bound.any()
    total = sum(float(advantages[i, t]) for i, n in enumerate(lengths) for t in range(n))
    assert float(loss.detach()) == pytest.approx(-total, abs=1e-9)
    torch.testing.assert_close(logprobs.grad, -advantages * mask, rtol=1e-9, atol=1e-9)


@given(batches(2))
def test_kl_estimates_by_their_definition(batch):
    _, _, (logprobs, reference) = batch
    k1, k3 = kl_k1(logprobs, reference), kl_k3(logprobs, reference)
    for found1, found3, p, q in zip(*(x.flatten().tolist() for x in (k1, k3, logprobs, reference)), strict=True):
        assert found1 == pytest.approx(p - q, abs=1e-12)
        assert found3 == pytest.approx(math.exp(q) / math.exp(p) - 1 - math.log(math.exp(q) / math.exp(p)), abs=1e-9)
        assert found3 >= 0


def test_both_kl_estimates_average_to_the_divergence():
    """Under the policy itself their mean is sum p log(p / q)."""
    generator = torch.Generator().manual_seed(0)
    p, q = (torch.rand(6, generator=generator, dtype=torch.float64).log_softmax(0) for _ in range(2))
    divergence = sum(math.exp(a) * (a - b) for a, b in zip(p.tolist(), q.tolist(), strict=True))
    for estimate in (kl_k1, kl_k3):
        assert float((p.exp() * estimate(p, q)).sum()) == pytest.approx(divergence, abs=1e-12)
