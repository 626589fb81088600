"""README.md and docs/ as GitHub shows them, in a real browser: nothing is too wide and every picture is there.

Needs Chromium as test_human_eval_page.py does.
"""

from pathlib import Path

import pytest
from selenium import webdriver

from common.base.paths import ROOT
from support.github_page import render

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OVERFLOW = "return document.documentElement.scrollWidth - innerWidth"
MISSING = "return [...document.images].filter((one) => !one.complete || !one.naturalWidth).map((one) => one.src)"
SCROLLED = (
    "return [...document.querySelectorAll('pre, table')].filter((one) => one.scrollWidth > one.clientWidth).length"
)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_nothing_is_too_wide(browser: webdriver.Chrome, tmp_path: Path, page: Path, width: int) -> None:
    (tmp_path / "page.html").write_text(render(page), encoding="utf-8")
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get((tmp_path / "page.html").as_uri())
    assert browser.title == page.name
    assert browser.execute_script(OVERFLOW) <= 0
    assert browser.execute_script(MISSING) == []
    if width == 1280 and page.stem in ("README", "demo"):
        assert browser.execute_script(SCROLLED) == 0
