"""The licence of weights, as it follows from the licences of what they are derived from."""

from collections.abc import Mapping, Sequence
from typing import Any

# These ask for nothing.
PUBLIC_DOMAIN = ("cc0-1.0",)

Licence = Mapping[str, Any]  # as the configuration has it: id, and name and link of one that is not in the hub's list


def called(licence: Licence) -> str:
    """The licence's name, of one in the hub's list its identifier."""
    return str(licence.get("name", licence["id"]))


def binding(licences: Sequence[Licence]) -> dict[str, Licence]:
    """Each licence that whoever uses derived weights must keep, by its name; of works in the public domain theirs."""
    by_name = {called(licence): licence for licence in licences}
    asking = {name: licence for name, licence in by_name.items() if licence["id"] not in PUBLIC_DOMAIN}
    return asking or by_name


def hub_license(licences: Sequence[Licence | None]) -> dict[str, str]:
    """The keys `license`, `license_name` and `license_link` of a model card.

    Args:
        licences: of everything the weights are derived from; None where none is recorded.
    """
    known = [licence for licence in licences if licence is not None]
    if len(known) < len(licences):
        return {"license": "unknown"}
    bound = binding(known)
    if len(bound) == 1 and "other" not in {licence["id"] for licence in bound.values()}:
        return {"license": next(iter(bound))}
    links = [str(licence["link"]) for licence in bound.values() if "link" in licence]
    return {"license": "other", "license_name": "-and-".join(bound), **({"license_link": links[0]} if links else {})}
