"""What a camera can do wrong, at the border to OpenCV: the right reason, no count from it, and back after it.

The daemon's V4L2 source and its whole pipeline, its times shortened; only the device is scripted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.camera.v4l2 import V4L2Source
from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.counting.pipeline import Pipeline
from edge.i18n import catalogue
from edge.rendered import RenderSettings, render_field
from edge.results.texts import reason_text
from edge.structures import Frame, UInt8Image
from tests.edge.camera.devices import Device

SETTINGS = RenderSettings(width=400, height=300, um_per_px=0.2)
#: Of no frame is the noise that of another: each begins one value later in these.
NOISE = np.random.default_rng(1).integers(0, 7, 3 * 400 * 300 + 100_000, np.uint8)


@cache
def drawn(seed: int) -> UInt8Image:
    """Draw a field in the order of OpenCV's channels."""
    return np.ascontiguousarray(render_field(seed, SETTINGS).image[..., ::-1])


class Microscope(Device):
    """A UVC camera on a microscope, with faults to order."""

    def __init__(self, node: Path) -> None:
        # Two frames a second by its clock: exposure is at rest after a few of them.
        super().__init__(formats={"YUYV": {(400, 300)}}, size=(400, 300), frame_s=0.5)
        self.node = node
        self.fault: str | None = None
        self.fine = threading.Event()
        self.fine.set()
        self.field, self.other = drawn(3), drawn(4)
        self.seen = 0
        self.last: Any = None
        self.faulty: set[str] = set()

    def begin(self, fault: str) -> None:
        self.fine.clear()
        self.fault = fault
        if fault == "disappears":
            self.node.unlink()

    def end(self) -> None:
        self.fault = None
        self.node.touch()
        self.fine.set()

    def grab(self) -> bool:
        self.clock.now_s += self.frame_s
        return self.fault != "disappears"

    def read(self) -> tuple[bool, Any]:
        self.grab()
        fault = self.fault
        if fault == "hangs":
            self.fine.wait(60.0)
            return False, None
        if fault in ("disappears", "returns None"):
            return False, None
        if fault is None or self.last is None:
            self.last = self._seen(self.field)
        elif fault != "frozen":
            self.last = self._faulty(fault)
            self.faulty.add(Frame(np.ascontiguousarray(self.last[..., ::-1]), "faulty").sha256())
        return True, self.last.copy()

    def _seen(self, image: UInt8Image) -> UInt8Image:
        self.seen += 1
        return cv2.add(image, NOISE[self.seen : self.seen + image.size].reshape(image.shape))

    def _faulty(self, fault: str) -> UInt8Image:
        frame = self._seen(self.field)
        if fault == "black":
            frame = self._seen(np.zeros_like(frame)) // 3
        elif fault == "torn":
            frame[125:] = self._seen(self.other)[125:]
        elif fault == "cut short":
            frame[190:] = 128
        elif fault == "wrong size":
            frame = frame[:150]
        return frame


#: What ends a wait for a camera: a busy machine may keep one waiting that is well.
PATIENCE = (
    "camera.v4l2.OPEN_TIMEOUT_S",
    "daemon.capture.OPEN_DEADLINE_S",
    "daemon.capture.READ_GRACE_S",
)


class Patient(V4L2Source):
    """Waits for a frame as long as a busy machine needs."""

    def read(self, timeout_s: float) -> Frame | None:
        return super().read(60.0)


@pytest.fixture
def microscope(tmp_path: Path) -> Iterator[Microscope]:
    node = tmp_path / "video0"
    node.touch()
    microscope = Microscope(node)
    yield microscope
    microscope.end()


def reasons(status: dict[str, Any]) -> Counter[str]:
    """Every reason that the status names, wherever."""
    camera, fields = status["camera"], status["fields"]
    return (
        Counter(camera["by_reason"])
        + Counter(camera["refused_frames"])
        + Counter(fields["rejected_by_reason"])
    )


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("hangs", "hung"),
        ("returns None", "no_frame"),
        ("disappears", "unplugged"),
        ("black", "underexposed"),
        ("torn", "torn"),
        ("cut short", "incomplete"),
        ("wrong size", "wrong_size"),
        ("frozen", "frozen"),
    ],
)
def test_a_fault_is_named_not_counted_and_over_soon_after_its_end(
    make_bench: Callable[..., Any],
    microscope: Microscope,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    reason: str,
) -> None:
    monkeypatch.setattr("edge.daemon.capture.LONGEST_RETRY_S", 0.05)
    bench = make_bench(live="interval")
    # Only what hangs is waited for in vain; the others get all the time that a busy machine needs.
    kind = V4L2Source if fault == "hangs" else Patient
    for patience in PATIENCE:
        monkeypatch.setattr(f"edge.{patience}", 60.0)
    bench.source = kind(str(microscope.node), open_capture=microscope, clock=microscope.clock)
    bench.counter = Pipeline(Classifier(load_bundle(tiny_model)))
    with bench.running():

        def counted() -> int:
            fields = bench.ask("status")["fields"]
            return int(fields["logged"]) - int(fields["rejected"])

        bench.wait(lambda: counted() >= 2, "fields before the fault")
        assert set(reasons(bench.ask("status"))) <= ({"hung"} if fault == "hangs" else set())
        if fault == "hangs":
            monkeypatch.setattr("edge.camera.v4l2.OPEN_TIMEOUT_S", 0.5)
        microscope.begin(fault)
        # A frame from before may be counted still; once the fault has shown, none is.
        bench.wait(lambda: reasons(bench.ask("status"))[reason] > 0, f"{reason} in the status")
        during = counted()
        bench.wait(lambda: reasons(bench.ask("status")).total() >= 2, "the fault going on")
        assert counted() == during, "a field was counted while the camera was faulty"
        status_lines = [message for message in bench.told.messages if message.startswith("STATUS=")]
        microscope.end()
        bench.wait(lambda: counted() > during, "a field after the fault")
        assert set(reasons(bench.ask("status"))) <= {reason, "missing"}  # an absent camera cannot be opened
    assert bench.error is None
    logged = [field.result for field in bench.fields()]
    shas = [result.frame_sha256 for result in logged if result.status == "counted"]
    assert not microscope.faulty & set(shas)
    assert len(set(shas)) == len(shas), "a frame was counted twice"
    if reason == "underexposed":
        assert any(result.reasons == (reason,) for result in logged)
        assert any(reason_text(catalogue(), reason) in line for line in status_lines)
