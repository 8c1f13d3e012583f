"""The known truth of rendered fields, which lies beside their images as ``<stem>.truth.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edge.errors import SourceError

TRUTH_SUFFIX = ".truth.json"


@dataclass(frozen=True, slots=True)
class KnownCounts:
    """What a rendered field holds.

    Attributes
    ----------
    wbc : white cells, those cut by the border included, smudges not
    blasts : whole blasts
    """

    wbc: int
    blasts: int


def truth_path(image: Path) -> Path:
    """Name the file that holds the truth about an image, if it was rendered."""
    return image.with_name(image.stem + TRUTH_SUFFIX)


def known_counts(image: Path) -> KnownCounts | None:
    """Read what a rendered field holds; None where no truth lies beside the image.

    Raises
    ------
    SourceError
        The file is there but is no truth of a rendered field.
    """
    path = truth_path(image)
    try:
        counts = json.loads(path.read_bytes())["counts"]
        return KnownCounts(int(counts["wbc"]), int(counts["blasts_whole"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{path}: not the truth of a rendered field ({error}); remove or render it again"
        ) from error
