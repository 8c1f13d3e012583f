"""A toy classifier of drawn discs: the seed network's shape, 24 px wide, trained in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convert import bundle
from convert.backend import load_keras
from convert.gate import device, examine, probe
from convert.gate.crops import Crops
from convert.gate.golden import rendered_crops
from convert.recipes import REFINED, Recipe
from edge.structures import InputSpec
from tests.edge.data.make_tiny import discs as discs_of

SIZE_PX = 24


def _discs(n: int, seed: int) -> Crops:
    made = discs_of(n, seed, size_px=SIZE_PX, radii_px=(5.5, 7.5), spread_px=1.0, colour_spread=20.0)
    return Crops(*made, f"discs {seed}")


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """Let no test's weights depend on which others were drawn before."""
    if "keras" in sys.modules:
        load_keras().utils.set_random_seed(0)


@pytest.fixture(scope="session")
def discs() -> Callable[[int, int], Crops]:
    """Function that draws n crops from a seed."""
    return _discs


@pytest.fixture(scope="session")
def calibration() -> Crops:
    return _discs(120, 11)


@pytest.fixture(scope="session")
def held_out() -> Crops:
    return _discs(200, 12)


def _toy(name: str, scale: float, offset: float = 0.0) -> Any:
    """Lay out the toy with its input scaled and shifted so."""
    keras = load_keras()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    crop = keras.Input((SIZE_PX, SIZE_PX, 3))
    features = layers.Rescaling(scale, offset=offset, name="rescale")(crop)
    scales = []
    for number, filters in enumerate((6, 8), start=1):
        features = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(
            features
        )
        features = layers.MaxPooling2D(2)(features)
        scales.append(layers.Flatten()(features))
    output = layers.Dense(2, activation="softmax", name="p")(layers.Concatenate()(scales))
    return keras.Model(crop, output, name=name)


@pytest.fixture(scope="session")
def toy_model() -> Any:
    """Keras model; a test that changes it works on a copy."""
    model = _toy("toy", 1 / 255)
    model.compile(load_keras().optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    train = _discs(500, 10)
    model.fit(train.pixels.astype(np.float32), train.labels, epochs=8, batch_size=32, verbose=0)
    return model


@pytest.fixture(scope="session")
def as_trained(toy_model: Any) -> list[NDArray[np.float32]]:
    """Return the toy's weights before anything was converted."""
    return [weight.copy() for weight in toy_model.get_weights()]


@pytest.fixture(scope="session")
def centred(toy_model: Any) -> Any:
    """Give the toy an input of -1 to 1; but for the border, which is padded with grey, it is the same."""
    model = _toy("centred", 1 / 127.5, -1.0)
    kernel, bias, *others = toy_model.get_weights()
    model.set_weights([kernel / 2, bias + kernel.sum(axis=(0, 1, 2)) / 2, *others])
    return model


@pytest.fixture(scope="session")
def toy_file(toy_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the toy model as a file."""
    path = tmp_path_factory.mktemp("toy") / "model.keras"
    toy_model.save(path)
    return path


@pytest.fixture(scope="session")
def toy_as(
    toy_model: Any, as_trained: list[NDArray[np.float32]], calibration: Crops
) -> Callable[[Recipe], bytes]:
    """Function that converts the toy by a recipe, once a session."""
    from convert.converter import quantise

    return cache(lambda recipe: quantise(toy_model, calibration.pixels, recipe))


@pytest.fixture(scope="session")
def toy_tflite(toy_as: Callable[[Recipe], bytes]) -> bytes:
    """Return the toy model after the refined conversion."""
    return toy_as(REFINED)


def in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Ask interpreters here: a process for each question takes longer than the answers.

    Processes of their own have tests of their own.
    """

    def probed(command: Sequence[str], **_: object) -> SimpleNamespace:
        probe.main(list(command[3:]))  # after "python -m convert.gate.probe"
        return SimpleNamespace(returncode=0)

    patch.setattr(device, "subprocess", SimpleNamespace(run=probed))
    patch.setattr(probe, "sys", SimpleNamespace(modules={}))  # it refuses to run beside TensorFlow


@pytest.fixture
def one_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge in one interpreter, in this process, and without the golden field, which has tests of its own."""

    def unasked(file: Path) -> Path:
        field = file.with_name(f"{file.stem}.field.npz")
        field.touch()
        return field

    in_this_process(monkeypatch)
    monkeypatch.setattr(examine, "installed_runtimes", lambda: ("ai_edge_litert",))
    monkeypatch.setattr(bundle, "record_field_on_device", unasked)


@pytest.fixture(scope="session")
def rendered() -> NDArray[np.uint8]:
    """Rendered crops for the toy, drawn once."""
    return rendered_crops(InputSpec(size_px=SIZE_PX))


@pytest.fixture
def crops_file(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes arrays to an .npz."""

    def write(**arrays: NDArray[Any]) -> Path:
        path = tmp_path / "crops.npz"
        np.savez(path, **arrays)
        return path

    return write
