"""Archives of results: what goes in comes out, and nothing else does."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import archive_results
import restore_results
from common.files.whole_files import sha256_of_file
from common.report.archives import MANIFEST


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "made/demo"
    texts = {"tables/table3.csv": "a,b\n", "models/m/sft/run.json": "{}", "models/m/sft/model.safetensors": "weights",
             "downloads/x.json": "x", "scratch/y.lock": "", ".hidden": "no"}  # fmt: skip
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "tables/link.csv").symlink_to("table3.csv")
    return folder


def pack(results: Path, archive: Path) -> int:
    return archive_results.main(["--results", str(results), "--output", str(archive)])


def unpack(archive: Path, results: Path) -> int:
    return restore_results.main(["--archive", str(archive), "--results", str(results)])


def test_what_is_packed_comes_out_and_weights_stay(results: Path, tmp_path: Path) -> None:
    assert pack(results, tmp_path / "a.tar") == 0
    assert unpack(tmp_path / "a.tar", tmp_path / "clone/demo") == 0
    found = {
        path.relative_to(tmp_path / "clone/demo").as_posix()
        for path in (tmp_path / "clone").rglob("*")
        if path.is_file()
    }
    assert found == {"tables/table3.csv", "models/m/sft/run.json"}
    assert (tmp_path / "clone/demo/tables/table3.csv").read_text() == "a,b\n"


def test_equal_results_give_equal_bytes(results: Path, tmp_path: Path) -> None:
    pack(results, tmp_path / "a.tar")
    (results / "tables/table3.csv").touch()
    pack(results, tmp_path / "b.tar")
    assert sha256_of_file(tmp_path / "a.tar") == sha256_of_file(tmp_path / "b.tar")


def test_an_archive_and_results_are_never_overwritten(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(results, tmp_path / "a.tar")
    before = (tmp_path / "a.tar").read_bytes()
    assert pack(results, tmp_path / "a.tar") == 2
    assert (tmp_path / "a.tar").read_bytes() == before
    assert unpack(tmp_path / "a.tar", results) == 2
    told = capsys.readouterr().err
    assert "the archive exists" in told
    assert "results are never overwritten" in told
    assert (results / "models/m/sft/model.safetensors").read_text() == "weights"


def files_in(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_setup_and_clean_leave_is_no_hindrance_and_stays(results: Path, tmp_path: Path) -> None:
    for folder in ("logs", "benchmarks"):
        (results / folder).mkdir()
        (results / folder / "job.txt").write_text("of the archive")
        (results / folder / "other.txt").write_text("of the archive")
    pack(results, tmp_path / "a.tar")
    here = {"downloads/x.json": "mine", "logs/job.txt": "mine", "benchmarks/job.txt": "mine",
            "models/m/sft/run.json": "{}", "models/m/sft/model.safetensors": "mine"}  # fmt: skip
    clone = tmp_path / "clone/demo"
    for name, text in here.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    assert unpack(tmp_path / "a.tar", clone) == 0
    new = {"tables/table3.csv": "a,b\n", "logs/other.txt": "of the archive", "benchmarks/other.txt": "of the archive"}
    assert files_in(clone) == {**here, **new}


@pytest.mark.parametrize("folder", ["data", "eval", "tables"])
def test_results_that_are_there_are_refused(
    results: Path, tmp_path: Path, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(results, tmp_path / "a.tar")
    (tmp_path / "clone/demo" / folder).mkdir(parents=True)
    assert unpack(tmp_path / "a.tar", tmp_path / "clone/demo") == 2
    assert f"clone/demo: {folder}" in capsys.readouterr().err
    assert list((tmp_path / "clone/demo").iterdir()) == [tmp_path / "clone/demo" / folder]


def another_text(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("other")


def a_link(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to("nowhere")


def a_directory(path: Path) -> None:
    path.mkdir(parents=True)


def a_file_above(path: Path) -> None:
    another_text(path.parent)


@pytest.mark.parametrize("put", [another_text, a_link, a_directory, a_file_above])
def test_a_file_in_the_way_is_named_and_kept(
    results: Path, tmp_path: Path, put: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    pack(results, tmp_path / "a.tar")
    clone = tmp_path / "clone/demo"
    put(clone / "models/m/sft/run.json")
    before = set(clone.rglob("*"))
    assert unpack(tmp_path / "a.tar", clone) == 2
    told = capsys.readouterr().err
    assert f"{clone}: models/m/sft/run.json" in told
    assert "nothing was unpacked" in told
    assert set(clone.rglob("*")) == before


def test_no_archive_named_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore_results.main(["--archive", "", "--results", str(tmp_path / "demo")]) == 2
    told = capsys.readouterr().err
    assert "there is no such archive\n  where: ARCHIVE=" in told
    assert "Traceback" not in told
    assert unpack(tmp_path, tmp_path / "demo") == 2
    assert not (tmp_path / "demo").exists()


def rewrite(archive: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> None:
    """An archive with other members."""
    with tarfile.open(archive) as tar:
        members = [(member, file.read() if (file := tar.extractfile(member)) else b"") for member in tar.getmembers()]
    change(members)
    with tarfile.open(archive, "w") as tar:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))


def plain(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def listed(members: list, name: str) -> None:
    """Add a name to the manifest, so that only the name itself can be refused."""
    manifest = json.loads(members[0][1])
    manifest["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    members[0] = (members[0][0], json.dumps(manifest).encode())


def renamed(members: list, name: str) -> None:
    listed(members, name)
    members.append(plain(name, b"x"))


LISTS = b'{"format": 1, "preset": "demo", "files": []}'
TAMPERED = {
    "another text": (lambda m: m.__setitem__(2, (m[2][0], b"x,y\n")), "not the one its manifest describes"),
    "a longer text": (lambda m: m.__setitem__(2, (m[2][0], m[2][1] + b"z")), "not the one its manifest describes"),
    "a file too many": (lambda m: m.append(plain("more.csv", b"x")), "is not in its manifest"),
    "a file twice": (lambda m: m.append(plain(m[1][0].name, m[1][1])), "appears twice"),
    "a file missing": (lambda m: m.pop(), "files of the manifest are missing"),
    "a way up": (lambda m: renamed(m, "../escaped.csv"), "leads out of the results folder"),
    "a way up inside": (lambda m: renamed(m, "tables/../../escaped.csv"), "leads out of the results folder"),
    "from the root": (lambda m: renamed(m, "/tmp/escaped.csv"), "leads out of the results folder"),
    "a symbolic link": (lambda m: m.append(link("tables/l", "/etc/passwd", tarfile.SYMTYPE)), "link or no plain file"),
    "a hard link": (lambda m: m.append(link("tables/l", m[1][0].name, tarfile.LNKTYPE)), "link or no plain file"),
    "a device": (lambda m: m.append(link("tables/l", "", tarfile.CHRTYPE)), "link or no plain file"),
    "no manifest": (lambda m: m.pop(0), f"does not begin with {MANIFEST}"),
    "a broken manifest": (lambda m: m.__setitem__(0, (m[0][0], b"{")), "manifest is not usable"),
    "a manifest of lists": (lambda m: m.__setitem__(0, (m[0][0], LISTS)), "manifest is not usable"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_archive_is_refused_and_leaves_nothing(
    results: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, told = TAMPERED[name]
    pack(results, tmp_path / "a.tar")
    rewrite(tmp_path / "a.tar", change)
    (tmp_path / "half/demo/downloads").mkdir(parents=True)
    before = set(tmp_path.rglob("*"))
    for target in (tmp_path / "demo", tmp_path / "half/demo"):
        assert unpack(tmp_path / "a.tar", target) == 2
        error = capsys.readouterr().err
        assert told in error
        assert "Traceback" not in error
        assert set(tmp_path.rglob("*")) == before


def test_what_is_no_archive_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.tar").write_text("no archive")
    assert unpack(tmp_path / "text.tar", tmp_path / "demo") == 2
    assert unpack(tmp_path / "none.tar", tmp_path / "demo") == 2
    told = capsys.readouterr().err
    assert "cannot be read" in told
    assert "there is no such archive" in told


def test_another_preset_is_refused(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(results, tmp_path / "a.tar")
    assert unpack(tmp_path / "a.tar", tmp_path / "smoke") == 2
    assert "make restore PRESET=demo" in capsys.readouterr().err
