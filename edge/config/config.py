"""The whole configuration: a frozen record of its sections, and the hash of their values."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import platformdirs

from edge.config.calibration import CalibrationConfig
from edge.config.camera import CameraConfig
from edge.config.gpio import GpioConfig
from edge.config.log import LogConfig
from edge.config.model import ModelConfig
from edge.config.review import ReviewConfig
from edge.config.sample import SampleConfig
from edge.config.scale import ScaleConfig
from edge.config.storage import StorageConfig
from edge.config.trigger import TriggerConfig

#: The log's name in the state folder.
LOG_NAME = "blastcount.db"
#: The calibration's name in the state folder.
CALIBRATION_NAME = "calibration.json"
#: Sections that decide how results are looked at, not how they come about: another port or token of the page
#: must not make the fields before and after it look as if they were counted differently.
_NOT_HASHED = ("review",)


@dataclass(frozen=True)
class Config:
    """The whole configuration. Every value has been checked.

    Attributes
    ----------
    model, scale, camera, trigger, gpio, calibration, sample, log, storage, review : the sections
    origin : the file it was read from; None for built-in defaults. Not part of the hash
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    trigger: TriggerConfig = field(default_factory=TriggerConfig)
    gpio: GpioConfig = field(default_factory=GpioConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    log: LogConfig = field(default_factory=LogConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    review: ReviewConfig = field(default_factory=ReviewConfig)
    origin: Path | None = field(default=None, compare=False)

    @cached_property
    def sha256(self) -> str:
        """Hash of the values in force but ``[review]``: two files that say the same hash the same.

        Examples
        --------
        >>> Config().sha256 == Config(camera=CameraConfig(interval_s=2.0)).sha256
        True
        >>> Config().sha256 == Config(camera=CameraConfig(interval_s=3.0)).sha256
        False
        >>> Config().sha256 == Config(review=ReviewConfig(port=9000)).sha256
        True
        """
        values = {
            name: {key.name: getattr(getattr(self, name), key.name) for key in fields(section)}
            for name, section in section_types().items()
            if name not in _NOT_HASHED
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def log_path(self) -> Path:
        """The log's file: the configured one, else ``blastcount.db`` in the state folder."""
        return self.log.path if self.log.path is not None else state_folder() / LOG_NAME

    @property
    def calibration_path(self) -> Path:
        """The calibration's file: the configured one, else ``calibration.json`` in the state folder."""
        configured = self.calibration.path
        return configured if configured is not None else state_folder() / CALIBRATION_NAME


def section_types() -> dict[str, type[Any]]:
    """Record of each section, by its name in the file."""
    hints = get_type_hints(Config)
    return {key.name: hints[key.name] for key in fields(Config) if key.name != "origin"}


def state_folder() -> Path:
    """Folder for what must survive a restart: systemd's ``StateDirectory=``, else the user's state folder.

    It is not made here.
    """
    # systemd gives a colon-separated list where a unit has more than one.
    first = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(first) if first else platformdirs.user_state_path("blastcount", appauthor=False)
