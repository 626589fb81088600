"""Validate a crate with roc-validator, without a network: `python tests/support/validate_crate.py CRATE CONTEXT`.

The validator needs an environment of its own, since its pins contradict requirements.lock. It asks the network for the
context of RO-Crate 1.1; here it gets CONTEXT, the file the `rocrate` library brings. That is version 1.3, which for the
terms used here differs by the address of bioschemas alone; the address is put back to that of 1.1.
"""

import io
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

PROFILE = "workflow-run-crate-0.5"


class Answer(io.BytesIO):
    """What a request for the context gets, for urllib and for requests."""

    headers = {"Content-Type": "application/ld+json"}  # noqa: RUF012
    status = code = status_code = 200

    def __init__(self, url: str, content: dict[str, Any]):
        super().__init__(json.dumps(content).encode())
        self.url, self.text, self.json = url, json.dumps(content), lambda: content

    def geturl(self) -> str:
        return self.url

    def info(self) -> dict[str, str]:
        return self.headers


def serve(content: dict[str, Any]) -> None:
    """Answer every request with the context."""
    import rdflib.parser

    def answer(request: Any, *_: Any, **__: Any) -> Answer:
        return Answer(request if isinstance(request, str) else request.full_url, content)

    urllib.request.urlopen = answer
    for name in ("urlopen", "_urlopen"):
        if hasattr(rdflib.parser, name):
            setattr(rdflib.parser, name, answer)
    HttpRequester.get = lambda _, url, **__: Answer(url, content)


def issues(crate: Path) -> list[str]:
    """What the validator requires and does not find."""
    required = models.Severity.REQUIRED
    settings = services.ValidationSettings(
        rocrate_uri=str(crate), profile_identifier=PROFILE, requirement_severity=required, offline=True
    )
    return [f"{issue.check.identifier}: {issue.message}" for issue in services.validate(settings).get_issues()]


if __name__ == "__main__":
    text = (
        Path(sys.argv[2])
        .read_text(encoding="utf-8")
        .replace("https://bioschemas.org/terms/", "https://bioschemas.org/")
    )
    serve({"@context": json.loads(text)["@context"]})
    found = issues(Path(sys.argv[1]))
    print(*found, f"{len(found)} issues", sep="\n")
    sys.exit(bool(found))
