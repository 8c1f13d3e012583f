"""Every language says everything that English says, with the same values in it."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime

import pytest

from edge.errors import ConfigError
from edge.i18n import DEFAULT_LANGUAGE, Catalogue, catalogue, languages
from edge.quality import ADVICE, WARNINGS

OTHERS = [code for code in languages() if code != DEFAULT_LANGUAGE]


def names_in(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def differences(english: Catalogue, other: Catalogue) -> list[str]:
    """What a translator still has to do."""
    todo = [f"missing: {key}" for key in english.texts if key not in other.texts]
    todo += [f"unknown: {key}" for key in other.texts if key not in english.texts]
    for key in set(english.texts) & set(other.texts):
        if names_in(english.texts[key]) != names_in(other.texts[key]):
            todo.append(f"other names in braces: {key}")
    return todo


def test_there_are_english_and_indonesian() -> None:
    assert list(languages())[:2] == ["en", "id"]


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_is_translated(code: str) -> None:
    assert differences(catalogue(), catalogue(code)) == []


def test_a_missing_a_spare_and_an_unlike_text_would_be_noticed() -> None:
    english = Catalogue("en", {"a.b": "{n} cells", "a.c": "x"})
    other = Catalogue("xx", {"a.b": "{m} sel", "a.d": "y"})
    assert sorted(differences(english, other)) == [
        "missing: a.c",
        "other names in braces: a.b",
        "unknown: a.d",
    ]


@pytest.mark.parametrize("code", list(languages()))
def test_no_text_is_empty_or_has_a_stray_format(code: str) -> None:
    for key, text in catalogue(code).texts.items():
        assert text.strip(), key
        assert all(re.fullmatch(r"[a-z_]+", name or "") for name in names_in(text)), key


@pytest.mark.parametrize("code", list(languages()))
def test_there_are_twelve_months(code: str) -> None:
    assert len(catalogue(code)("format.months").split()) == 12


def test_texts_numbers_and_times() -> None:
    english = catalogue("en")
    assert english.moment(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2 January 2026, 03:04 UTC"
    assert english.percent(0.2) == "20.0 %"
    assert english.has("class.blast")
    assert not english.has("class.nothing")
    with pytest.raises(KeyError):
        english("class.nothing")


@pytest.mark.parametrize("language", ["xx", "", "../en", "en.toml", "e\x00n"])
def test_a_language_that_does_not_exist(language: str) -> None:
    with pytest.raises(ConfigError, match=r"no language .* there are en, id"):
        catalogue(language)


@pytest.mark.requirement(1)
@pytest.mark.parametrize("code", list(languages()))
def test_every_reason_and_every_warning_has_words_and_advice(code: str) -> None:
    names: dict[str, set[str]] = {}
    for key in catalogue(code).texts:
        section, _, name = key.partition(".")
        names.setdefault(section, set()).add(name)
    assert names["reason"] == names["advice"] == set(ADVICE)
    assert names["warning"] == names["warning_advice"] == set(WARNINGS)
