"""The whole path of a field, from its file to its row in the log, with the time of each stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bloodlog import BloodLog
from edge.camera.files import read_image
from edge.classification.card import ModelCard
from edge.classification.classifier import Classifier
from edge.counting.pipeline import Pipeline
from edge.structures import CellClass, FieldResult
from edge.version import software_version

#: In the order of the path. ``hash`` is the SHA-256 of the frame's pixels and the making of the result.
STAGES = ("grab", "decode", "quality", "segment", "crop", "classify", "hash", "log")
#: Everything between the decoded frame and the log but the network.
GLUE = ("quality", "segment", "crop", "hash")
#: Stands in the log for the hash of a configuration, which a bench has none of.
_NO_CONFIG = "0" * 64


class StopwatchClassifier:
    """A classifier that notes how long it took, to tell it from the cutting of crops."""

    def __init__(self, classifier: Classifier, clock: Callable[[], float] = time.perf_counter) -> None:
        self._classifier = classifier
        self._clock = clock
        self.elapsed_ms = 0.0

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._classifier.card

    @property
    def runtime(self) -> str:
        """Name and version of the interpreter."""
        return self._classifier.runtime

    def p_blast(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify and add up the time."""
        started = self._clock()
        try:
            return self._classifier.p_blast(crops)
        finally:
            self.elapsed_ms += (self._clock() - started) * 1000.0

    def label(self, p_blast: float) -> CellClass:
        """Name the class of a probability."""
        return self._classifier.label(p_blast)


class WholePath:
    """Counts image files as ``count --log`` does, one after the other.

    Parameters
    ----------
    files : image files
    classifier : that counts
    log : an open log, which grows
    threads : of OpenCV; those of the interpreter are the classifier's
    """

    def __init__(self, files: Sequence[Path], classifier: Classifier, log: BloodLog, threads: int) -> None:
        self._files = files
        self._classifier = StopwatchClassifier(classifier)
        self._pipeline = Pipeline(self._classifier)
        self._log = log
        self._threads = threads
        self.results: dict[Path, FieldResult] = {}

    def run(self) -> list[dict[str, float]]:
        """Count every file once.

        Returns
        -------
        for each file, ms by stage of ``STAGES``, and ``total``
        """
        cv2.setNumThreads(self._threads)
        return [self._count(file) for file in self._files]

    def _count(self, file: Path) -> dict[str, float]:
        self._classifier.elapsed_ms = 0.0
        started = time.perf_counter()
        file.read_bytes()
        grabbed = time.perf_counter()
        frame = read_image(file)
        decoded = time.perf_counter()
        result = self._pipeline.process(frame).result
        counted = time.perf_counter()
        self._log.append(
            result,
            config_sha256=_NO_CONFIG,
            software_version=software_version(),
            runtime=self._classifier.runtime,
        )
        logged = time.perf_counter()
        self.results[file] = result
        stage_ms, network_ms = result.stage_ms, self._classifier.elapsed_ms
        # The decoder reads the file by itself; what reading takes is measured just before and taken off.
        grab_ms = (grabbed - started) * 1000.0
        return {
            "grab": grab_ms,
            "decode": max(0.0, (decoded - grabbed) * 1000.0 - grab_ms),
            # Focus is a question of quality that only a known scale answers.
            "quality": stage_ms["quality"] + stage_ms.get("focus", 0.0),
            "segment": stage_ms.get("segment", 0.0),  # a rejected field goes no further
            "crop": stage_ms.get("classify", 0.0) - network_ms,
            "classify": network_ms,
            "hash": (counted - decoded) * 1000.0 - sum(stage_ms.values()),
            "log": (logged - counted) * 1000.0,
            "total": (logged - grabbed) * 1000.0,
        }
