"""Pictures of a finished report for docs/: its first screen with Table 3, and the page on a phone in the dark.

python tools/picture_report.py results/demo/report/report.html    # needs Chromium and its driver

Another page, or another folder, for looking at: python tools/picture_report.py PAGE --output FOLDER
"""

import argparse
import base64
import shutil
import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).resolve().parents[1]
# Where the wide picture begins and ends: the overview and Table 3.
FIRST, LAST = "nav", "#table3 .scroll"
PHONE_HEIGHT = 1900
EDGES = """
const [first, last] = [...arguments].map((one) => document.querySelector(one).getBoundingClientRect());
return [first.top, last.bottom];
"""


def open_browser() -> webdriver.Chrome:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        sys.exit("error: no browser\n  where: `chromium` and `chromedriver` on PATH\n  what to do: install both")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    return webdriver.Chrome(options, Service(driver))


def show(browser: webdriver.Chrome, page: Path, width: int, height: int, scheme: str) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(page.resolve().as_uri())


def picture(browser: webdriver.Chrome, *, top: float, bottom: float, width: int) -> bytes:
    clip = {"x": 0, "y": top, "width": width, "height": bottom - top, "scale": 1}
    options = {"format": "png", "clip": clip, "captureBeyondViewport": True}
    return base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", options)["data"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="report.html of a finished run")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="folder for the pictures (docs)")
    arguments = parser.parse_args()
    browser = open_browser()
    try:
        show(browser, arguments.page, 1280, height=900, scheme="light")
        top, bottom = browser.execute_script(EDGES, FIRST, LAST)
        wide = picture(browser, top=top, bottom=bottom + 8, width=1280)
        show(browser, arguments.page, 390, height=PHONE_HEIGHT, scheme="dark")
        phone = picture(browser, top=0, bottom=PHONE_HEIGHT, width=390)
    finally:
        browser.quit()
    for name, content in (("report_wide", wide), ("report_phone", phone)):
        (arguments.output / f"{name}.png").write_bytes(content)
        print(arguments.output / f"{name}.png")


if __name__ == "__main__":
    main()
