"""The loop of PPO: a step for every batch of prompts, resumed from scratch state, stopped when it goes wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.files.whole_files import read_json, write_json, write_text
from common.jobs.console import Console, Progress
from common.training.checkpoints import PARTIAL, CheckpointClock, commit, find_resume, step_of
from common.training.data_order import global_batches
from common.training.engine import Engine, wait_for_all
from common.training.ppo.metrics import check_health, mean_of, metrics_csv
from common.training.ppo.rollouts import Prompt
from common.training.ppo.trainer import PPOTrainer


def prompt_batches(
    prompts: Sequence[Prompt], global_batch: int, epochs: int, seed: int
) -> list[tuple[str, list[Prompt]]]:
    """(epoch, prompts) of every step, in seeded order; an epoch's last batch holds what is left."""
    return [
        (f"epoch {epoch}", [prompts[i] for i in rows if i < len(prompts)])
        for epoch in range(epochs)
        for rows in global_batches(len(prompts), global_batch, seed, epoch)
    ]


def _save_state(trainer: PPOTrainer, rows: Sequence[Mapping[str, float]], engine: Engine, scratch: Path) -> None:
    partial = scratch / PARTIAL / f"checkpoint-{len(rows)}"
    if engine.is_main:
        partial.mkdir(parents=True)
    wait_for_all(engine)
    trainer.models.actor.save(partial, "actor")
    trainer.models.critic.save(partial, "critic")
    if engine.is_main:
        write_json(partial / "metrics.json", list(rows))
    commit(partial, engine)


def run_ppo(
    trainer: PPOTrainer,
    batches: Sequence[tuple[str, list[Prompt]]],
    *,
    engine: Engine,
    console: Console,
    scratch: Path,
    checkpoint_seconds: float | None,
    stuck_seconds: float,
    metrics: Path,
) -> dict[str, Any]:
    """Train on every batch, resuming from scratch state when there is any.

    Args:
        trainer: with its models.
        batches: from `prompt_batches`.
        engine: from `start_engine`.
        console: where progress goes.
        scratch: directory for resumable state.
        checkpoint_seconds, stuck_seconds: see `CheckpointClock`.
        metrics: CSV file to write.

    Returns:
        Facts for run.json.

    Raises:
        Resumable: on SIGTERM, after a checkpoint.
        UserError: see `check_health`.
    """
    rows: list[dict[str, float]] = []
    checkpoint = find_resume(scratch, engine, console)
    if checkpoint is not None:
        trainer.models.actor.restore(checkpoint, "actor")
        trainer.models.critic.restore(checkpoint, "critic")
        rows = read_json(checkpoint / "metrics.json")
    clock = CheckpointClock(engine, console, checkpoint_seconds, stuck_seconds)
    progress = Progress(console, len(batches), "steps", len(rows)) if engine.is_main else None
    with clock.watched():
        clock.begin()
        while len(rows) < len(batches):
            occasion, prompts = batches[len(rows)]
            found = trainer.step(prompts, occasion)
            check_health(found, len(rows) + 1, trainer.settings["kl_limit"])
            rows.append({"step": len(rows) + 1, **found})
            if progress:
                progress.update(len(rows), f"reward {found['reward']:.3f}, KL {found['kl_k3']:.4f}")
            stop = clock.stop_requested()
            if len(rows) < len(batches) and (stop or clock.due()):
                _save_state(trainer, rows, engine, scratch)
                if engine.is_main:
                    console.say(f"saved a checkpoint at step {len(rows)}")
                if stop:
                    raise clock.stopped(len(rows), len(batches), scratch)
                clock.saved()
    if engine.is_main:
        write_text(metrics, metrics_csv(rows))
    return {
        "steps": len(rows),
        "resumed_from_step": step_of(checkpoint) if checkpoint else 0,
        **engine.facts(),
        "episodes": int(sum(row["episodes"] for row in rows)),
        "response_tokens": round(sum(row["response_tokens"] * row["episodes"] for row in rows)),
        "empty_responses": round(sum(row["empty"] * row["episodes"] for row in rows)),
        "largest_mean_mismatch": max(row["sampling_mismatch"] for row in rows),
        "first_steps": mean_of(rows[: max(1, len(rows) // 5)]),
        "last_steps": mean_of(rows[-max(1, len(rows) // 5) :]),
    }
