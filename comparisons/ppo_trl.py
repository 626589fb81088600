"""TRL's side of comparisons/ppo.py: trains some steps and prints episodes per second and peak memory.

Runs in the peer's own environment, so it uses nothing of this package.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer
from workers import peak_bytes, run_side


class Clock(TrainerCallback):
    """The moment each step was done."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.moments.append(time.perf_counter())


def measure(work: dict[str, Any], model_folder: Path, reward_folder: Path) -> dict[str, Any]:
    torch.manual_seed(1)
    batch = work["batch"]
    tokenizer = AutoTokenizer.from_pretrained(model_folder, padding_side="left")
    actor, reference = (AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32) for _ in range(2))
    critic, reward = (
        AutoModelForSequenceClassification.from_pretrained(reward_folder, dtype=torch.float32, num_labels=1)
        for _ in range(2)
    )
    arguments = PPOConfig(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=False, gradient_checkpointing=False, learning_rate=1e-5,
        per_device_train_batch_size=batch, gradient_accumulation_steps=1, num_ppo_epochs=1, num_mini_batches=1,
        total_episodes=len(work["prompts"]), response_length=work["new_tokens"], temperature=1.0, stop_token=None,
        num_sample_generations=0, report_to="none", save_strategy="no", disable_tqdm=True, logging_steps=1,
    )  # fmt: skip
    dataset, collate = Dataset.from_dict({"input_ids": work["prompts"]}), DataCollatorWithPadding(tokenizer)
    clock = Clock()
    trainer = PPOTrainer(
        args=arguments, processing_class=tokenizer, model=actor, ref_model=reference, reward_model=reward,
        value_model=critic, train_dataset=dataset, eval_dataset=dataset, data_collator=collate, callbacks=[clock],
    )  # fmt: skip
    # The trainer shuffles; both sides should see the same batches.
    trainer.dataloader = DataLoader(dataset, batch_size=batch, collate_fn=collate, shuffle=False)
    trainer.train()
    timed = len(clock.moments) - 1
    seconds = clock.moments[-1] - clock.moments[0]
    return {"episodes_per_second": timed * batch / seconds, "seconds": round(seconds, 1), "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    sys.exit(run_side(__doc__ or "", measure))
