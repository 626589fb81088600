"""A saved model is loaded again in a fresh process and compared with the one in memory before it counts as made."""

import contextlib
import math
import multiprocessing
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common.base.errors import EXIT_MACHINE, UserError
from common.base.processes import begin_beside
from common.models.loading import load_model

PROBE_TOKENS = 16


@dataclass(frozen=True)
class Probe:
    """One number every layer of a model has a part in, taken from a few tokens.

    Attributes:
        trained: of the model in memory, given (model, ids, device); in a run of several processes all must call it.
        saved: of a model directory, given (directory, ids, dtype); a module's function, so that another process finds
            it.
    """

    trained: Callable[[Any, Sequence[int], str], float]
    saved: Callable[[Path, Sequence[int], torch.dtype], float]


@torch.no_grad()
def _mean_log_likelihood(model: Any, ids: Sequence[int], device: str) -> float:
    was_training = model.training
    model.eval()
    tokens = torch.tensor([list(ids)], device=device)
    logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits
    model.train(was_training)
    return float(torch.log_softmax(logits[0, :-1].float(), dim=-1).gather(1, tokens[0, 1:, None]).mean())


def _saved_language_model(directory: Path, ids: Sequence[int], dtype: torch.dtype) -> float:
    return _mean_log_likelihood(load_model(directory, dtype), ids, "cpu")


LANGUAGE_MODEL = Probe(_mean_log_likelihood, _saved_language_model)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A new process imports the main module first: here a training script, with far more than loads a model."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def check_saved(directory: Path, probe: Probe, ids: Sequence[int], expected: float, dtype: torch.dtype) -> None:
    """Load a model directory in a new process and compare its probe with the trained model's.

    Args:
        directory: what was saved.
        probe: of this kind of model.
        ids: tokens of the probe.
        expected: the probe of the model in memory.
        dtype: the type it was trained in.

    Raises:
        UserError: when the two differ by more than rounding, or the new process was killed.
    """
    tolerance = 1e-4 if dtype == torch.float32 else 5e-2
    context = multiprocessing.get_context("spawn")
    try:
        with _without_main(), ProcessPoolExecutor(1, mp_context=context, initializer=begin_beside) as pool:
            found = pool.submit(probe.saved, directory, ids, dtype).result()
    except BrokenProcessPool as error:
        what, remedy = "the process that loads what was saved was killed", "run again: training resumes"
        raise UserError(what, str(directory), remedy, EXIT_MACHINE) from error
    if not math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance):
        raise UserError(
            f"the saved model answers {found:.6f} where the trained one answered {expected:.6f}",
            str(directory), "check the disk, then run again: training resumes from its last checkpoint", EXIT_MACHINE,
        )  # fmt: skip
