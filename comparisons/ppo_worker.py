"""Our side of comparisons/ppo.py: trains some steps and prints episodes per second and peak memory."""

import functools
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import torch
from workers import peak_bytes, run_side

from common.models.devices import limit_threads
from common.models.loading import load_tokenizer
from common.models.reward_model import load_reward_model
from common.training.engine import Engine
from common.training.ppo.learners import Optimization, build_learner
from common.training.ppo.rollouts import Prompt
from common.training.ppo.trainer import PPOModels, PPOTrainer
from train_ppo import load_actor

MICRO_BATCH = 4


def measure(work: dict[str, Any], model: Path, reward: Path) -> dict[str, Any]:
    limit_threads()
    batch = work["batch"]
    steps = len(work["prompts"]) // batch
    settings = {
        "global_batch_size": batch, "per_device_batch_size": MICRO_BATCH, "updates_per_rollout": 1,
        "max_new_tokens": work["new_tokens"], "temperature": 1.0, "stop_at_eos": False, "kl_beta": 0.05,
        "clip_reward": 5, "clip_range": 0.2, "clip_range_value": 0.2, "gamma": 1.0, "lambda": 0.95,
    }  # fmt: skip
    engine = Engine("cpu", torch.float32, deepspeed=False, processes=1, rank=0)
    optimization = Optimization(
        learning_rate=1e-5,
        schedule="linear",
        warmup_steps=0,
        steps=steps,
        betas=(0.9, 0.999),
        max_grad_norm=1.0,
        per_device=MICRO_BATCH,
        accumulation=batch // MICRO_BATCH,
        offload="none",
        gradient_checkpointing=False,
    )
    actor = functools.partial(load_actor, model, ("log_probs", "entropy"))
    scorer = functools.partial(load_reward_model, reward)
    models = PPOModels(
        actor=build_learner(actor, engine, optimization, trained=True),
        critic=build_learner(scorer, engine, optimization, trained=True),
        reference=build_learner(functools.partial(load_actor, model, ("log_probs",)), engine, optimization, False),
        reward=build_learner(scorer, engine, optimization, trained=False),
    )
    trainer = PPOTrainer(models, settings, load_tokenizer(model), engine, seed=1)
    prompts = [Prompt(str(i), tokens) for i, tokens in enumerate(work["prompts"])]
    moments = []
    for step in range(steps):
        trainer.step(prompts[step * batch : (step + 1) * batch], "comparison")
        moments.append(time.perf_counter())
    timed, seconds = steps - 1, moments[-1] - moments[0]
    return {"episodes_per_second": timed * batch / seconds, "seconds": round(seconds, 1), "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    sys.exit(run_side(__doc__ or "", measure))
