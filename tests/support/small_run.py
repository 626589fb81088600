"""A finished run of few files, as jobs would have left them: one model, one task, four tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.files.csv_files import to_csv
from common.files.parquet import write_parquet
from common.files.whole_files import canonical_json, sha256_of_text, write_record, write_text
from common.tables.cells import CELL_COLUMNS, cell_line, write_csv_files

ITEMS = 40
METHODS = ("sft", "coh", "rl_sft", "reward", "ppo")
ASKED = ("pretrained", "coh")


def write_small_run(
    results: Path, *, capability: str = "AVX512", learning_rate: float = 1e-4, seconds: float = 3.0
) -> Path:
    """Write the run.

    Args:
        results: its folder.
        capability: instruction set of the machine in its records.
        learning_rate: of CoH.
        seconds: how long each job took.

    Returns:
        The folder.
    """
    _write_data(results)
    hardware = {"cpu": "a CPU", "cpus": 2, "cpu_capability": capability, "gpus": [], "kernels": {"blas": "mkl"}}
    rates = {method: learning_rate if method == "coh" else 1e-4 for method in METHODS}
    _record(results / "models/m/pretrained/run.json", "prepare_model", hardware, seconds, {"weights_sha256": "base"})
    for method, rate in rates.items():
        facts: dict[str, Any] = {"weights_sha256": f"{method} by {rate}"}
        facts |= {"heldout_loss": {"n": 9, "before": 2.5, "after": 2.0}} if method != "ppo" else {}
        facts |= {"heldout_pairs": {"accuracy": 0.7}} if method == "reward" else {}
        settings = {"method": method, "training": {"learning_rate": rate, "betas": [0.9, 0.95]}}
        _record(results / f"models/m/{method}/run.json", f"train_{method}", hardware, seconds, facts, settings)
    for method in ASKED:
        stem = results / f"eval/m/{method}/sst2/k0_seed0"
        verdicts = dict.fromkeys(("correct", "correct_strict", "correct_likelihood"), True)
        rows = [{"id": str(item), "prompt_hash": f"p{item}", "generation": "Yes", **verdicts} for item in range(ITEMS)]
        write_parquet(stem.with_suffix(".parquet"), rows, tuple(rows[0]))
        _record(stem.with_suffix(".json"), "evaluate_task", hardware, seconds, {}, {"method": method, "items": ITEMS})
    rows = [{"id": f"prompt{number}", "response": "Yes", "reward": 0.5} for number in range(4)]
    write_parquet(results / "samples/m/ppo.parquet", rows, tuple(rows[0]))
    _record(results / "samples/m/ppo.json", "sample_responses", hardware, seconds, {}, {"method": "ppo"})
    _write_tables(results / "tables", rates, seconds)
    return results


def _record(
    path: Path, rule: str, hardware: dict[str, Any], seconds: float, facts: dict[str, Any], settings: Any = None
) -> None:
    settings = settings or {"source": {"kind": "wheel"}}
    provenance = {
        "rule": rule,
        "script_digest": "0" * 16,
        "commit": f"commit of {seconds}",
        "settings": settings,
        "settings_hash": sha256_of_text(canonical_json(settings))[:16],
        "versions": {"torch": "2.13.0+cpu"},
        "hardware": hardware,
        "seconds": seconds,
    }
    write_record(path, {**facts, "provenance": provenance})


def _write_data(results: Path) -> None:
    rows = [{"id": str(number), "question": f"Is {number} even?", "gold": number % 2} for number in range(2 * ITEMS)]
    for name in ("instructions", "splits/coh", "splits/sft", "tasks/sst2/train", "tasks/sst2/eval"):
        write_parquet(results / f"data/{name}.parquet", rows, tuple(rows[0]))


def _write_tables(folder: Path, rates: dict[str, float], seconds: float) -> None:
    """Settings, accuracies, samples, and costs with hours."""
    runs = {method: f"models/m/{method}/run.json" for method in METHODS}
    lines = {
        "table1": [("rate", method, rate, runs[method], None) for method, rate in rates.items()],
        "table3": [(f"m/{method}", "sst2/k0", "100.0", f"eval/m/{method}/sst2/k0_seed*", ITEMS) for method in ASKED],
        "table4": [("m", "ppo", "0.5", "samples/m/ppo.*", 4), ("m", "pair_accuracy", "70.0", runs["reward"], 58)],
        "costs": [("coh", "gpus", 0, runs["coh"], None), ("coh", "hours", seconds, runs["coh"], None)],
    }
    cells: list[Sequence[object]] = []
    for name, given in lines.items():
        own = [cell_line(name, row, key, value, source=source, n=n) for row, key, value, source, n in given]
        columns = list(dict.fromkeys(key for _, key, *_ in given))
        write_csv_files(
            folder, name, header=columns, rows=[[value for _, _, value, *_ in given][: len(columns)]], cells=own
        )
        cells += own
    write_text(folder / "cells.csv", to_csv(CELL_COLUMNS, cells))
