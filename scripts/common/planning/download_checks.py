"""Whether what a run downloads is there, and if not, whether it can be had."""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config import settings
from common.planning.machine_checks import MachineFinding

SECONDS = 20


@dataclass(frozen=True)
class Download:
    """Something a run fetches.

    Attributes:
        name: in the configuration.
        source: of kind hub or url.
        kind: model, dataset or file.
        paths: where it lies once fetched.
    """

    name: str
    source: Mapping[str, Any]
    kind: str
    paths: tuple[Path, ...]


def downloads(config: Mapping[str, Any], results: Path) -> Iterator[Download]:
    """Everything of the hub or of an address that a configuration needs."""
    folder = results / "downloads"
    for name in sorted(settings.used_models(config)):
        source = config["models"][name]["source"]
        prepared = results / "models" / name / "pretrained"
        if source["kind"] == "hub" and not prepared.exists():
            yield Download(f"models.{name}", source, "model", (folder / "models" / name,))
    for name in config["table3"]["tasks"]:
        source = config["tasks"][name]["source"]
        if source["kind"] == "hub":
            paths = tuple(Path(path) for path in settings.task_files(config, name, str(folder)).values())
            yield Download(f"tasks.{name}", source, "dataset", paths)
    for part in ("references", "comparisons"):
        source = config["instructions"][part]
        if source["kind"] == "url":
            path = folder / "instructions" / f"{part}.json"
            yield Download(f"instructions.{part}", source, "file", (path,))


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network, read as the hub's library reads it."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def check_downloads(config: Mapping[str, Any], results: Path) -> list[MachineFinding]:
    """Downloads that are missing and cannot be had, or not be asked for from here."""
    found = []
    for download in downloads(config, results):
        if all(path.exists() for path in download.paths):
            continue
        if offline():
            remedy = "run `make setup` with this preset where there is a network, or unset HF_HUB_OFFLINE"
            found.append(MachineFinding("not downloaded, and HF_HUB_OFFLINE is set", download.name, remedy))
        else:
            found += _ask_address(download) if download.kind == "file" else _ask_hub(download)
    return found


def _unreachable(download: Download, error: Exception) -> list[MachineFinding]:
    what = f"not downloaded yet, and not to be reached from here ({type(error).__name__})"
    remedy = "run `make setup` with this preset where there is a network; compute nodes need none after it"
    return [MachineFinding(what, download.name, remedy, blocks=False)]


def _ask_hub(download: Download) -> list[MachineFinding]:
    """Whether the hub has the repository and this revision, and whether this user may read it."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    repository, revision = download.source["repository"], download.source["revision"]
    where = f"{download.name}: {repository} at {revision}"
    api = HfApi()
    try:
        api.repo_info(repository, revision=revision, repo_type=download.kind, timeout=SECONDS)
        api.auth_check(repository, repo_type=download.kind)
    except GatedRepoError:
        remedy = "accept its licence on the hub's page, then log in with `hf auth login` or set HF_TOKEN"
        return [MachineFinding("this repository is gated", where, remedy)]
    except (RepositoryNotFoundError, RevisionNotFoundError):
        remedy = "check the name and the revision in the configuration; private ones need HF_TOKEN"
        return [MachineFinding("no such repository or revision on the hub", where, remedy)]
    except Exception as error:  # whatever a network without the hub makes of it
        return _unreachable(download, error)
    return []


def _ask_address(download: Download) -> list[MachineFinding]:
    request = urllib.request.Request(download.source["url"], method="HEAD")  # noqa: S310 - https by the schema
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
            return []
    except urllib.error.HTTPError as error:
        where = f"{download.name}: {download.source['url']}"
        return [MachineFinding(f"the server answers {error.code}", where, "check the address in the configuration")]
    except OSError as error:
        return _unreachable(download, error)
