"""How far a policy is from a reference model, by what the policy sampled (Schulman 2020, Approximating KL)."""

import torch


def kl_k1(logprobs: torch.Tensor, reference_logprobs: torch.Tensor) -> torch.Tensor:
    """Estimate of KL(policy, reference) by each sampled token: the log-ratio (unbiased, may be negative)."""
    return logprobs - reference_logprobs


def kl_k3(logprobs: torch.Tensor, reference_logprobs: torch.Tensor) -> torch.Tensor:
    """Schulman's non-negative estimate: exp(-d) - 1 + d with the log-ratio d."""
    difference = reference_logprobs - logprobs
    return difference.exp() - 1 - difference
