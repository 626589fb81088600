"""The plan: model sizes, memory, exchange, hours and advice, beside obvious references and a measured process."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

import plan_run
from common.base.checkpoint_times import checkpoints_within
from common.base.errors import UserError
from common.base.paths import HARDWARE, ROOT
from common.config.loading import load_configuration
from common.data.instructions import load_instructions
from common.data.splits import manifest, split
from common.files.yaml_files import read_mapping
from common.planning import memory as memory_model
from common.planning import sequence_sizes as data_sizes
from common.planning.advice import ConfigChange, host_problems, lead_problems, memory_problems, remedies
from common.planning.basis import Basis
from common.planning.hardware import bandwidth, load_assumptions, load_gpu
from common.planning.job_plan import JobPlan, disk_bytes, needed_lead
from common.planning.job_time import (
    Device,
    checkpoint_bytes,
    checkpoint_seconds,
    decoding_seconds,
    exchanged_bytes,
    forward_flops,
    offload_seconds,
    training_flops,
)
from common.planning.memory import JobModel, torch_memory, zero3_memory
from common.planning.model_shapes import find_shape, shape_of
from common.planning.planner import plan_again, plan_jobs
from common.planning.shapes import ModelShape
from common.planning.site_profiles import Site, read_site
from common.planning.step_memory import MEASURED_LAYERS, _measure, step_memory
from common.planning.training_jobs import supervised_job
from common.training.engine import Engine, deepspeed_config
from support.tiny_models import FAMILIES

ASSUMED = {name: entry.value for name, entry in load_assumptions().items()}
NOWHERE = Path("/nonexistent")
LLAMA_13B = 13_015_864_320


def preset(name: str) -> dict[str, Any]:
    return load_configuration(ROOT / "config.yaml", [] if name == "demo" else [ROOT / f"config/{name}.yaml"], {})


def sized(parameters: int, multiplied: int | None = None) -> ModelShape:
    """A shape of so many parameters, whatever its architecture."""
    return ModelShape("m", LlamaConfig(), "language", parameters, multiplied or parameters, "")


def basis_of(config: dict[str, Any], gpu: str | None = None, **options: Any) -> Basis:
    return Basis(config, load_gpu(gpu or config["compute"]["gpu_type"]), ASSUMED, NOWHERE, find_shape, **options)


def tiny(family: str, **values: Any) -> Any:
    return AutoConfig.for_model(family, vocab_size=1000, **{**FAMILIES[family], **values})


@pytest.fixture(scope="module")
def paper() -> tuple[Basis, list[JobPlan]]:
    basis = basis_of(preset("paper"))
    return basis, list(plan_jobs(basis))


def job_of(jobs: list[JobPlan], rule: str, model: str) -> JobPlan:
    return next(job for job in jobs if (job.rule, job.model) == (rule, model))


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", read_mapping(HARDWARE / "models.yaml"))
def test_known_models_have_their_published_number_of_parameters(name: str) -> None:
    entry = read_mapping(HARDWARE / "models.yaml")[name]
    assert shape_of(name, AutoConfig.for_model(**entry["config"])).parameters == entry["parameters"]


@pytest.mark.parametrize("name", ["demo", "paper", "single-gpu"])
def test_known_models_are_those_of_the_presets(name: str) -> None:
    known = read_mapping(HARDWARE / "models.yaml")
    sources = [model["source"] for model in preset(name)["models"].values()]
    for source in sources:
        if source["kind"] == "hub":
            assert known[source["repository"]]["revision"] == source["revision"]
        elif source["kind"] == "wheel":
            assert known[source["package"]]["revision"] == source["version"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False])
def test_parameters_and_products_are_those_of_a_real_model(family: str, tied: bool) -> None:
    config = tiny(family, tie_word_embeddings=tied)
    model = AutoModelForCausalLM.from_config(config)
    shape = shape_of("tiny", config)
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    looked_up = [m.weight.numel() for m in tables if m.weight is not model.get_output_embeddings().weight]
    assert shape.multiplied == shape.parameters - sum(looked_up)


def test_a_prepared_model_is_read_from_its_directory(model_folders: dict[str, Path], tmp_path: Path) -> None:
    config = preset("paper")
    (tmp_path / "models/llama-7b").mkdir(parents=True)
    (tmp_path / "models/llama-7b/pretrained").symlink_to(model_folders["llama"])
    shape = find_shape(config, "llama-7b", tmp_path)
    assert shape.parameters < 1_000_000
    assert shape.origin == str(tmp_path / "models/llama-7b/pretrained")


def test_a_model_of_unknown_size_is_an_error_that_says_what_to_do() -> None:
    config = preset("paper")
    config["models"]["llama-7b"]["source"]["repository"] = "someone/model"
    with pytest.raises(UserError) as error:
        find_shape(config, "llama-7b", NOWHERE)
    assert "someone/model" in error.value.remedy
    assert "models.yaml" in error.value.remedy


# --- memory -----------------------------------------------------------------------------------------------------------


def test_deepspeed_has_the_buffer_sizes_the_plan_counts() -> None:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    engine = Engine("cpu", torch.float32, True, 1, 0)
    config = deepspeed_config(engine, per_device=1, accumulation=1, max_grad_norm=1.0, offload="none")
    zero = DeepSpeedZeroConfig(**config["zero_optimization"])
    assert zero.max_live_parameters == memory_model.LIVE_PARAMETERS
    assert zero.prefetch_bucket_size == memory_model.PREFETCHED
    assert zero.reduce_bucket_size == memory_model.REDUCE_BUCKET
    assert zero.sub_group_size == memory_model.SUB_GROUP


def test_llama_13b_on_eight_gpus_holds_16_bytes_a_parameter() -> None:
    found = zero3_memory([JobModel(sized(LLAMA_13B))], 8, 0.0, 0.0, "none", ASSUMED)
    assert found.parts["states"] / 1e9 == pytest.approx(26.0, abs=0.05)


@given(
    st.lists(st.tuples(st.integers(1, 10**10), st.booleans()), min_size=1, max_size=4),
    st.integers(1, 16), st.sampled_from(["none", "optimizer", "parameters"]),
)  # fmt: skip
def test_states_are_16_bytes_of_what_is_trained_and_2_of_what_is_not(
    models: list[tuple[int, bool]], gpus: int, offload: str
) -> None:
    learnt = [JobModel(sized(count), trained) for count, trained in models]
    found = zero3_memory(learnt, gpus, 0.0, 0.0, offload, ASSUMED)
    reference = sum(count * (16 if trained else 2) for count, trained in models)
    # In host memory gradients are summed in fp32, which takes 4 bytes more.
    summing = 0 if offload == "none" else 4 * sum(count for count, trained in models if trained)
    assert gpus * found.parts["states"] + found.host == pytest.approx(reference + summing)
    if offload == "parameters":
        assert found.parts["states"] == pytest.approx(0.0, abs=1.0)


@given(st.floats(0, 1e11), st.floats(0, 1e11), st.integers(1, 10**10), st.integers(1, 8))
def test_the_peak_is_the_largest_of_its_moments(activations: float, cache: float, count: int, gpus: int) -> None:
    found = zero3_memory([JobModel(sized(count), whole=True)], gpus, activations, cache, "none", ASSUMED)
    moments = {
        "forward and backward pass": 2 * min(count, 450_000_000) + activations,
        "optimizer step": 6 * min(count / gpus, 10**9),
        "generation": 2 * count + cache,
    }
    always = 16 * count / gpus + 2 * (200_000_000 + min(count, 200_000_000))
    expected = (always + max(moments.values())) * (1 + ASSUMED["fragmentation"]) + ASSUMED["reserved_gb"] * 1e9
    assert found.total == pytest.approx(expected)
    assert moments[found.moment] == max(moments.values())


@given(st.integers(1, 10**10), st.floats(0, 1e11), st.booleans())
def test_plain_torch_holds_weights_gradients_and_two_moments(
    count: int, activations: float, accumulating: bool
) -> None:
    found = torch_memory([JobModel(sized(count))], activations, accumulating, 0.0, 5.0)
    moments = [4 * count, activations + (4 * count if accumulating else 0)]
    assert found.total == pytest.approx(12 * count + max(moments) + 5.0)


def kept_by_a_real_model(config: Any, batch: int, length: int) -> int:
    """Bytes autograd keeps of a real forward pass through the backbone, weights apart."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    mask = torch.ones(batch, length, dtype=torch.long)
    mask[0, -3:] = 0
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.base_model(input_ids=torch.zeros_like(mask), attention_mask=mask, use_cache=False)
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_fake_tensors_keep_what_a_real_forward_pass_keeps(family: str) -> None:
    config = tiny(family, num_hidden_layers=6, dropout=0.1) if family == "opt" else tiny(family, num_hidden_layers=6)
    planned = step_memory(config, "reward", 4, 160, torch.float32, False, False, True)
    assert planned.kept == pytest.approx(kept_by_a_real_model(config, 4, 160), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("kind", ["language", "reward"])
def test_deep_models_follow_from_shallow_ones(kind: str, checkpointing: bool) -> None:
    config = tiny("llama", num_hidden_layers=9)
    arguments = (kind, 2, 96, torch.bfloat16, checkpointing, True, False)
    assert config.num_hidden_layers > max(MEASURED_LAYERS)
    whole, followed = _measure(config, *arguments), step_memory(config, *arguments)
    assert followed.kept == pytest.approx(whole.kept, rel=0.01)
    assert followed.peak == pytest.approx(whole.peak, rel=0.01)


@pytest.mark.parametrize("family", FAMILIES)
def test_recomputing_layers_keeps_less(family: str) -> None:
    config = tiny(family, num_hidden_layers=8)
    plain, recomputed = (step_memory(config, "reward", 4, 200, torch.float32, c, False, False) for c in (False, True))
    assert recomputed.kept < 0.3 * plain.kept
    assert recomputed.peak < plain.peak


def test_activations_grow_with_the_batch_and_gradients_count_where_they_stay() -> None:
    config = tiny("llama")
    small, large = (step_memory(config, "reward", b, 64, torch.float32, False, False, False) for b in (1, 8))
    assert large.kept == pytest.approx(8 * small.kept, rel=0.05)
    stay = step_memory(config, "reward", 1, 2, torch.float32, False, False, True)
    gone = step_memory(config, "reward", 1, 2, torch.float32, False, False, False)
    assert gone.peak < 4 * shape_of("tiny", config, "reward").parameters <= stay.peak


# --- planned beside measured -----------------------------------------------------------------------------------------


# --- time and disk ---------------------------------------------------------------------------------------------------


def test_llama_13b_moves_78_gb_a_micro_step_and_stores_182_gb() -> None:
    model = [JobModel(sized(LLAMA_13B))]
    assert exchanged_bytes(model, 8) / 1e9 == pytest.approx(78 * 7 / 8, abs=0.2)
    assert exchanged_bytes(model, 1) == 0
    assert checkpoint_bytes(model, deepspeed=True) / 1e9 == pytest.approx(182, abs=0.5)


def test_pcie_moves_a_13b_micro_step_in_four_to_eight_seconds() -> None:
    rate = bandwidth(load_gpu("a100-40gb"), "pcie", ASSUMED)
    assert rate is not None
    assert 4 < exchanged_bytes([JobModel(sized(LLAMA_13B))], 8) / rate < 8


def test_operations_of_a_token_beside_a_count_by_torch() -> None:
    config = tiny("llama", num_hidden_layers=3)
    shape, length = shape_of("tiny", config), 128
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.zeros(1, length, dtype=torch.long)).logits.sum().backward()
    # Torch's eager attention computes the masked half of the scores as well.
    attention = 2 * shape.layers * shape.hidden * length
    expected = length * (training_flops(shape, length, checkpointing=False) + 3 * attention)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.02)
    assert training_flops(shape, length, checkpointing=True) == pytest.approx(4 * forward_flops(shape, length))


def test_offloading_costs_transfers_and_a_pass_in_host_memory() -> None:
    device = Device(load_gpu("rtx-3090"), 1, {**ASSUMED, "pcie_efficiency": 0.5, "host_memory_gb_s": 28})
    model = [JobModel(sized(10**9))]
    assert offload_seconds(model, device, 1, "none") == 0
    # 2 GB of gradients down and 2 GB of weights up at 16 GB/s; 28 bytes a parameter at 28 GB/s.
    assert offload_seconds(model, device, 1, "optimizer") == pytest.approx(4 / 16 + 1)
    assert offload_seconds(model, device, 1, "parameters") == pytest.approx(8 / 16 + 1)


def test_decoding_is_bound_by_reading_weights_or_by_the_shortest_step() -> None:
    gpu = Device(load_gpu("a100-40gb"), 1, {**ASSUMED, "decoding_step_seconds": 0.001})
    assert decoding_seconds(sized(10**10), gpu, 100, 3, 2) == pytest.approx(300 * 20e9 / 1555e9)
    assert decoding_seconds(sized(1000), gpu, 100, 3, 2) == pytest.approx(300 * 0.001)


@given(st.floats(0, 1e12), st.integers(1, 16))
def test_a_checkpoint_is_written_once_and_hashed_by_all(size: float, ranks: int) -> None:
    one = size / (ASSUMED["disk_write_gb_s"] * 1e9) + size / ranks / (ASSUMED["hash_gb_s"] * 1e9)
    assert checkpoint_seconds(size, ranks, ASSUMED) == pytest.approx(one)


@given(st.integers(1, 10**5), st.integers(1, 10**4), st.integers(1, 10**4))
def test_a_job_writes_a_checkpoint_for_each_full_interval(seconds: int, every: int, first: int) -> None:
    assert checkpoints_within(seconds, every, every) == seconds // every
    moments = range(first, seconds + 1, every)
    assert checkpoints_within(seconds, every, first) == len(moments)


@pytest.mark.slow
@pytest.mark.parametrize("preset_name", ["paper", "single-gpu"])
def test_checkpoints_take_three_percent_of_the_hours_where_the_job_chooses_when(preset_name: str) -> None:
    config = preset(preset_name)
    assert config["compute"]["checkpoint_seconds"] == "auto"
    basis = basis_of(config)
    without = basis.changed({**config, "compute": {**config["compute"], "checkpoint_seconds": 10**9}})
    for link in ("nvlink", "pcie"):
        found, alone = (
            sum(job.gpu_hours(link) or 0 for job in plan_jobs(each) if job.rule.startswith("train_"))
            for each in (basis, without)
        )
        assert alone <= found <= 1.03 * alone


# --- data -------------------------------------------------------------------------------------------------------------


def test_local_data_are_counted_before_anything_is_made(tmp_path: Path) -> None:
    config = preset("demo")
    found = data_sizes.sequences(config, "sft", 512, NOWHERE, ASSUMED)
    assert found.measured
    assert found.count == config["splits"]["prompts"] - config["splits"]["heldout"]
    assert 40 < found.mean < found.longest < 512
    assert data_sizes.sequences(config, "coh", 512, NOWHERE, ASSUMED).mean > found.mean
    assert data_sizes.sequences(config, "sft", 64, NOWHERE, ASSUMED).longest == 64


def test_the_manifest_counts_when_it_is_of_the_configured_splits(tmp_path: Path) -> None:
    config = preset("paper")
    assert data_sizes.read_manifest(config, tmp_path) is None
    paths = [ROOT / preset("demo")["instructions"][part]["path"] for part in ("references", "comparisons")]
    rows = load_instructions(*paths, 0.0).rows
    counts = {"prompts": 60, "heldout": 10, "rl_sft": 10, "rl_reward": 10, "rl_prompts": 10}
    config["splits"] = {**config["splits"], **counts}
    made = manifest(split(rows, config["splits"], 1), rows, config["splits"], 1)
    made["provenance"] = {"settings": {"seed": config["seed"], "splits": config["splits"]}}
    (tmp_path / "data/splits").mkdir(parents=True)
    (tmp_path / "data/splits/manifest.json").write_text(json.dumps(made))
    found = data_sizes.sequences(config, "reward", 512, tmp_path, ASSUMED)
    assert found.measured
    assert found.count == made["reward_pairs"]
    config["seed"] += 1
    assert not data_sizes.sequences(config, "reward", 512, tmp_path, ASSUMED).measured


def test_without_data_counts_follow_from_the_configuration() -> None:
    config = preset("paper")
    counts = {method: data_sizes.sequences(config, method, 512, NOWHERE, ASSUMED).count
              for method in ("sft", "coh", "rl_sft", "reward", "ppo")}  # fmt: skip
    assert counts == {"sft": 52_000, "coh": 52_000, "rl_sft": 10_000, "reward": 20_255, "ppo": 30_000}
    config["splits"]["fine_tune_on_heldout"] = False
    assert data_sizes.sequences(config, "sft", 512, NOWHERE, ASSUMED).count == 50_000


# --- whole plans -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_papers_grid_fits_eight_a100_of_40_gb(paper: tuple[Basis, list[JobPlan]]) -> None:
    planned, jobs = paper
    assert {job.rule for job in jobs} == {"train_sft", "train_coh", "train_rl_sft", "train_reward", "train_ppo",
                                          "sample_responses", "evaluate_task"}  # fmt: skip
    assert all(job.memory.total < 37e9 for job in jobs)
    assert memory_problems(planned, jobs, lambda job: 42.4e9) == []
    for link, most in (("nvlink", 85), ("pcie", 215)):
        assert sum(job.gpu_hours(link) or 0 for job in jobs) < most


@pytest.mark.slow
def test_hours_of_llama_13b(paper: tuple[Basis, list[JobPlan]]) -> None:
    sft = job_of(paper[1], "train_sft", "llama-13b")
    assert sft.parameters == LLAMA_13B
    pcie, nvlink = sft.seconds["pcie"], sft.seconds["nvlink"]
    assert pcie is not None
    assert nvlink is not None
    assert 3 * 3600 < pcie < 5 * 3600
    assert nvlink < pcie
    assert sft.gpu_hours("pcie") == pytest.approx(8 * pcie / 3600)


def test_accumulating_instead_of_a_large_micro_batch_costs_most_of_a_day_over_pcie() -> None:
    config = preset("paper")
    config["methods"]["sft"]["training"]["per_device_batch_size"] = 2
    seconds = supervised_job(basis_of(config), "sft", "llama-13b").seconds["pcie"]
    assert seconds is not None
    assert 18 < seconds / 3600 < 36


@pytest.mark.slow
def test_ppo_holds_four_models_and_gathers_the_actor(paper: tuple[Basis, list[JobPlan]]) -> None:
    ppo = job_of(paper[1], "train_ppo", "opt-6.7b")
    assert ppo.memory.moment == "generation"
    assert ppo.memory.parts["whole weights"] == 2 * 6_658_473_984
    # Actor and critic are trained (16 bytes a parameter), reference and reward model only held (2).
    assert ppo.memory.parts["states"] * 8 == pytest.approx(18 * (6_658_473_984 + 331_197_440))


@pytest.mark.slow
def test_disk_is_the_sum_of_its_parts(paper: tuple[Basis, list[JobPlan]]) -> None:
    disk = disk_bytes(*paper, together=False)
    assert disk.resumable_state / 1e9 == pytest.approx(3 * 182.2, abs=1)
    # Two 2-byte copies (download and prepared) of each base model.
    assert disk.base_models == 4 * (6_738_415_616 + LLAMA_13B + 6_658_473_984 + 331_196_416)
    # All but PPO, which waits for two others.
    scheduled = disk_bytes(*paper, together=True)
    assert scheduled.resumable_state == sum(job.scratch for job in paper[1] if job.rule != "train_ppo")
    assert disk.total == pytest.approx(disk.base_models + disk.trained_models + disk.resumable_state)


def test_what_does_not_fit_is_named_with_settings_that_make_it_fit() -> None:
    config = preset("paper")
    config["methods"]["coh"]["training"]["per_device_batch_size"] = 16
    basis = basis_of(config)
    job = supervised_job(basis, "coh", "llama-13b")
    problems = memory_problems(basis, [job], lambda job: 42.4e9)
    assert len(problems) == 1
    told = "\n".join(problems[0].remedies)
    assert "`methods.coh.training.per_device_batch_size: 8`" in told
    assert "`compute.offload: optimizer`" in told
    cured = ConfigChange({("methods", "coh", "training", "per_device_batch_size"): 8}).apply(config)
    assert plan_again(basis.changed(cured), job).memory.total <= 42.4e9
    assert config["methods"]["coh"]["training"]["per_device_batch_size"] == 16


@pytest.mark.slow
def test_when_no_single_setting_suffices_all_are_combined_or_more_gpus_asked_for() -> None:
    config = preset("paper")
    config["compute"]["gradient_checkpointing"] = False
    basis = basis_of(config, gpus={"train_coh": 1})
    job = supervised_job(basis, "coh", "llama-13b")
    together = remedies(basis, job, 12e9)
    assert len(together) == 1
    for setting in ("gradient_checkpointing: true", "per_device_batch_size: 1", "offload: parameters"):
        assert setting in together[0]
    assert memory_problems(basis, [job], lambda job: 1e9)[0].remedies == ["more GPUs, or GPUs with more memory"]


@pytest.mark.slow
def test_single_gpu_preset_is_an_evening_on_a_card_of_24_gb() -> None:
    jobs = list(plan_jobs(basis_of(preset("single-gpu"))))
    assert {job.gpus for job in jobs} == {1}
    assert all(job.memory.total < 24e9 for job in jobs)
    assert max(job.memory.host for job in jobs) < 60e9
    assert 1 < sum(job.count * (job.seconds["pcie"] or 0) for job in jobs) / 3600 < 5
    assert all(job.seconds["pcie"] == job.seconds["nvlink"] for job in jobs)


def test_single_gpu_preset_has_the_papers_hyper_parameters() -> None:
    small, whole = preset("single-gpu"), preset("paper")
    changed = {"epochs", "per_device_batch_size", "log_steps"}
    for method in ("sft", "coh", "rl_sft", "reward"):
        for key in whole["methods"][method]["training"].keys() - changed:
            assert small["methods"][method]["training"][key] == whole["methods"][method]["training"][key], (method, key)
    for key in whole["methods"]["ppo"].keys() - changed:
        assert small["methods"]["ppo"][key] == whole["methods"]["ppo"][key], key
    assert small["tasks"] == whole["tasks"]
    assert small["instructions"] == whole["instructions"]


# --- pre-emption and profiles ----------------------------------------------------------------------------------------


def write_profile(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_a_profile_states_gpus_and_leads_by_rule(tmp_path: Path) -> None:
    coh = {"gpu": 4, "slurm_extra": "'--signal=B:TERM@900'", "mem_mb": "min(attempt, 3) * 240000"}
    site = read_site(write_profile(tmp_path / "site", {
        "executor": "slurm",
        "default-resources": {"slurm_extra": "'--signal=TERM@60'"},
        "set-resources": {
            "train_coh": coh, "train_sft": {"gpu": 2, "mem_mb": 64000}, "train_ppo": {"mem_mb": "some()"},
        },
    }))  # fmt: skip
    assert site.memory == {"train_coh": 240e9, "train_sft": 64e9}
    assert site.scheduled
    assert not read_site(ROOT / "profiles/local-gpu").scheduled
    assert site.gpus == {"train_coh": 4, "train_sft": 2}
    assert site.lead_of("train_coh") == 900
    assert site.lead_of("train_sft") == 60
    assert read_site(None).lead_of("train_sft") is None
    with pytest.raises(UserError, match=r"no config\.yaml"):
        read_site(tmp_path)


@pytest.mark.slow
def test_a_lead_shorter_than_a_checkpoint_needs_is_refused(paper: tuple[Basis, list[JobPlan]]) -> None:
    job = job_of(paper[1], "train_sft", "llama-13b")
    needed = needed_lead(job, ASSUMED)
    assert needed == pytest.approx((job.step_seconds + 182.2 + 182.2 / 8 / 0.6) / 0.75, abs=2)
    assert lead_problems([job], Site(default_lead=int(needed) + 1), ASSUMED) == []
    assert lead_problems([job], Site(), ASSUMED) == []
    problems = lead_problems([job], Site(lead={"train_sft": int(needed) - 1}), ASSUMED)
    assert len(problems) == 1
    assert problems[0].remedies[0] == "`compute: {stop_lead_seconds: 360}`"
    assert lead_problems([job], Site(), ASSUMED, usual=int(needed) + 1) == []
    assert len(lead_problems([job], Site(), ASSUMED, usual=int(needed) - 1)) == 1


@pytest.mark.slow
def test_less_memory_than_a_job_needs_is_refused(paper: tuple[Basis, list[JobPlan]]) -> None:
    job = job_of(paper[1], "evaluate_task", "llama-13b")
    assert host_problems([job], Site(memory={"evaluate_task": 64e9})) == []
    (problem,) = host_problems([job], Site(memory={"evaluate_task": 32e9}))
    assert problem.what == "52.1 GB of CPU memory are needed, the profile asks for 32.0"
    assert problem.remedies == ["`mem_mb: 53000` or more for evaluate_task in the profile"]
    for profile in ("slurm", "pbs", "lsf", "local-gpu"):
        assert host_problems(paper[1], read_site(ROOT / "profiles" / profile)) == []


@pytest.mark.slow
def test_the_preset_leaves_time_for_the_papers_checkpoints(paper: tuple[Basis, list[JobPlan]]) -> None:
    basis, jobs = paper
    assert (
        lead_problems(jobs, read_site(ROOT / "profiles/slurm"), ASSUMED, basis.config["compute"]["stop_lead_seconds"])
        == []
    )


@pytest.mark.slow
def test_the_paper_preset_stops_early_enough_before_a_time_limit(paper: tuple[Basis, list[JobPlan]]) -> None:
    basis, jobs = paper
    needed = max(needed_lead(job, ASSUMED) for job in jobs if job.checkpoint)
    assert 0 < needed <= basis.config["compute"]["stop_lead_seconds"]


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_the_plan_and_every_assumption(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert plan_run.main(["--configfile", str(ROOT / "config/smoke.yaml"), "--json", str(tmp_path / "plan.json")]) == 0
    printed = capsys.readouterr().out
    assert "All numbers are estimates" in printed
    assert "Everything fits." in printed
    for name, entry in load_assumptions().items():
        assert f"{name} = {entry.value:g}" in printed
    jobs = json.loads((tmp_path / "plan.json").read_text())["jobs"]
    assert {job["rule"] for job in jobs} >= {"train_sft", "train_ppo", "evaluate_task"}
    assert all(job["memory_bytes"] == pytest.approx(sum(job["memory"].values())) for job in jobs)


@pytest.mark.slow
def test_a_plan_that_does_not_fit_ends_with_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    profile = write_profile(tmp_path / "site", {"default-resources": {"slurm_extra": "--signal=TERM@10"}})
    assert plan_run.main(["--configfile", str(ROOT / "config/single-gpu.yaml"), "--profile", str(profile)]) == 3
    printed = capsys.readouterr().out
    assert "does not fit: train_sft opt-1.3b" in printed
    assert "10 s lie between SIGTERM and the end" in printed
    assert "Everything fits." not in printed


def test_a_gpu_that_is_not_known_is_an_error_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_run.main(["--gpu", "a100-40g"]) == 2
    told = capsys.readouterr().err
    assert "did you mean `a100-40gb`?" in told
    assert "Traceback" not in told


def test_assumptions_can_be_replaced_but_not_mistyped(tmp_path: Path) -> None:
    given_values = tmp_path / "mine.yaml"
    given_values.write_text("utilisation: 0.5\nhash_gb_s: {value: 2.0, source: measured here}\n")
    found = load_assumptions(given_values)
    assert found["utilisation"].value == 0.5
    assert found["hash_gb_s"].source == "measured here"
    assert found["length_spread"] == load_assumptions()["length_spread"]
    for content, complaint in (("utilisaton: 0.5\n", "no plan assumes"), ("utilisation: 0\n", "no positive number")):
        given_values.write_text(content)
        with pytest.raises(UserError, match=complaint):
            load_assumptions(given_values)


def test_devices_without_a_link_are_said_to_have_none() -> None:
    config = preset("paper")
    job = supervised_job(basis_of(config, "a10-24gb"), "sft", "llama-7b")
    assert job.seconds["nvlink"] is None
    assert job.gpu_hours("nvlink") is None
    assert job.seconds["pcie"] is not None


def test_every_gpu_type_is_complete_and_names_its_source() -> None:
    for name in read_mapping(HARDWARE / "gpus.yaml"):
        gpu = load_gpu(name)
        assert gpu.memory_gb > 0
        assert gpu.bf16_tflops > 0
        assert gpu.source
        rate = bandwidth(gpu, "pcie", ASSUMED)
        assert rate is not None
        assert 0 < rate < gpu.pcie_gb_s * 1e9


@pytest.mark.slow
def test_what_people_compare_is_planned_after_what_the_tables_show() -> None:
    config = preset("smoke")
    usual = list(plan_jobs(basis_of(config)))
    config["human_eval"]["pairs"] = [{"model": "tiny-llama", "first": "coh", "second": "ppo"}]
    config["rl"]["reward_models"]["tiny-llama"] = "tiny-opt"
    basis = basis_of(config)
    planned = list(plan_jobs(basis))
    trained = [job for job in planned if job.rule.startswith("train_")]
    before = [(job.rule, job.model) for job in usual if job.rule.startswith("train_")]
    assert [(job.rule, job.model) for job in trained] == [
        *before, ("train_rl_sft", "tiny-llama"), ("train_ppo", "tiny-llama"),
    ]  # fmt: skip
    llama, scorer = basis.shape("tiny-llama").parameters, basis.shape("tiny-opt", "reward").parameters
    assert trained[-1].parameters == 2 * llama + 2 * scorer
    assert [plan_again(basis, job) for job in planned] == planned


def test_rows_of_the_table_name_every_job(paper: tuple[Basis, list[JobPlan]]) -> None:
    rows = plan_run.job_rows(paper[1])
    assert [row[:2] for row in rows] == [[job.rule, job.model] for job in paper[1]]
    assert all(len(row) == len(plan_run.JOB_COLUMNS) for row in rows)
    on_cpu = supervised_job(basis_of(preset("smoke")), "reward", "tiny-opt")
    assert [plan_run.room_of(paper[0].gpu, job) for job in (on_cpu, paper[1][0])] == [None, 42.4e9]
