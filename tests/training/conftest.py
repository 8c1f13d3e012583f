"""Small data sets, drawn, and a small network: no real image is needed to test what reads one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge.structures import InputSpec
from training.data.cache import Cache
from training.data.collection import Collection, collect
from training.data.records import CellRecord
from training.protocol.evaluation import Evaluated, evaluate
from training.recipes.akbar2024 import SPEC, Akbar2024

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


@pytest.fixture(scope="session")
def collection(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """ALL-IDB, all-taleqani, bccd and pbc, drawn."""
    root = tmp_path_factory.mktemp("all")
    for part in tree.root.iterdir():
        (root / part.name).symlink_to(part)
    draw_taleqani(root)
    draw_bccd(root)
    draw_pbc(root)
    return collect(root, Cache(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def small() -> Akbar2024:
    """The reference recipe with crops of 32 px and a quarter of the filters."""
    return Akbar2024(spec=replace(SPEC, size_px=32), filters=(8, 16, 32), epochs=4)


class ByNucleus:
    """A recipe without a network: the share of the nucleus, with a threshold between the training classes."""

    name = "by-nucleus"
    spec = InputSpec(size_px=32)
    labs: tuple[str, ...] = ("all-idb",)
    random_splits = 0
    about: Mapping[str, object] = {}

    def __init__(self) -> None:
        self.fits: list[set[str]] = []
        self.fail_at: int | None = None

    def __repr__(self) -> str:
        return "ByNucleus()"

    def fit(self, collection: Collection, cells: Sequence[CellRecord], seed: int) -> Any:
        if len(self.fits) == self.fail_at:
            raise KeyboardInterrupt
        self.fits.append({cell.key for cell in cells})
        share = {label: np.mean([_share(cell) for cell in cells if cell.label == label]) for label in (0, 1)}
        middle = (share[0] + share[1]) / 2

        def judge(others: Sequence[CellRecord]) -> NDArray[np.float32]:
            return np.array([1 / (1 + np.exp(-40 * (_share(c) - middle))) for c in others], np.float32)

        judge.history = ()  # type: ignore[attr-defined]  # as of what a training gave
        return judge


def _share(cell: CellRecord) -> float:
    return cell.cell.nucleus_area_px / cell.cell.area_px


@pytest.fixture(scope="session")
def by_nucleus() -> type[ByNucleus]:
    """The recipe without a network."""
    return ByNucleus


@pytest.fixture(scope="session")
def evaluated(collection: Collection) -> Evaluated:
    """What the protocol says of it."""
    return evaluate(collection, ByNucleus())


def draw_taleqani(root: Path) -> None:
    """Write two benign and five early fields; early 3 copies early 1, early 26 is early 2 encoded anew."""
    folder = root / "all-taleqani"
    for name in ("benign", "early", "pre", "pro"):
        (folder / name).mkdir(parents=True)
    for number in (1, 2):
        image = draw_field(number, blasts=False).image
        Image.fromarray(image).save(folder / "benign" / f"WBC-Benign-{number:03d}.png")
    for number, seed, suffix in (
        (1, 11, "png"),
        (2, 12, "png"),
        (3, 11, "png"),
        (26, 12, "jpg"),
        (50, 13, "png"),
    ):
        path = folder / "early" / f"WBC-Malignant-Early-{number:03d}.{suffix}"
        Image.fromarray(draw_field(seed, blasts=True).image).save(path)


def draw_bccd(root: Path) -> None:
    """Write two fields with boxes."""
    for kind in ("images", "annotations"):
        (root / "bccd" / kind).mkdir(parents=True)
    for number in (1, 2):
        drawn = draw_field(40 + number, blasts=False)
        Image.fromarray(drawn.image).save(root / "bccd" / "images" / f"B{number}.png")
        boxes = "".join(
            f"<object><name>WBC</name><bndbox><xmin>{x - 35}</xmin><ymin>{y - 35}</ymin><xmax>{x + 35}</xmax>"
            f"<ymax>{y + 35}</ymax></bndbox></object>"
            for x, y in drawn.cells
        )
        (root / "bccd" / "annotations" / f"B{number}.xml").write_text(f"<annotation>{boxes}</annotation>")


def draw_pbc(root: Path) -> None:
    """Write a picture of one cell, and one that is said to show a platelet."""
    for number, name in enumerate(("lymphocyte", "platelet")):
        (root / "pbc" / name).mkdir(parents=True)
        drawn = draw_field(20 + number, blasts=False)
        x, y = drawn.cells[2]
        image = drawn.image[y - 110 : y + 110, x - 110 : x + 110]
        Image.fromarray(image).save(root / "pbc" / name / "A_1.png")
