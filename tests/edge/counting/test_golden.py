"""The golden field: what differs by rounding passes, a fault anywhere on the line is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge import cli
from edge.classification import crop
from edge.classification.card import ModelBundle, default_bundle_path, load_bundle
from edge.classification.classifier import Classifier
from edge.counting.golden import check_golden_field, field_path, load_golden_field, main
from edge.errors import GateError, ModelError
from edge.light.flatfield import FlatField

MODELS = sorted(default_bundle_path().parent.glob("*.tflite"))


@pytest.fixture(autouse=True)
def golden_field_once() -> None:
    """Here it is counted each time."""


@pytest.fixture(params=MODELS, ids=lambda path: path.stem)
def bundle(request: pytest.FixtureRequest) -> ModelBundle:
    return load_bundle(request.param)


def check(bundle: ModelBundle) -> None:
    check_golden_field(Classifier(bundle), load_golden_field(bundle))


def test_the_recorded_fields_agree_here(bundle: ModelBundle) -> None:
    golden = load_golden_field(bundle)
    agreement = check_golden_field(Classifier(bundle), golden)
    assert 6 <= agreement.cells <= 10
    assert golden.cells[:, 4].any()  # smudges
    assert golden.cells[:, 5].any()  # at the border
    # By the bundle's own decision it has a clear normal cell and a clear blast.
    assert golden.p_blast.min() < bundle.card.decision.uncertain_low
    assert golden.p_blast.max() >= bundle.card.decision.uncertain_high
    assert agreement.delta_p <= 0.02
    assert agreement.crop_change <= 0.2


Cut = Callable[..., Any]
cv2_distance, cv2_components = cv2.distanceTransform, cv2.connectedComponentsWithStats
cv2_resize = cv2.resize  # noqa: TID251  # to be replaced by another one


def _reversed_planes(cut: Cut) -> Cut:
    return lambda self, *a: np.ascontiguousarray(cut(self, *a)[..., ::-1])


def _weaker_density(cut: Cut) -> Cut:
    def weaker(self: crop.Cutter, *a: Any) -> Any:
        crops = cut(self, *a)
        crops[..., 0] = crops[..., 0] * 0.3
        return crops

    return weaker


def _not_interpolated(cut: Cut) -> Cut:
    def nearest(self: crop.Cutter, *a: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:  # OpenCV's flag for "as it is at the nearest px" is 0
            for mode in ("INTER_LINEAR", "INTER_AREA"):
                patch.setattr(cv2, mode, cv2.INTER_NEAREST)
            return cut(self, *a)

    return nearest


def _shifted(cut: Cut) -> Cut:
    def shifted(self: crop.Cutter, centres: Sequence[tuple[float, float]], *a: Any) -> Any:
        return cut(self, [(x + 3.0, y) for x, y in centres], *a)

    return shifted


@pytest.mark.parametrize("fault", [_reversed_planes, _weaker_density, _not_interpolated, _shifted])
def test_a_fault_of_the_crop_is_refused(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Cut], Cut]
) -> None:
    monkeypatch.setattr(crop.Cutter, "cut", fault(crop.Cutter.cut))
    Classifier(bundle).check_golden()  # the golden crops do not see it
    with pytest.raises(GateError, match=rf"golden field of {bundle.card.name} disagrees"):
        check(bundle)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("resize", lambda *a, **k: cv2_resize(*a, **(k | {"interpolation": cv2.INTER_NEAREST}))),
        ("morphologyEx", lambda image, *_, **__: image.copy()),
        ("resize", lambda *_, **__: _failed()),
        ("distanceTransform", lambda *a, **k: cv2_distance(*a, **k) * 1.5),
        ("connectedComponentsWithStats", lambda *a, **k: _fewer(*cv2_components(*a, **k))),
    ],
)
def test_an_opencv_that_changes_a_result_is_refused(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, name: str, changed: Callable[..., Any]
) -> None:
    monkeypatch.setattr(cv2, name, changed)
    with pytest.raises(GateError):
        check(bundle)


def _failed() -> Any:
    raise cv2.error("an assertion failed")


def _fewer(number: int, labels: Any, stats: Any, centroids: Any) -> Any:
    """Lose the last component, as a wrong count of them would."""
    labels[labels == number - 1] = 0
    return number - 1, labels, stats[:-1], centroids[:-1]


def test_light_that_is_not_evened_out_is_refused(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FlatField, "applied", lambda self, image: image)
    with pytest.raises(GateError):
        check(bundle)


def test_another_temperature_in_the_card_is_refused(bundle: ModelBundle) -> None:
    decision = replace(bundle.card.decision, temperature=bundle.card.decision.temperature * 1.5)
    with pytest.raises(GateError, match="p_blast is off"):
        check(replace(bundle, card=replace(bundle.card, decision=decision)))


@pytest.fixture
def own(tiny_model: Path, tmp_path: Path) -> ModelBundle:
    for suffix in (".tflite", ".json", ".golden.npz", ".field.npz"):
        shutil.copy(f"{tiny_model}{suffix}", tmp_path / f"own{suffix}")
    return load_bundle(tmp_path / "own")


def test_a_field_that_is_missing_damaged_or_of_another_network_is_refused(own: ModelBundle) -> None:
    path = field_path(own)
    with pytest.raises(ModelError, match="of another network"):
        load_golden_field(replace(own, card=replace(own.card, sha256="0" * 64)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="no golden field in it"):
        load_golden_field(own)
    path.unlink()
    with pytest.raises(ModelError, match=r"cannot be read .*python -m edge\.counting\.golden"):
        load_golden_field(own)


def test_recording_anew_says_what_was_before(own: ModelBundle) -> None:
    path = field_path(own)
    before = path.read_bytes()
    path.write_bytes(b"")
    for said in ("no golden field in it", "10 cells agree"):
        result = CliRunner().invoke(main, [str(own.tflite_path)], catch_exceptions=False)
        assert said in result.output
    check(own)
    golden = load_golden_field(own)
    path.write_bytes(before)
    assert np.abs(golden.p_blast - load_golden_field(own).p_blast).max() <= 0.03


@pytest.mark.requirement(8)
@pytest.mark.usefixtures("no_system_config")
@pytest.mark.parametrize("command", [["count", "edge/samples"], ["run", "--fields", "1"], ["check"]])
def test_nothing_is_counted_where_it_disagrees(
    own: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    config = tmp_path / "b.toml"
    log_path = tmp_path / "b.db"
    model, camera, log = f'path = "{own.tflite_path}"', 'source = "rendered"', f'path = "{log_path}"'
    config.write_text(f"[model]\n{model}\n[camera]\n{camera}\n[log]\n{log}\n")
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(config))
    monkeypatch.setattr(crop.Cutter, "cut", _shifted(crop.Cutter.cut))
    result = CliRunner().invoke(cli.main, command)
    assert result.exit_code == 4
    assert "golden field" in result.output
    assert not log_path.exists()
