"""The licence of weights follows from those of what they are derived from."""

import pytest

from common.report.licences import binding, hub_license

APACHE, MIT, CC0, BY_NC = ({"id": name} for name in ("apache-2.0", "mit", "cc0-1.0", "cc-by-nc-4.0"))
LINK = "https://example.org/llama"
LLAMA = {"id": "other", "name": "llama-non-commercial", "link": LINK}
OPT = {"id": "other", "name": "opt-non-commercial"}


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        ([APACHE, CC0], {"license": "apache-2.0"}),
        ([CC0, CC0], {"license": "cc0-1.0"}),
        ([BY_NC, BY_NC], {"license": "cc-by-nc-4.0"}),
        ([APACHE, MIT], {"license": "other", "license_name": "apache-2.0-and-mit"}),
        ([OPT, CC0], {"license": "other", "license_name": "opt-non-commercial"}),
        (
            [LLAMA, BY_NC, BY_NC],
            {
                "license": "other",
                "license_name": "llama-non-commercial-and-cc-by-nc-4.0",
                "license_link": LINK,
            },
        ),
        ([APACHE, None], {"license": "unknown"}),
        ([None], {"license": "unknown"}),
    ],
)
def test_the_hub_is_told_what_binds(licences: list[dict[str, str] | None], expected: dict[str, str]) -> None:
    assert hub_license(licences) == expected


def test_works_in_the_public_domain_ask_for_nothing() -> None:
    assert list(binding([CC0, APACHE, CC0, LLAMA])) == ["apache-2.0", "llama-non-commercial"]
    assert list(binding([CC0])) == ["cc0-1.0"]
