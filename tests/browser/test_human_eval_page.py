"""The rating page in a real browser: rate by keyboard, reload, export, score.

Needs Chromium and its driver (Debian: `chromium` and `chromium-driver`). Without them these tests are skipped, unless
REQUIRE_CHROMIUM=1 is set: then they fail.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

import score_human_eval
from common.base.paths import ROOT
from common.files.whole_files import read_json, write_text
from common.human_eval.ratings import load_rating
from common.human_eval.sheet import Answered, Answers, Pair, Sheet, draw_sheet, render_page
from support.browser import CONTRASTS, HOSTILE, network_requests
from support.rating_sheets import ARMS, STAGES, write_sheet

PAGE = ROOT / "resources/human_eval"
TEMPLATE, STYLE, SCRIPT = ((PAGE / f"sheet.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
KEY_OF = {"left": "1", "similar": "2", "right": "3"}


class RatingPage:
    """What a rater does and sees."""

    def __init__(self, browser: webdriver.Chrome, folder: Path, sheet: Sheet):
        self.browser, self.sheet = browser, sheet
        write_text(folder / "sheet.html", render_page(TEMPLATE, STYLE, SCRIPT, sheet))
        self.address = (folder / "sheet.html").as_uri()
        self.resize(1200, 900)
        browser.get(self.address)
        browser.execute_script("if (localStorage.length) localStorage.clear()")
        self.open()
        browser.get_log("performance")
        browser.get_log("browser")

    def open(self) -> None:
        self.browser.get(self.address)

    def resize(self, width: int, height: int, scheme: str = "light") -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        # Two frames later the page is laid out anew; before that nothing can be typed on a busy machine.
        self.browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def find(self, name: str) -> WebElement:
        return self.browser.find_element(By.ID, name)

    def text(self, name: str) -> str:
        return str(self.run("return document.getElementById(arguments[0]).textContent", name))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    @property
    def focused(self) -> str:
        return str(self.run("return document.activeElement.id || document.activeElement.dataset.choice || ''"))

    @property
    def section(self) -> str:
        """The one section that is shown."""
        sections = self.browser.find_elements(By.TAG_NAME, "section")
        (shown,) = [section.get_attribute("id") for section in sections if section.is_displayed()]
        return str(shown)

    @property
    def pressed(self) -> list[str]:
        return list(self.run("return [...document.querySelectorAll('[aria-pressed=true]')].map(b => b.dataset.choice)"))

    def begin(self, alias: str = "blue-heron") -> None:
        """Fill in the first page by keyboard alone."""
        self.press(Keys.TAB)
        assert self.focused == "alias"
        self.press(alias, Keys.TAB)
        assert self.focused == "consent"
        self.press(Keys.SPACE, Keys.TAB, Keys.ENTER)
        assert self.section == "rate"

    def rate(self, choices: list[str]) -> None:
        """Choose and go on, once a choice."""
        for choice in choices:
            self.press(KEY_OF[choice], Keys.ARROW_RIGHT)


@pytest.fixture
def open_page(browser: webdriver.Chrome, tmp_path: Path) -> Callable[..., RatingPage]:
    def opened(*responses: str, name: str = "page", count: int = 4, pairs: Sequence[Pair] = (STAGES,)) -> RatingPage:
        texts = list(responses) or [f"a response number {i}" for i in range(count)]
        found = [Answers(f"id{i}", f"do {i}", f"with {i}" * (i % 2), text, f"{text}.") for i, text in enumerate(texts)]
        answered = [Answered(pair, found, found) for pair in pairs]
        return RatingPage(browser, tmp_path / name, draw_sheet(answered, len(found), seed=3))

    return opened


def exported(page: RatingPage, downloads: Path, alias: str = "blue-heron") -> Path:
    """Press the download button and wait for the file."""
    path = downloads / f"rating_{alias}_{page.sheet.sha256[:8]}.json"
    path.unlink(missing_ok=True)
    page.find("download").send_keys(Keys.ENTER)
    for _ in range(100):
        if path.exists() and path.stat().st_size and not list(downloads.glob("*.crdownload")):
            return path
        time.sleep(0.1)
    raise AssertionError(f"no {path.name} among {sorted(downloads.iterdir())}")


# --- rating ---------------------------------------------------------------------------------------------------


def test_rating_by_keyboard_survives_a_reload_and_is_scored(
    open_page: Callable[..., RatingPage], downloads: Path, tmp_path: Path
) -> None:
    page = open_page(count=3, pairs=(STAGES, ARMS))
    items = [item["item"] for item in page.sheet.items]
    choices = ["left", "right", "similar", "right", "left", "right"]
    page.begin()
    assert page.text("position") == "Prompt 1 of 6"
    page.rate(choices[:3])
    page.press("1", "2", KEY_OF[choices[3]])
    assert page.text("progress-text") == "4 of 6 rated"

    page.open()
    assert page.section == "rate"
    assert page.text("position") == "Prompt 4 of 6"
    assert page.text("progress-text") == "4 of 6 rated"
    assert page.find("progress").get_attribute("value") == "4"
    assert page.pressed == [choices[3]]
    page.press(Keys.ARROW_LEFT)
    assert page.pressed == [choices[2]]
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.pressed == []
    page.rate(choices[4:])
    assert page.section == "finish"
    assert page.text("finish-title") == "All done, thank you"

    path = exported(page, downloads)
    rating = load_rating(path, page.sheet)
    assert rating.complete
    assert rating.alias == "blue-heron"
    assert rating.choices == dict(zip(items, choices, strict=True))
    content = read_json(path)
    assert content["consent"] is True
    assert content["started"] < content["finished"]

    shown, key = write_sheet(tmp_path, page.sheet)
    command = ["--items", str(shown), "--key", str(key), "--ratings", str(path)]
    command += ["--published", str(ROOT / "resources/paper/human_evaluation.yaml")]
    command += ["--summary", str(tmp_path / "summary.json"), "--tables", str(tmp_path / "tables")]
    assert score_human_eval.main(["--settings", '{"actor": "m", "labels": {"m": "M"}}', *command]) == 0
    for found in read_json(tmp_path / "summary.json")["pairs"]:
        name = f"m/{found['first']}-{found['second']}"
        own = [(item, choice) for item, choice in rating.choices.items() if page.sheet.sides[item]["pair"] == name]
        told = [page.sheet.sides[item].get(choice, "similar") for item, choice in own]
        assert len(told) == found["pooled"]["n"] == 3
        counted = {found["first"]: "first", "similar": "similar", found["second"]: "second"}
        assert {method: found["pooled"][verdict] for method, verdict in counted.items()} == {
            method: told.count(method) for method in counted
        }


def test_each_item_shows_its_own_texts(open_page: Callable[..., RatingPage]) -> None:
    page = open_page("first", "", "third")
    page.begin()
    for number, item in enumerate(page.sheet.items, start=1):
        assert page.text("position") == f"Prompt {number} of 3"
        assert page.text("instruction") == item["instruction"]
        assert page.text("left") == (item["left"] or "(empty response)")
        assert page.text("right") == (item["right"] or "(empty response)")
        assert page.find("input-block").is_displayed() == bool(item["input"])
        assert page.text("input") == item["input"]
        page.press(Keys.ARROW_RIGHT)


def test_raters_are_told_where_instructions_come_again(open_page: Callable[..., RatingPage]) -> None:
    assert not open_page(count=2).find("again").is_displayed()
    page = open_page(count=2, pairs=(STAGES, ARMS), name="two")
    assert page.find("again").is_displayed()
    assert page.text("count") == "4"


def test_nothing_begins_without_consent_and_alias(open_page: Callable[..., RatingPage]) -> None:
    page = open_page()
    page.find("alias").send_keys("my name", Keys.ENTER)
    assert page.section == "start"
    assert "without spaces" in page.text("alias-error")
    assert "tick the box" in page.text("consent-error")
    assert page.focused == "alias"
    assert page.find("alias").get_attribute("aria-invalid") == "true"
    page.find("alias").clear()
    page.find("alias").send_keys("heron", Keys.ENTER)
    assert page.section == "start"
    assert page.text("alias-error") == ""
    assert page.focused == "consent"
    page.press("1", Keys.ARROW_RIGHT)
    assert page.run("return localStorage.length") == 0
    page.press(Keys.SPACE, Keys.TAB, Keys.ENTER)
    assert page.section == "rate"


def test_incomplete_rating_can_be_exported_and_is_marked(open_page: Callable[..., RatingPage], downloads: Path) -> None:
    page = open_page()
    page.begin("왜가리")
    page.rate(["left", "right"])
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.text("finish-title") == "2 of 4 still to rate"
    rating = load_rating(exported(page, downloads, "왜가리"), page.sheet)
    assert not rating.complete
    assert list(rating.choices.values()) == ["left", "right"]
    page.find("back").send_keys(Keys.ENTER)
    assert page.text("position") == "Prompt 3 of 4"


def test_another_sheet_does_not_take_over_the_progress(open_page: Callable[..., RatingPage]) -> None:
    first = open_page("one", "two")
    first.begin()
    first.press("1")
    answers = [Answers("x", "do", "", "a", "b")]
    second_sheet = draw_sheet([Answered(STAGES, answers, answers)], 1, seed=3)
    path = Path(first.address.removeprefix("file://")).with_name("second.html")
    write_text(path, render_page(TEMPLATE, STYLE, SCRIPT, second_sheet))
    first.browser.get(path.as_uri())
    assert first.section == "start"
    first.open()
    assert first.text("progress-text") == "1 of 2 rated"


def test_erasing_asks_first_and_leaves_nothing(open_page: Callable[..., RatingPage]) -> None:
    page = open_page("one")
    page.begin()
    page.rate(["left"])
    page.find("erase").send_keys(Keys.ENTER)
    page.browser.switch_to.alert.dismiss()
    assert page.section == "finish"
    page.find("erase").send_keys(Keys.ENTER)
    page.browser.switch_to.alert.accept()
    assert page.section == "start"
    assert page.run("return localStorage.length") == 0


@pytest.mark.parametrize(
    "stored", ["{", "null", "3", '{"alias": "a b"}', '{"alias": "a", "started": "x", "choices": 3}']
)
def test_unusable_progress_starts_anew(open_page: Callable[..., RatingPage], stored: str) -> None:
    page = open_page()
    page.run("localStorage.setItem('human_eval:' + arguments[0], arguments[1])", page.sheet.sha256, stored)
    page.open()
    assert page.section == "start"
    page.begin()


def test_without_storage_the_page_warns_and_still_exports(
    open_page: Callable[..., RatingPage], downloads: Path
) -> None:
    page = open_page("one")
    assert not page.find("storage-warning").is_displayed()
    source = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied'); }});"
    added = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
    try:
        page.open()
        assert page.find("storage-warning").is_displayed()
        page.begin("heron")
        page.rate(["similar"])
        assert load_rating(exported(page, downloads, "heron"), page.sheet).complete
    finally:
        page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


# --- safety ---------------------------------------------------------------------------------------------------


def test_markup_of_a_model_shows_as_text_and_does_not_run(open_page: Callable[..., RatingPage]) -> None:
    page = open_page(*HOSTILE)
    page.begin()
    shown = set()
    for item in page.sheet.items:
        for side in ("left", "right"):
            assert page.text(side) == item[side]
            shown.add(item[side])
            assert page.run("return document.getElementById(arguments[0]).childElementCount", side) == 0
        page.press(Keys.ARROW_RIGHT)
    assert shown == {text for response in HOSTILE for text in (response, f"{response}.")}
    assert page.browser.title == "Which response is better?"
    assert page.run("return typeof window.ran") == "undefined"
    assert page.run("return document.querySelectorAll('img, svg, b, i').length") == 0
    assert page.run("return document.scripts.length") == 2
    assert page.browser.get_log("browser") == []


class Visits(BaseHTTPRequestHandler):
    """Answers everything and remembers who asked."""

    paths: list[str] = []

    def do_GET(self) -> None:  # noqa: N802 - the name http.server looks for
        self.paths.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def visited() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Visits)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Visits.paths.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


CALL_HOME = """
const [address, done] = arguments;
const image = new Promise((settle) => {
  const element = new Image();
  element.onload = element.onerror = () => settle();
  element.src = `${address}/image`;
});
const blocked = [];
document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
const text = fetch(`${address}/fetch`, { mode: "no-cors" }).then(() => "sent", () => "refused");
Promise.all([text, image]).then(([outcome]) => done([outcome, blocked.sort()]));
"""


def test_page_asks_the_network_for_nothing(open_page: Callable[..., RatingPage], downloads: Path) -> None:
    page = open_page()
    page.open()
    page.begin()
    page.rate(["left"] * 4)
    exported(page, downloads)
    requests = network_requests(page.browser)
    assert page.address in requests
    assert {request.split(":")[0] for request in requests} <= {"file", "blob"}
    assert page.browser.get_log("browser") == []


def test_policy_lets_no_code_call_home(open_page: Callable[..., RatingPage], visited: str, tmp_path: Path) -> None:
    page = open_page()
    assert page.browser.execute_async_script(CALL_HOME, visited) == ["refused", ["connect-src", "img-src"]]
    page.run("const s = document.createElement('style'); s.textContent = 'h1 {color: red}'; document.head.append(s)")
    assert page.run("return getComputedStyle(document.querySelector('h1')).color") != "rgb(255, 0, 0)"
    assert Visits.paths == []
    write_text(tmp_path / "open.html", "<!doctype html><title>no policy</title>")
    page.browser.get((tmp_path / "open.html").as_uri())
    assert page.browser.execute_async_script(CALL_HOME, visited) == ["sent", []]
    assert sorted(Visits.paths) == ["/fetch", "/image"]


# --- reading and reaching everything --------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "stacked"), [(1200, False), (390, True), (320, True)])
def test_responses_stand_side_by_side_or_stacked_and_nothing_overflows(
    open_page: Callable[..., RatingPage], width: int, stacked: bool
) -> None:
    page = open_page("word " * 300 + "unbroken" * 60)
    page.resize(width, 800)
    boxes = "return ['card-left', 'card-right'].map(id => document.getElementById(id).getBoundingClientRect().toJSON())"
    overflow = "return document.documentElement.scrollWidth - innerWidth"
    assert page.run(overflow) <= 0
    page.begin()
    left, right = page.run(boxes)
    if stacked:
        assert right["top"] >= left["bottom"]
        assert right["width"] == left["width"] > 0.85 * width
    else:
        assert right["left"] >= left["right"]
        assert right["top"] == left["top"]
        assert right["width"] == pytest.approx(left["width"], abs=1)
    assert page.run(overflow) <= 0
    bar = page.run("return document.querySelector('.bar').getBoundingClientRect().bottom")
    assert bar <= 800, "the buttons are out of sight above a long response"
    page.rate(["left"])
    assert page.run(overflow) <= 0


def test_tab_reaches_every_control_with_a_visible_focus(open_page: Callable[..., RatingPage]) -> None:
    page = open_page()
    page.begin()
    page.press("1", Keys.ARROW_RIGHT)
    page.run("document.querySelector('.keys').open = true")
    reached = []
    for _ in range(11):
        page.press(Keys.TAB)
        reached.append(page.focused or page.browser.switch_to.active_element.text)
        style = "const style = getComputedStyle(document.activeElement);"
        assert page.run(f"{style} return [style.outlineStyle, style.outlineWidth]") == ["solid", "3px"], reached
    assert reached == ["left", "similar", "right", "previous", "next", "1", "2", "3", "4", "Keys", "shortcuts"]
    page.find("rate").find_element(By.CSS_SELECTOR, "[data-choice=right]").send_keys(Keys.SPACE)
    assert page.pressed == ["right"]
    assert page.text("announcement") == "Prompt 2: B is better"


def test_keys_can_be_turned_off_and_leave_shortcuts_of_the_browser_alone(open_page: Callable[..., RatingPage]) -> None:
    page = open_page()
    page.begin()
    page.press(Keys.CONTROL + "1", Keys.ALT + Keys.ARROW_RIGHT)
    assert (page.pressed, page.text("position")) == ([], "Prompt 1 of 4")
    page.run("document.querySelector('.keys').open = true")
    page.find("shortcuts").send_keys(Keys.SPACE)
    page.press("1", Keys.ARROW_RIGHT)
    assert (page.pressed, page.text("position")) == ([], "Prompt 1 of 4")
    page.find("shortcuts").send_keys(Keys.SPACE)
    page.press("1", Keys.ARROW_RIGHT)
    assert page.text("position") == "Prompt 2 of 4"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_colour_schemes(open_page: Callable[..., RatingPage], scheme: str) -> None:
    page = open_page("", "one", "two")
    page.resize(1200, 900, scheme)
    grounds = []
    for step in ("start", "rate", "rated", "finish"):
        if step == "start":
            page.find("alias").send_keys(Keys.ENTER)
        elif step == "rate":
            page.open()
            page.begin()
            page.run("document.querySelector('.keys').open = true")
        elif step == "rated":
            page.press("1")
        else:
            page.rate(["left"] * 3)
        measured = page.run(CONTRASTS)
        assert len(measured) >= 6
        assert [text for text, contrast in measured if contrast < 4.5] == [], step
        grounds.append(page.run("return getComputedStyle(document.body).backgroundColor"))
    assert set(grounds) == {{"light": "rgb(244, 243, 239)", "dark": "rgb(20, 22, 27)"}[scheme]}


def test_every_control_has_a_name_and_the_page_a_language(open_page: Callable[..., RatingPage]) -> None:
    page = open_page()
    assert page.run("return document.documentElement.lang") == "en"
    assert page.find("alias").accessible_name == "Alias"
    assert page.find("consent").accessible_name.startswith("I take part of my own free will.")
    page.begin()
    page.run("document.querySelector('.keys').open = true")
    buttons = page.browser.find_elements(By.CSS_SELECTOR, "#rate button")
    assert [button.accessible_name for button in buttons] == [
        *("1 A is better", "2 Similar", "3 B is better", "← Previous", "Next →"),
        *(f"Prompt {i}, not rated yet" for i in (1, 2, 3, 4)),
    ]
    assert page.find("progress").accessible_name == "0 of 4 rated"
    assert [page.find(f"card-{side}").accessible_name for side in ("left", "right")] == ["Response A", "Response B"]
    assert page.browser.find_element(By.CLASS_NAME, "choices").accessible_name == "Which response is better?"
    assert page.find("shortcuts").accessible_name == "Number and arrow keys are on"
