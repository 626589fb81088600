"""Model sizes and the memory of a training step, beside obvious references and real models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from common.base.errors import UserError
from common.base.paths import HARDWARE
from common.files.yaml_files import read_mapping
from common.planning import memory as memory_model
from common.planning.memory import JobModel, torch_memory, zero3_memory
from common.planning.model_shapes import find_shape, shape_of
from common.planning.step_memory import MEASURED_LAYERS, _measure, step_memory
from common.training.engine import Engine, deepspeed_config
from support.plans import ASSUMED, LLAMA_13B, NOWHERE, preset, sized, tiny
from support.tiny_models import FAMILIES

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
