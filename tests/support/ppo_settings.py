"""Settings of a short PPO, and its columns that tell the time."""

from typing import Any

TIMES = ["tokens_per_second", "rollout_seconds", "seconds"]
PPO: dict[str, Any] = {
    "epochs": 1, "actor_learning_rate": 1e-2, "critic_learning_rate": 1e-2, "global_batch_size": 16,
    "per_device_batch_size": 16, "updates_per_rollout": 1, "schedule": "constant", "warmup_ratio": 0.0,
    "betas": [0.9, 0.95], "max_grad_norm": 1, "kl_beta": 0.02, "clip_reward": 5, "clip_range": 0.2,
    "clip_range_value": 0.2, "gamma": 1, "lambda": 0.95, "temperature": 1.0, "max_prompt_length": 60,
    "max_new_tokens": 8, "stop_at_eos": True, "kl_limit": 10,
}  # fmt: skip
