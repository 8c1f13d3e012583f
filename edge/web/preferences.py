"""What a browser has chosen: language, light or dark, and who is looking."""

from __future__ import annotations

import unicodedata

from flask import request, session
from werkzeug.exceptions import HTTPException

from edge.i18n import DEFAULT_LANGUAGE, Catalogue, catalogue, languages

THEMES = ("auto", "light", "dark")
#: A name or a short sign; what a signature field holds.
MAX_NAME = 40


def catalogue_of_request() -> Catalogue:
    """Texts in the chosen language, else in the first one that the browser asks for and that there is."""
    chosen = session.get("language")
    if chosen not in languages():
        chosen = request.accept_languages.best_match(list(languages()), DEFAULT_LANGUAGE)
    return catalogue(chosen)


def theme() -> str:
    """Choose ``light`` or ``dark``, or leave it to the device: ``auto``."""
    chosen = session.get("theme")
    return chosen if chosen in THEMES else THEMES[0]


def observer() -> str | None:
    """Name of who is looking, or None before somebody has given one."""
    name = session.get("observer")
    return name if isinstance(name, str) else None


def hides_program() -> bool:
    """Whether the observer wants to judge without knowing the program's word."""
    return session.get("hide_program") is True and observer() is not None


def observer_name(typed: str) -> str | None:
    """Clean a typed name; None where it cannot be one.

    Examples
    --------
    >>> observer_name("  dr.  Sari "), observer_name(" "), observer_name("x" * 41)
    ('dr. Sari', None, None)
    """
    # What a person cannot see must not make two names of one.
    name = " ".join(unicodedata.normalize("NFC", typed).split())
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        return None
    return name


def here() -> str:
    """Give the path to come back to, as the browser knows it: of this page, or of the page a form was on."""
    if request.method == "POST":
        try:
            return next_path(request.form.get("next"))
        except HTTPException:  # a form that cannot be read, of which the page that says so is made
            return next_path(None)
    return request.script_root + request.full_path.removesuffix("?")


def next_path(typed: str | None) -> str:
    """Give the path that a form names to go on to, if it is one of the page's; else the start page."""
    return local_path(typed or "", request.script_root)


def local_path(path: str, root: str = "") -> str:
    """Give a path to go on to, if it is one of this server's; else the start page.

    Parameters
    ----------
    path : what a browser sent
    root : folder that the page lies in behind a proxy, without the last slash

    Examples
    --------
    >>> local_path("/samples/3?show=doubt"), local_path("//evil.example/"), local_path("https://evil.example")
    ('/samples/3?show=doubt', '/', '/')
    >>> [local_path(path, "/blast") for path in ("/blast/live", "/blast//evil.example", "/live")]
    ['/blast/live', '/blast/', '/blast/']
    """
    # Browsers read a backslash as a slash, and drop tabs and line breaks.
    inside = path.startswith(f"{root}/") and not path.startswith(f"{root}//")
    return path if inside and "\\" not in path and path.isprintable() else f"{root}/"
