"""Presets are valid, the schema is closed, defaults are filled, and each mistake is told by its key."""

import copy
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import check_configuration, load_configuration
from support.configurations import BASE, MODEL, PRESETS, overlaid

SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text(encoding="utf-8"))


def refusal(config: dict[str, Any]) -> str:
    """What people are told about a configuration that is not valid."""
    with pytest.raises(UserError) as caught:
        check_configuration(config)
    return str(caught.value)


def closed_mappings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all mappings but free-form `source.config`."""
    if not isinstance(value, dict) or path[-2:] == ("source", "config"):
        return
    yield path
    for key, inner in value.items():
        yield from closed_mappings(inner, (*path, key))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    return {**SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], **schema}


def described_properties(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property the schema knows, through references, alternatives and registries."""
    schema = resolved(schema)
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", resolved(inner)
        yield from described_properties(inner, f"{path}.{name}")
    for branch in schema.get("oneOf", []):
        yield from described_properties(branch, path)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from described_properties(schema["additionalProperties"], f"{path}.*")


# --- presets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_is_valid_under_its_own_name(preset: str) -> None:
    assert load_configuration(BASE, PRESETS[preset], {})["preset"] == preset


@pytest.mark.parametrize("preset", PRESETS)
def test_filled_configuration_is_valid_and_complete(preset: str) -> None:
    filled = load_configuration(BASE, PRESETS[preset], {})
    assert check_configuration(filled) == filled


# --- the schema -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_unknown_key_is_refused_in_every_mapping_by_its_path(preset: str) -> None:
    config = load_configuration(BASE, PRESETS[preset], {})
    paths = list(closed_mappings(config))
    assert len(paths) > 20
    for path in paths:
        told = refusal(overlaid(config, (*path, "zzz"), 1))
        in_order = r"[^\n]*".join(map(re.escape, (*path, "zzz")))
        assert re.search(rf"^ +{in_order}\b", told, re.MULTILINE), (path, told)


def test_every_object_of_the_schema_is_closed() -> None:
    objects = [(path, inner) for path, inner in described_properties(SCHEMA) if inner.get("type") == "object"]
    open_ones = {path for path, inner in objects if "additionalProperties" not in inner}
    assert open_ones == {".models.*.source.config"}
    branches = [branch for _, inner in described_properties(SCHEMA) for branch in resolved(inner).get("oneOf", [])]
    for branch in map(resolved, branches):
        assert branch.get("type") != "object" or branch["additionalProperties"] is False


def test_every_property_of_the_schema_has_a_description() -> None:
    found = list(described_properties(SCHEMA))
    assert len(found) > 80
    assert [path for path, inner in found if not inner.get("description", "").strip()] == []


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        (("sede",), "seed"),
        (("compute", "gpu"), "gpus"),
        (("methods", "coh", "training", "learnig_rate"), "learning_rate"),
        (("models", MODEL, "lable"), "label"),
        (("models", MODEL, "source", "file_sha265"), "file_sha256"),
        (("tasks", "sst2", "source", "evla"), "eval"),
        (("prompt", "markers", "beter"), "better"),
    ],
)
def test_typo_names_the_nearest_key(demo: dict[str, Any], path: tuple[str, ...], meant: str) -> None:
    told = refusal(overlaid(demo, path, 1))
    assert f"{path[-1]}: unknown key; did you mean `{meant}`?" in told


def test_number_read_as_text_gets_the_hint(demo: dict[str, Any]) -> None:
    rate = yaml.safe_load("1e-5")
    assert rate == "1e-5"
    told = refusal(overlaid(demo, ("methods", "sft", "training", "learning_rate"), rate))
    assert "methods.sft.training.learning_rate: '1e-5' is not of type 'number'" in told
    assert "YAML reads 1e-5 as text: write 1.0e-5" in told


@pytest.mark.parametrize(("key", "value"), [("seed", "three"), ("compute", "none")])
def test_other_text_does_not_get_the_hint_about_numbers(demo: dict[str, Any], key: str, value: str) -> None:
    told = refusal({**demo, key: value})
    assert f"{key}: '{value}' is not of type" in told
    assert "1e-5" not in told


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_learning_rate_that_is_no_finite_number_is_refused(demo: dict[str, Any], value: float) -> None:
    told = refusal(overlaid(demo, ("methods", "sft", "training", "learning_rate"), value))
    assert "methods.sft.training.learning_rate" in told


def test_unknown_kind_names_the_known_ones(demo: dict[str, Any]) -> None:
    told = refusal(overlaid(demo, ("models", MODEL, "source"), {"kind": "hug"}))
    assert "kind: 'hug' is not one of hub, local, random, wheel" in told


def test_missing_kind_names_the_known_ones(demo: dict[str, Any]) -> None:
    config = copy.deepcopy(demo)
    del config["models"][MODEL]["source"]["kind"]
    told = refusal(config)
    assert all(kind in told for kind in ("hub", "local", "random", "wheel"))


def test_marker_of_an_unknown_method_is_refused(demo: dict[str, Any]) -> None:
    assert "cho" in refusal(overlaid(demo, ("evaluation", "markers"), {"cho": "better"}))


def test_several_mistakes_are_told_at_once(demo: dict[str, Any]) -> None:
    told = refusal({**overlaid(demo, ("compute", "threads"), 0), "sede": 1})
    assert "compute.threads: 0 is less than the minimum of 1" in told
    assert "sede: unknown key" in told


def test_missing_key_is_named(demo: dict[str, Any]) -> None:
    assert "'seed' is a required property" in refusal({key: demo[key] for key in demo.keys() - {"seed"}})


def test_counts_must_add_up(demo: dict[str, Any]) -> None:
    counts = check_configuration(demo)["splits"]
    room = counts["prompts"] - counts["rl_sft"] - counts["rl_reward"] - counts["rl_prompts"]
    check_configuration(overlaid(demo, ("splits", "heldout"), room))
    told = refusal(overlaid(demo, ("splits", "heldout"), room + 1))
    prompts = counts["prompts"]
    assert f"splits: heldout + rl_sft + rl_reward + rl_prompts = {prompts + 1} exceeds prompts = {prompts}" in told


@pytest.mark.parametrize(("registry", "wrong", "meant"), [("models", "smolm2-135m", MODEL), ("tasks", "sst", "sst2")])
def test_unknown_name_in_table3_is_refused(demo: dict[str, Any], registry: str, wrong: str, meant: str) -> None:
    told = refusal(overlaid(demo, ("table3", registry), [wrong]))
    assert f"table3.{registry}: `{wrong}` is not in `{registry}`; did you mean `{meant}`?" in told


def test_unknown_method_in_table3_is_refused(demo: dict[str, Any]) -> None:
    told = refusal(overlaid(demo, ("table3", "methods"), ["sftt"]))
    assert "table3.methods" in told
    assert "'sftt'" in told


@pytest.mark.parametrize("table", ["table3", "marker_table"])
def test_selected_method_without_a_block_is_refused(demo: dict[str, Any], table: str) -> None:
    told = refusal(overlaid(demo, (table, "methods"), ["pretrained", "sft_best"]))
    assert "methods.sft_best: missing, though a table selects it" in told


# --- prompts, devices -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "template", "told"),
    [
        ("without_input", "{instructions}\n", "unknown field `{instructions}`; known are instruction"),
        ("without_input", "{instruction} {input}\n", "unknown field `{input}`"),
        ("with_input", "{instruction} {context}\n", "unknown field `{context}`; known are input, instruction"),
        ("without_input", "Do it.\n", "the field `{instruction}` is missing"),
        ("without_input", "{{instruction}}\n", "the field `{instruction}` is missing"),
        ("with_input", "{input}\n", "the field `{instruction}` is missing"),
        ("with_input", "{instruction}\n", "the field `{input}` is missing"),
        ("without_input", "{instruction} {\n", "written twice"),
        ("with_input", "{instruction} } {input}\n", "written twice"),
        ("with_input", "{instruction} {input.__class__}\n", "is not a plain field name"),
        ("with_input", "{instruction!r} {input}\n", "is not a plain field name"),
    ],
)
def test_prompt_that_cannot_be_filled_is_refused(demo: dict[str, Any], key: str, template: str, told: str) -> None:
    refused = refusal(overlaid(demo, ("prompt", key), template))
    assert f"    prompt.{key}: " in refused
    assert told in refused


def test_prompt_may_hold_braces_written_twice_and_a_field_twice(demo: dict[str, Any]) -> None:
    template = "{{json}} {instruction} {input} {instruction}\n"
    assert check_configuration(overlaid(demo, ("prompt", "with_input"), template))["prompt"]["with_input"] == template


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(["response", "better", "worse", "tie"], 2)))
def test_two_equal_markers_are_refused(demo: dict[str, Any], first: str, second: str) -> None:
    marker = demo["prompt"]["markers"][first]
    told = refusal(overlaid(demo, ("prompt", "markers", second), marker))
    assert f"prompt.markers: {first}, {second} are the same, {marker!r}" in told


@pytest.mark.parametrize("method", ["sft", "coh", "rl_sft", "reward", "ppo"])
def test_global_batch_that_does_not_divide_names_the_method(demo: dict[str, Any], method: str) -> None:
    path = ("methods", method) if method == "ppo" else ("methods", method, "training")
    told = refusal(overlaid(demo, (*path, "per_device_batch_size"), 3))
    size = 16 if method == "reward" else 8
    assert f"    {'.'.join(path)}: a global batch of {size} is not a multiple of 3 per device on 1 processes" in told
    assert told.count("a global batch") == 1


@pytest.mark.parametrize(
    ("compute", "processes", "key"),
    [
        ({"gpus": 3}, 3, "compute.gpus"),
        ({"gpus": 3, "processes": 1}, 3, "compute.gpus"),
        ({"processes": 3}, 3, "compute.processes"),
        ({"gpus": 1, "device": "cpu", "processes": 3}, 3, "compute.processes"),
    ],
)
def test_global_batch_is_divided_by_the_processes_there_would_be(
    demo: dict[str, Any], compute: dict[str, Any], processes: int, key: str
) -> None:
    told = refusal(overlaid(demo, ("compute",), compute))
    assert (
        f"methods.reward.training: a global batch of 16 is not a multiple of 4 per device on {processes} proc" in told
    )
    assert key in told


def test_gpus_that_stay_unused_divide_nothing(demo: dict[str, Any]) -> None:
    assert check_configuration(overlaid(demo, ("compute",), {"gpus": 3, "device": "cpu"}))


def test_unknown_gpu_type_is_refused(demo: dict[str, Any]) -> None:
    told = refusal(overlaid(demo, ("compute", "gpu_type"), "a100-40g"))
    assert "compute.gpu_type: `a100-40g` is not in resources/hardware/gpus.yaml" in told
    assert "did you mean `a100-40gb`?" in told


@pytest.mark.parametrize(
    ("name", "usable"),
    [("x.csv", True), ("a/x.parquet", True), ("x.json", True), ("x.jsonl.gz", True), ("x.txt", False), ("x", False)],
)
def test_downloads_of_a_task_have_a_name_its_reader_knows(demo: dict[str, Any], name: str, usable: bool) -> None:
    source = {"kind": "hub", "repository": "a/b", "revision": "0" * 40, "train": "x.jsonl", "eval": name}
    config = overlaid(demo, ("tasks", "sst2", "source"), source)
    if usable:
        assert check_configuration(config)["tasks"]["sst2"]["source"] == source
    else:
        assert "tasks.sst2.source.eval" in refusal(config)


# --- defaults -------------------------------------------------------------------------------------------------


def test_defaults_are_filled_at_every_depth(demo: dict[str, Any]) -> None:
    assert demo["compute"]["offload"] == "none"
    assert demo["compute"]["processes"] == 1
    assert demo["methods"]["sft"]["training"]["betas"] == [0.9, 0.999]
    assert demo["methods"]["coh"]["loss_on"] == "responses"
    assert demo["tasks"]["sst2"]["max_rejected_share"] == 0.0
    assert demo["evaluation"]["markers"] == {"coh": "better"}


def test_default_of_the_chosen_kind_is_filled(demo: dict[str, Any]) -> None:
    source = {"kind": "random", "architecture": "llama", "config": {}}
    filled = check_configuration(overlaid(demo, ("models", MODEL, "source"), source))
    assert filled["models"][MODEL]["source"] == {**source, "vocabulary": 1000}


def test_given_values_win_over_defaults_and_the_argument_is_left_alone() -> None:
    raw = overlaid(yaml.safe_load(BASE.read_text(encoding="utf-8")), ("compute", "offload"), "optimizer")
    before = copy.deepcopy(raw)
    assert check_configuration(raw)["compute"]["offload"] == "optimizer"
    assert raw == before
