"""Results of a preset in one tar file, with the hash of every file in it."""

import contextlib
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from common.base.errors import UserError
from common.files.whole_files import new_directory, sha256_of_file

MANIFEST = "MANIFEST.json"
FORMAT = 1
# Resumable state, downloads, checkpoints as they are shared, and weights: tables and report need none of them.
LEFT_OUT_FOLDERS = ("scratch", "downloads", "hub")
LEFT_OUT_SUFFIXES = (".safetensors", ".bin", ".pt", ".gguf")
LARGEST_MANIFEST = 100 << 20
REFUSED = "get the archive again from where it came; nothing was unpacked"
# Their presence means that a folder holds results already. Downloads, models and logs exist after set-up alone.
RESULT_FOLDERS = ("data", "eval", "tables")
# For these, existing files are kept and the archive's left out: they say how a job went on another machine.
KEPT_FOLDERS = ("logs", "benchmarks")
STAGING = ".restored"


def archived_files(results: Path) -> list[Path]:
    """What goes into an archive, relative to the results folder, sorted."""
    return [name for path in sorted(results.rglob("*")) if _belongs(path, name := path.relative_to(results))]


def _belongs(path: Path, name: Path) -> bool:
    plain = path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in name.parts)
    return plain and name.parts[0] not in LEFT_OUT_FOLDERS and path.suffix not in LEFT_OUT_SUFFIXES


def write_archive(results: Path, archive: Path) -> dict[str, Any]:
    """Pack a preset's results; equal results give equal bytes.

    Returns:
        The manifest: format, preset, what is left out, and size and SHA-256 of every file.

    Raises:
        UserError: when there are no results, or the archive exists.
    """
    names = archived_files(results)
    if not names:
        raise UserError("there are no results to pack", str(results), "run the workflow first")
    if archive.exists():
        raise UserError("the archive exists", str(archive), "remove it, or choose another name with ARCHIVE=")
    files: dict[str, dict[str, Any]] = {
        name.as_posix(): {"bytes": (results / name).stat().st_size, "sha256": sha256_of_file(results / name)}
        for name in names
    }
    manifest = {
        "format": FORMAT,
        "preset": results.name,
        "left_out": [*LEFT_OUT_FOLDERS, *LEFT_OUT_SUFFIXES],
        "files": files,
    }
    content = json.dumps(manifest, indent=2).encode()
    partial = archive.with_name(f".{archive.name}.partial")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_member(MANIFEST, len(content)), io.BytesIO(content))
        for name in names:
            with open(results / name, "rb") as file:
                tar.addfile(_member(name.as_posix(), files[name.as_posix()]["bytes"]), file)
    partial.replace(archive)
    return manifest


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def restore_archive(archive: Path, results: Path) -> dict[str, Any]:
    """Unpack an archive into a results folder that holds no results yet; all or nothing, and nothing is overwritten.

    Returns:
        The manifest.

    Raises:
        UserError: when there are results, or a file with other content where the archive has one; when the file is not
            such an archive or is of another preset, or a member is not a plain file, leads out of the folder, is not in
            the manifest, appears twice, is missing, or has another hash.
    """
    if not archive.is_file():
        remedy = "name a file of `make archive`: make restore ARCHIVE=results-demo.tar"
        raise UserError("there is no such archive", str(archive) if archive.name else "ARCHIVE=", remedy)
    if there := [name for name in RESULT_FOLDERS if (results / name).exists()]:
        remedy = "remove or rename that folder; results are never overwritten"
        raise UserError("there are results already", f"{results}: {', '.join(there)}", remedy)
    target = results / STAGING if results.exists() else results
    with _opened(archive) as (tar, manifest):
        if manifest["preset"] != results.name:
            remedy = f"make restore PRESET={manifest['preset']} ARCHIVE={archive}"
            raise UserError(f"the archive holds the preset `{manifest['preset']}`", str(archive), remedy)
        with new_directory(target) as folder:
            _unpack(tar, manifest["files"], folder, archive)
            _refuse_other_content(manifest["files"], results)
    if target != results:
        _move_in(target, results)
    return manifest


def archived_preset(archive: Path) -> str:
    """The preset whose results an archive holds, as it says itself.

    Raises:
        UserError: when the file is not such an archive.
    """
    with _opened(archive) as (_, manifest):
        return str(manifest["preset"])


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tuple[tarfile.TarFile, dict[str, Any]]]:
    """An archive that was read up to its manifest."""
    try:
        with tarfile.open(archive, "r:") as tar:
            yield tar, _read_manifest(tar, archive)
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"the archive cannot be read: {error}", str(archive), REFUSED) from error


def _refuse_other_content(files: dict[str, dict[str, Any]], results: Path) -> None:
    """Stop when another file is where a file of the archive belongs; for names that were checked."""
    other = [name for name, entry in files.items() if _stands_in_the_way(results, name, entry["sha256"])]
    if other:
        remedy = "remove or rename what is there; nothing was unpacked and nothing is ever overwritten"
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        what = "other files stand where those of the archive belong"
        raise UserError(what, f"{results}: {', '.join(other[:3])}{more}", remedy)


def _stands_in_the_way(results: Path, name: str, sha256: str) -> bool:
    path = results / name
    if any(parent.exists() and not parent.is_dir() for parent in path.parents):
        return True
    if PurePosixPath(name).parts[0] in KEPT_FOLDERS:
        return path.is_dir()
    return path.is_symlink() or (path.exists() and not (path.is_file() and sha256_of_file(path) == sha256))


def _move_in(staging: Path, results: Path) -> None:
    """Move unpacked files beside the existing ones; the files that mark a folder as holding results come last."""
    names = [path.relative_to(staging) for path in sorted(staging.rglob("*")) if path.is_file()]
    for name in sorted(names, key=lambda name: name.parts[0] in RESULT_FOLDERS):
        if not (results / name).exists():
            (results / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).rename(results / name)
    shutil.rmtree(staging)


def _read_manifest(tar: tarfile.TarFile, archive: Path) -> dict[str, Any]:
    """The first member, checked for its form."""
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > LARGEST_MANIFEST:
        raise UserError(f"the archive does not begin with {MANIFEST}", str(archive), "give a file of `make archive`")
    file = tar.extractfile(member)
    try:
        manifest = json.loads(file.read() if file else b"")
        usable = manifest["format"] == FORMAT and isinstance(manifest["preset"], str)
        usable = usable and all(
            isinstance(entry["sha256"], str) and isinstance(entry["bytes"], int) for entry in manifest["files"].values()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise UserError("the archive's manifest is not usable", f"{archive}, {MANIFEST}", REFUSED)
    return manifest


def _unpack(tar: tarfile.TarFile, files: dict[str, dict[str, Any]], folder: Path, archive: Path) -> None:
    """Write every member into `folder`, refusing what is not as the manifest says."""
    seen = set()
    for member in _members(tar):
        where = f"{archive}, {member.name}"
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name or not path.parts:
            raise UserError("a member of the archive leads out of the results folder", where, REFUSED)
        if not member.isreg():
            raise UserError("a member of the archive is a link or no plain file", where, REFUSED)
        if member.name not in files:
            raise UserError("a member of the archive is not in its manifest", where, REFUSED)
        if member.name in seen:
            raise UserError("a member of the archive appears twice", where, REFUSED)
        seen.add(member.name)
        if _copy(tar, member, folder / path) != (files[member.name]["bytes"], files[member.name]["sha256"]):
            raise UserError("a file of the archive is not the one its manifest describes", where, REFUSED)
    if missing := sorted(files.keys() - seen):
        raise UserError("files of the manifest are missing", f"{archive}: {', '.join(missing[:3])}", REFUSED)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        yield member


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> tuple[int, str]:
    """Write a member; its size and SHA-256."""
    digest, size, file = hashlib.sha256(), 0, tar.extractfile(member)
    assert file is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "xb") as out:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
            out.write(block)
    return size, digest.hexdigest()
