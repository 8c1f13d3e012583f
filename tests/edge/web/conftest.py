"""A log with a sample to look at, and a browser that speaks to the application without a network."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.structures import Cell, CellRef, ClassifiedCell, FieldResult, ModelIdentity, Scale
from edge.web.app import create_app
from edge.web.setup import Setup

ORIGIN = "http://localhost"


def picture(seed: int, side: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A disc on a pale ground: no two are alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    image = np.full((side, side, 3), (238, 230, 232), np.uint8)
    image[x**2 + y**2 < (side * rng.uniform(0.2, 0.4)) ** 2] = rng.integers(60, 160, 3)
    return image


def classified(number: int, p_blast: float | None, *, border: bool = False) -> ClassifiedCell:
    label = (
        None
        if p_blast is None
        else "blast"
        if p_blast > 0.75
        else "normal"
        if p_blast < 0.25
        else "uncertain"
    )
    x, y = 40 + 90 * (number % 12), 40 + 90 * (number // 12)
    cell = Cell(
        id=number,
        x=x + 20.0,
        y=y + 20.0,
        bbox=(x, y, 40, 40),
        area_px=1250,
        nucleus_area_px=800,
        kind="smudge" if p_blast is None else "wbc",
        touches_border=border,
    )
    return ClassifiedCell(cell, label, p_blast)  # type: ignore[arg-type]


def a_field(number: int, cells: tuple[ClassifiedCell, ...], reasons: tuple[str, ...] = ()) -> FieldResult:
    return FieldResult(
        source=f"rendered:1#{number}",
        width=1200,
        height=900,
        captured_at=None,
        frame_sha256=f"{number:064x}",
        scale=Scale(0.12, "red_cells", 0.9),
        status="rejected" if reasons else "counted",
        reasons=reasons,
        cells=cells,
        model=ModelIdentity("tiny", "ab" * 32),
    )


@dataclass
class Clinic:
    """A log, its pictures, and what the application needs of them."""

    setup: Setup
    sample_id: int
    refs: list[CellRef]

    @property
    def log(self) -> BloodLog:
        """A fresh read-only view; to be used in a with statement."""
        return BloodLog.open(self.setup.log_path, read_only=True)

    def words(self) -> list[tuple[CellRef, str | None, str]]:
        """Every word in the log, in order."""
        with self.log as log:
            return [
                (CellRef(review.field_id, review.cell_id), review.label, review.observer)
                for review in log.reviews(self.sample_id)
            ]


def append(log: BloodLog, result: FieldResult, sample_id: int | None, pictures: ThumbnailStore | None) -> int:
    thumbnails, image = {}, None
    if pictures is not None:
        thumbnails = {c.cell.id: pictures.put(picture(c.cell.id)) for c in result.cells}
        image = pictures.put(picture(1000 + len(result.cells), 300))
    return log.append(
        result,
        config_sha256="cd" * 32,
        software_version="1.0",
        runtime="test 1",
        source_kind="rendered",
        sample_id=sample_id,
        clock_trusted=True,
        thumbnails=thumbnails,
        image_sha256=image,
    )


def log_clinic(folder: Path, probabilities: list[list[float | None]], **setup: Any) -> Clinic:
    """Log one open sample, S-1, with fields of cells of such probabilities."""
    made = Setup(log_path=folder / "blood.db", **setup)
    store = ThumbnailStore.beside(made.log_path)
    refs = []
    with BloodLog.open(made.log_path) as log:
        sample = log.open_sample("S-1", "blood", 200)
        for number, row in enumerate(probabilities, start=1):
            cells = tuple(classified(i, p) for i, p in enumerate(row, start=1))
            field_id = append(log, a_field(number, cells), sample.id, store)
            refs += [CellRef(field_id, cell.cell.id) for cell in cells]
    return Clinic(made, sample.id, refs)


@pytest.fixture
def make_clinic(tmp_path: Path) -> Callable[..., Clinic]:
    """Function that logs a sample with fields of cells of given probabilities."""
    return partial(log_clinic, tmp_path)


@pytest.fixture
def clinic(make_clinic: Callable[..., Clinic]) -> Clinic:
    """Two fields: three blasts, three normal ones, two uncertain ones, a smudge."""
    return make_clinic([[0.99, 0.5, 0.02, None], [0.9, 0.1, 0.45, 0.97, 0.05]])


class Browser:
    """What a browser does: keeps cookies, sends forms with their token and its origin, follows redirects."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
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

    @property
    def cookie(self) -> str:
        """The session's cookie as it was after the last page."""
        cookie = self.client.get_cookie("blastcount")
        assert cookie is not None
        return cookie.value

    def says_who(self, name: str, **form: str) -> None:
        self.get("/")
        assert self.post("/observer", {"observer": name, **form}).status_code == 200


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No daemon of this machine answers the tests."""
    folder = tmp_path_factory.mktemp("run")
    folder.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@pytest.fixture
def visit() -> Callable[[Clinic], Browser]:
    """Function that opens the application in a browser of its own."""

    def open_(clinic: Clinic) -> Browser:
        return Browser(create_app(clinic.setup).test_client())

    return open_


@pytest.fixture
def browser(clinic: Clinic, visit: Callable[[Clinic], Browser]) -> Browser:
    """One at the small clinic."""
    return visit(clinic)


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(seed, 320)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def a_jpeg() -> bytes:
    """A picture as the daemon sends one."""
    return jpeg(7)


@pytest.fixture
def append_field() -> Callable[..., int]:
    """Function that logs one more field of three cells, into sample 1 unless told otherwise."""

    def one_more(log: BloodLog, sample_id: int | None = 1, reasons: tuple[str, ...] = ()) -> int:
        probabilities = () if reasons else (0.9, 0.1, 0.5)
        cells = tuple(classified(i, p) for i, p in enumerate(probabilities, start=1))
        return append(log, a_field(log.count() + 1, cells, reasons), sample_id, None)

    return one_more


@pytest.fixture(scope="module")
def module_clinic() -> Callable[[Path], tuple[Clinic, Browser]]:
    """Function that makes the small clinic in a folder, with an observer called Ani."""

    def make(folder: Path) -> tuple[Clinic, Browser]:
        made = log_clinic(folder, [[0.99, 0.5, 0.02, None], [0.9, 0.1, 0.45, 0.97, 0.05]])
        browser = Browser(create_app(made.setup).test_client())
        browser.says_who("Ani")
        browser.get("/")
        return made, browser

    return make
