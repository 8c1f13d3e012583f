"""The catalogue of one language: texts by key, numbers and times as they are written there."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from edge.errors import ConfigError

#: The language that every other one is held against.
DEFAULT_LANGUAGE = "en"


@dataclass(frozen=True)
class Catalogue:
    """Texts of one language.

    Attributes
    ----------
    language : ISO 639-1 code
    texts : text by ``section.key``
    """

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Give a text with its values filled in.

        Parameters
        ----------
        key : ``section.key`` in the file
        values : by the names in the text's braces

        Raises
        ------
        KeyError
            There is no such text, or a value that it needs was not given.

        Examples
        --------
        >>> catalogue("en")("class.blast"), catalogue("id")("class.blast")
        ('blast', 'blas')
        """
        return self.texts[key].format_map(values)

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self.texts

    def number(self, value: float, digits: int = 0) -> str:
        """Write a number with the language's decimal mark.

        Examples
        --------
        >>> catalogue("en").number(14.66, 1), catalogue("id").number(14.66, 1)
        ('14.7', '14,7')
        """
        return f"{value:.{digits}f}".replace(".", self.texts["format.decimal"])

    def percent(self, share: float, digits: int = 1) -> str:
        """Write a share of 1 as a percentage.

        Examples
        --------
        >>> catalogue("id").percent(0.1466)
        '14,7 %'
        """
        return f"{self.number(100.0 * share, digits)} %"

    def local_moment(self, at: datetime) -> str:
        """Write a time to the minute in the zone of this machine, with the zone's name.

        Whoever reads a sheet compares it with the clock on the wall; the log itself holds UTC.
        """
        return self.moment(at.astimezone())

    def moment(self, at: datetime) -> str:
        """Write a time to the minute, in the zone that it carries, always with the zone's name.

        Examples
        --------
        >>> from datetime import UTC
        >>> catalogue("id").moment(datetime(2026, 5, 3, 7, 8, tzinfo=UTC))
        '3 Mei 2026 07.08 UTC'
        """
        return self(
            "format.moment",
            day=at.day,
            month=self._month(at),
            year=at.year,
            hour=f"{at.hour:02}",
            minute=f"{at.minute:02}",
            zone=at.tzname() or "",
        ).rstrip()

    def local_day(self, at: datetime) -> str:
        """Write the day of a time in the zone of this machine, as ``3 May 2026``."""
        local = at.astimezone()
        return self("format.date", day=local.day, month=self._month(local), year=local.year)

    def _month(self, at: datetime) -> str:
        return self.texts["format.months"].split()[at.month - 1]


@cache
def languages() -> Mapping[str, str]:
    """Languages that there is a catalogue for: name in the language itself by code, English first.

    Examples
    --------
    >>> dict(languages())
    {'en': 'English', 'id': 'Bahasa Indonesia'}
    """
    codes = sorted(
        resource.name.removesuffix(".toml")
        for resource in files("edge.i18n").iterdir()
        if resource.name.endswith(".toml")
    )
    codes.sort(key=lambda code: code != DEFAULT_LANGUAGE)
    return MappingProxyType({code: catalogue(code)("format.language") for code in codes})


@cache
def catalogue(language: str = DEFAULT_LANGUAGE) -> Catalogue:
    """Read the catalogue of a language.

    Raises
    ------
    ConfigError
        There is none.
    """
    resource = files("edge.i18n") / f"{language}.toml"
    # The code becomes a file name: only letters.
    if not (language.isascii() and language.isalpha() and resource.is_file()):
        raise ConfigError(f"no language {language!r}; there are {', '.join(languages())}")
    sections = tomllib.loads(resource.read_text(encoding="utf-8"))
    texts = {f"{section}.{key}": text for section, keys in sections.items() for key, text in keys.items()}
    return Catalogue(language, MappingProxyType(texts))
