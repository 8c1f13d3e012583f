"""One TOML file becomes one frozen record, checked key by key, once, before anything is opened."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import platformdirs

from edge.errors import ConfigError

SourceKind = Literal["picamera", "v4l2", "replay", "rendered"]

#: Names the configuration file.
CONFIG_VARIABLE = "BLASTCOUNT_CONFIG"
#: Read where the variable is not set and this file exists.
SYSTEM_CONFIG = Path("/etc/blastcount/blastcount.toml")
#: The log's name in the state folder.
LOG_NAME = "blastcount.db"

_T = TypeVar("_T")


def _within(default: _T, low: float, high: float) -> _T:
    """Declare a key with its default and the range that its numbers must lie in."""
    declared: _T = field(default=default, metadata={"low": low, "high": high})
    return declared


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """``[model]``: which model bundle, and how it is run.

    Attributes
    ----------
    path : the bundle's ``.tflite`` file; None for the shipped one
    threads : threads of the interpreter; 1 leaves the other cores to the camera and to OpenCV
    """

    path: Path | None = None
    threads: int = _within(1, 1, 64)

    def __post_init__(self) -> None:
        """Check the ranges."""
        _check_ranges(self, "model")


@dataclass(frozen=True, slots=True)
class ScaleConfig:
    """``[scale]``: physical size of a pixel.

    Attributes
    ----------
    um_per_px : µm per pixel of the camera's frame; None to measure it on each field's red cells. A 100x
        objective on a 1.2 µm sensor gives 0.012, and beyond 0.4 a white cell is under 30 px wide
    """

    um_per_px: float | None = _within(None, 0.01, 0.4)

    def __post_init__(self) -> None:
        """Check the ranges."""
        _check_ranges(self, "scale")


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """``[camera]``: where frames come from, and how often.

    Attributes
    ----------
    source : ``picamera``, ``v4l2``, ``replay`` or ``rendered``
    device : number of the camera; for v4l2 also a device file such as ``/dev/v4l/by-id/...``
    width, height : size asked of the camera in px, both or neither; None for the source's own size
    path : file or folder that ``replay`` plays
    loop : replay begins again at its end
    seed : of the rendered slide, whose fields are scanned one after the other
    interval_s : time from one field to the next, in seconds
    timeout_s : longest wait for one frame, in seconds. A stop is noticed after this at the latest, and
        must be done within 5 s
    """

    source: SourceKind = "picamera"
    device: str = "0"
    width: int | None = _within(None, 160, 16384)
    height: int | None = _within(None, 120, 16384)
    path: Path | None = None
    loop: bool = False
    seed: int = _within(1, 0, 2**31 - 1)
    interval_s: float = _within(2.0, 0.05, 86400.0)
    timeout_s: float = _within(3.0, 0.1, 4.0)

    def __post_init__(self) -> None:
        """Check the ranges and the keys that need each other."""
        _check_ranges(self, "camera")
        if (self.width is None) != (self.height is None):
            raise ConfigError("camera.width and camera.height must be given together, or neither")
        if self.source == "replay" and self.path is None:
            raise ConfigError('camera.path must name a file or folder when camera.source is "replay"')
        if self.source == "picamera" and not self.device.isdecimal():
            raise ConfigError(
                'camera.device must be a camera number when camera.source is "picamera", '
                f"got {self.device!r}; `rpicam-hello --list-cameras` lists them"
            )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """``[log]``: where fields are written.

    Attributes
    ----------
    path : file of the blood log; None for ``blastcount.db`` in the state folder
    """

    path: Path | None = None


@dataclass(frozen=True)
class Config:
    """The whole configuration. Every value has been checked.

    Attributes
    ----------
    model, scale, camera, log : the sections
    origin : the file it was read from; None for built-in defaults. Not part of the hash
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    log: LogConfig = field(default_factory=LogConfig)
    origin: Path | None = field(default=None, compare=False)

    @cached_property
    def sha256(self) -> str:
        """Hash of the values in force, so that two files that say the same hash the same.

        Examples
        --------
        >>> Config().sha256 == Config(camera=CameraConfig(interval_s=2.0)).sha256
        True
        >>> Config().sha256 == Config(camera=CameraConfig(interval_s=3.0)).sha256
        False
        """
        values = {
            section.name: {
                key.name: getattr(getattr(self, section.name), key.name) for key in fields(section_type)
            }
            for section, section_type in _sections()
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def log_path(self) -> Path:
        """The log's file: the configured one, else ``blastcount.db`` in the state folder."""
        return self.log.path if self.log.path is not None else state_folder() / LOG_NAME


def state_folder() -> Path:
    """Folder for what must survive a restart: systemd's ``StateDirectory=``, else the user's state folder.

    It is not made here.
    """
    # systemd gives a colon-separated list where a unit has more than one.
    first = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(first) if first else platformdirs.user_state_path("blastcount", appauthor=False)


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
    sections = {section.name: section_type for section, section_type in _sections()}
    parsed: dict[str, Any] = {}
    for name, keys in table.items():
        if name not in sections:
            raise ConfigError(f"unknown section [{name}]; {_nearest(name, sections, '[{}]')}")
        if not isinstance(keys, Mapping):
            raise ConfigError(f"{name} must be a section, [{name}], got {name} = {keys!r}")
        hints = get_type_hints(sections[name])
        for key in keys:
            if key not in hints:
                raise ConfigError(f"unknown key {name}.{key}; {_nearest(key, hints, name + '.{}')}")
        folder = Path() if origin is None else origin.absolute().parent
        parsed[name] = sections[name](
            **{key: _value(f"{name}.{key}", hints[key], value, folder) for key, value in keys.items()}
        )
    return Config(**parsed, origin=origin)


def _sections() -> list[tuple[Any, type]]:
    hints = get_type_hints(Config)
    return [(section, hints[section.name]) for section in fields(Config) if is_dataclass(hints[section.name])]


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


def _check_ranges(section: ModelConfig | ScaleConfig | CameraConfig, name: str) -> None:
    for key in fields(section):
        value = getattr(section, key.name)
        # Written so that not-a-number fails too.
        if key.metadata and value is not None and not key.metadata["low"] <= value <= key.metadata["high"]:
            raise ConfigError(
                f"{name}.{key.name} must be {key.metadata['low']} to {key.metadata['high']}, got {value}"
            )
