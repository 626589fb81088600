"""Overlays: merged key by key, blocks with a kind replaced whole, and what cannot be one refused."""

from pathlib import Path
from typing import Any

import pytest

from common.base.errors import UserError
from common.config.loading import load_configuration
from support.configurations import BASE, MODEL, PAPER, written


def test_paper_inherits_no_block_from_the_demo() -> None:
    alone, over_demo = load_configuration(PAPER, [], {}), load_configuration(BASE, [PAPER], {})
    registries = {"models", "tasks"}
    assert {key: alone[key] for key in alone.keys() - registries} == {
        key: over_demo[key] for key in over_demo.keys() - registries
    }
    for registry in registries:
        for name in alone["table3"][registry]:
            assert alone[registry][name] == over_demo[registry][name]


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


def refused(overlay: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        load_configuration(BASE, [overlay], {})
    assert caught.value.where == str(overlay)
    return caught.value


def test_overlay_without_preset_is_refused(tmp_path: Path) -> None:
    assert "preset" in refused(written(tmp_path, "seed: 5\n")).remedy


def test_overlay_with_the_preset_of_the_base_is_refused(tmp_path: Path) -> None:
    told = refused(written(tmp_path, "preset: demo\nseed: 5\n"))
    assert "the preset of config.yaml: `demo`" in told.what
    assert "results/demo" in told.remedy
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
