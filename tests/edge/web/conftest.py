"""A log with a sample to look at, and a browser that speaks to the application without a network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from werkzeug.test import TestResponse

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.structures import Cell, CellClass, CellRef, ClassifiedCell, FieldResult
from edge.web.app import create_app
from edge.web.setup import Setup
from tests.edge.bloodlog.fields import PROVENANCE, make_result

ORIGIN = "http://localhost"
#: Two fields: three blasts, three normal cells, two uncertain ones, a smudge.
SMALL: tuple[tuple[float | None, ...], ...] = ((0.99, 0.5, 0.02, None), (0.9, 0.1, 0.45, 0.97, 0.05))


def picture(seed: int, side: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A disc on a pale ground: no two are alike."""
    image = np.full((side, side, 3), (238, 230, 232), np.uint8)
    return cv2.circle(image, (side // 2, side // 2), side // 4, (90, seed % 200, seed // 200 % 200), -1)


def classified(number: int, p_blast: float | None) -> ClassifiedCell:
    label: CellClass | None = None
    if p_blast is not None:
        label = "blast" if p_blast > 0.75 else "normal" if p_blast < 0.25 else "uncertain"
    x, y = 40 + 90 * (number % 12), 40 + 90 * (number // 12)
    kind = "smudge" if label is None else "wbc"
    cell = Cell(number, x + 20.0, y + 20.0, (x, y, 40, 40), 1250, 800, kind, touches_border=False)
    return ClassifiedCell(cell, label, p_blast)


def a_field(number: int, probabilities: tuple[float | None, ...]) -> FieldResult:
    cells = tuple(classified(i, p) for i, p in enumerate(probabilities, start=1))
    return replace(make_result(f"rendered:1#{number}"), width=1200, height=900, captured_at=None, cells=cells)


def append_field(
    log: BloodLog,
    sample_id: int | None = 1,
    reasons: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
    image_sha256: str | None = None,
) -> int:
    """Log one more field, of three cells unless it is rejected."""
    result = a_field(log.count() + 1, () if reasons else (0.9, 0.1, 0.5))
    status = "rejected" if reasons else "counted"
    result = replace(result, status=status, reasons=reasons, warnings=warnings)
    return log.append(result, **PROVENANCE, sample_id=sample_id, image_sha256=image_sha256)


@dataclass
class Clinic:
    """A log, its pictures, and what the application needs of them."""

    setup: Setup

    @property
    def log(self) -> BloodLog:
        """A fresh read-only view; to be used in a with statement."""
        return BloodLog.open(self.setup.log_path, read_only=True)

    def words(self) -> list[tuple[CellRef, str | None, str]]:
        """Every word on the first sample's cells, in order."""
        with self.log as log:
            return [(review.cell, review.label, review.observer) for review in log.reviews(1)]


def log_clinic(folder: Path, probabilities: tuple[tuple[float | None, ...], ...], **setup: Any) -> Clinic:
    """Log one open sample, S-1, with fields of cells of such probabilities."""
    made = Setup(log_path=folder / "blood.db", **setup)
    store = ThumbnailStore.beside(made.log_path)
    with BloodLog.open(made.log_path) as log:
        sample = log.open_sample("S-1", "blood", 200)
        for number, row in enumerate(probabilities, start=1):
            result = a_field(number, row)
            log.append(
                result,
                **PROVENANCE,
                sample_id=sample.id,
                thumbnails={c.cell.id: store.put(picture(c.cell.id)) for c in result.cells},
                image_sha256=store.put(picture(1000 + len(row), 300)),
            )
    return Clinic(made)


@pytest.fixture(scope="session")
def small_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the log of the small clinic and its pictures: to be copied, never changed."""
    return log_clinic(tmp_path_factory.mktemp("clinic"), SMALL).setup.log_path.parent


@pytest.fixture
def clinic(small_log: Path, tmp_path: Path) -> Clinic:
    """The small clinic."""
    shutil.copytree(small_log, tmp_path, dirs_exist_ok=True)
    return Clinic(Setup(log_path=tmp_path / "blood.db"))


class Browser:
    """What a browser does: keeps cookies, sends forms with their token and its origin, follows redirects."""

    def __init__(self, clinic: Clinic) -> None:
        self.client: FlaskClient = create_app(clinic.setup).test_client()
        self.token = ""

    def get(self, path: str, **options: Any) -> TestResponse:
        answer = self.client.get(path, **{"follow_redirects": True, "buffered": True, **options})
        if answer.mimetype == "text/html":
            found = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)
            self.token = found[1] if found else self.token
        return answer

    def post(self, path: str, form: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        headers = {"Origin": ORIGIN, **options.pop("headers", {})}
        data = {"csrf_token": self.token, **(form or {})}
        return self.client.post(path, data=data, headers=headers, **{"follow_redirects": True, **options})

    def script(self, path: str, form: dict[str, Any], **options: Any) -> TestResponse:
        """As the page's own script asks."""
        headers = {"Accept": "application/json", "X-CSRFToken": self.token}
        return self.post(path, form, headers=headers, **options)

    def say(self, word: str) -> TestResponse:
        return self.script("/samples/1/words", {"word": word})

    @property
    def cookie(self) -> str:
        """The session's cookie as it was after the last page."""
        cookie = self.client.get_cookie("blastcount")
        assert cookie is not None
        return cookie.value

    def says_who(self, name: str, **form: str) -> Browser:
        self.get("/")
        assert self.post("/observer", {"observer": name, **form}).status_code == 200
        return self


@pytest.fixture(scope="session", autouse=True)
def compiled_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every application compiles the templates anew, a tenth of a second of each test; here they are kept."""
    cache = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("pages")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": cache})
        yield


@pytest.fixture(autouse=True)
def no_costly_password(cheap_passwords: None) -> None:
    """Tokens and passwords are made and compared in no time."""


@pytest.fixture
def browser(clinic: Clinic) -> Browser:
    """One at the small clinic."""
    return Browser(clinic)
