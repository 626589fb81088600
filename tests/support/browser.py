"""A headless Chromium, what hostile models may write, and how far text stands out."""

import json
import os
import shutil

import pytest
from selenium import webdriver

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = (
    "<script>document.title = 'run'; window.ran = 1</script>",
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'> <svg onload='window.ran = 1'>",
    "<!--<script> <b>bold</b> &amp; &lt;i&gt;",
    "  two  spaces\n\n\ttab, \u2028 and \u202e turned",
)


def programs() -> tuple[str, str]:
    """Chromium and its driver; without them the tests are skipped, or fail where they are required."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium and driver:
        return chromium, driver
    told = "the rating page is not tested: it needs the programs `chromium` and `chromedriver` on PATH"
    if os.environ.get("REQUIRE_CHROMIUM") == "1":
        pytest.fail(f"{told}, and REQUIRE_CHROMIUM=1 is set")
    pytest.skip(told)


def network_requests(browser: webdriver.Chrome) -> list[str]:
    """Addresses the page has asked for since the log was last read."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


CONTRASTS = """
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => channels(color).slice(0, 3)
  .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if ((channels(color)[3] ?? 1) > 0) return color;
  }
  return "rgb(255, 255, 255)";
};
const texts = [...document.querySelectorAll("body *")].filter((e) => e.offsetParent && !e.closest(":disabled")
  && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
return texts.map((e) => {
  const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
  return [e.textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)];
});
"""
