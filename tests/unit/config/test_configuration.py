"""The configuration: presets, the closed schema, overlays, and the settings cut from it for each job."""

import copy
import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config import settings
from common.config.loading import check_configuration, load_configuration, merge
from common.config.local_files import local_paths, refuse_unusable_paths
from common.files.whole_files import canonical_json

BASE, SMOKE, PAPER = ROOT / "config.yaml", ROOT / "config/smoke.yaml", ROOT / "config/paper.yaml"
PRESETS = {"demo": [], "smoke": [SMOKE], "paper": [PAPER]}
SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text(encoding="utf-8"))
MODEL = "smollm2-135m"


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    return load_configuration(BASE, [], {})


def overlaid(config: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`config` with the key at `path` given on the command line."""
    for key in reversed(path):
        value = {key: value}
    return merge(config, value)


def refusal(config: dict[str, Any]) -> str:
    """What people are told about a configuration that is not valid."""
    with pytest.raises(UserError) as caught:
        check_configuration(config)
    return str(caught.value)


def job_settings(config: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """Canonical settings of every selected job, by function and its required arguments."""
    selected = config["table3"]
    jobs = {}
    functions = {name: value for name, value in vars(settings).items() if name.endswith("_settings")}
    for name, function in functions.items():
        trained = [method for method in selected["methods"] if method in config["methods"]]
        domains = {
            "model": selected["models"],
            "method": {
                "training_settings": [*trained, "rl_sft", "reward"],
                "sample_settings": ["rl_sft", "ppo"],
            }.get(name, selected["methods"]),
            "actor": [config["rl"]["actor"]],
            "task": selected["tasks"],
            "part": ["train", "eval"],
        }
        parameters = inspect.signature(function).parameters.items()
        names = [key for key, parameter in parameters if key != "config" and parameter.default is parameter.empty]
        for values in itertools.product(*(domains[parameter] for parameter in names)):
            arguments = dict(zip(names, values, strict=True))
            job = (name, *(f"{parameter}={value}" for parameter, value in arguments.items()))
            jobs[job] = canonical_json(function(config, **arguments))
    return jobs


def changed_jobs(before: dict[str, Any], after: dict[str, Any]) -> set[tuple[str, ...]]:
    old, new = job_settings(before), job_settings(after)
    return {job for job in old.keys() | new.keys() if old.get(job) != new.get(job)}


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(value, dict):
        yield path
        return
    for key, inner in value.items():
        yield from leaves(inner, (*path, key))


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


def test_paper_alone_gives_the_same_settings_as_over_the_demo() -> None:
    alone = job_settings(check_configuration(yaml.safe_load(PAPER.read_text(encoding="utf-8"))))
    over_demo = job_settings(load_configuration(BASE, [PAPER], {}))
    assert alone == over_demo
    assert len({job[0] for job in alone}) >= 6


def test_paper_inherits_no_block_from_the_demo() -> None:
    alone, over_demo = load_configuration(PAPER, [], {}), load_configuration(BASE, [PAPER], {})
    registries = {"models", "tasks"}
    assert {key: alone[key] for key in alone.keys() - registries} == {
        key: over_demo[key] for key in over_demo.keys() - registries
    }
    for registry in registries:
        for name in alone["table3"][registry]:
            assert alone[registry][name] == over_demo[registry][name]


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
    assert "splits: heldout + rl_sft + rl_reward + rl_prompts = 201 exceeds prompts = 200" in told


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


# --- files that are named -------------------------------------------------------------------------------------


def with_paths(demo: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose models, task and instructions are local files that do not exist."""
    model = {"label": "M", "source": {"kind": "local", "path": "my/model"}}
    rows = {"kind": "files", "train": "my/train.jsonl", "eval": "my/eval.jsonl"}
    over = {
        "preset": "mine",
        "models": {"own": model, "unused": model},
        "rl": {"actor": "own", "reward": "own"},
        "tasks": {"boolean": {"definition": "my/boolean.yaml", "source": rows}},
        "table3": {"models": ["own"], "tasks": ["boolean"]},
        "instructions": {"references": {"kind": "file", "path": "my/references.json"}},
    }
    return check_configuration(merge(demo, over))


def missing_paths(config: dict[str, Any]) -> list[str]:
    return [f"{local.key}: {local.path}" for local in local_paths(config) if local.is_missing()]


NAMED = [
    "models.own.source.path: my/model",
    "tasks.boolean.definition: my/boolean.yaml",
    "tasks.boolean.source.train: my/train.jsonl",
    "tasks.boolean.source.eval: my/eval.jsonl",
    "instructions.references.path: my/references.json",
]


def test_missing_files_of_what_is_used_are_named_with_their_keys(
    demo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_paths(demo)
    monkeypatch.chdir(tmp_path)
    instructions = "instructions.comparisons.path: resources/demo/instructions/comparison_data_v2.json"
    assert missing_paths(config) == [*NAMED, instructions]
    with pytest.raises(UserError) as caught:
        refuse_unusable_paths(config)
    assert all(line in str(caught.value) for line in (*NAMED, "mine", str(tmp_path)))


def test_files_that_are_there_are_not_missing(
    demo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_paths(demo)
    (tmp_path / "my/model").mkdir(parents=True)
    for line in NAMED[1:]:
        (tmp_path / line.split(": ")[1]).touch()
    monkeypatch.chdir(tmp_path)
    assert [line.split(":")[0] for line in missing_paths(config)] == ["instructions.comparisons.path"]
    monkeypatch.chdir(ROOT)
    assert missing_paths(demo) == []
    refuse_unusable_paths(demo)


def test_files_whose_results_are_there_are_not_needed(
    demo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results/mine"
    for name in ("models/own/pretrained/config.json", "data/tasks/boolean/train.parquet",
                 "data/tasks/boolean/eval.parquet", "data/instructions.parquet"):  # fmt: skip
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).touch()
    monkeypatch.chdir(tmp_path)
    assert missing_paths(with_paths(demo)) == []


def test_a_file_where_a_model_should_be_is_missing(
    demo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "my/model").touch()
    monkeypatch.chdir(tmp_path)
    assert NAMED[0] in missing_paths(with_paths(demo))


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


# --- overlays -------------------------------------------------------------------------------------------------


def written(folder: Path, content: str) -> Path:
    path = folder / "overlay.yaml"
    path.write_text(content, encoding="utf-8")
    return path


def test_overlays_merge_key_by_key_and_replace_lists(tmp_path: Path, demo: dict[str, Any]) -> None:
    overlay = written(tmp_path, "preset: mine\nevaluation: {shots: [5]}\n")
    config = load_configuration(BASE, [overlay], {"evaluation": {"items": 3}})
    assert config["preset"] == "mine"
    assert config["evaluation"] == {**demo["evaluation"], "shots": [5], "items": 3}


def test_kind_blocks_are_replaced_whole(tmp_path: Path) -> None:
    revision = "0" * 40
    overlay = written(
        tmp_path,
        f"preset: mine\nmodels:\n  {MODEL}:\n    source: {{kind: hub, repository: a/b, revision: '{revision}'}}\n"
        "instructions:\n  references: {kind: url, url: 'https://example.org/x.json'}\n",
    )
    config = load_configuration(BASE, [overlay], {})
    assert config["models"][MODEL]["source"] == {"kind": "hub", "repository": "a/b", "revision": revision}
    assert config["models"][MODEL]["label"] == "SmolLM2-135M-Instruct"
    assert config["instructions"]["references"] == {"kind": "url", "url": "https://example.org/x.json"}


def test_block_without_kind_merges_into_the_block_under_it(tmp_path: Path, demo: dict[str, Any]) -> None:
    overlay = written(tmp_path, f"preset: mine\nmodels: {{{MODEL}: {{source: {{version: 0.1.3}}}}}}\n")
    source = load_configuration(BASE, [overlay], {})["models"][MODEL]["source"]
    assert source == {**demo["models"][MODEL]["source"], "version": "0.1.3"}


def test_overlay_without_preset_is_refused(tmp_path: Path) -> None:
    overlay = written(tmp_path, "seed: 5\n")
    with pytest.raises(UserError) as caught:
        load_configuration(BASE, [overlay], {})
    assert caught.value.where == str(overlay)
    assert "preset" in caught.value.remedy


def test_overlay_with_the_preset_of_the_base_is_refused(tmp_path: Path) -> None:
    overlay = written(tmp_path, "preset: demo\nseed: 5\n")
    with pytest.raises(UserError) as caught:
        load_configuration(BASE, [overlay], {})
    assert caught.value.where == str(overlay)
    assert "the preset of config.yaml: `demo`" in caught.value.what
    assert "results/demo" in caught.value.remedy
    assert load_configuration(BASE, [BASE], {})["preset"] == "demo"


@pytest.mark.parametrize(
    ("content", "key", "lines"),
    [
        ("preset: mine\nseed: 5\nseed: 6\n", "seed", "lines 2 and 3"),
        ("preset: mine\nsplits: {heldout: 1, heldout: 2}\n", "heldout", "lines 2 and 2"),
        ("preset: mine\nmethods:\n  sft:\n    training:\n      epochs: 1\n  sft:\n    training: {}\n", "sft",
         "lines 3 and 6"),
        ("preset: mine\nx:\n  - a: 1\n    \"a\": 2\n", "a", "lines 3 and 4"),
    ],
)  # fmt: skip
def test_key_that_stands_twice_is_refused_with_its_lines(tmp_path: Path, content: str, key: str, lines: str) -> None:
    overlay = written(tmp_path, content)
    with pytest.raises(UserError) as caught:
        load_configuration(BASE, [overlay], {})
    assert f"`{key}`" in caught.value.what
    assert caught.value.where == f"{overlay}, {lines}"


def test_key_that_is_laid_over_a_merged_one_stands_once(tmp_path: Path, demo: dict[str, Any]) -> None:
    overlay = written(
        tmp_path,
        "preset: mine\nmethods:\n  sft: {training: &t {epochs: 2}}\n  coh: {training: &c {<<: *t, epochs: 3}}\n"
        "  rl_sft: {training: {<<: *c, epochs: 4}}\n",
    )
    methods = load_configuration(BASE, [overlay], {})["methods"]
    assert [methods[name]["training"]["epochs"] for name in ("sft", "coh", "rl_sft")] == [2, 3, 4]


@pytest.mark.parametrize(
    "content",
    [
        b"preset: [\n",
        b"preset: caf\xe9\n",
        b"preset: a\x00b\n",
        b"",
        b"- preset\n",
        b"just text\n",
        b"preset: mine\nseed: 2024-02-31\n",
    ],
    ids=["cut off", "latin-1", "nul byte", "empty", "list", "text", "impossible date"],
)
def test_overlay_that_cannot_be_used_is_a_user_error(tmp_path: Path, content: bytes) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_configuration(BASE, [overlay], {})
    assert str(overlay) in caught.value.where


def test_overlay_that_cannot_be_opened_is_a_user_error(tmp_path: Path) -> None:
    for overlay in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(UserError) as caught:
            load_configuration(BASE, [overlay], {})
        assert caught.value.where == str(overlay)


# --- settings of jobs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "first", "second"),
    [
        (("methods", "sft", "training"), "learning_rate", "warmup_ratio"),
        (("prompt", "markers"), "better", "worse"),
        (("splits",), "heldout", "rl_sft"),
        (("tasks", "sst2", "source"), "train", "eval"),
        (("evaluation",), "shots", "seeds"),
    ],
)
def test_swapped_values_change_settings(demo: dict[str, Any], block: tuple[str, ...], first: str, second: str) -> None:
    values = demo
    for key in block:
        values = values[key]
    assert values[first] != values[second]
    swapped = overlaid(overlaid(demo, (*block, first), values[second]), (*block, second), values[first])
    assert changed_jobs(demo, swapped) != set()


@pytest.mark.parametrize(
    ("table", "selection"),
    [("table3", "models"), ("table3", "methods"), ("table3", "tasks"), ("marker_table", "markers")],
)
def test_order_of_rows_and_columns_is_part_of_the_settings(table: str, selection: str) -> None:
    config = load_configuration(BASE, [PAPER], {})
    turned = overlaid(config, (table, selection), config[table][selection][::-1])
    rendering = {"table3": ("table3_settings",), "marker_table": ("marker_settings",)}[table]
    assert rendering in changed_jobs(config, turned)


def turned_over(value: Any) -> Any:
    return {key: turned_over(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


@pytest.mark.parametrize("preset", PRESETS)
def test_reordered_keys_change_no_settings(tmp_path: Path, preset: str) -> None:
    config = load_configuration(BASE, PRESETS[preset], {})
    reordered = written(tmp_path, yaml.safe_dump(turned_over(config), sort_keys=False))
    assert changed_jobs(config, load_configuration(reordered, [], {})) == set()


@pytest.mark.parametrize("method", ["sft", "coh"])
def test_keys_of_a_method_change_that_methods_training_alone(demo: dict[str, Any], method: str) -> None:
    paths = list(leaves(demo["methods"][method]))
    assert len(paths) >= 11
    for path in paths:
        changed = overlaid(demo, ("methods", method, *path), "something else")
        training = ("training_settings", f"method={method}", f"model={MODEL}")
        assert changed_jobs(demo, changed) == {training}, path


@pytest.mark.parametrize("marker", ["response", "better", "worse", "tie"])
def test_marker_changes_only_the_methods_that_use_it(demo: dict[str, Any], marker: str) -> None:
    changed = changed_jobs(demo, overlaid(demo, ("prompt", "markers", marker), "another:"))
    rl = {"rl_sft", "reward", "ppo"}
    users = {"response": {"sft", "pretrained", *rl}, "better": {"coh"}, "worse": {"coh"}, "tie": {"coh"}}[marker]
    assert {part for job in changed for part in job if "method=" in part} == {f"method={name}" for name in users}


def test_devices_and_checkpoint_intervals_change_no_settings(demo: dict[str, Any]) -> None:
    values = {"gpus": 4, "processes": 2, "evaluation_gpus": 1, "threads": 9, "offload": "optimizer"}
    small = overlaid(demo, ("methods", "sft", "training", "per_device_batch_size"), 1)
    for method in ("coh", "rl_sft"):
        small = overlaid(small, ("methods", method, "training", "per_device_batch_size"), 1)
    small = overlaid(small, ("methods", "ppo", "per_device_batch_size"), 1)
    small = overlaid(small, ("compute", "gpus"), 2)  # with any GPU the machine is checked, which the report tells
    for key, value in {**values, "checkpoint_seconds": 5, "stop_lead_seconds": 5}.items():
        changed = check_configuration(overlaid(small, ("compute", key), value))
        assert changed != small
        assert changed_jobs(small, changed) == set(), key


def test_unselected_model_changes_no_settings(demo: dict[str, Any]) -> None:
    other = {"label": "Other", "source": {"kind": "local", "path": "/models/other"}}
    assert changed_jobs(demo, check_configuration(overlaid(demo, ("models", "other"), other))) == set()
