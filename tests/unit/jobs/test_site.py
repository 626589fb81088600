"""What a scheduler is told of a job besides its size."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.jobs.console import gpu_count
from common.jobs.site import site_resources


def site(tmp_path: Path, text: str) -> dict[str, Any]:
    overlay = tmp_path / "site.yaml"
    overlay.write_text(text, encoding="utf-8")
    loaded: dict[str, Any] = load_configuration(ROOT / "config.yaml", [overlay], {})["site"]
    return loaded


SITE = """
site:
  partition: standard
  account: lab42
  qos: normal
  options: --mail-type=FAIL
  gpu:
    partition: accelerated
    model: nvidia_a100-sxm4-80gb
    constraint: nvlink
    reservation: course
"""


def test_nothing_is_named_where_a_site_says_nothing(tmp_path: Path) -> None:
    nothing = site(tmp_path, "site: {}")
    assert site_resources(nothing) == {"nodes": 1, "slurm_extra": "--signal=TERM@60"}
    assert site_resources(nothing, gpus=4, lead=900) == {"gpu": 4, "nodes": 1, "slurm_extra": "--signal=TERM@900"}


def test_a_job_without_gpus_hears_nothing_of_gpus(tmp_path: Path) -> None:
    assert site_resources(site(tmp_path, SITE)) == {
        "slurm_partition": "standard", "slurm_account": "lab42", "qos": "normal", "nodes": 1,
        "slurm_extra": "--signal=TERM@60 --mail-type=FAIL",
    }  # fmt: skip


def test_jobs_with_gpus_have_their_own_partition_and_share_the_rest(tmp_path: Path) -> None:
    assert site_resources(site(tmp_path, SITE), gpus=8, lead=600) == {
        "slurm_partition": "accelerated", "slurm_account": "lab42", "qos": "normal", "constraint": "nvlink", "nodes": 1,
        "gpu": "nvidia_a100-sxm4-80gb:8", "gpus": 8,
        "slurm_extra": "--signal=TERM@600 --reservation=course --mail-type=FAIL",
    }  # fmt: skip


def test_jobs_that_could_use_gpus_but_ask_for_none_are_as_the_others(tmp_path: Path) -> None:
    asked = site(tmp_path, SITE)
    assert site_resources(asked, gpus=0) == {**site_resources(asked), "gpu": 0}


NODES = [
    (SITE, "nvidia_a100-sxm4-80gb:4"),
    (SITE.replace("nvidia_a100-sxm4-80gb", "a100"), "a100:4"),
    ("site: {}", "4"),
]


@pytest.mark.parametrize(("text", "gpus"), NODES)
def test_several_nodes_run_one_task_each_which_the_job_starts(text: str, gpus: str, tmp_path: Path) -> None:
    asked = site_resources(site(tmp_path, text), gpus=8, nodes=2, lead=600)
    assert {key: asked[key] for key in ("nodes", "mpi", "tasks", "tasks_per_gpu")} == {
        "nodes": 2, "mpi": "srun", "tasks": 2, "tasks_per_gpu": 0,
    }  # fmt: skip
    assert gpu_count(str(asked["gpu"])) == 8
    assert f"--gpus-per-node={gpus}" in asked["slurm_extra"].split()
    assert "--ntasks-per-node=1" in asked["slurm_extra"].split()


def test_a_number_of_gpus_is_read_beside_a_type() -> None:
    assert [gpu_count(asked) for asked in ("0", "4", "nvidia_a100-sxm4-80gb:8")] == [0, 4, 8]
    with pytest.raises(argparse.ArgumentTypeError, match="not a number of 0 or more: a100"):
        gpu_count("a100")
