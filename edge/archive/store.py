"""Files of an archive, wherever fsspec reads them: a folder, a zip, S3, SFTP, a web server."""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.core import url_to_fs
from msgspec import Struct

from edge.camera.files import read_frames, read_image
from edge.camera.folders import (
    IMAGE_SUFFIXES,
    TRUTH_SUFFIX,
    VIDEO_SUFFIXES,
    Found,
    find,
    has_truth,
    truth_path,
    walk,
)
from edge.counting.recorder import field_guard
from edge.errors import EdgeError, FieldError, ImageError, RuntimeMissingError, SourceError, StoreError
from edge.structures import Frame

#: What tells that a file is another one than before, by the names that file systems give it; the first that
#: is there counts. A web server's listing has none: there, a file is known by its name.
_STAMPS = ("ETag", "etag", "CRC", "md5", "mtime", "LastModified", "last_modified", "modified", "created")
#: A name and password in an address: not for results, which are handed on.
_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


class StoredFile(Struct, frozen=True):
    """One file of an archive.

    Attributes
    ----------
    source : its name in the results: as ``count`` names a local one, else its address without a password
    stamp : size and date or checksum, as its file system tells them
    is_drawn : a rendered field, for its truth lies beside it
    root : address of what it is in, as fsspec wants it; empty for a local file
    place : its path in there
    """

    source: str
    stamp: str
    is_drawn: bool
    root: str = ""
    place: str = ""

    @property
    def key(self) -> Path:
        """Its name as a path, whose parent stands for its folder."""
        return Path(self.source)

    @property
    def folder(self) -> str:
        """Name of its folder: of a sample, as pictures are usually kept."""
        return self.source.rpartition("/")[0] or "."


def list_files(path: str, *, recursive: bool = True) -> tuple[list[StoredFile], Found]:
    """List the images and videos that a path stands for, by the rules of :func:`edge.camera.folders.find`.

    Parameters
    ----------
    path : of this machine; a ``.zip`` of it; or an address that fsspec knows, as ``s3://bucket/fields``
    recursive : search the subfolders, too

    Returns
    -------
    the files, those of this machine by their absolute paths, and what was left out

    Raises
    ------
    SourceError
        It does not exist, cannot be reached, or holds nothing.
    RuntimeMissingError
        The package for this kind of address is not installed.
    """
    name = name_of(path)
    if "://" in path or "::" in path:
        return _list_stored(path, name, recursive)
    if name.lower().endswith(".zip"):
        return _list_stored(f"zip://::{name}", name, recursive)
    found = find(Path(name), recursive=recursive)
    return [_local(file) for file in found.files], found


def name_of(path: str) -> str:
    """Give a path the name with which those of its files begin.

    Examples
    --------
    >>> name_of("sftp://anna:secret@host/fields/"), name_of("/data/../fields")
    ('sftp://host/fields', '/fields')
    """
    if "://" in path or "::" in path:
        return _CREDENTIALS.sub("", path).rstrip("/")
    return os.path.abspath(path)  # workers may run elsewhere  # noqa: PTH100  # resolves no link


def _local(file: Path) -> StoredFile:
    try:
        status = file.stat()
        stamp = f"{status.st_size} {status.st_mtime_ns}"
    except OSError:
        stamp = ""  # its turn says what is wrong
    return StoredFile(str(file), stamp, has_truth(file))


def _list_stored(root: str, name: str, recursive: bool) -> tuple[list[StoredFile], Found]:
    try:
        system, top = _opened(root)
        # A web server calls everything a file, so that the name has a say.
        single = PurePosixPath(top).suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES and system.isfile(top)
    except ImportError as error:
        raise RuntimeMissingError(
            f"{name}: {error}; install that package beside blastcount, on every worker, too"
        ) from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(f"{name}: cannot be opened: {error or type(error).__name__}") from error
    base = posixpath.dirname(top) if single else top
    entries: dict[Path, dict[str, Any]] = {}

    def inside(folder: Path) -> list[tuple[Path, bool]]:
        listed = system.ls(_place(base, folder), detail=True)
        named = {folder / posixpath.basename(entry["name"].rstrip("/")): entry for entry in listed}
        named.pop(folder, None)  # some list the folder itself
        if single:
            named = {path: entry for path, entry in named.items() if path.name == posixpath.basename(top)}
        entries.update(named)
        return [(path, entry["type"] == "directory") for path, entry in named.items()]

    found = walk(Path(), inside, recursive=recursive)
    for failed in found.errors:
        failed.args = (f"{name}/{failed}".replace("/.: ", ": ", 1),)  # the top is called "." in there
    if found.errors and not found.files:
        raise found.errors[0]
    if not (found.files or found.left_out or found.folders.total()):
        raise SourceError(f"{name}: no images or videos there")
    drawn = {path for path in entries if path.name.endswith(TRUTH_SUFFIX)}
    prefix = name.rpartition("/")[0] if single else name
    files = [
        StoredFile(
            source=f"{prefix}/{path}",
            stamp=_stamp(entries[path]),
            is_drawn=truth_path(path) in drawn,
            root=root,
            place=_place(base, path),
        )
        for path in found.files
    ]
    return files, found


def _place(base: str, path: Path) -> str:
    return base if path == Path() else posixpath.join(base, path.as_posix())


def _stamp(entry: dict[str, Any]) -> str:
    changed = next((entry[name] for name in _STAMPS if entry.get(name) is not None), "")
    return f"{entry.get('size')} {changed}"


@cache
def _opened(root: str) -> tuple[fsspec.AbstractFileSystem, str]:
    for protocol in ("sftp", "ssh"):
        fsspec.register_implementation(protocol, "edge.archive.sftp.KnownHosts", clobber=True)
    system, top = url_to_fs(root)
    return system, top


@contextmanager
def at_hand(file: StoredFile) -> Iterator[Path]:
    """Give a file as one of this machine in a block: a local one as it is, another one streamed for so long.

    Raises
    ------
    ImageError
        It is damaged in its archive.
    StoreError
        It could not be fetched.
    """
    if not file.root:
        yield Path(file.source)
        return
    with tempfile.TemporaryDirectory(prefix="blastcount-") as folder:
        path = Path(folder) / posixpath.basename(file.place)
        try:
            with field_guard(file.source):  # each kind of store fails in ways of its own
                system, _ = _opened(file.root)
                system.get_file(file.place, str(path))  # SFTP asks for all parts at once here, not one by one
        except FieldError as error:
            cause = error.__cause__
            said = str(cause) or type(cause).__name__
            if isinstance(cause, zipfile.BadZipFile | zlib.error | EOFError):
                raise ImageError(f"{file.source}: damaged in its archive ({said}); copy it again") from cause
            raise StoreError(
                f"{file.source}: cannot be fetched ({said}); run the command again when it can"
            ) from cause
        if file.is_drawn:
            truth_path(path).touch()  # that it is there is all that counting asks
        yield path


def read_stored(file: StoredFile, um_per_px: float | None = None) -> Iterator[Frame]:
    """Read the frames of a file, as :func:`edge.camera.files.read_frames` does.

    Raises
    ------
    ImageError, SourceError
        As there; with the file's name in the archive.
    """
    with at_hand(file) as path, _named(file, path), field_guard(file.source):
        for frame in read_frames(path, um_per_px=um_per_px):
            yield replace(frame, source=file.source + frame.source.removeprefix(str(path)))
            del frame


def read_picture(file: StoredFile) -> Frame:
    """Read an image, as :func:`edge.camera.files.read_image` does."""
    with at_hand(file) as path, _named(file, path):
        return replace(read_image(path), source=file.source)


@contextmanager
def _named(file: StoredFile, path: Path) -> Iterator[None]:
    """Say in errors how the file is called in its archive."""
    try:
        yield
    except EdgeError as error:
        error.args = (str(error).replace(str(path), file.source),)
        raise
