"""What is looked at before a run starts."""

from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.exceptions import WorkflowError

from common.terminal import run_start
from common.terminal.run_start import refuse_missing_gpus


def job(rule: str, **resources: Any) -> SimpleNamespace:
    return SimpleNamespace(rule=SimpleNamespace(name=rule), resources=resources)


def test_a_machine_without_the_gpus_of_a_run_is_told_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_start, "devices_here", lambda: ["0", "1"])
    beside = [job("download_model"), job("check_machine", gpu=8, device="auto")]
    refuse_missing_gpus(beside, "paper")
    refuse_missing_gpus([*beside, job("train_sft", gpu=2, device="auto")], "paper")
    refuse_missing_gpus([*beside, job("train_sft", gpu=8, device="cpu")], "paper")
    for rule, asked in (("train_ppo", 8), ("evaluate_task", "a100:4")):
        with pytest.raises(WorkflowError, match="(?s)this machine has 2.*make plan PRESET=paper") as told:
            refuse_missing_gpus([*beside, job(rule, gpu=asked, device="auto")], "paper")
        assert str(told.value).count("\n") == 2
