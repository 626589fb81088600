"""The frame of a training job that runs in the process of a test."""

from pathlib import Path
from typing import Any

import torch

from common.data.prompts import PromptFormat
from common.jobs.console import Console
from common.jobs.provenance import Provenance
from common.models.loading import load_tokenizer
from common.training.engine import Engine
from common.training.frame import Frame

CPU = Engine("cpu", torch.float32, deepspeed=False, processes=1, rank=0)
PROMPT = {
    "without_input": "{instruction}\n",
    "with_input": "{instruction}\nInput: {input}\n",
    "markers": {
        "response": "Response:",
        "better": "better response:",
        "worse": "worse response:",
        "tie": "equal response:",
    },
}


def job_frame(settings: dict[str, Any], model: Path, folder: Path, inputs: dict[str, Path] | None = None) -> Frame:
    """A job on plain torch with its places below `folder`.

    Args:
        settings: of the job; `compute` is added.
        model: directory the tokenizer is taken from.
        folder: where `state`, `metrics.csv` and `model` are written.
        inputs: files the job reads, by name.
    """
    return Frame(
        settings={**settings, "compute": {"gradient_checkpointing": False}},
        engine=CPU,
        tokenizer=load_tokenizer(model),
        prompt=PromptFormat.from_settings(PROMPT),
        console=Console("test"),
        state=folder / "state",
        checkpoint_seconds=600,
        stuck_seconds=600,
        offload="none",
        metrics=folder / "metrics.csv",
        output=folder / "model",
        inputs=inputs or {},
        provenance=Provenance("train_sft.py", settings),
    )
