"""One TOML file becomes one frozen record, checked key by key, once, before anything is opened."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from edge.config.config import Config, section_types
from edge.errors import ConfigError

#: Names the configuration file.
CONFIG_VARIABLE = "BLASTCOUNT_CONFIG"
#: Read where the variable is not set and this file exists.
SYSTEM_CONFIG = Path("/etc/blastcount/blastcount.toml")


def load_config(path: Path | str | None = None) -> Config:
    """Read the configuration.

    Parameters
    ----------
    path : the file; None for the one that ``BLASTCOUNT_CONFIG`` names, else
        ``/etc/blastcount/blastcount.toml``, else built-in defaults

    Returns
    -------
    the configuration; relative paths in it are relative to the file's folder

    Raises
    ------
    ConfigError
        A file that was named does not exist, a file cannot be read or is not TOML, a key is
        unknown, or a value has the wrong type or is out of range.
    """
    named_by = ""
    if path is None and os.environ.get(CONFIG_VARIABLE):
        path, named_by = os.environ[CONFIG_VARIABLE], f" (named by {CONFIG_VARIABLE})"
    if path is None:
        if not SYSTEM_CONFIG.exists():
            return Config()
        path = SYSTEM_CONFIG
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}{named_by}: no such configuration file") from error
    except OSError as error:
        raise ConfigError(f"{path}{named_by}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}{named_by}: is not UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}{named_by}: is not valid TOML: {error}") from error
    try:
        return parse_config(table, origin=path)
    except ConfigError as error:
        raise ConfigError(f"{path}{named_by}: {error}") from error


def parse_config(table: Mapping[str, Any], *, origin: Path | None = None) -> Config:
    """Make the record from parsed TOML.

    Parameters
    ----------
    table : sections by name, as :mod:`tomllib` gives them
    origin : the file that it was read from; relative paths are relative to its folder

    Raises
    ------
    ConfigError
        A key is unknown, or a value has the wrong type or is out of range.

    Examples
    --------
    >>> parse_config({"camera": {"source": "rendered", "interval_s": 1}}).camera.interval_s
    1.0
    >>> parse_config({"camera": {"intervals": 1}})
    Traceback (most recent call last):
    edge.errors.ConfigError: unknown key camera.intervals; did you mean camera.interval_s?
    """
    sections = section_types()
    parsed: dict[str, Any] = {}
    for name, keys in table.items():
        if name not in sections:
            raise ConfigError(f"unknown section [{name}]; {_nearest(name, sections, '[{}]')}")
        if not isinstance(keys, Mapping):
            raise ConfigError(f"{name} must be a section, [{name}], got {name} = {keys!r}")
        all_hints = get_type_hints(sections[name])
        hints = {key.name: all_hints[key.name] for key in fields(sections[name])}
        for key in keys:
            if key not in hints:
                raise ConfigError(f"unknown key {name}.{key}; {_nearest(key, hints, name + '.{}')}")
        folder = Path() if origin is None else origin.absolute().parent
        parsed[name] = sections[name](
            **{key: _value(f"{name}.{key}", hints[key], value, folder) for key, value in keys.items()}
        )
    return Config(**parsed, origin=origin)


def _nearest(wrong: str, valid: Mapping[str, object], form: str) -> str:
    close = difflib.get_close_matches(wrong, valid, n=1)
    if close:
        return f"did you mean {form.format(close[0])}?"
    return "known are " + ", ".join(form.format(name) for name in valid)


def _value(key: str, hint: object, value: object, folder: Path) -> object:
    """Check one TOML value against the type of its key."""
    kinds = (
        [kind for kind in get_args(hint) if kind is not NoneType] if NoneType in get_args(hint) else [hint]
    )
    (kind,) = kinds
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            listed = ", ".join(f'"{choice}"' for choice in choices)
            raise ConfigError(f"{key} must be one of {listed}, got {value!r}")
        return value
    # A TOML boolean is Python's bool, which is an int as well.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is float and is_number:
        return float(cast(float, value))
    if kind is int and is_number and isinstance(value, int):
        return value
    if kind is Path and isinstance(value, str) and value:
        return folder / Path(value).expanduser()
    if kind is str and isinstance(value, str) and value:
        return value
    if key == "camera.device" and is_number and isinstance(value, int) and value >= 0:
        return str(value)  # `device = 0` is what most people write
    names: dict[object, str] = {
        bool: "true or false",
        float: "a number",
        int: "a whole number",
        Path: "a path",
        str: "a text",
    }
    raise ConfigError(f"{key} must be {names[kind]}, got {value!r}")
