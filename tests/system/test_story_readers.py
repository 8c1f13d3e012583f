"""People who differ, on the installed service: two readers, a supervisor who settles, a third reader.

A Debian booted by systemd-nspawn with the service as install.sh leaves it, its page behind nginx by HTTPS;
the people are Chromium on the other end of a cable. Where ``BLASTCOUNT_PICTURES`` names a folder, screenshots
and sheets are left there, to be looked at.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge.bloodlog import BloodLog, Review
from tests.system.machine import Machine, booted, cable
from tests.system.pages import blocks, commands

pytest.importorskip("selenium")
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from tests.system import browser
from tests.system.browser import complaints, press, saying, text_of, turn_hiding, wait_for

if TYPE_CHECKING:
    from tests.system.browser import Chrome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

DOCS = Path(__file__).resolve().parents[2] / "docs"
ADDRESS = "https://lab.example/blast"
CONFIG = """[camera]
source = "rendered"
width = 1200
height = 900
interval_s = 0.5
[review]
public_url = "https://lab.example/blast/"
token_file = "/etc/blastcount/review.token"
"""
PEOPLE = {"Ani": "reader", "Budi": "reader", "Citra": "supervisor", "Dian": "reader"}
QUOTA = 100
#: Cells that one reader calls blasts, beside one of each.
BLASTS = 3
SIGNED_EN, SIGNED_ID = "signed with name and password", "ditandatangani dengan nama dan kata sandi"
#: Nobody else's word, whoever signs the form.
IN_ANOTHERS_NAME = """
const done = arguments[0], token = document.querySelector('input[name=csrf_token]').value;
const ref = document.querySelector('.cell').dataset.ref;
const sent = {word: `${ref}-smudge`, observer: 'Budi', csrf_token: token};
fetch(document.querySelector('form.gallery').action, {method: 'POST', headers: {Accept: 'application/json'},
  body: new URLSearchParams(sent)}).then(reply => reply.json()).then(done)
"""
#: The same request as a click on a link, which would only put a file into a folder.
FETCH = """
const [address, done] = arguments;
fetch(address).then(async reply => {
  const bytes = new Uint8Array(await reply.arrayBuffer());
  done([reply.status, btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''))]);
})
"""


@pytest.fixture(scope="module")
def machine(
    installed: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Machine, str]]:
    """The machine, and the address that it has on the cable."""
    root = installed(tmp_path_factory.mktemp("readers") / "root", "nginx-light", "openssl")
    (site,) = blocks(DOCS / "review.md", "nginx")
    (root / "etc/nginx/sites-enabled/lab.example").write_text(site)
    (root / "etc/blastcount/blastcount.toml").write_text(CONFIG)
    with booted(root) as on, cable(on) as address:
        on.run("blastcount", "review", "--new-token", "/etc/blastcount/review.token")
        for name, role in PEOPLE.items():
            add = f"echo 'password of {name}' | blastcount user add {name} --role {role}"
            on.run("runuser", "-u", "blastcount", "--", "sh", "-c", f"PATH=/usr/local/bin:$PATH; {add}")
        (key,) = (line for line in commands(DOCS / "review.md") if line.startswith("openssl req"))
        on.run("sh", "-c", f"{key} && systemctl restart nginx && systemctl enable --now blastcount-review")
        asked = (
            "/opt/blastcount/bin/python",
            "-c",
            "import socket; socket.create_connection(('127.1', 8321))",
        )
        on.wait(lambda: on.done(*asked).returncode == 0, "the page")
        yield on, address


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots and sheets are left."""
    folder = Path(os.environ.get("BLASTCOUNT_PICTURES") or tmp_path / "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def shoot(chrome: Chrome, path: Path) -> None:
    """Take a picture of a whole page, in a window as long as that: what is out of sight is not drawn."""
    width, height = chrome.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
    window = {"width": width, "deviceScaleFactor": 1, "mobile": False}
    before = chrome.execute_script("return innerHeight")
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**window, "height": min(height, 8000)})
    seen = (
        "return [...document.images].filter(one => one.getBoundingClientRect().top < innerHeight)"
        ".every(one => one.complete && one.naturalWidth)"
    )
    wait_for(lambda: chrome.execute_script(seen))
    path.write_bytes(chrome.get_screenshot_as_png())
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**window, "height": before})


def fetched(chrome: Chrome, path: str) -> bytes:
    """Get a file of the page, as the one who has signed in."""
    status, content = chrome.execute_async_script(FETCH, f"/blast{path}")
    assert status == 200, content
    return base64.b64decode(content)


def status_of(chrome: Chrome, sample: str) -> str:
    """What a sample's report is in a hospital's system."""
    bundle: dict[str, Any] = json.loads(fetched(chrome, f"{sample}/fhir.json"))
    resources = [entry["resource"] for entry in bundle["entry"]]
    (report,) = (one for one in resources if one["resourceType"] == "DiagnosticReport")
    return str(report["status"])


@pytest.mark.parametrize(
    ("name", "size"),
    [("S-0142", {"width": 1280, "height": 900}), ("S-0143", {"width": 360, "height": 780})],
    ids=["desktop", "phone"],
)
def test_readers_differ_and_a_supervisor_settles_and_signs(
    machine: tuple[Machine, str],
    browse: Callable[..., Chrome],
    pictures: Path,
    name: str,
    size: dict[str, int],
) -> None:
    """The page is started again in the middle; one reader hides the program, on a phone, in Indonesian."""
    on, at = machine

    def person(who: str, **settings: Any) -> Chrome:
        trusting = (f"--host-resolver-rules=MAP lab.example {at}", "--ignore-certificate-errors")
        chrome = browse(*trusting, **{**size, **settings})
        browser.sign_in(chrome, ADDRESS, who)
        return chrome

    def picture(chrome: Chrome, what: str) -> None:
        shoot(chrome, pictures / f"{name}-{what}.png")

    # A supervisor opens a sample; the service counts it up to its quota.
    citra = person("Citra")
    citra.find_element(By.NAME, "name").send_keys(name)
    Select(citra.find_element(By.NAME, "quota")).select_by_visible_text(str(QUOTA))
    citra.find_element(By.CSS_SELECTOR, "form.stack button.main").click()
    wait_for(lambda: "quota reached" in text_of(citra).lower(), 1200.0)
    picture(citra, "live")
    citra.get(ADDRESS)
    citra.find_element(By.XPATH, f"//button[text()='Close {name}']").click()
    wait_for(lambda: "by Citra (supervisor)" in text_of(citra))
    (number,) = re.findall(r"/samples/(\d+)", citra.current_url)
    sample, page = f"/samples/{number}", f"{ADDRESS}/samples/{number}"

    def reviews() -> list[Review]:
        with BloodLog.open(on.root / "var/lib/blastcount/blastcount.db", read_only=True) as log:
            return list(log.reviews(int(number)))

    assert status_of(citra, sample) == "preliminary"

    # Two read, one with the program's words hidden.
    ani, budi = person("Ani"), person("Budi", width=360, height=780, language="id")
    turn_hiding(budi)
    for chrome in (ani, budi):
        chrome.get(f"{page}/cells")
        press(chrome, "b")
        wait_for(lambda chrome=chrome: saying(chrome))
    picture(ani, "cells")
    picture(budi, "cells-hidden")

    # The page is started again: what was said is kept, nobody is let in unasked, what is pressed now is said
    # not to be kept.
    on.run("systemctl", "restart", "blastcount-review")
    press(ani, "n")
    wait_for(lambda: "Your session has ended" in saying(ani))
    assert len(reviews()) == 2
    for chrome, who in ((ani, "Ani"), (budi, "Budi"), (citra, "Citra")):
        browser.sign_in(chrome, ADDRESS, who)
    budi.get(f"{page}/cells")
    assert budi.find_elements(By.CSS_SELECTOR, ".chip.uncertain, svg.interval") == []
    budi.get(f"{page}/report")  # would tell both
    assert "S-0" not in budi.find_element(By.TAG_NAME, "body").text
    browser.read_the_rest(ani, page, "n")
    budi.get(f"{page}/cells?show=unread")
    press(budi, *"b" * BLASTS)
    wait_for(lambda: sum(word.observer == "Budi" for word in reviews()) == 1 + BLASTS)
    browser.read_the_rest(budi, page, "n")

    # They differ; a reader cannot give way any more, nor speak for the other.
    ani.get(f"{page}/observers")
    (differing,) = re.findall(r"Cells to settle: (\d+)", text_of(ani))
    assert BLASTS <= int(differing) <= BLASTS + 2  # all of Budi's and Ani's one, or the same one of both
    assert ani.find_elements(By.CSS_SELECTOR, "main button[name=word]") == []
    picture(ani, "differing")
    ani.get(page)
    assert "Readers differ: Ani" in text_of(ani)
    ani.get(f"{page}/cells")
    assert ani.execute_async_script(IN_ANOTHERS_NAME)["reason"] == "other_name"
    told = on.run("journalctl", "-u", "blastcount-review", "--no-pager", "-o", "cat")
    assert "refused Ani at 10." in told
    assert "a form in another's name" in told

    # The supervisor settles each with its picture, and signs; so does who counted.
    citra.get(f"{page}/observers")
    picture(citra, "to-settle")
    undecided = "[aria-labelledby=differing] .words button"
    while buttons := citra.find_elements(By.CSS_SELECTOR, undecided):
        left = len(buttons)
        assert citra.find_elements(By.CSS_SELECTOR, "[aria-labelledby=differing] .cell img")
        buttons[1].click()
        wait_for(lambda left=left: len(citra.find_elements(By.CSS_SELECTOR, undecided)) < left)
    picture(citra, "settled")
    assert status_of(citra, sample) == "preliminary"
    browser.sign(citra, page, "Citra", "checked")
    budi.get(f"{page}/sign")
    assert budi.find_elements(By.NAME, "password") == []  # who hides the program signs for nothing of it
    browser.sign(ani, page, "Ani", "counted")
    assert status_of(citra, sample) == "final"
    picture(citra, "result")
    budi.get(page)
    turn_hiding(budi)
    for reader, language, words in (
        (
            ani,
            "en",
            ("Ani (reader), ", "Citra (supervisor), ", "signed with name and password", "Citra settled"),
        ),
        (budi, "id", ("Ani (pengamat), ", "Citra (penyelia), ", SIGNED_ID)),
    ):
        reader.get(f"{page}/report")
        sheet = reader.find_element(By.TAG_NAME, "body").text
        assert [one for one in words if one not in sheet] == []
        picture(reader, f"sheet-{language}")
        reader.get(page)
        pdf = pictures / f"{name}-{language}.pdf"
        pdf.write_bytes(fetched(reader, f"{sample}/report.pdf"))
        if shutil.which("pdftotext"):
            said = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout
            said = " ".join(said.split())
            assert [one for one in (name, *words) if one.strip() not in said] == []

    # A third reader comes after that, and what was signed is no longer what stands there.
    dian = person("Dian")
    browser.read_the_rest(dian, page, "n")
    dian.get(f"{page}/report")
    assert "Changed after it was signed" in dian.find_element(By.TAG_NAME, "body").text
    picture(dian, "sheet-changed")
    dian.get(f"{page}/observers")
    assert "Dian" in text_of(dian)
    picture(dian, "three")
    assert status_of(dian, sample) != "final"
    for part in ("fields", "map"):
        dian.get(f"{page}/{part}")
        picture(dian, part)
    said = [line for chrome in (citra, budi, dian) for line in complaints(chrome)]
    assert [line for line in said if "status of 423" not in line] == []  # what was hidden from Budi

    # Nothing is lost: every key of everybody is there, under the name of who pressed it.
    said = {who: [word.label for word in reviews() if word.observer == who] for who in PEOPLE}
    counted = len(said["Dian"])
    assert counted >= QUOTA
    assert said == {
        "Ani": ["blast", *["normal"] * (counted - 1)],
        "Budi": ["blast"] * (1 + BLASTS) + ["normal"] * (counted - 1 - BLASTS),
        "Citra": [],
        "Dian": ["normal"] * counted,
    }
    on.run("runuser", "-u", "blastcount", "--", "/usr/local/bin/blastcount", "log", "verify")
    with BloodLog.open(on.root / "var/lib/blastcount/blastcount.db", read_only=True) as log:
        assert [(one.who, one.meaning) for one in log.signatures(int(number))] == [
            ("Citra", "checked"),
            ("Ani", "counted"),
        ]
        assert {review.role for review in log.reviews(int(number))} == {"reader"}
