"""YAML and JSON files that are made to hurt: each loader refuses them by name, and soon."""

from pathlib import Path

import pytest

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.data.task_definitions import load_task
from common.files.whole_files import read_json
from common.planning.hardware import load_assumptions
from support.mutations import time_limit

pytestmark = [pytest.mark.fuzz, pytest.mark.slow]
HURTFUL = {
    "an alias bomb": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b", ".join([b"*%c" % n] * 9)) for n in range(97, 106)),
    "a list that holds itself": b"preset: &a [*a]\n",
    "a mapping that holds itself": b"preset: &a {models: *a}\n",
    "deep nesting": b"preset: " + b"[" * 5000,
    "nesting that ends": b"preset: " + b"[" * 400 + b"]" * 400,
    "a tag that would run code": b"preset: !!python/object/apply:os.getcwd []\n",
    "a date": b"preset: 2024-01-31\n",
    "a set": b"preset: !!set {a, b}\n",
    "bytes": b"preset: !!binary aGVsbG8=\n",
    "a key that is a list": b"? [a]\n: b\n",
    "a key that is null": b"null: b\n",
}


@pytest.mark.parametrize("name", HURTFUL)
def test_yaml_that_is_made_to_hurt_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hurtful.yaml"
    path.write_bytes(HURTFUL[name])
    base = ROOT / "config.yaml"
    for load in (lambda: load_configuration(base, [path], {}), lambda: load_task(path), lambda: load_assumptions(path)):
        with time_limit(), pytest.raises(UserError, match="hurtful"):
            load()


def test_json_that_is_made_to_hurt_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hurtful.json"
    for content in (b"[" * 200_000, b'{"a":' * 100_000, b"[" + b"9" * 10_000 + b"]"):
        path.write_bytes(content)
        with time_limit(), pytest.raises(UserError, match="hurtful"):
            read_json(path)
