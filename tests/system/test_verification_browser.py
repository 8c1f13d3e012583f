"""A verification from the drawing to the sheet: real counts of drawn fields, two readers in Chromium.

One reads on a desk in English, the other on a phone in Indonesian; both know the truth, since the fields are
drawn. Where ``BLASTCOUNT_PICTURES`` names a folder, what they saw is left there.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.bloodlog import BloodLog
from edge.structures import CellRef

pytest.importorskip("selenium")
from selenium.webdriver.common.by import By

from tests.edge.commands.invoking import blastcount
from tests.system import browser
from tests.system.browser import complaints, keeps, press, saying, says_who, text_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SAMPLES, CELLS = 6, 120
#: Keys of the page by what a drawn cell is.
KEYS = {"blast": "b", "smudge": "s", "platelet": "x", "red_cell": "x"}


class Machine:
    """The commands as a person types them, with one log."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.log_path = folder / "blood.db"
        (folder / "blastcount.toml").write_text(
            f'[log]\npath = "{self.log_path}"\n[site]\nmicroscope = "Bench 2"\nstain = "Wright-Giemsa"\n'
        )
        self._repository = str(repository)

    def types(self, *words: str, code: int = 0) -> str:
        done = blastcount(*words)
        assert done.exit_code == code, (words, done.output)
        return done.output

    def serves(self) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", "review", "--port", "0"],
            env={**os.environ, "PYTHONPATH": self._repository}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        line = next(line for line in process.stderr if "http://" in line)
        return process, line[line.index("http://") :].split()[0].rstrip("/")

    def truth(self) -> dict[CellRef, str]:
        """What each drawn cell is, by the file beside its picture."""
        truth = {}
        with BloodLog.open(self.log_path, read_only=True) as log:
            current = log.current_verification()
            assert current is not None
            for one in log.drawn_cells(current.id):
                logged = log.field(one.cell.field_id)
                assert logged is not None
                found = next(c.cell for c in logged.result.cells if c.cell.id == one.cell.cell_id)
                drawn = json.loads(Path(logged.result.source).with_suffix(".truth.json").read_text())["cells"]
                near = min(drawn, key=lambda cell: math.dist((cell["x"], cell["y"]), (found.x, found.y)))
                truth[one.cell] = near["kind"]
        return truth


@pytest.fixture
def machine(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path, repository)
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(tmp_path / "blastcount.toml"))
    monkeypatch.chdir(tmp_path)
    for number in range(1, SAMPLES + 1):
        made.types("sample", "open", "--id", f"S-{number}")
        made.types("count", "--sample", f"S-{number}", str(repository / "edge" / "samples"))
        made.types("sample", "close", f"S-{number}")
    return made


@pytest.fixture
def browsers(tmp_path: Path) -> Iterator[list[browser.Chrome]]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    opened = [
        browser.opened(binary, driver, tmp_path / "desk", width=1280, height=900, language="en"),
        browser.opened(binary, driver, tmp_path / "phone", width=390, height=800, language="id"),
    ]
    yield opened
    for one in opened:
        one.quit()


def gives_sign(chrome: browser.Chrome, address: str, name: str) -> None:
    chrome.get(address)
    says_who(chrome, name)
    wait_for(lambda: name in chrome.find_element(By.CSS_SELECTOR, ".who span").text)


def reads(chrome: browser.Chrome, address: str, truth: dict[CellRef, str], slip: str | None = None) -> int:
    """Go through the pages of cells that the reader is shown, by keys; the first one is called a slip."""
    read, page = 0, 1
    while True:
        chrome.get(f"{address}&page={page}")
        cards = chrome.find_elements(By.CSS_SELECTOR, ".cell")
        chrome.execute_script("arguments[0].focus()", cards[0])
        for card in cards:
            field_id, cell_id = card.get_attribute("data-ref").split("-")
            is_it = KEYS.get(truth[CellRef(int(field_id), int(cell_id))], "n")
            press(chrome, slip if slip and not read else is_it)
            read += 1
        wait_for(lambda cards=cards: all("read" in card.get_attribute("class") for card in cards), 300.0)
        if not chrome.find_elements(By.CSS_SELECTOR, "[rel=next]"):
            return read
        page += 1


def test_the_afternoon(machine: Machine, browsers: list[browser.Chrome], tmp_path: Path) -> None:
    desk, phone = browsers
    before = machine.types("sample", "show", "S-1")
    assert "Never verified here." in before
    process, address = machine.serves()
    try:
        desk.get(f"{address}/verification")
        assert "blastcount verify open" in text_of(desk)
        drawn = machine.types("verify", "open", "--cells", str(CELLS), "--seed", "1", "--who", "AK")
        assert "cells of 6 samples drawn" in drawn
        truth = machine.truth()

        gives_sign(desk, address, "Ani")
        desk.find_element(By.LINK_TEXT, "Verification").click()
        wait_for(lambda: "is not shown" in text_of(desk))
        keeps(desk, "verification-desk")
        cells = desk.find_element(By.CSS_SELECTOR, "form.gallery").text
        assert "%" not in cells
        assert reads(desk, f"{address}/verification?part=all", truth) == len(truth)
        press(desk, "u")
        wait_for(lambda: "taken back" in saying(desk))
        assert "have no word" in machine.types("verify", "close", code=4)
        desk.get(f"{address}/verification?part=left")
        assert len(desk.find_elements(By.CSS_SELECTOR, ".cell")) == 1
        reads(desk, f"{address}/verification?part=left", truth)

        gives_sign(phone, address, "Budi")
        phone.find_element(By.LINK_TEXT, "Verifikasi").click()
        wait_for(lambda: "tidak ditampilkan" in text_of(phone))
        keeps(phone, "verification-phone")
        assert phone.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]") == []
        twice = reads(phone, f"{address}/verification?part=twice", truth, slip="x")
        assert 30 <= twice <= 45
        (record,) = json.loads(machine.types("verify", "status", "--json"))
        assert record["readers"] == {"Ani": len(truth), "Budi": twice}

        closed = machine.types("verify", "close", "--who", "AK")
        assert "sensitivity" in closed
        for reader, tab, said, sheet in (
            (desk, "What was measured", "120", "measured here on"),
            (phone, "Yang telah diukur", "120", "diukur di sini pada"),
        ):
            reader.get(f"{address}/verification")
            assert tab in text_of(reader)
            keeps(reader, f"verification-closed-{reader is phone:d}")
            reader.get(f"{address}/samples/1/report")
            assert sheet in reader.find_element(By.TAG_NAME, "body").text
            assert said in reader.find_element(By.TAG_NAME, "body").text
            keeps(reader, f"verification-sheet-{reader is phone:d}")
            # Other machines' cables come and go beside this one; a picture is asked for again.
            assert [said for said in complaints(reader) if "ERR_NETWORK_CHANGED" not in said] == []
    finally:
        process.terminate()
        process.wait(30)
        if process.stderr is not None:
            process.stderr.close()

    assert "measured here on" in machine.types("sample", "show", "S-1")
    machine.types("verify", "report", "--pdf", "v.pdf", "--json", "v.json", "--language", "id")
    card: dict[str, Any] = json.loads((tmp_path / "v.json").read_text())
    assert card["between"]["n"] - card["between"]["agreed"] <= 1
    assert (tmp_path / "v.pdf").read_bytes().startswith(b"%PDF")
    # The whole line runs again on the kept pictures, and calls every cell as before.
    assert f"{len(truth)} cells are called as before, 0 otherwise" in machine.types("verify", "again")
