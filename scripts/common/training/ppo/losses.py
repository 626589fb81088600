"""Proximal policy optimisation of a language model: rewards, advantages, losses (paper section 3.4).

Schulman et al. 2017 (clipped objective), Schulman et al. 2016 (generalised advantage estimation); the choices the paper
leaves open are DeepSpeed-Chat's: the KL penalty is a reward of each token, the score of the reward model joins the last
one, the value is clipped as the ratio is, and neither rewards nor advantages are whitened.

Every tensor here has shape (B, T): one column for each response token, padded on the right, `mask` 1.0 at real tokens.
"""

import torch


def token_rewards(
    logprobs: torch.Tensor,
    reference_logprobs: torch.Tensor,
    scores: torch.Tensor,
    mask: torch.Tensor,
    beta: float,
    clip_reward: float,
) -> torch.Tensor:
    """Reward of each token: -beta * log(policy / reference), plus the clipped score at the last one.

    Args:
        logprobs: of the policy that sampled the tokens.
        reference_logprobs: of the frozen stage-1 model.
        scores: the reward model's, shape (B,).
        mask: real tokens.
        beta: weight of the KL penalty.
        clip_reward: scores are cut to [-clip_reward, clip_reward].
    """
    rewards = -beta * (logprobs - reference_logprobs) * mask
    lengths = mask.sum(dim=1).long()
    rows = torch.nonzero(lengths)[:, 0]
    rewards[rows, lengths[rows] - 1] += scores[rows].clamp(-clip_reward, clip_reward)
    return rewards


def advantages_and_returns(
    values: torch.Tensor, rewards: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantage estimates and the returns the critic learns; the episode ends with the last real token.

    Args:
        values: the critic's, before each token.
        rewards: of each token.
        mask: real tokens.
        gamma: discount.
        lam: lambda of the estimator; 1 is the plain return, 0 the one-step difference.
    """
    values, rewards = values * mask, rewards * mask
    following = torch.zeros_like(values[:, 0])
    advantages = torch.zeros_like(values)
    for t in reversed(range(values.shape[1])):
        after = values[:, t + 1] if t + 1 < values.shape[1] else torch.zeros_like(following)
        difference = rewards[:, t] + gamma * after - values[:, t]
        following = (difference + gamma * lam * following) * mask[:, t]
        advantages[:, t] = following
    return advantages, (advantages + values) * mask


def policy_loss(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    clip_range: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clipped surrogate, summed over real tokens.

    Returns:
        The sum to minimise (divide by the number of tokens of the global batch), and which real tokens the clip bound,
        shape (B, T).
    """
    ratio = ((logprobs - old_logprobs) * mask).exp()
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    return (torch.maximum(plain, clipped) * mask).sum(), (clipped > plain) & (mask > 0)


def value_loss(
    values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor, clip_range: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Half the squared error, the larger one of the value and of the value clipped to near its old one.

    Returns:
        The sum over real tokens, and which of them the clip bound, shape (B, T).
    """
    near = values.clamp(old_values - clip_range, old_values + clip_range)
    plain, clipped = (values - returns) ** 2, (near - returns) ** 2
    return 0.5 * (torch.maximum(plain, clipped) * mask).sum(), (clipped > plain) & (mask > 0)
