"""Downloads of pinned revisions, with errors that say what to do."""

import hashlib
import http.client
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from common.base.errors import EXIT_MACHINE, UserError, explain


def hub_snapshot(repository: str, revision: str, directory: Path, kind: str, patterns: Sequence[str]) -> None:
    """Download files of one revision of a hub repository.

    Args:
        repository: owner/name.
        revision: full commit hash.
        directory: where the files go.
        kind: model or dataset.
        patterns: glob patterns of the files wanted.

    Raises:
        UserError: when it is gated, missing, or out of reach (also under HF_HUB_OFFLINE).
    """
    import httpx2  # what huggingface_hub calls, some of whose errors it lets through
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{repository} at {revision}"
    try:
        snapshot_download(
            repository, revision=revision, local_dir=directory, repo_type=kind, allow_patterns=list(patterns)
        )
    except GatedRepoError as error:
        remedy = "accept its licence on the hub's page, then log in with `hf auth login` or set HF_TOKEN"
        raise UserError("this repository is gated", where, remedy) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        remedy = "check the name and the revision in the configuration; private ones need HF_TOKEN"
        raise UserError("no such repository or revision on the hub", where, remedy) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        if known := explain(error):  # the disk, and not the hub
            raise known from error
        remedy = "connect to the network (and unset HF_HUB_OFFLINE), or use a local source"
        raise UserError("the hub cannot be reached", where, remedy, EXIT_MACHINE) from error


def _failed(problem: object, url: str) -> UserError:
    return UserError(f"a download failed: {problem}", url, "check the network, then run again", EXIT_MACHINE)


def _open(url: str) -> http.client.HTTPResponse:
    """A download's answer; apart from writing it, whose errors are those of the disk."""
    try:
        opened: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=60)  # noqa: S310
    except (OSError, http.client.HTTPException) as error:
        raise _failed(error, url) from error
    return opened


def _read_block(response: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return response.read(1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise _failed(error, url) from error


def fetch_url(url: str, target: Path, sha256: str | None, git_blob: str | None = None) -> str:
    """Download one file over https and return its SHA-256.

    Args:
        url: its address.
        target: file to write.
        sha256: the hash it must have; None for any.
        git_blob: the id that git must give its content; None for any.

    Raises:
        UserError: when it cannot be fetched or is not the file that is wanted.
    """
    digest = hashlib.sha256()
    received = 0
    with _open(url) as response, open(target, "wb") as file:
        announced = response.headers.get("Content-Length")
        while block := _read_block(response, url):
            digest.update(block)
            received += file.write(block)
    if announced is not None and received != int(announced):
        raise _failed(f"{received} of {announced} bytes came", url)
    _check_hash(url, "sha256", sha256, digest.hexdigest())
    _check_hash(url, "git_blob", git_blob, git_blob_id(target) if git_blob else "")
    return digest.hexdigest()


def git_blob_id(path: Path) -> str:
    """The id under which git stores a file: SHA-1 of its length and its content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_hash(url: str, key: str, wanted: str | None, found: str) -> None:
    if wanted and found != wanted:
        remedy = f"do not use it; check the address and `{key}` in the configuration"
        raise UserError("a download's hash is not the configured one", f"{url}: {found}", remedy)
