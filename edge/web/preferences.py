"""What a browser has chosen: language, light or dark, and who is looking."""

from __future__ import annotations

from typing import cast

from flask import g, request, session
from werkzeug.exceptions import HTTPException

from edge.bloodlog.users import Role, User
from edge.i18n import DEFAULT_LANGUAGE, Catalogue, catalogue, languages

THEMES = ("auto", "light", "dark")
#: Cookie of who has signed in and reads without the program's words. It outlasts the session, so that nobody
#: who signs in again sees them by mistake; it protects nothing but that person's own eyes.
HIDING = "blastcount-hide"


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


def account() -> User | None:
    """Give who has signed in; None where there are no users, or before anybody has."""
    return cast("User | None", g.get("account"))


def role() -> Role | None:
    """Give the role under which is kept what is said now; None for what is said on trust."""
    signed_in = account()
    return None if signed_in is None else signed_in.role


def observer() -> str | None:
    """Name of who is looking, or None before somebody has given one.

    Who has signed in has one name; a sign that was typed is worth nothing beside it.
    """
    signed_in = account()
    if signed_in is not None:
        return signed_in.name
    name = session.get("observer")
    return name if isinstance(name, str) else None


def hides_program() -> bool:
    """Whether the observer wants to judge without knowing the program's word."""
    if account() is not None:
        return request.cookies.get(HIDING) == "1"
    return session.get("hide_program") is True and observer() is not None


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


def way_back(usual: str) -> str:
    """Give the path of the page that a form was on, if it names one beside the start page; else the usual."""
    following = next_path(request.form.get("next"))
    return usual if following == next_path(None) else following


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
