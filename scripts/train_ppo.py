"""Stage 3 of the RL arm: PPO of the stage-1 actor against the stage-2 reward model (paper section 3.4, table 2)."""

import common.base.quick_start

import argparse
import functools
import math
import sys
from pathlib import Path
from typing import Any

import torch

from common.base.batch_sizes import accumulation_steps
from common.base.errors import UserError
from common.files.parquet import read_parquet
from common.jobs.console import Console
from common.models.loading import load_model, load_tokenizer
from common.models.reward_model import check_same_tokenizer, load_reward_model
from common.models.saved_check import LANGUAGE_MODEL, PROBE_TOKENS
from common.training.engine import wait_for_all
from common.training.frame import Frame, job_parser, run_training_job, training_frame
from common.training.fused_head import add_fused_head
from common.training.ppo.learners import Optimization, build_learner
from common.training.ppo.loop import prompt_batches, run_ppo
from common.training.ppo.rollouts import Prompt
from common.training.ppo.trainer import PPOModels, PPOTrainer
from common.training.saving import save_model


def encode_prompts(frame: Frame, rows: list[dict[str, Any]], longest: int) -> tuple[list[Prompt], list[str]]:
    """Prompts that fit, marker included, and the ids of those that do not."""
    fitting, left_out = [], []
    for row in rows:
        text = frame.prompt.prompt(row["instruction"], row["input"]) + frame.prompt.markers["response"]
        tokens = frame.tokenizer(text, split_special_tokens=True)["input_ids"]
        if len(tokens) <= longest:
            fitting.append(Prompt(row["id"], tokens))
        else:
            left_out.append(row["id"])
    return fitting, left_out


def load_actor(directory: Path, outputs: tuple[str, ...], dtype: torch.dtype) -> Any:
    """A causal language model that gives log-likelihoods of labels without whole logits."""
    model = load_model(directory, dtype)
    add_fused_head(model, outputs)
    return model


def build_models(frame: Frame, arguments: argparse.Namespace, steps: int) -> PPOModels:
    """Actor and reference from stage 1, critic and reward model from stage 2."""
    block, compute, engine = frame.settings["ppo"], frame.settings["compute"], frame.engine
    accumulation = accumulation_steps(block["global_batch_size"], block["per_device_batch_size"], engine.processes)
    actor, critic = (
        Optimization(
            learning_rate=block[f"{role}_learning_rate"],
            schedule=block["schedule"],
            warmup_steps=math.ceil(block["warmup_ratio"] * steps),
            steps=steps,
            betas=tuple(block["betas"]),
            max_grad_norm=block["max_grad_norm"],
            per_device=block["per_device_batch_size"],
            accumulation=accumulation,
            offload=frame.offload,
            gradient_checkpointing=compute["gradient_checkpointing"],
        )
        for role in ("actor", "critic")
    )
    policy = functools.partial(load_actor, arguments.actor)
    scorer = functools.partial(load_reward_model, arguments.reward)
    return PPOModels(
        actor=build_learner(functools.partial(policy, ("log_probs", "entropy")), engine, actor, trained=True),
        critic=build_learner(scorer, engine, critic, trained=True),
        reference=build_learner(functools.partial(policy, ("log_probs",)), engine, actor, trained=False),
        reward=build_learner(scorer, engine, critic, trained=False),
    )


def work(arguments: argparse.Namespace, console: Console) -> None:
    models, data = {"actor": arguments.actor, "reward": arguments.reward}, {"train": arguments.train}
    with training_frame("train_ppo.py", arguments, console, models=models, data=data) as frame:
        block, engine = frame.settings["ppo"], frame.engine
        check_same_tokenizer(frame.tokenizer, load_tokenizer(arguments.reward))
        prompts, left_out = encode_prompts(frame, read_parquet(arguments.train), block["max_prompt_length"])
        if not prompts:
            raise UserError("no prompt is left to train on", str(arguments.train),
                            "raise the counts of `splits`, or `methods.ppo.max_prompt_length`")  # fmt: skip
        batches = prompt_batches(prompts, block["global_batch_size"], block["epochs"], frame.settings["seed"])
        trained = build_models(frame, arguments, len(batches) * block["updates_per_rollout"])
        trainer = PPOTrainer(trained, block, frame.tokenizer, engine, seed=frame.settings["seed"])
        facts = run_ppo(
            trainer,
            batches,
            engine=engine,
            console=console,
            scratch=frame.state,
            checkpoint_seconds=frame.checkpoint_seconds,
            stuck_seconds=frame.stuck_seconds,
            metrics=frame.metrics,
        )
        read, written = block["epochs"] * sum(len(prompt.tokens) for prompt in prompts), facts["response_tokens"]
        facts |= {"prompts": len(prompts), "left_out_prompt_too_long": len(left_out)}
        facts["tokens_seen"] = {"prompt": read, "response": written, "total": read + written}
        ids = prompts[0].tokens[:PROBE_TOKENS]
        expected = LANGUAGE_MODEL.trained(trained.actor.wrapped, ids, engine.device)
        state = trained.actor.state_dict()
        if engine.is_main:
            save = functools.partial(trained.actor.model.save_pretrained, state_dict=state)
            save_model(frame, facts, weights=save, probe=LANGUAGE_MODEL, ids=ids, expected=expected)
        wait_for_all(engine)  # as in save_trained


def main(argv: list[str] | None = None) -> int:
    parser = job_parser(__doc__ or "")
    parser.add_argument("--actor", type=Path, required=True, help="model directory of stage 1")
    parser.add_argument("--reward", type=Path, required=True, help="model directory of stage 2")
    return run_training_job(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
