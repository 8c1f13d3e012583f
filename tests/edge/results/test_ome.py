"""Kept pictures as OME-TIFF: valid by OME's own schema, without loss, and counted with their scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import ome_types
import pytest
from tifffile import TiffFile

from edge.bloodlog import BloodLog
from edge.camera.files import read_image
from edge.results.ome import ome_tiff
from tests.edge.results.conftest import NAME, export

pytestmark = pytest.mark.usefixtures("no_system_config")


@pytest.mark.requirement(24)
def test_pixels_scale_and_channel_come_back(sample_log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ome"
    assert export(sample_log, "--ome", folder).exit_code == 0
    # The refused field has no picture of its own size.
    assert [path.name for path in sorted(folder.iterdir())] == [
        f"field-00000{n}.ome.tif" for n in range(1, 5)
    ]
    first = folder / "field-000001.ome.tif"
    with TiffFile(first) as file:
        xml = file.ome_metadata
    assert xml is not None
    ome_types.validate_xml(xml)
    image = ome_types.from_xml(xml).images[0]
    pixels = image.pixels
    assert (pixels.size_x, pixels.size_y, pixels.size_c, pixels.type.value) == (400, 400, 3, "uint8")
    assert (pixels.physical_size_x, pixels.physical_size_y) == (0.2, 0.2)
    assert pixels.physical_size_x_unit.value == pixels.physical_size_y_unit.value == "µm"
    assert [channel.name for channel in pixels.channels] == ["Brightfield"]
    assert "field_1.jpg" not in xml
    with BloodLog.open(sample_log, read_only=True) as log:
        sha256 = log.image(1)
        assert sha256 is not None
        kept = log.pictures.get(sha256)
    frame = read_image(first)
    assert np.array_equal(frame.image, kept)
    assert frame.um_per_px == 0.2
    written = first.read_bytes()
    export(sample_log, "--ome", folder)
    assert first.read_bytes() == written


def test_a_field_whose_picture_was_removed_is_left_out(sample_log: Path, tmp_path: Path) -> None:
    with BloodLog.open(sample_log, read_only=True) as log:
        sha256 = log.image(2)
        assert sha256 is not None
        log.pictures.path(sha256).unlink()
    said = export(sample_log, "--ome", tmp_path / "ome").stderr
    assert "3 of 4 counted fields written" in said
    assert "picture is not there" in said
    assert not (tmp_path / "ome" / "field-000002.ome.tif").exists()


def test_a_drawn_field_says_so(sample_log: Path) -> None:
    with BloodLog.open(sample_log, read_only=True) as log:
        sample = log.sample(NAME)
        first = next(log.fields(sample.id))
        for kind, says in (("file", False), ("rendered", True)):
            content = ome_tiff(replace(first, source_kind=kind), sample, log.pictures)
            assert content is not None
            assert (b"no real smear" in content) == says
