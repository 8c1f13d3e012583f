"""docs/review.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from edge.i18n import languages
from edge.web import access, gate, server
from edge.web.app import MAX_BODY_BYTES, Setup

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")
PLAIN = " ".join(PAGE.split())


def test_limits(tmp_path: Path) -> None:
    pages, pictures = gate.BURST / gate.PAGE_COST, gate.BURST / gate.FILE_COST
    page_rate, picture_rate = gate.TOKENS_PER_S / gate.PAGE_COST, gate.TOKENS_PER_S / gate.FILE_COST
    assert f"{pages:g} pages or {pictures:g} pictures at once" in PLAIN
    assert f"then {page_rate:g} pages or {picture_rate:g} pictures a second" in PLAIN
    tries = Setup(log_path=tmp_path / "x.db").tries
    assert f"{tries._burst:g} tries at the token at once, then one in {1 / tries._per_s:g} seconds" in PLAIN
    assert access.IDLE_S == 3600
    assert f"after an hour without use, {access.LONGEST_S / 3600:g} hours" in PLAIN
    assert f"at most {MAX_BODY_BYTES // 1024} kB" in PLAIN
    assert f"all of its {server._CONNECTIONS} connections" in PLAIN
    assert f"a password of at least {access.MIN_PASSWORD} characters" in PLAIN


def test_keys() -> None:
    script = (ROOT / "edge" / "web" / "static" / "review.js").read_text(encoding="utf-8")
    told = re.findall(r"^\| ([A-Z]) (?:or Enter )?\|", PAGE, re.MULTILINE)
    assert told == ["B", "N", "S", "X", "C", "U", "F"]
    for key in told:
        assert re.search(rf'\b{key.lower()}: "|=== "{key.lower()}"', script), key


def test_languages() -> None:
    assert list(languages().values()) == ["English", "Bahasa Indonesia"]
    assert "English and Indonesian are built in" in PLAIN
    for code in languages():
        assert (ROOT / "edge" / "i18n" / f"{code}.toml").is_file()


def test_the_default_address() -> None:
    from edge.config import ReviewConfig

    assert f"<http://{ReviewConfig().host}:{ReviewConfig().port}/>" in PAGE
