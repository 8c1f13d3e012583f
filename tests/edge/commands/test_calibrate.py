"""``blastcount calibrate``: each part beside the others, from files or the camera, and errors in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from edge.calibration import Calibration
from edge.rendered import Population, RenderSettings, Slide
from edge.structures import Frame
from tests.edge.commands.invoking import blastcount

pytestmark = pytest.mark.usefixtures("no_system_config")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def calibrate(*arguments: object) -> Result:
    return blastcount("calibrate", *arguments)


def pictures(folder: Path, settings: RenderSettings, number: int) -> Path:
    folder.mkdir()
    slide = Slide(3, settings)
    for n in range(number):
        Image.fromarray(slide.view(300.0 * n).image).save(folder / f"{n}.png")
    return folder


def test_parts_are_put_beside_each_other_and_shown(tmp_path: Path, state: Path) -> None:
    blank = pictures(tmp_path / "blank", RenderSettings(480, 400, 0.25, population=Population.only()), 3)
    first = calibrate("blank", blank)
    assert first.exit_code == 0, first.stderr
    assert f"written to {state / 'calibration.json'}" in first.stdout
    fields = pictures(tmp_path / "fields", RenderSettings(480, 400, 0.25), 3)
    second = calibrate("red-cells", fields)
    assert second.exit_code == 0, second.stderr
    calibration = Calibration.load(state / "calibration.json")
    assert calibration.blank is not None
    assert calibration.scale is not None
    assert calibration.scale.um_per_px == pytest.approx(0.25, rel=0.08)
    shown = calibrate("show")
    assert shown.exit_code == 0
    assert "for frames of 480x400 px" in shown.stdout
    assert "scale: 0.2" in shown.stdout


def test_a_micrometer_from_a_file_to_a_chosen_place(tmp_path: Path, state: Path) -> None:
    line = (np.arange(800) % 100) < 20
    image = np.where(line, 60, 190).astype(np.uint8)[None, :, None] * np.ones((600, 1, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "micrometer.png")
    result = calibrate("micrometer", tmp_path / "micrometer.png", "--out", tmp_path / "c.json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("scale: 0.1000 µm/px")
    assert "a field is 80 µm wide" in result.stdout
    assert not state.exists()
    shown = calibrate("show", "--file", tmp_path / "c.json")
    assert "blank slide: not measured" in shown.stdout


def test_frames_from_the_configured_camera(tmp_path: Path, state: Path) -> None:
    config = tmp_path / "blastcount.toml"
    config.write_text('[camera]\nsource = "rendered"\nwidth = 480\nheight = 400\n[scale]\num_per_px = 0.25\n')
    result = calibrate("red-cells", "--frames", 3, "--config", config)
    assert result.exit_code == 0, result.stderr
    assert (state / "calibration.json").exists()
    refused = calibrate("blank", "--config", config)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)


def test_nothing_is_measured_while_exposure_moves(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edge.rendered.RenderedSource.read",
        lambda self, timeout_s: Frame(
            np.full((400, 480, 3), 220, np.uint8), "usb", warnings=("exposure_unsettled",)
        ),
    )
    config = tmp_path / "blastcount.toml"
    config.write_text('[camera]\nsource = "rendered"\n')
    result = calibrate("blank", "--config", config)
    assert result.exit_code == 1
    assert "nothing is measured: the camera's exposure was still moving" in result.stderr
    assert not state.exists()


def test_a_broken_or_other_file_is_replaced_and_said_so(tmp_path: Path, state: Path) -> None:
    state.mkdir()
    (state / "calibration.json").write_text("{")
    blank = pictures(tmp_path / "blank", RenderSettings(320, 240, 0.25, population=Population.only()), 3)
    first = calibrate("blank", blank)
    assert first.exit_code == 0
    assert "the old calibration is replaced" in first.stderr
    larger = pictures(tmp_path / "larger", RenderSettings(400, 300, 0.25, population=Population.only()), 3)
    second = calibrate("blank", larger)
    assert "the old calibration was for frames of 320x240 px" in second.stderr
    assert Calibration.load(state / "calibration.json").width == 400


def test_nothing_to_show_and_nothing_to_read(tmp_path: Path, state: Path) -> None:
    assert calibrate("show").exit_code == 3
    assert calibrate("blank", tmp_path / "none").exit_code == 1
    assert not state.exists()
