"""Files that are written whole or not at all, and JSON that names the place where it is damaged."""

import errno
from pathlib import Path

import pytest

from common.base.errors import UserError
from common.files import whole_files as files
from common.jobs.scratch import fingerprint


def contents(folder: Path) -> dict[str, str]:
    """Every file under `folder`, hidden and temporary ones included."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in found}


def test_new_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fill(text: str, fail: bool) -> None:
        with files.new_directory(tmp_path / "deep" / "model") as folder:
            (folder / "a.txt").write_text(text, encoding="utf-8")
            if fail:
                raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        fill("half", fail=True)
    assert list((tmp_path / "deep").iterdir()) == []
    fill("old", fail=False)
    assert contents(tmp_path) == {"deep/model/a.txt": "old"}
    with pytest.raises(RuntimeError):
        fill("half", fail=True)
    assert contents(tmp_path) == {"deep/model/a.txt": "old"}
    fill("new", fail=False)
    assert contents(tmp_path) == {"deep/model/a.txt": "new"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]


def test_new_directory_is_readable_and_drops_old_files(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with files.new_directory(tmp_path / "model") as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / name).write_text(name, encoding="utf-8")
    assert contents(tmp_path) == {"model/inner/second": "second"}
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: files.write_bytes(path, b"new"),
        lambda path: files.write_text(path, "new"),
        lambda path: files.write_json(path, {"new": 1}),
    ],
    ids=["bytes", "text", "json"],
)
def test_failed_write_leaves_the_old_file_and_nothing_else(
    write, failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "score.json"
    target.write_text("old", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, failing, full)
        with pytest.raises(OSError, match="No space"):
            write(target)
    assert contents(tmp_path) == {"score.json": "old"}
    write(target)
    assert "new" in contents(tmp_path)["score.json"]


def test_json_is_written_readably_and_never_with_nan(tmp_path: Path) -> None:
    files.write_json(tmp_path / "deep" / "a.json", {"b": "\u00e9", "a": [1]})
    assert files.read_json(tmp_path / "deep" / "a.json") == {"b": "\u00e9", "a": [1]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "b.json", {"loss": float("nan")})
    assert set(contents(tmp_path)) == {"deep/a.json"}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b"[1, 2, 3\n", "line 2, column 1"),
        (b"", "line 1, column 1"),
        (b'{"a": "caf\xe9"}', "byte 10"),
        (b"[" * 200_000, ""),
    ],
    ids=["syntax", "cut off", "empty", "latin-1", "deep"],
)
def test_unreadable_json_names_the_place(content: bytes, where: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        files.read_json(path)
    assert caught.value.where.startswith(str(path))
    assert caught.value.where.endswith(where)
    assert caught.value.remedy


def test_missing_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        files.read_json(tmp_path / "absent.json")
    assert caught.value.where == str(tmp_path / "absent.json")


def test_canonical_json_has_one_spelling() -> None:
    assert files.canonical_json({"b": [1, 2.0], "a": "\u00e9"}) == '{"a":"\u00e9","b":[1,2.0]}'
    assert files.canonical_json({"a": 1, "b": 2}) != files.canonical_json({"a": 2, "b": 1})
    assert fingerprint(a=1, b={"c": 2, "d": 3}) == fingerprint(b={"d": 3, "c": 2}, a=1) != fingerprint(a=1, b=2)
