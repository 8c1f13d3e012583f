"""What a path given by a person stands for: a file, or all images and videos below a folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edge.camera.signature import kind_of, read_head
from edge.device.printable import number_of
from edge.errors import SourceError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp"})
VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".m4v", ".mov", ".mkv", ".mpg", ".mpeg", ".webm"})
#: What `count` itself writes beside images; a folder's listing leaves it out, so that a second
#: run does not count the pictures of the first.
OUTPUT_SUFFIXES = (".cells.png", ".nuclei.png", ".annotated.jpg")
#: Pictures of a log are named by their content, in folders named by its first two digits.
_STORED_NAME = re.compile(r"[0-9a-f]{64}\.jpg")
#: What a rendered field holds lies beside its image as ``<stem>.truth.json``, and is read with it.
TRUTH_SUFFIX = ".truth.json"
#: Folders that systems keep for themselves; some hold small copies of the pictures beside them.
_SYSTEM_FOLDERS = frozenset(
    {"@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__macosx"}
)
#: Kinds of files that are left out, beside those that have a suffix.
_HIDDEN, OWN, _BARE = "hidden", "written by this program", "without a suffix"
#: Longer endings are no suffixes but parts of a name with a full stop in it.
_LONGEST_SUFFIX = 12
#: Kinds that are named in a sum; a home folder has hundreds.
_MAX_KINDS = 8


def truth_path(image: Path) -> Path:
    """Name the file that holds the truth about an image, if it was rendered."""
    return image.with_name(image.stem + TRUTH_SUFFIX)


def has_truth(image: Path) -> bool:
    """Whether there is such a file; there is none whose name would be longer than the system allows."""
    try:
        return truth_path(image).exists()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Found:
    """What a path stands for.

    Attributes
    ----------
    files : images and videos, in the order in which they are read
    left_out : number of other files by kind
    folders : number of subfolders that were not searched, by kind
    errors : folders that could not be listed
    """

    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    errors: list[SourceError] = field(default_factory=list)


def find(path: Path, *, recursive: bool = True) -> Found:
    """List the images and videos that a path given by a person stands for.

    A file stands for itself. A folder stands for the images and videos in it, in natural order (``f2`` before
    ``f10``), then for those of its subfolders. Symbolic links are followed, each folder is searched once.
    Hidden files and folders, other files and what ``count`` itself wrote are left out, and counted by kind.

    Parameters
    ----------
    path : as given
    recursive : search the subfolders, too

    Raises
    ------
    SourceError
        The path does not exist, cannot be listed, is an empty folder, or is a file of another type.
    """
    try:
        if not path.is_dir():
            path.stat()
            if path.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
                head = read_head(path)
                content = None if head is None else kind_of(head)
                raise SourceError(
                    f"{path}: not an image or video by its name; "
                    f"{f'by its content this is {content}; ' if content else ''}"
                    f"expected one of {', '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))}"
                )
            return Found([path])
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file or folder") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    seen = set[tuple[int, int]]()

    def entries(folder: Path) -> list[tuple[Path, bool]]:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return []  # a link that leads back to where the search has been
        seen.add((status.st_dev, status.st_ino))
        return [(entry, entry.is_dir()) for entry in folder.iterdir()]

    found = walk(path, entries, recursive=recursive)
    if not (found.files or found.left_out or found.folders.total() or found.errors):
        raise SourceError(f"{path}: no images or videos in this folder")
    return found


def walk(
    root: Path, entries: Callable[[Path], Iterable[tuple[Path, bool]]], *, recursive: bool = True
) -> Found:
    """Go through the folders below one, wherever they are, by the rules of :func:`find`.

    Parameters
    ----------
    root : where to begin; a name in an archive may be one of no file here
    entries : gives what is in a folder, and whether each is a folder; an OSError is noted
    recursive : go into subfolders, too
    """
    found, waiting = Found(), [root]
    while waiting:
        folder = waiting.pop()
        try:
            inside = sorted(entries(folder), key=lambda entry: _natural_key(entry[0]))
        except OSError as error:
            found.errors.append(SourceError(f"{folder}: cannot be read: {error.strerror or error}"))
            continue
        below = []
        for entry, is_folder in inside:
            if is_folder and _is_hidden(entry):
                found.folders["hidden subfolder"] += 1
            elif is_folder:
                below.append(entry)
            elif kind := _left_out_as(entry):
                found.left_out[kind] += 1
            elif not entry.name.endswith(TRUTH_SUFFIX):
                found.files.append(entry)
        if recursive:
            waiting.extend(reversed(below))
        else:
            found.folders["subfolder"] += len(below)
    return found


def find_files(path: Path) -> list[Path]:
    """List the images and videos of a path as :func:`find` does.

    Returns
    -------
    at least one path

    Raises
    ------
    SourceError
        There is none, or a folder cannot be listed.
    """
    found = find(path)
    if found.errors:
        raise found.errors[0]
    if not found.files:
        raise SourceError(f"{path}: no images or videos in this folder")
    return found.files


def left_out_line(left_out: Counter[str], folders: Counter[str]) -> str | None:
    """Sum up in one line what was left out, or give None where that is nothing.

    Examples
    --------
    >>> left_out_line(Counter({".heic": 3, ".svs": 1}), Counter({"hidden subfolder": 2}))
    '4 files left out: 3 .heic, 1 .svs; 2 hidden subfolders not searched'
    >>> left_out_line(Counter({"label images": 1}), Counter())
    '1 file left out: 1 label image'
    """
    parts = []
    if number := left_out.total():
        named = left_out.most_common(_MAX_KINDS)
        kinds = [f"{n} {kind.removesuffix('s') if n == 1 and kind[0] != '.' else kind}" for kind, n in named]
        if others := number - sum(n for _, n in named):
            kinds.append(f"{others} of other kinds")
        parts.append(f"{number_of(number, 'file')} left out: {', '.join(kinds)}")
    parts += [f"{number_of(n, kind)} not searched" for kind, n in folders.items() if n]
    return "; ".join(parts) or None


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _SYSTEM_FOLDERS


def _left_out_as(file: Path) -> str | None:
    """Say as what kind a file is left out; None for images, videos, and what is read with them."""
    name, suffix = file.name.lower(), file.suffix.lower()
    if name.startswith("."):
        return _HIDDEN
    if name.endswith(OUTPUT_SUFFIXES) or (_STORED_NAME.fullmatch(name) and file.parent.name == name[:2]):
        return OWN
    if suffix in IMAGE_SUFFIXES | VIDEO_SUFFIXES or name.endswith(TRUTH_SUFFIX):
        return None
    return suffix if 1 < len(suffix) <= _LONGEST_SUFFIX else _BARE


def _natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Compare runs of digits as numbers, the rest without regard to case; equal names by their exact form."""
    parts = re.split(r"([0-9]+)", path.name)
    key = [(0, int(part), "") if i % 2 else (1, 0, part.casefold()) for i, part in enumerate(parts)]
    return key, path.name
