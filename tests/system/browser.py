"""A Chromium without a screen, and what a person does in it on the review page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of

#: Chromium without a screen, and without its own talk to the world.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip

#: The rules of an accessibility checker, of https://github.com/dequelabs/axe-core, and what runs them.
AXE = "axe-core@4.14.1"
RUN_AXE = """
const done = arguments[0];
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => done(violations
  .filter(({impact}) => ["serious", "critical"].includes(impact))
  .map(({id, nodes}) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`)));
"""


def wait_for(condition: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while True:
        with suppress(StaleElementReferenceException):  # the page has just replaced what it shows
            if found := condition():
                return found
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


class Chrome(webdriver.Chrome):
    """A browser whose page is there, and all of it, when it was asked for."""

    def get(self, url: str) -> None:
        """Open an address; the driver returns early now and then, with a page that is still being read."""
        self.execute_script("window.left = true")
        super().get(url)
        arrived = "return !window.left && document.readyState === 'complete'"
        wait_for(lambda: self.execute_script(arrived))


def text_of(chrome: Chrome) -> str:
    return chrome.find_element(By.TAG_NAME, "main").text


def says_who(chrome: Chrome, name: str, *, blind: bool = False) -> None:
    chrome.find_element(By.NAME, "observer").send_keys(name)
    if blind:
        chrome.find_element(By.NAME, "hide_program").click()
    chrome.find_element(By.CSS_SELECTOR, "form.observer button").click()


def turn_hiding(chrome: Chrome) -> None:
    """Hide what the program says from who has a name already, or show it again."""
    chrome.find_element(By.CSS_SELECTOR, ".who summary").click()
    chrome.find_element(By.NAME, "hide_program").click()
    sent = chrome.find_element(By.CSS_SELECTOR, "form.observer button")
    sent.click()
    # What is asked for before the answer comes, the answer would take the place of.
    wait_for(lambda: staleness_of(sent)(chrome))


def press(chrome: Chrome, *keys: str) -> None:
    """Press keys one after the other, wherever the focus is."""
    for key in keys:
        chrome.switch_to.active_element.send_keys(key)


def saying(chrome: Chrome) -> str:
    return chrome.find_element(By.ID, "saying").text


def complaints(chrome: Chrome) -> list[str]:
    return [
        entry["message"] for entry in chrome.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]


def wide_by(chrome: Chrome) -> int:
    """By how many px a page has to be scrolled sideways."""
    root = "document.documentElement"
    return int(chrome.execute_script(f"return {root}.scrollWidth - {root}.clientWidth"))


def keeps(chrome: Chrome, name: str) -> None:
    """Leave what is seen in the folder that ``BLASTCOUNT_PICTURES`` names, where it names one."""
    if folder := os.environ.get("BLASTCOUNT_PICTURES"):
        chrome.save_screenshot(str(Path(folder) / f"{name}.png"))


def read_the_rest(chrome: Chrome, sample: str, word: str) -> None:
    """Go through all cells with the arrow and one key each."""
    chrome.get(f"{sample}/cells?show=unread&size=5000")
    while cards := chrome.find_elements(By.CSS_SELECTOR, ".cell"):
        for _ in cards:
            press(chrome, word)
        wait_for(lambda cards=cards: "read" in cards[-1].get_attribute("class"))
        chrome.get(f"{sample}/cells?show=unread&size=5000")


def sign_in(chrome: Chrome, address: str, name: str) -> None:
    chrome.get(f"{address}/login")
    chrome.find_element(By.NAME, "user").send_keys(name)
    chrome.find_element(By.NAME, "password").send_keys(f"password of {name}", Keys.ENTER)
    wait_for(lambda: chrome.find_elements(By.CSS_SELECTOR, ".who"))
    assert name in chrome.find_element(By.CSS_SELECTOR, ".who").text


def sign(chrome: Chrome, sample: str, name: str, meaning: str) -> None:
    chrome.get(f"{sample}/sign")
    chrome.find_element(By.CSS_SELECTOR, f"input[value={meaning}]").click()
    chrome.find_element(By.NAME, "password").send_keys(f"password of {name}", Keys.ENTER)
    wait_for(lambda: chrome.current_url == sample)


def opened(
    binary: str,
    driver: str,
    profile: Path,
    *further: str,
    width: int = 1280,
    height: int = 900,
    language: str = "en",
    script: bool = True,
) -> Chrome:
    """Open a browser with a window of some size; its profile is a folder: nobody else's cookies."""
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in (*OPTIONS, *further, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(option)
    preferences: dict[str, Any] = {"intl.accept_languages": language}
    if not script:
        preferences["profile.managed_default_content_settings.javascript"] = 2
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    return chrome
