"""Validate a crate with roc-validator, without a network: `python tests/validate_crate.py CRATE`.

The validator has an environment of its own, since its pins contradict requirements.lock. It asks for the context of
RO-Crate 1.1; it gets the one the `rocrate` library brings (CONTEXT, a newer one that holds the same terms).
"""

import io
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

from rocrate_validator import models, services

CONTEXT = json.loads(Path(os.environ["CONTEXT"]).read_text(encoding="utf-8"))["@context"]
opened = urllib.request.urlopen


class Answer(io.BytesIO):
    """What `urlopen` gives."""

    headers = {"Content-Type": "application/ld+json"}
    status = code = 200

    def __init__(self, url: str):
        super().__init__(json.dumps({"@context": CONTEXT}).encode())
        self.url = url

    def geturl(self) -> str:
        return self.url

    def info(self) -> dict[str, str]:
        return self.headers


def answer(request: Any, *arguments: Any, **options: Any) -> Any:
    url = request if isinstance(request, str) else request.full_url
    return Answer(url) if "/ro/crate/" in url else opened(request, *arguments, **options)


def issues(crate: Path, profile: str) -> list[str]:
    """What the validator requires and does not find."""
    settings = services.ValidationSettings(
        rocrate_uri=models.URI(str(crate)) if hasattr(models, "URI") else str(crate), profile_identifier=profile,
        requirement_severity=models.Severity.REQUIRED, offline=True,
    )  # fmt: skip
    return [f"{issue.check.identifier}: {issue.message}" for issue in services.validate(settings).get_issues()]


if __name__ == "__main__":
    urllib.request.urlopen = answer
    import rdflib.parser
    import rdflib.plugins.shared.jsonld.util as loading

    for module in (rdflib.parser, loading):
        for name in ("urlopen", "_urlopen"):
            if hasattr(module, name):
                setattr(module, name, answer)
    found = issues(Path(sys.argv[1]), "workflow-run-crate-0.5")
    print(*found, f"{len(found)} issues", sep="\n")
    sys.exit(bool(found))
