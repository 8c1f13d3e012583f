"""A day in minutes: the daemon's own loop, thread, socket and log, with no time between fields.

Prints one JSON object: memory, descriptors and threads along the way. See test_soak.py for what is asked.

    python tests/system/soak.py fields 86400   # a day at a field a second; a pipeline without pixels
    python tests/system/soak.py real 2000      # the whole pipeline on small rendered fields, samples of 100
    python tests/system/soak.py idle 30        # seconds of a stage that rests, in auto mode
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from edge.bloodlog import BloodLog
from edge.classification.card import default_bundle_path, load_bundle
from edge.classification.classifier import Classifier
from edge.config import parse_config
from edge.counting.pipeline import Pipeline, ProcessedField
from edge.counting.provenance import Provenance
from edge.counting.recorder import FieldCounter, Recorder
from edge.daemon.client import ask
from edge.daemon.loop import Daemon, Setup
from edge.daemon.protocol import SOCKET_NAME
from edge.daemon.requests import Requests
from edge.daemon.supervisor import Supervisor
from edge.daemon.trigger import Auto, Interval, Trigger
from edge.device.clock import WallClock
from edge.errors import CameraError, ControlError
from edge.light.field import Field
from edge.rendered import RenderSettings, Slide
from edge.structures import FieldResult, Frame, ModelIdentity, Scale, UInt8Image

#: Fields after which caches are warm: the log's pages, OpenCV's buffers, the interpreter's arena.
WARM_FIELDS = 2000
#: One in so many frames is a failure: the camera is opened again, twelve times a day.
FAILURE_EVERY = 7200


class Source:
    """Frames from a function, with a failure now and then."""

    name = "soak"

    def __init__(self, image: Callable[[int], UInt8Image], failure_every: int) -> None:
        self._image = image
        self._failure_every = failure_every
        self._reads = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self, timeout_s: float) -> Frame:
        self._reads += 1
        if self._reads % self._failure_every == 0:
            raise CameraError("soak: gave no frame", "no_frame")
        return Frame(self._image(self._reads), f"soak#{self._reads}")


class WithoutPixels:
    """Stands in for the pipeline where the daemon's own keeping is looked at."""

    def process(self, frame: Frame, *_: object) -> ProcessedField:
        reasons = ("out_of_focus",) if int(frame.image[0, 0, 0]) > 230 else ()
        result = FieldResult(
            source=frame.source, width=frame.width, height=frame.height, captured_at=datetime.now(UTC),
            frame_sha256=frame.sha256(), scale=Scale(0.1, "assumed", 0.0),
            status="rejected" if reasons else "counted", reasons=reasons, cells=(),
            model=ModelIdentity("none", "a" * 64), stage_ms={"segment": 1.0},
        )  # fmt: skip
        return ProcessedField(result, None, Field(frame))


class AtOnce(Interval):
    """Asks for the next frame as soon as one was counted."""

    def due_s(self, now_s: float) -> float:
        return now_s


def measure() -> dict[str, float]:
    """Memory in MB, open descriptors, threads."""
    with Path("/proc/self/status").open() as lines:
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return {
        "rss_mb": round(kilobytes / 1024, 2),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
    }


class Soak:
    """A daemon in this process, with somebody who looks at it from outside."""

    def __init__(
        self, folder: Path, image: Callable[[int], UInt8Image], counter: FieldCounter, trigger: Trigger, *,
        live: bool = False, failure_every: int = FAILURE_EVERY,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.requests = Requests()
        self.log = BloodLog.open(folder / "blood.db")
        config = parse_config({"camera": {"source": "rendered"}, "log": {"path": str(folder / "blood.db")}})
        if live:
            config = config.changed(camera={"source": "v4l2"})
        made_by = Provenance(*("0" * 64 for _ in Provenance.__struct_fields__))
        self.recorder = Recorder(counter, made_by, "rendered", log=self.log, clock=WallClock())
        source = Source(image, failure_every)
        setup = Setup(
            config=config,
            make_source=lambda: source,
            recorder=self.recorder,
            trigger=trigger,
            button=None,
            check=lambda: None,
            model={"name": "none", "sha256": "a" * 64, "runtime": "none"},
        )
        self.daemon = Daemon(
            setup,
            lambda: setup,
            runtime_folder=folder / "run",
            requests=self.requests,
            supervisor=Supervisor(),
        )

    def run(self, fields: int | None, look: Callable[[], None], every_s: float) -> None:
        """Run, and have somebody look, ask for the status and a preview every so often."""
        over = threading.Event()

        def visit() -> None:
            while not over.wait(every_s):
                look()
                with suppress(ControlError):  # the daemon stops while somebody asks
                    for command in ("status", "preview"):
                        ask(self.folder / "run" / SOCKET_NAME, command)

        visitor = threading.Thread(target=visit, name="visitor")
        with self.requests:
            visitor.start()
            try:
                self.daemon.run(fields)
            finally:
                over.set()
                visitor.join()
        self.log.close()


def soak_fields(fields: int) -> dict[str, Any]:
    """Count so many fields without pixels."""
    rng = np.random.default_rng(1)
    pool = rng.integers(0, 255, (64, 60, 80, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), lambda n: pool[n % 64], WithoutPixels(), AtOnce(1.0))
        return watched(soak, fields, min(WARM_FIELDS, fields // 4), 0.5)


def soak_real(fields: int) -> dict[str, Any]:
    """Count so many small rendered fields with the whole pipeline, in samples of 100 fields each."""
    slide = Slide(3, RenderSettings(width=640, height=480, um_per_px=0.2))
    pool = [slide.view(90.0 * (n % 8), 70.0 * (n // 8)).image for n in range(64)]
    classifier = Classifier(load_bundle(default_bundle_path()))

    class InSamples(AtOnce):
        """Closes a sample after 100 fields and opens the next."""

        counted_fields = 0

        def counted(self, frame: Frame, now_s: float) -> None:
            if self.counted_fields % 100 == 0:
                if self.counted_fields:
                    soak.log.change_sample(f"S-{self.counted_fields // 100}", "closed")
                soak.log.open_sample(f"S-{self.counted_fields // 100 + 1}", "blood", 200)
            self.counted_fields += 1

    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), lambda n: pool[n % 64], Pipeline(classifier), InSamples(1.0))
        return watched(soak, fields, fields // 4, 1.0)


def watched(soak: Soak, fields: int, warm: int, every_s: float) -> dict[str, Any]:
    """Run and keep what was measured after the warm-up."""
    seen: list[dict[str, float]] = []

    def look() -> None:
        logged = soak.daemon.counts.logged
        if logged >= warm:
            seen.append({"fields": logged, **measure()})

    started, cpu = time.monotonic(), time.process_time()
    soak.run(fields, look, every_s)
    rss = [look["rss_mb"] for look in seen]
    fifth = max(1, len(rss) // 5)
    return {
        "fields": soak.daemon.counts.logged,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_ms_a_field": round((time.process_time() - cpu) * 1000 / fields, 3),
        "camera_failures": soak.daemon.status()["camera"]["failures"],
        "looks": len(seen),
        # Means of the first and the last fifth: single readings jump with the garbage collector.
        "rss_first_mb": round(sum(rss[:fifth]) / fifth, 2),
        "rss_last_mb": round(sum(rss[-fifth:]) / fifth, 2),
        "rss_growth_mb": round(sum(rss[-fifth:]) / fifth - sum(rss[:fifth]) / fifth, 2),
        "descriptors": sorted({int(look["descriptors"]) for look in seen}),
        "threads": sorted({int(look["threads"]) for look in seen}),
        "course": seen[:: max(1, len(seen) // 20)],
    }


def soak_idle(seconds: int) -> dict[str, Any]:
    """Let the stage rest in auto mode, at a Pi camera's binned size; measure the processor's time."""
    slide = Slide(5, RenderSettings(width=2028, height=1520, um_per_px=0.1))
    still = slide.view().image
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 5, still.shape, np.uint8) for _ in range(3)]
    pool = [cv2.add(still, noisy) for noisy in noise]  # a sensor's noise: no frame is the one before it
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(
            Path(folder), lambda n: pool[n % 3], WithoutPixels(), Auto(), live=True,
            failure_every=10**9,
        )  # fmt: skip
        marks: list[tuple[float, float]] = []

        def look() -> None:
            if soak.daemon.counts.logged:
                marks.append((time.monotonic(), time.process_time()))

        threading.Timer(seconds + 5, soak.requests.stop).start()
        soak.run(None, look, 2.0)
    (start_s, start_cpu), (end_s, end_cpu) = marks[1], marks[-1]
    return {
        "seconds": round(end_s - start_s, 1),
        "fields": soak.daemon.counts.logged,
        "cpu_share": round((end_cpu - start_cpu) / (end_s - start_s), 4),
    }


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("fields", "real", "idle"))
    parser.add_argument("number", type=int)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    os.environ.pop("NOTIFY_SOCKET", None)
    work = {"fields": soak_fields, "real": soak_real, "idle": soak_idle}[given.what]
    sys.stdout.write(json.dumps(work(given.number)) + "\n")


if __name__ == "__main__":
    main()
