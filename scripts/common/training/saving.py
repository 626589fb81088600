"""The end of a training job: the model directory is written, loaded again and compared, and then recorded."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.files.whole_files import new_directory, write_record
from common.models.devices import peak_memory
from common.models.loading import weights_hash
from common.models.saved_check import Probe, check_saved
from common.training.frame import Frame


def save_model(
    frame: Frame,
    facts: dict[str, Any],
    *,
    weights: Callable[[Path], None],
    probe: Probe,
    ids: Sequence[int],
    expected: float,
) -> None:
    """Write the model directory, check it in a fresh process, and forget the resumable state.

    Args:
        frame: of the job.
        facts: for run.json.
        weights: writes the weights into a directory.
        probe: how the model is checked.
        ids: tokens of that check.
        expected: what the trained model answers to them.

    Raises:
        UserError: when the model on disk answers otherwise.
    """
    with new_directory(frame.output) as directory:
        weights(directory)
        frame.tokenizer.save_pretrained(directory)
        check_saved(directory, probe, ids, expected=expected, dtype=frame.engine.dtype)
        record = frame.provenance.record(frame.inputs, seed=frame.settings["seed"])
        peak = {"peak_memory_bytes": peak_memory()}
        content = {"weights_sha256": weights_hash(directory), **facts, **peak, "provenance": record}
        write_record(directory / "run.json", content)
    shutil.rmtree(frame.state, ignore_errors=True)
