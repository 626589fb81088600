"""The report page in a real browser: nothing runs that a model wrote, nothing overflows, every number opens.

Needs Chromium as test_human_eval_page.py does.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from common.base.paths import ROOT
from common.files.whole_files import read_json, write_json
from support.browser import CONTRASTS, HOSTILE, network_requests, programs
from support.report_pages import CELLS, MARKER, MODEL, TASK, build, write_results

SHOTS = {"wide": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    write_results(results, list(HOSTILE[:4]))
    return build(results)


def show(browser: webdriver.Chrome, page: Path, width: int, height: int, scheme: str = "light") -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get("about:blank")
    browser.get(page.as_uri())


@pytest.fixture
def wide(browser: webdriver.Chrome, page: Path) -> Iterator[webdriver.Chrome]:
    browser.get_log("browser")
    browser.get_log("performance")
    show(browser, page, *SHOTS["wide"])
    yield browser
    assert browser.get_log("browser") == []


def cell(browser: webdriver.Chrome, name: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, f'[data-cell="{name}"]')


# --- safety ---------------------------------------------------------------------------------------------------


def test_only_the_pages_own_parts_are_put_in_unescaped() -> None:
    templates = "".join((ROOT / "resources/report" / f"{name}.html.jinja").read_text() for name in ("report", "parts"))
    unescaped = re.findall(r"\{\{\s*([^}]*?)\s*\|\s*safe\s*\}\}", templates)
    assert sorted(unescaped) == ["data", "figures[name]", "script", "style", "words_json"]
    assert "innerHTML" not in (ROOT / "resources/report/report.js").read_text()


def test_markup_of_a_model_shows_as_text_and_does_not_run(wide: webdriver.Chrome) -> None:
    assert wide.title.startswith("Reproduction report")
    cell(wide, CELLS[0]).click()
    shown = [
        element.get_attribute("textContent") for element in wide.find_elements(By.CSS_SELECTOR, ".item .generation")
    ]
    assert sorted(shown) == sorted(HOSTILE[:4])
    prompts = [element.get_attribute("textContent") for element in wide.find_elements(By.CSS_SELECTOR, ".item .prompt")]
    assert sorted(prompts) == sorted(f"{text}?\n{MARKER}" for text in HOSTILE[:4])
    assert wide.execute_script("return typeof window.ran") == "undefined"
    assert wide.execute_script("return document.querySelectorAll('img, i, iframe').length") == 0
    assert wide.execute_script("return document.scripts.length") == 3


def test_page_asks_the_network_for_nothing(wide: webdriver.Chrome) -> None:
    cell(wide, CELLS[0]).click()
    assert {request.split(":")[0] for request in network_requests(wide)} <= {"file", "about"}
    reached = wide.execute_async_script(
        "const done = arguments[0]; fetch('http://127.0.0.1:9/').then(() => done('sent'), () => done('refused'))"
    )
    assert reached == "refused"
    wide.get_log("browser")


# --- cells ----------------------------------------------------------------------------------------------------


def test_a_cell_opens_what_is_behind_it_and_gives_the_focus_back(wide: webdriver.Chrome) -> None:
    cell(wide, CELLS[1]).send_keys(Keys.ENTER)
    dialog = wide.find_element(By.ID, "cell")
    assert dialog.accessible_name == CELLS[1]
    assert f'make trace PRESET=demo CELL="{CELLS[1]}"' in dialog.text
    assert f"eval/{MODEL}/sft/{TASK}/k0_seed*" in dialog.text
    assert "items on this page: 4" in dialog.text
    assert len(dialog.find_elements(By.CSS_SELECTOR, ".item")) == 4
    for show_, count in (("wrong", 2), ("right", 2), ("all", 4)):
        dialog.find_element(By.CSS_SELECTOR, f"[data-show={show_}]").click()
        visible = [item for item in dialog.find_elements(By.CSS_SELECTOR, ".item") if item.is_displayed()]
        assert len(visible) == count
    wide.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not dialog.is_displayed()
    assert wide.switch_to.active_element.get_attribute("data-cell") == CELLS[1]


@pytest.mark.parametrize(("scoring", "right"), [("strict", 0), ("likelihood", 4)])
def test_a_cell_of_another_scoring_shows_its_own_verdicts(
    browser: webdriver.Chrome,
    page: Path,
    scoring: str,
    right: int,
) -> None:
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#cell=sensitivity/{MODEL}/sft/{scoring}/{TASK}/k0")
    dialog = browser.find_element(By.ID, "cell")
    assert f"{right} / 4 right" in dialog.text
    chips = [chip.text for chip in dialog.find_elements(By.CSS_SELECTOR, ".item .chip")]
    assert chips == ["right" if right else "wrong"] * 4


def test_a_link_opens_a_cell(browser: webdriver.Chrome, page: Path) -> None:
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#cell={CELLS[0].replace('/', '%2F')}")
    assert browser.find_element(By.ID, "cell-title").text == CELLS[0]


def test_columns_sort_by_number_both_ways(wide: webdriver.Chrome) -> None:
    table = wide.find_element(By.CSS_SELECTOR, "#table3 table")
    head = table.find_elements(By.CSS_SELECTOR, "thead tr:last-child th")[1]
    orders = []
    for _ in range(2):
        head.find_element(By.TAG_NAME, "button").click()
        methods = [row.text for row in table.find_elements(By.CSS_SELECTOR, "tbody th[scope=row]")]
        orders.append((head.get_attribute("aria-sort"), methods))
    assert orders == [("descending", ["SFT", "Pretrained"]), ("ascending", ["Pretrained", "SFT"])]


def test_the_page_holds_no_more_items_than_configured_and_says_so(page: Path, tmp_path: Path) -> None:
    write_results(tmp_path, [f"text number {i}" for i in range(6)])
    text = build(tmp_path, items=2).read_text(encoding="utf-8")
    held = [f"text number {i}" for i in range(6) if f'"generation": "text number {i}"' in text]
    assert len(held) == 2
    assert "at most 2" in text
    assert '"n": 6' in text
    none = build(tmp_path, items=0).read_text(encoding="utf-8")
    assert '"generation":' not in none


def test_a_prompt_that_was_not_sent_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_results(tmp_path, ["one", "two"])
    stem = tmp_path / f"eval/{MODEL}/sft/{TASK}/k0_seed0.json"
    write_json(stem, {**read_json(stem), "marker": "Answer:"})
    with pytest.raises(AssertionError):
        build(tmp_path)
    assert "a prompt cannot be written as it was sent" in capfd.readouterr().err


# --- reading --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", sorted(SHOTS))
def test_nothing_overflows_and_text_stands_out(browser: webdriver.Chrome, page: Path, size: str, scheme: str) -> None:
    show(browser, page, *SHOTS[size], scheme)
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    overflow = "return document.documentElement.scrollWidth - innerWidth"
    assert browser.execute_script(overflow) <= 0
    measured = browser.execute_script(CONTRASTS)
    assert len(measured) > 60
    assert [text for text, contrast in measured if contrast < 4.5] == []
    cell(browser, CELLS[0]).click()
    assert (
        browser.execute_script("const d = document.getElementById('cell'); return d.scrollWidth - d.clientWidth") <= 0
    )
    browser.execute_script("for (const one of document.querySelectorAll('dialog details')) one.open = true")
    assert [text for text, contrast in browser.execute_script(CONTRASTS) if contrast < 4.5] == []
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(246, 245, 242)", "dark": "rgb(20, 22, 27)"}[scheme]


def test_tables_and_figures_are_told_to_screen_readers(wide: webdriver.Chrome) -> None:
    for table in wide.find_elements(By.CSS_SELECTOR, "figure.tabular table"):
        assert table.find_element(By.TAG_NAME, "caption").text
        assert not table.find_elements(By.CSS_SELECTOR, "th:not([scope])")
    figure = wide.find_element(By.CSS_SELECTOR, "figure.drawing svg")
    told = wide.execute_script(
        "return document.getElementById(arguments[0]).textContent", figure.get_attribute("aria-describedby")
    )
    assert told == "told"
    regions = wide.find_elements(By.CSS_SELECTOR, ".scroll")
    assert all(region.get_attribute("tabindex") == "0" and region.get_attribute("aria-label") for region in regions)
    assert wide.execute_script("return document.documentElement.lang") == "en"
    levels = wide.execute_script("return [...document.querySelectorAll('main h2, main h3, h1')].map((h) => h.tagName)")
    assert levels[0] == "H1"
    assert levels.count("H1") == 1


def test_tab_reaches_links_titles_and_cells_with_a_visible_focus(wide: webdriver.Chrome) -> None:
    kinds = set()
    for _ in range(40):
        wide.switch_to.active_element.send_keys(Keys.TAB)
        focused = wide.switch_to.active_element
        kinds |= {focused.tag_name, *(focused.get_attribute("class") or "").split()}
        style = wide.execute_script(
            "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]"
        )
        assert style == ["solid", "3px"], focused.get_attribute("outerHTML")
    assert {"a", "sort", "cell", "summary", "scroll"} <= kinds


def test_pictures_of_a_report_are_taken(page: Path, tmp_path: Path) -> None:
    programs()
    tool = [sys.executable, "tools/picture_report.py", str(page), "--output", str(tmp_path)]
    subprocess.run(tool, cwd=ROOT, check=True, capture_output=True, timeout=120)
    for name, width in (("report_wide", 1280), ("report_phone", 390)):
        content = (tmp_path / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        assert int.from_bytes(content[16:20], "big") == width
