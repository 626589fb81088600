"""`snakemake --report` on a whole run: one file, made without a network, with captions, categories and labels."""

import html
import os
from pathlib import Path

import pytest

from common.base.paths import ROOT
from support.workflow_runs import SMOKE, planned, snakemake

CAPTIONS = sorted((ROOT / "resources/report/captions").glob("*.rst"))


@pytest.fixture(scope="module")
def report(finished: Path) -> str:
    """The report, made where every request to a network would fail."""
    path = finished / "snakemake_report.html"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
            patch.setitem(os.environ, name, "http://127.0.0.1:9")
        snakemake(finished, "--report", str(path), "--configfile", SMOKE)
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return html.unescape(text.encode().decode("unicode_escape", errors="ignore"))


def test_every_caption_is_in_the_report(report: str) -> None:
    lacking = []
    for path in CAPTIONS:
        words = path.read_text(encoding="utf-8").strip().replace('"', "")
        longest = max(words.replace("'", "\0").split("\0"), key=len).strip()
        if longest[:60] not in report.replace('"', ""):
            lacking.append(path.stem)
    assert lacking == []
    assert len(CAPTIONS) == 20


def test_categories_labels_and_the_page_are_in_the_report(report: str) -> None:
    for text in ("Tables", "Figures", "Checks", "The report page", "Table 3: accuracy", "Sensitivity to the scoring"):
        assert text in report, text
    assert "Begin with the report page" in report


def test_a_report_makes_nothing_run_again(finished: Path, report: str) -> None:
    assert report
    assert planned(finished) == {}
