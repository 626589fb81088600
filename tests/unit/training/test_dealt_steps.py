"""A step's loss and gradient do not depend on how its sequences are dealt out to micro-batches."""

import dataclasses
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from common.base.batch_sizes import Deal, deal_equally, deal_out
from common.training.frame import Frame
from common.training.reward import encode_pairs, initial_reward_model, reward_objective
from common.training.sequences import encode_all
from common.training.supervised import reference_response, supervised_objective
from common.training.trl_training import Objective, run_training
from support.frames import job_frame

TRAINING = {
    "epochs": 2, "learning_rate": 1e-4, "global_batch_size": 8, "per_device_batch_size": 2, "schedule": "constant",
    "warmup_ratio": 0.0, "max_grad_norm": 1, "max_length": 80, "weight_decay": 0.0, "betas": [0.9, 0.999],
    "log_steps": 1,
}  # fmt: skip
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@pytest.fixture(autouse=True)
def usual_termination() -> Iterator[None]:
    """Training catches SIGTERM; the tests after it must not."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def rows(count: int) -> list[dict[str, str]]:
    """Prompts with responses of very different lengths."""
    rng = random.Random(1)
    texts = [" ".join(rng.choices(WORDS, k=1 + int(rng.lognormvariate(1.5, 1)))) for _ in range(2 * count)]
    return [{"id": f"p{i}", "instruction": "Count.", "input": "", "response": texts[i], "chosen": texts[i],
             "rejected": f"no {texts[count + i]}"} for i in range(count)]  # fmt: skip


def objective_of(method: str, frame: Frame, model: Path, folder: Path) -> Objective:
    examples = rows(21)  # the last global batch is completed with fillers
    if method == "sft":
        responses = [(row["id"], reference_response(row, frame)) for row in examples]
        return supervised_objective(frame, model, encode_all(frame.tokenizer, responses, 80), None)
    pairs = encode_pairs(frame.tokenizer, examples, frame.prompt, 80)
    initial_reward_model(model, folder / "initial", seed=1)
    return dataclasses.replace(reward_objective(frame, folder / "initial", pairs, pairs), measure=None)


def curve(method: str, model: Path, folder: Path, deal: Deal) -> pd.DataFrame:
    """Loss and gradient's norm of every step."""
    settings = {"seed": 5, "training": TRAINING, "heldout_loss": False, "loss": "last_token"}
    frame = job_frame(settings, model, folder)
    objective = objective_of(method, frame, model, folder)
    run_training(frame, dataclasses.replace(objective, deal=deal))
    return pd.read_csv(folder / "metrics.csv")[["loss", "grad_norm", "num_tokens"]]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "reward"])
def test_losses_and_gradients_are_those_of_equal_micro_batches(
    method: str, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    model = model_folders["llama"]
    dealt, equal = (curve(method, model, tmp_path / deal.__name__, deal) for deal in (deal_out, deal_equally))
    assert len(dealt) == 6
    pd.testing.assert_frame_equal(dealt, equal, rtol=1e-5, atol=1e-5)
