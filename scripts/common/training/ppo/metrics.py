"""What PPO reports of each step, and what stops a run that has gone wrong."""

import math
from collections.abc import Mapping, Sequence

from common.base.errors import UserError
from common.files.csv_files import records_to_csv

# Sums over the global batch, divided by its tokens or its episodes before they are reported.
PER_TOKEN = ("kl_k1", "kl_k3", "entropy", "policy_loss", "value_loss", "value_error", "policy_clipped", "value_clipped",
             "sampling_mismatch")  # fmt: skip
PER_EPISODE = ("reward", "reward_clipped", "reward_at_limit", "response_tokens", "ended", "empty")
# Of these every update of a rollout adds its own.
PER_UPDATE = ("policy_loss", "value_loss", "policy_clipped", "value_clipped")
COLUMNS = ("step", "episodes", *PER_EPISODE, *PER_TOKEN, "actor_learning_rate", "critic_learning_rate",
           "actor_grad_norm", "critic_grad_norm", "tokens_per_second", "rollout_seconds", "seconds")  # fmt: skip


def batch_means(sums: Mapping[str, float], episodes: int, tokens: float, updates: int) -> dict[str, float]:
    """Means over a global batch.

    Args:
        sums: of PER_TOKEN and PER_EPISODE, over all processes.
        episodes: of the batch.
        tokens: of its responses.
        updates: how often the batch was learnt from.
    """
    per_episode = {name: sums[name] / episodes for name in PER_EPISODE}
    per_token = {name: sums[name] / tokens / (updates if name in PER_UPDATE else 1) for name in PER_TOKEN}
    return {**per_episode, **per_token}


def check_health(metrics: Mapping[str, float], step: int, kl_limit: float) -> None:
    """Stop a run that has gone wrong.

    Raises:
        UserError: when a value is not finite or the policy has left the reference behind.
    """
    broken = [name for name, value in metrics.items() if not math.isfinite(value)]
    if broken:
        raise UserError(f"not a finite number: {', '.join(broken)}", f"PPO step {step}",
                        "lower `methods.ppo.actor_learning_rate` or `critic_learning_rate`")  # fmt: skip
    if metrics["kl_k3"] > kl_limit:
        what = f"the policy's KL divergence from stage 1 is {metrics['kl_k3']:.2f} nats a token, above {kl_limit}"
        raise UserError(what, f"PPO step {step}", "raise `methods.ppo.kl_beta`, or lower `actor_learning_rate`; "
                        "`kl_limit` is where a run is given up")  # fmt: skip


def metrics_csv(rows: Sequence[Mapping[str, float]]) -> str:
    """The steps as CSV."""
    return records_to_csv(COLUMNS, [{name: f"{value:.6g}" for name, value in row.items()} for row in rows])


def mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of some steps, for run.json."""
    names = ("reward", "kl_k1", "kl_k3", "entropy", "response_tokens", "ended")
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}
