"""Reading sets of crops, and keeping calibration and judgement apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convert.gate.crops import (
    CALIBRATION_KEYS,
    PARITY_KEYS,
    Crops,
    check_apart,
    has_key,
    hold_out,
    read_crops,
)
from edge.errors import DataSetError

RANDOM = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def test_keys_are_taken_in_order(crops_file: Callable[..., Path]) -> None:
    fields = np.array(["a", ""])
    path = crops_file(
        crops=RANDOM,
        test_crops=RANDOM[:2],
        test_labels=np.array([0, 1]),
        test_fields=fields,
        test_groups=np.array(["s", "t"]),
        test_touches_border=np.array([False, True]),
    )
    assert len(read_crops(path, 16, CALIBRATION_KEYS)) == 6
    judged = read_crops(path, 16, PARITY_KEYS)
    assert judged.labels is not None
    assert judged.labels.tolist() == [0, 1]
    assert judged.fields is not None
    assert judged.fields.tolist() == ["a", ""]
    assert judged.groups is not None
    assert judged.groups.tolist() == ["s", "t"]
    assert judged.touches_border is not None
    second = judged.take(np.array([1]))
    assert second.touches_border is not None
    assert second.touches_border.tolist() == [True]
    np.testing.assert_array_equal(judged.pixels, RANDOM[:2])
    assert has_key(path, "test_crops")
    assert not has_key(path, "train_crops")
    assert not has_key(path.parent, "crops")


def test_a_folder_of_images_is_read_in_order(tmp_path: Path) -> None:
    for i in (1, 0):
        Image.fromarray(RANDOM[i]).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    np.testing.assert_array_equal(read_crops(tmp_path, 16, PARITY_KEYS).pixels, RANDOM[:2])


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    Image.fromarray(RANDOM[0, :8]).save(tmp_path / "a.png")
    with pytest.raises(DataSetError, match=r"a\.png: 16x8 px, the network takes 16x16.*to_input"):
        read_crops(tmp_path, 16, PARITY_KEYS)


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataSetError, match=r"a\.png: cannot be read .*take it out of the folder"):
        read_crops(tmp_path, 16, PARITY_KEYS)


@pytest.mark.parametrize("name", ["none.npz", "text.npz"])
def test_what_is_no_set_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.npz").write_text("crops")
    with pytest.raises(DataSetError, match="cannot be read as crops"):
        read_crops(tmp_path / name, 16, PARITY_KEYS)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "crops.npy", RANDOM)
    with pytest.raises(
        DataSetError, match=r"a single array; give an \.npz file with one of test_crops, crops"
    ):
        read_crops(tmp_path / "crops.npy", 16, PARITY_KEYS)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": RANDOM}, "expected one of test_crops, crops, got images"),
        ({"crops": RANDOM.astype(np.float32)}, "expected crops .* float32"),
        ({"crops": RANDOM[:, :8]}, r"expected crops \(n, 16, 16, 3\).*got \(6, 8, 16, 3\)"),
        ({"crops": RANDOM[0]}, "expected crops"),
        ({"crops": RANDOM[:0]}, "no crops in it"),
        ({"crops": RANDOM, "labels": np.zeros(5, int)}, "labels must be 6 values"),
        ({"crops": RANDOM, "fields": np.array(["a"])}, "fields must be 6 names, got .1,. <U1; give an empty"),
        ({"crops": RANDOM, "fields": np.zeros(6)}, "fields must be 6 names, got .6,. float64"),
        ({"crops": RANDOM, "groups": np.zeros(6)}, "groups must be 6 names, got .6,. float64"),
        ({"crops": RANDOM, "touches_border": np.zeros(6)}, "touches_border must be 6 values .* float64"),
        ({"crops": RANDOM, "labels": np.full(6, 2)}, "labels must be 6 values of 0 .normal. or 1 .blast."),
    ],
)
def test_other_arrays_are_refused(
    crops_file: Callable[..., Path], arrays: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(DataSetError, match=message):
        read_crops(crops_file(**arrays), 16, PARITY_KEYS)


def test_one_shared_crop_is_enough_to_refuse() -> None:
    check_apart(Crops(RANDOM[:3], None, "a"), Crops(RANDOM[3:], None, "b"))
    with pytest.raises(DataSetError, match=r"1 crop\(s\) of the parity set b are calibration crops \(a\)"):
        check_apart(Crops(RANDOM[:3], None, "a"), Crops(RANDOM[2:], None, "b"))


def _known(part: slice, fields: str, groups: str, border: str = "") -> Crops:
    letters = [np.array(list(word)) for word in (fields, groups, border)]
    return Crops(RANDOM[part], None, "x", letters[0], letters[1], letters[2] == "b" if border else None)


@pytest.mark.parametrize(
    ("parity", "message"),
    [
        (_known(slice(3, 6), "def", "stt"), r"1 crop\(s\) of the parity set x are of 1 group\(s\) .* \(s\);"),
        (_known(slice(3, 6), "cce", "ttt"), r"2 crop\(s\) of the parity set x are of 1 field\(s\) .* \(c\);"),
        (
            _known(slice(3, 6), "def", "ttt", "-bb"),
            r"2 crop\(s\) .* of cells that the edge .* cuts \(e, f",
        ),
    ],
)
def test_one_group_or_field_on_both_sides_or_a_cut_cell_is_enough_to_refuse(
    parity: Crops, message: str
) -> None:
    calibration = _known(slice(0, 3), "abc", "sss", "bbb")  # calibration may see cut cells
    check_apart(calibration, _known(slice(3, 6), "def", "ttt", "---"))
    check_apart(calibration, Crops(RANDOM[3:], None, "x"))
    with pytest.raises(DataSetError, match=message):
        check_apart(calibration, parity)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.floats(0.05, 0.95), st.integers(0, 9))
def test_equal_crops_stay_on_one_side(index: list[int], share: float, seed: int) -> None:
    crops = Crops(RANDOM[index], np.array(index), "x")
    if len(set(index)) < 2:
        with pytest.raises(DataSetError, match="one crop, or crops of one group or field, cannot be divided"):
            hold_out(crops, share, seed)
        return
    rest, held = hold_out(crops, share, seed)
    check_apart(rest, held)
    assert set(rest.hashes()) | set(held.hashes()) == set(crops.hashes())
    assert len(held) >= 1
    assert len(rest) >= 1
    assert held.labels is not None
    np.testing.assert_array_equal(held.pixels, RANDOM[held.labels])


@pytest.mark.parametrize("known", ["fields", "groups"])
@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.floats(0.05, 0.95), st.integers(0, 9))
def test_cells_of_a_group_or_field_stay_on_one_side(
    known: str, index: list[int], share: float, seed: int
) -> None:
    names = np.array(["", "a", "b", "c"])[index]
    # Fields that would part the groups count for nothing where these are known.
    parts = (names, None) if known == "fields" else (np.array(list("uvwxyz")), names)
    crops = Crops(RANDOM, None, "x", *parts)
    if set(index) in ({1}, {2}, {3}):
        with pytest.raises(DataSetError, match="crops of one group or field, cannot be divided"):
            hold_out(crops, share, seed)
        return
    rest, held = hold_out(crops, share, seed)
    sides = [set(getattr(side, known)) - {""} for side in (rest, held)]
    assert not sides[0] & sides[1]
    assert set(rest.hashes()) | set(held.hashes()) == set(crops.hashes())
