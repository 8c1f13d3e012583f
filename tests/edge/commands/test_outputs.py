"""Files written beside the result: pixels survive, and never two are under one name."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge.camera.files import OWN_MARK
from edge.commands.outputs import encode_labels, encode_picture, unique_stems
from edge.errors import OutputError


def test_labels_survive_encoding() -> None:
    labels = np.arange(70 * 900, dtype=np.uint16).reshape(70, 900)
    decoded = cv2.imdecode(np.frombuffer(encode_labels(labels), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, labels)


def test_jpeg_keeps_the_order_of_colours() -> None:
    image = np.full((32, 32, 3), (200, 100, 20), np.uint8)
    with Image.open(io.BytesIO(encode_picture(image))) as decoded:
        np.testing.assert_allclose(np.asarray(decoded), np.full((32, 32, 3), (200, 100, 20)), atol=3)


@pytest.mark.parametrize(
    ("files", "stems"),
    [
        (["a/f1.jpg", "a/f2.jpg"], ["f1", "f2"]),
        (["a/f1.jpg", "b/f1.jpg"], ["f1", "b_f1"]),
        (["a/f1.jpg", "a/f1.png", "a/f1"], ["f1", "f1.png", "a_f1"]),
        (["a/x/f.jpg", "b/x/f.jpg", "c/f.jpg"], ["f", "x_f", "c_f"]),
        (["/c.jpg", "/a_c.jpg", "/_a_c.jpg", "/a/c.jpg"], None),  # these read alike when joined
    ],
)
def test_stems(files: list[str], stems: list[str] | None) -> None:
    paths = list(map(Path, files))
    if stems is None:
        with pytest.raises(OutputError, match="would be written under one name"):
            unique_stems(paths)
    else:
        assert list(unique_stems(paths).values()) == stems


_NAME = st.text("ab_", min_size=1, max_size=3)


@settings(max_examples=50)
@given(st.lists(st.tuples(_NAME, _NAME, _NAME, st.sampled_from([".jpg", ".png"])), max_size=8, unique=True))
def test_stems_never_clash(parts: list[tuple[str, str, str, str]]) -> None:
    files = [Path("/", a, b, name + suffix) for a, b, name, suffix in parts]
    try:
        stems = unique_stems(files)
    except OutputError:
        return
    assert len(set(stems.values())) == len(files)
    assert all(os.sep not in stem for stem in stems.values())


def test_what_is_written_is_marked() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    for content in (encode_picture(image), encode_labels(image[:, :, 0].astype(np.uint16))):
        assert OWN_MARK in content[:512]
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()


@pytest.mark.parametrize("character", ["a", "血", "\U0001f600", os.fsdecode(b"\xff")])
def test_a_name_as_long_as_the_system_allows(tmp_path: Path, character: str) -> None:
    name = character * (250 // len(os.fsencode(character))) + ".png"
    files = [tmp_path / name, tmp_path / f"x{name[1:]}"]
    stems = list(unique_stems(files).values())
    assert len(set(stems)) == 2
    for stem in stems:
        (tmp_path / f"{stem}#1234567.annotated.jpg").touch()
    short = tmp_path / "f1.png"
    assert unique_stems([short]) == {short: "f1"}
