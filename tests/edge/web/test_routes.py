"""Whatever is sent to whatever route: an answer, never a failure, and never a row that should not be."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.routing import Rule

from edge.results.reading import WORDS
from edge.structures import CellRef
from edge.web.setup import Setup
from tests.edge.web.conftest import Browser, Clinic

#: Names of all fields of all forms, and some of none.
FIELDS = (
    *("name", "specimen", "quota", "sure", "word", "refs", "last", "observer", "hide_program"),
    *("language", "theme", "next", "token", "csrf_token", "x"),
)
VALUES = (
    *("", "1", "-1", "1-1-blast", "1-1-normal", "1-2-smudge", "2-3-not_a_cell", "1-1 1-2", "99-99", "200"),
    *(
        "blood",
        "marrow",
        "id",
        "dark",
        "Ani",
        "/",
        "//evil.example",
        "\x00",
        "%00",
        "../../etc/passwd",
        "1e9",
    ),
    *("NaN", "９", "1" * 400),
)
values = st.sampled_from(VALUES) | st.text(max_size=40)
forms = st.dictionaries(st.sampled_from(FIELDS), values | st.lists(values, max_size=3), max_size=5)
queries = st.dictionaries(st.sampled_from(("show", "page", "size", "next", "n")), values, max_size=3)
numbers = st.sampled_from(
    ("0", "1", "2", "3", "-1", "1.0", "x", "%00", "..", "1" * 30, "١")
) | st.integers().map(str)
REFS = [CellRef(1, 1), CellRef(1, 2), CellRef(1, 4), CellRef(2, 5)]
#: Answers that say what was wrong. 500 would be a failure of ours; 502 and 503 need a broken daemon or log.
EXPECTED = {200, 302, 308, 400, 401, 403, 404, 405, 409, 413, 428, 429, 502}


@pytest.fixture(scope="module")
def place(small_log: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Clinic, Browser]:
    """A clinic and an observer in it, shared by all examples: rows may gather, nothing may break."""
    folder = tmp_path_factory.mktemp("routes")
    shutil.copytree(small_log, folder, dirs_exist_ok=True)
    clinic = Clinic(Setup(log_path=folder / "blood.db"))
    browser = Browser(clinic).says_who("Ani")
    browser.get("/")
    return clinic, browser


def rules_of(browser: Browser) -> list[Rule]:
    return [rule for rule in browser.client.application.url_map.iter_rules() if rule.endpoint != "static"]


@given(data=st.data())
@settings(max_examples=200)
def test_every_route_answers_anything(place: tuple[Clinic, Browser], data: st.DataObject) -> None:
    clinic, browser = place
    rule = data.draw(st.sampled_from(rules_of(browser)))
    path = re.sub(r"<[^>]+>", lambda _: data.draw(numbers), rule.rule)
    method = data.draw(st.sampled_from(("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")))
    headers = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "Accept": st.sampled_from(("application/json", "text/html", "*/*", "", ";;;q=x")),
                "Accept-Language": st.sampled_from(("id", "en;q=2", "*", "x" * 50, "")),
                "Origin": st.sampled_from(("http://localhost", "http://evil.example", "null")),
                "Content-Type": st.sampled_from(
                    (
                        "application/json",
                        "multipart/form-data",
                        "text/plain",
                        "multipart/form-data; boundary=x",
                    )
                ),
                "Cookie": st.sampled_from(("blastcount=x", "blastcount=", "a=b; blastcount=eyJ9.x.y")),
            },
        )
    )
    form = data.draw(forms)
    if data.draw(st.booleans()):
        form = {"csrf_token": browser.token, **form}
    before, cookie = clinic.words(), browser.cookie
    answer = browser.client.open(
        path, method=method, data=form, headers=headers, query_string=data.draw(queries), buffered=True
    )
    assert answer.status_code in EXPECTED, (method, path, form)
    assert b"Traceback" not in answer.data
    assert "Content-Security-Policy" in answer.headers
    if answer.status_code == 302:
        assert re.match(r"/(?!/)", answer.location)
    after = clinic.words()
    assert after[: len(before)] == before
    if len(after) > len(before):
        assert method == "POST"
        assert headers.get("Origin") == "http://localhost"
    browser.client.set_cookie("blastcount", cookie)  # as if nobody had left


@given(data=st.data())
@settings(max_examples=10)
def test_what_the_log_holds_is_what_was_last_said(place: tuple[Clinic, Browser], data: st.DataObject) -> None:
    """Words, agreements and undos in any order, against a plain model of them."""
    clinic, browser = place
    steps = data.draw(
        st.lists(
            st.tuples(st.sampled_from(REFS), st.sampled_from(WORDS)) | st.none(), min_size=1, max_size=12
        )
    )
    for step in steps:
        page = browser.get("/samples/1/cells?size=5000").text
        last = re.search(r'name="last" value="([0-9]*)"', page)
        assert last is not None
        before = clinic.words()
        if step is None:
            answer = browser.script("/samples/1/undo", {"last": last[1]})
            assert answer.status_code == (200 if last[1] else 409)
            assert len(clinic.words()) == len(before) + bool(last[1])
        else:
            ref, word = step
            own = {cell: label for cell, label, who in before if who == "Ani"}
            answer = browser.say(f"{ref.field_id}-{ref.cell_id}-{word}")
            assert answer.status_code == 200
            assert answer.json["word"] == word
            added = clinic.words()[len(before) :]
            assert added == ([] if own.get(ref) == word else [(ref, word, "Ani")])
