"""The commands that measure registration and the quality gate, on a few rendered fields."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from edge.cli import main
from edge.quality import Judgement
from edge.registration import Mosaic, Placement
from edge.rendered import RenderedField, RenderSettings, Scan, Slide, scan
from edge.structures import Frame
from training.evaluation import quality, registration
from training.evaluation.quality import GateFigures, follow_sessions, read_sessions, verdict
from training.evaluation.registration import Outcome, follow_slide

SETTINGS = RenderSettings(width=480, height=400, um_per_px=0.25)


def fields() -> list[RenderedField]:
    return list(scan(3, 6, SETTINGS, Scan(overlap=(0.4, 0.6), jumps=0.0, returns=0.3)))


@pytest.fixture(scope="module")
def scanned() -> list[RenderedField]:
    return fields()


def test_a_scan_is_counted_once(scanned: list[RenderedField]) -> None:
    outcome = Outcome()
    follow_slide(scanned, outcome)
    assert outcome.fields == 6
    assert outcome.cells > 20
    assert outcome.sightings > 5
    assert (outcome.twice, outcome.lost, outcome.false) == (0, 0, 0)
    assert outcome.shared_found == outcome.shared > 0


def test_a_smudge_that_was_counted_where_it_was_cut_is_not_lost() -> None:
    """The fourth field shows a smudge whole that an earlier one had cut."""
    outcome = Outcome()
    follow_slide(scan(20, 4, SETTINGS, Scan(overlap=(0.4, 0.6), jumps=0.0, returns=0.3)), outcome)
    assert (outcome.twice, outcome.lost) == (0, 0)
    assert outcome.sightings > 0


class Forgetful(Mosaic):
    """Never recognises anything."""

    def add(self, field_id: int, placement: Placement) -> None:
        """Forget the field."""


class Confused(Mosaic):
    """Takes every field for the first one."""

    def place(self, frame: object, segmentation: object) -> Placement:
        """Place the first field that it saw on itself."""
        if not len(self):
            self._first = (frame, segmentation)
        return super().place(*self._first)  # type: ignore[arg-type]


def test_the_measure_sees_what_goes_wrong(
    scanned: list[RenderedField], monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = Outcome()
    monkeypatch.setattr(registration, "Mosaic", Forgetful)
    follow_slide(scanned, twice)
    assert twice.twice + twice.as_smudge_too == twice.sightings > 5
    assert twice.shared_found == 0
    wrong = Outcome()
    monkeypatch.setattr(registration, "Mosaic", Confused)
    follow_slide(scanned, wrong)
    assert wrong.lost > 5
    assert wrong.false > 0


def test_the_registration_command(tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    slide = Slide(4, SETTINGS)
    for name, x_um in (("a", 0.0), ("b", 40.0), ("c", 900.0)):
        Image.fromarray(slide.view(x_um).image).save(folder / f"{name}.png")
    arguments = ["evaluate", "registration", "--slides", "1", "--fields", "3", "--images", str(folder)]
    result = CliRunner().invoke(main, [*arguments, "--json", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["sources"][0]["source"] == "rendered"
    assert document["sources"][1]["figures"][0]["value"] == 1.0
    assert result.stderr.startswith("a.png b.png 0.")
    assert json.loads((tmp_path / "out" / "registration.json").read_text()) == document


def test_the_quality_command(tmp_path: Path, scanned: list[RenderedField]) -> None:
    for name in ("first", "second"):
        folder = tmp_path / name / "im"
        folder.mkdir(parents=True)
        Image.fromarray(scanned[0].image).save(folder / "a.png")
    folders = [part for name in ("first", "second") for part in ("--images", str(tmp_path / name / "im"))]
    result = CliRunner().invoke(main, ["evaluate", "quality", *folders, "--degraded", "1", "--markdown"])
    assert result.exit_code == 0, result.stderr
    rows = [line.split(" | ") for line in result.stdout.splitlines()[2:]]
    everything = {row[1]: row[3] for row in rows if row[0] == "| all"}
    assert everything["good refused, as a file"] == "0/2"
    assert everything["passed: bubble (file)"] == "0/2"
    assert int(everything["passed: all"].split("/")[1]) == 2 * (len({r[1] for r in rows}) - 3)


def test_sessions_are_judged_live_by_their_first_fields(tmp_path: Path) -> None:
    folder = tmp_path / "im"
    folder.mkdir()
    slide = Slide(4, SETTINGS)
    rows = ["field,camera,session,exif_time"]
    for n in range(5):
        Image.fromarray(slide.view(200.0 * n).image).save(folder / f"f{n}.jpg")
        rows.append(f"f{n},C,1,2026-01-01 10:0{9 - n}:00")
    (tmp_path / "fields.csv").write_text("\n".join(rows))
    sessions = read_sessions(folder)
    assert [path.stem for path in sessions[0]] == ["f4", "f3", "f2", "f1", "f0"]
    outcome = GateFigures()
    follow_sessions([*sessions, sessions[0][:2]], outcome)
    assert outcome.good["live"].n == 2
    assert outcome.good["live"].rejected == 0
    assert read_sessions(tmp_path) == []


def test_a_scan_is_the_same_again() -> None:
    again = fields()
    assert all((a.image == b.image).all() for a, b in zip(again, fields(), strict=True))
    assert len({(field.x_um, field.y_um) for field in again}) == 6


def test_what_the_gate_says_after_segmentation_is_asked(
    scanned: list[RenderedField], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = Frame(scanned[0].image, "test")
    assert verdict(frame) == ()
    monkeypatch.setattr(quality, "assess_cells", lambda *_: Judgement(("channels_swapped",)))
    assert verdict(frame) == ("channels_swapped",)
