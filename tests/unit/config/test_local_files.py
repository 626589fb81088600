"""Where local files of a configuration are found, and how values of the command line are read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from common.base.errors import UserError
from common.base.paths import ROOT, SCHEMA
from common.config.loading import load_configuration, read_text_values
from common.config.local_files import Places, find_local_files


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for folder, names in (("package", ["own", "both"]), ("working", ["mine", "both"])):
        for name in names:
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).touch()
    return Places(package=tmp_path / "package", working=tmp_path / "working")


def test_the_working_directory_comes_first(places: Places) -> None:
    assert places.find("mine") == "mine"
    assert places.find("both") == "both"
    assert places.find("own") == str(places.package / "own")
    assert places.find("nowhere") == "nowhere"
    assert places.find(str(places.package / "own")) == str(places.package / "own")


def test_a_module_gets_whole_paths(places: Places) -> None:
    module = Places(places.package, places.working, absolute=True)
    assert module.find("mine") == str(places.working / "mine")
    assert module.find("nowhere") == str(places.working / "nowhere")
    assert module.own("own") == str(places.package / "own")


def test_at_home_paths_stay_as_they_are(places: Places) -> None:
    home = Places(places.package, places.package)
    assert home.own("own") == home.find("own") == "own"
    assert home.own_files("*") == ["both", "own"]
    assert places.own_files("o*") == [str(places.package / "own")]


def test_every_local_path_of_the_demo_is_found_from_elsewhere(tmp_path: Path) -> None:
    config = load_configuration(ROOT / "config.yaml", [], {})
    found = find_local_files(config, Places(package=ROOT, working=tmp_path))
    assert find_local_files(config, Places(package=ROOT, working=ROOT)) == config
    for task in found["tasks"].values():
        assert Path(task["definition"]).is_file()
        assert Path(task["source"]["train"]).is_file()
    assert all(Path(found["instructions"][part]["path"]).is_file() for part in ("references", "comparisons"))


def read(**given: Any) -> Any:
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return read_text_values(given, schema, schema)


def test_texts_become_what_the_schema_takes() -> None:
    assert read(compute={"gpus": "4", "preflight": "false", "checkpoint_seconds": "auto", "threads": "null"}) == {
        "compute": {"gpus": 4, "preflight": False, "checkpoint_seconds": "auto", "threads": None}
    }
    assert read(evaluation={"shots": ["0", "3"], "dtype": "float32"}) == {
        "evaluation": {"shots": [0, 3], "dtype": "float32"}
    }
    assert read(methods={"sft": {"training": {"learning_rate": "1.0e-5"}}}) == {
        "methods": {"sft": {"training": {"learning_rate": 1e-5}}}
    }


def test_texts_that_are_meant_stay_texts() -> None:
    source = {"kind": "hub", "repository": "a/b", "revision": "1234567890123456789012345678901234567890"}
    assert read(models={"m": {"label": "7", "source": source}}) == {"models": {"m": {"label": "7", "source": source}}}
    assert read(preset="mine", compute={"gpus": "many", "nothing": "4"}) == {
        "preset": "mine", "compute": {"gpus": "many", "nothing": "4"},
    }  # fmt: skip


def test_what_the_schema_does_not_take_is_refused_as_before() -> None:
    with pytest.raises(UserError, match="compute.gpus: 'many' is not of type 'integer'"):
        load_configuration(ROOT / "config.yaml", [], {"compute": {"gpus": "many"}})


def test_a_site_needs_no_preset_of_its_own_and_anything_else_does(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("site: {account: lab42}\n", encoding="utf-8")
    assert load_configuration(ROOT / "config.yaml", [site], {})["site"]["account"] == "lab42"
    site.write_text("site: {account: lab42}\nseed: 4\n", encoding="utf-8")
    with pytest.raises(UserError, match="names no preset"):
        load_configuration(ROOT / "config.yaml", [site], {})


def test_a_modules_configuration_is_an_overlay() -> None:
    given = {"preset": "theirs", "evaluation": {"items": 4}}
    config = load_configuration(ROOT / "config.yaml", [], {}, module=given)
    assert (config["preset"], config["evaluation"]["items"]) == ("theirs", 4)
    with pytest.raises(UserError, match="takes the preset of config.yaml"):
        load_configuration(ROOT / "config.yaml", [], {}, module={"preset": "demo"})


def test_devices_that_nodes_cannot_share_are_refused() -> None:
    compute = {"gpus": 8, "nodes": 3}
    with pytest.raises(UserError, match="compute.gpus: 8 cannot be shared equally by 3 nodes"):
        load_configuration(ROOT / "config.yaml", [ROOT / "config/paper.yaml"], {"compute": compute})
