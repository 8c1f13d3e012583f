"""JSON files that the program writes and reads back: whole, as declared, and known by their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec

from edge.device.decoding import decode_json
from edge.device.durable import write_whole
from edge.device.reading import read_bounded
from edge.errors import ConfigError, OutputError

_T = TypeVar("_T", bound=msgspec.Struct)


def read_record(path: Path, kind: type[_T], *, absent: str, advice: str) -> tuple[_T, str]:
    """Read such a file.

    Parameters
    ----------
    path : file
    kind : as for :func:`edge.device.decoding.decode_json`
    absent : what is said where there is none, and what to do then
    advice : what to do where it holds something else

    Returns
    -------
    what it holds, and its SHA-256

    Raises
    ------
    ConfigError
        It is missing, cannot be read, or is not as declared.
    """
    try:
        text = read_bounded(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: {absent}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    record = decode_json(text, kind, source=str(path), advice=advice, error=ConfigError)
    return record, hashlib.sha256(text).hexdigest()


def write_record(path: Path, record: msgspec.Struct) -> None:
    """Write such a file, in a folder that is made if need be; a power cut leaves the old one or the new one.

    Raises
    ------
    OutputError
        It cannot be written; a file of that name is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n", durable=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
