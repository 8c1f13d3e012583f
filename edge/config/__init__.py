"""The configuration: a file a section, the record of them all, and the reader of the TOML file."""

from edge.config.calibration import CalibrationConfig
from edge.config.camera import CameraConfig, SourceKind
from edge.config.config import LOG_NAME, Config, state_folder
from edge.config.gpio import GpioConfig
from edge.config.loader import CONFIG_VARIABLE, SYSTEM_CONFIG, load_config, parse_config
from edge.config.log import LogConfig
from edge.config.model import ModelConfig
from edge.config.review import ReviewConfig
from edge.config.sample import SampleConfig
from edge.config.scale import ScaleConfig
from edge.config.storage import StorageConfig
from edge.config.trigger import TriggerConfig, TriggerMode

__all__ = [
    "CONFIG_VARIABLE",
    "LOG_NAME",
    "SYSTEM_CONFIG",
    "CalibrationConfig",
    "CameraConfig",
    "Config",
    "GpioConfig",
    "LogConfig",
    "ModelConfig",
    "ReviewConfig",
    "SampleConfig",
    "ScaleConfig",
    "SourceKind",
    "StorageConfig",
    "TriggerConfig",
    "TriggerMode",
    "load_config",
    "parse_config",
    "state_folder",
]
