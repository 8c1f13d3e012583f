"""A small ALL-IDB, drawn: no real image is needed to test what reads one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

#: A red cell of 7.5 µm is 38 px wide in the drawn fields, a white one of 12 µm 60 px: 0.2 µm/px.
WIDTH, HEIGHT = 560, 480
CROP_SIDE = 161


@dataclass(frozen=True)
class DrawnField:
    """A field and where its white cells, its platelet and its cell at the border are, in px."""

    image: NDArray[np.uint8]
    cells: tuple[tuple[int, int], ...]
    platelet: tuple[int, int]
    border_cell: tuple[int, int]


@dataclass(frozen=True)
class Tree:
    """A drawn data set: its folder, its fields, and where each ALL-IDB2 crop was cut (field, left, top)."""

    root: Path
    fields: dict[str, DrawnField] = field(default_factory=dict)
    cuts: dict[str, tuple[str, int, int]] = field(default_factory=dict)


def draw_field(seed: int, *, blasts: bool) -> DrawnField:
    """Draw red cells, three white cells, a platelet and a white cell at the border; RGB."""
    random = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), (226, 221, 214), np.uint8)
    around = ((120, 120), (430, 130), (280, 350))
    cells = tuple((x + int(random.integers(-20, 20)), y + int(random.integers(-20, 20))) for x, y in around)
    platelet, border_cell = (280, 30), (WIDTH - 1, 340)
    taken = [(x, y, 40) for x, y in (*cells, border_cell)] + [(*platelet, 20)]
    for _ in range(600):
        x, y = int(random.integers(25, WIDTH - 25)), int(random.integers(25, HEIGHT - 25))
        if all(np.hypot(x - a, y - b) > 22 + r for a, b, r in taken):
            taken.append((x, y, 22))
            cv2.circle(image, (x, y), 19, (205, 150, 150), cv2.FILLED, cv2.LINE_AA)
            cv2.circle(image, (x, y), 7, (218, 185, 182), cv2.FILLED, cv2.LINE_AA)
    for x, y in (*cells, border_cell):
        angle = int(random.integers(180))
        if blasts:
            cv2.circle(image, (x, y), 30, (150, 130, 190), cv2.FILLED, cv2.LINE_AA)
            cv2.ellipse(image, (x, y), (27, 24), angle, 0, 360, (90, 40, 140), cv2.FILLED)
        else:
            cv2.circle(image, (x, y), 30, (205, 160, 190), cv2.FILLED, cv2.LINE_AA)
            cv2.ellipse(image, (x, y), (22, 16), angle, 0, 360, (90, 40, 140), cv2.FILLED)
    cv2.circle(image, platelet, 5, (140, 90, 170), cv2.FILLED, cv2.LINE_AA)
    noisy = np.clip(image + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    return DrawnField(noisy, cells, platelet, border_cell)


def draw_tree(root: Path, *, fields_per_class: int = 6, others: bool = True) -> Tree:
    """Write a data set: fields of patients and healthy persons, points, one or two crops of each field."""
    tree = Tree(root)
    folders = {name: root / "ALL_IDB1" / name for name in ("im", "xyc", "other_xyc")}
    folders["img"] = root / "ALL_IDB2" / "img"
    for name, folder in folders.items():
        if others or name != "other_xyc":
            folder.mkdir(parents=True)
    for label in (1, 0):
        for number in range(1, fields_per_class + 1):
            seed = number + 50 * (1 - label)
            name = f"Im{seed:03d}_{label}"
            drawn = draw_field(seed, blasts=label == 1)
            tree.fields[name] = drawn
            path = folders["im"] / f"{name}.jpg"
            exif = Image.Exif()
            exif[0x0110] = "Camera A   " if label else "Camera B"
            Image.fromarray(drawn.image).save(path, quality=95, exif=exif)
            blasts = "".join(f"{x}\t{y}\n" for x, y in drawn.cells) if label else "\t\n"
            (folders["xyc"] / f"{name}.xyc").write_text(blasts, encoding="ascii")
            if others:
                marks = [drawn.platelet, drawn.border_cell] + ([] if label else list(drawn.cells))
                text = "".join(f"{x} {y}\n" for x, y in marks)
                (folders["other_xyc"] / f"{name}.xyc").write_text(text, encoding="ascii")
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            for place, (x, y) in enumerate(drawn.cells[: 1 + number % 2]):
                crop_name = f"Im{seed:03d}{place}_{label}"
                left, top = x - CROP_SIDE // 2, y - CROP_SIDE // 2
                cut = pixels[max(0, top) : top + CROP_SIDE, max(0, left) : left + CROP_SIDE]
                Image.fromarray(cut).save(folders["img"] / f"{crop_name}.tif")
                tree.cuts[crop_name] = name, max(0, left), max(0, top)
    return tree


@pytest.fixture(scope="session", autouse=True)
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what commands without --cache find out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user_cache")))
        yield


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A drawn data set that tests only read."""
    return draw_tree(tmp_path_factory.mktemp("allidb"))


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Tree]:
    """Draw a data set that a test may change."""

    def make(**options: object) -> Tree:
        return draw_tree(tmp_path / "data", **options)  # type: ignore[arg-type]  # options of draw_tree

    return make


@pytest.fixture(scope="session")
def draw() -> Callable[..., DrawnField]:
    """Draw one field."""
    return draw_field
