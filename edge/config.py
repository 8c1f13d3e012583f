"""The configuration: a frozen struct a section, each setting declared once, and the reader of the TOML file.

A setting's line says its type, bounds, unit and default. Everything else is derived from it: what a file may
say, what a message says was expected, and the hash. ``systemd/blastcount.toml`` shows the same to people, and
a test holds the two together.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import platformdirs
from msgspec import Meta, Struct, structs

from edge.bounds import COARSEST_UM_PER_PX, FINEST_UM_PER_PX, Denominator
from edge.device.reading import read_bounded
from edge.errors import ConfigError

#: Names the configuration file.
CONFIG_VARIABLE = "BLASTCOUNT_CONFIG"
#: Read where the variable is not set and this file exists.
SYSTEM_CONFIG = Path("/etc/blastcount/blastcount.toml")
#: The service's state folder, where there is a service: everybody's commands mean its log.
SYSTEM_STATE = Path("/var/lib/blastcount")
#: The log's name in the state folder.
LOG_NAME = "blastcount.db"
#: The calibration's name in the state folder.
CALIBRATION_NAME = "calibration.json"
#: The recalibration's name in the state folder.
RECALIBRATION_NAME = "recalibration.json"
#: Sections that decide how results are looked at, not how they come about: another port or token of the page
#: must not make the fields before and after it look as if they were counted differently. The site's names
#: stand in the provenance by themselves.
_NOT_HASHED = ("review", "site", "forward", "collect")
#: Settings that older programs did not have: unset, they must not make old and new rows look different.
_HASHED_WHERE_SET = {"camera": ("pixel_format",), "model": ("recalibration",)}
#: Number of the last of the kernel's video devices.
_MAX_CAMERA = 255
#: A page's address as a browser shows it: scheme, name, port, folder; nothing in it has to be decoded.
_PUBLIC_URL = re.compile(
    r"https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9_-]+)*/?",
    re.IGNORECASE | re.ASCII,
)
#: A value in a message is cut here: one line is one line, also for an integer of 4,000 digits.
_SHOWN = 60

SourceKind = Literal["picamera", "v4l2", "replay", "rendered"]
#: Those of V4L2 of which OpenCV makes colour pictures.
PixelFormat = Literal["MJPG", "YUYV", "UYVY", "NV12", "NV21", "YU12", "YV12", "RGB3", "BGR3"]
TriggerMode = Literal["auto", "manual", "interval"]


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[model]``: which model bundle, and how it is run."""

    path: Annotated[Path | None, Meta(description="the bundle's .tflite file; None for the shipped one")] = (
        None
    )
    #: 1 leaves the other cores to the camera and to OpenCV.
    threads: Annotated[int, Meta(ge=1, le=64, description="threads of the interpreter")] = 1
    #: None for ``recalibration.json`` in the state folder, used where it is there.
    recalibration: Annotated[Path | None, Meta(description="what `blastcount recalibrate` writes")] = None


class ScaleConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[scale]``: physical size of a pixel; None to measure it on each field's red cells."""

    um_per_px: (
        Annotated[
            float, Meta(ge=FINEST_UM_PER_PX, le=COARSEST_UM_PER_PX, description="µm per px of the frame")
        ]
        | None
    ) = None


class CameraConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[camera]``: where frames come from, and how often. Its size is given by both sides or neither."""

    source: Annotated[SourceKind, Meta(description="what gives frames")] = "picamera"
    device: Annotated[str, Meta(min_length=1, description="number; v4l2: or device file")] = "0"
    width: Annotated[int, Meta(ge=160, le=16384, description="px; None for its own")] | None = None
    height: Annotated[int, Meta(ge=120, le=16384, description="px; None for its own")] | None = None
    path: Annotated[Path | None, Meta(description="file or folder that replay plays")] = None
    loop: Annotated[bool, Meta(description="replay begins again at its end")] = False
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="of the rendered slide")] = 1
    interval_s: Annotated[float, Meta(ge=0.05, le=86400.0, description="field to field, s")] = 2.0
    #: A stop is noticed after this at the latest, and must be done within 5 s.
    timeout_s: Annotated[float, Meta(ge=0.1, le=4.0, description="longest wait for a frame, s")] = 3.0
    #: FourCC. None for an uncompressed one, and for MJPG where a USB camera has the size in no other.
    pixel_format: Annotated[PixelFormat | None, Meta(description="of v4l2; None for what suits")] = None

    def __post_init__(self) -> None:
        """Check the keys that need each other."""
        if (self.width is None) != (self.height is None):
            raise ConfigError("camera.width and camera.height must be given together, or neither")
        if self.source == "replay" and self.path is None:
            raise ConfigError('camera.path must name a file or folder when camera.source is "replay"')
        if self.source == "picamera" and not self.device.isdecimal():
            raise ConfigError(
                'camera.device must be a camera number when camera.source is "picamera", '
                f"got {_shown(self.device)}; `rpicam-hello --list-cameras` lists them"
            )


class TriggerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[trigger]``: what makes the daemon count a field.

    ``auto`` counts when the stage has come to rest and the image is sharp, ``manual`` on ``blastcount
    capture`` or a button, ``interval`` every ``camera.interval_s`` seconds.
    """

    #: None for ``auto`` with a camera, ``interval`` with what is replayed or rendered: nothing rests there.
    mode: Annotated[TriggerMode, Meta(description="when a field is counted")] | None = None


class GpioConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[gpio]``: a button or foot switch to ground that asks for a capture."""

    #: BCM numbering; a Pi's header has 0 to 27.
    button_pin: Annotated[int, Meta(ge=0, le=27, description="GPIO; None for no switch")] | None = None
    #: A switch bounces for a few ms; a foot does not press twice within this time.
    debounce_s: Annotated[float, Meta(ge=0.0, le=2.0, description="what is bouncing, s")] = 0.1


class CalibrationConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[calibration]``: where the measured optics of this microscope are."""

    #: None for ``calibration.json`` in the state folder, used where it is there.
    path: Annotated[Path | None, Meta(description="what `blastcount calibrate` writes")] = None


class SiteConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[site]``: what this laboratory calls its microscope and its stain.

    They stand in every row; a verification holds for the slides of the same microscope and stain only.
    """

    microscope: Annotated[str, Meta(min_length=1, max_length=80, description="microscope")] | None = None
    stain: Annotated[str, Meta(min_length=1, max_length=80, description="stain and its maker")] | None = None


class SampleConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[sample]``: how samples are counted up.

    Shares are of ``classified`` leukocytes, uncertain ones among them; ``without_uncertain``;
    ``with_smudges``, counted as normal cells; or of ``nucleated`` cells, erythroblasts among them.
    """

    #: None for classified ones of blood, and nucleated ones of marrow.
    denominator: Annotated[Denominator, Meta(description="which cells shares are of")] | None = None


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[log]``: where fields are written."""

    path: Annotated[Path | None, Meta(description="the log; None for the state folder's")] = None


class StorageConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[storage]``: how long pictures are kept, and how much of the disk is left free.

    Pictures of samples that are open or kept are never removed, nor is any row of the log. MB are 10^6 bytes.
    """

    reserve_mb: Annotated[int, Meta(ge=1, le=100_000, description="MB that counting leaves free")] = 200
    pictures_days: Annotated[int, Meta(ge=1, le=36_500, description="days that pictures are kept")] = 365
    pictures_mb: Annotated[int, Meta(ge=1, le=900_000, description="MB of all pictures; oldest go")] = 8000


class ReviewConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[review]``: the page on which people look at cells."""

    with_daemon: Annotated[bool, Meta(description="`blastcount run` serves the page, too")] = False
    #: A loopback address is reached from this machine alone; any other one needs ``token_file``.
    host: Annotated[str, Meta(min_length=1, description="address that is listened on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port")] = 8321
    #: ``blastcount review --new-token`` makes it.
    token_file: Annotated[Path | None, Meta(description="hash of the token; None for none")] = None
    #: Besides its own name, that with ``.local``, and its addresses; separated by spaces.
    names: Annotated[str, Meta(min_length=1, description="names of this machine")] | None = None
    #: Where a proxy for HTTPS on this machine shows the page; with a path where it shows other things, too.
    public_url: Annotated[str, Meta(min_length=1, description="address behind a proxy")] | None = None

    def __post_init__(self) -> None:
        """Check the public address, and that nothing is open to a network without a token."""
        if self.public_url is not None:
            if not _PUBLIC_URL.fullmatch(self.public_url):
                raise ConfigError(
                    "review.public_url must be an address such as https://lab.example/ or "
                    f"https://lab.example/blast/, got {_shown(self.public_url)}"
                )
            if self.token_file is None:
                raise ConfigError(
                    f"review.public_url {_shown(self.public_url)} shows the page to a network and needs "
                    "review.token_file; make one with `blastcount review --new-token FILE`"
                )
        if not self.is_loopback and self.token_file is None:
            raise ConfigError(
                f"review.host {_shown(self.host)} can be reached from the network and needs "
                "review.token_file; make one with `blastcount review --new-token FILE`"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the page.

        Raises
        ------
        ConfigError
            ``host`` is not an address.
        """
        try:
            return _is_loopback(self.host)
        except ValueError as error:
            raise ConfigError(
                f"review.host must be an address such as 127.0.0.1 or 0.0.0.0, got {_shown(self.host)}"
            ) from error


#: A device's name stands in topics and file names: a pattern of letters of ASCII.
DEVICE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"


class BrokerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``[forward]`` and ``[collect]`` say alike: the MQTT broker, and how it is spoken to."""

    broker: Annotated[str, Meta(min_length=1, description="the broker's host")] | None = None
    #: None for 8883 with TLS and 1883 without.
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port; None for the usual one")] | None = None
    tls: Annotated[bool, Meta(description="TLS; false for a broker on this machine alone")] = True
    ca_file: Annotated[Path | None, Meta(description="who signed the broker's certificate")] = None
    cert_file: Annotated[Path | None, Meta(description="own certificate; None for none")] = None
    key_file: Annotated[Path | None, Meta(description="its private key")] = None
    password_file: Annotated[Path | None, Meta(description="file with the password alone")] = None
    keep_alive_s: Annotated[int, Meta(ge=5, le=3600, description="s of silence until a ping")] = 60

    def __post_init__(self) -> None:
        """Check that nothing goes over a network unencrypted, and that keys come in pairs."""
        name = type(self).__name__.removesuffix("Config").lower()
        if not self.tls and self.broker is not None and not is_this_machine(self.broker):
            raise ConfigError(
                f"{name}.tls must be true for {name}.broker {_shown(self.broker)}, which is another machine"
            )
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError(f"{name}.cert_file and {name}.key_file must be given together, or neither")

    @property
    def tcp_port(self) -> int:
        """The port that is connected to."""
        return self.port or (8883 if self.tls else 1883)


class ForwardConfig(BrokerConfig, frozen=True, forbid_unknown_fields=True):
    """``[forward]``: how the log's rows get to a broker."""

    #: Also the name that the broker knows it by.
    device: Annotated[str, Meta(min_length=1, description="this device's name in the fleet")] | None = None
    window: Annotated[int, Meta(ge=1, le=1000, description="messages on their way at once")] = 100
    #: What the broker took within this time is sent again after a lost connection: it may have lost it.
    broker_saves_s: Annotated[float, Meta(ge=0.0, le=86_400.0, description="broker's saves, s apart")] = 60.0
    status_s: Annotated[float, Meta(ge=5.0, le=86_400.0, description="status to status, s")] = 300.0
    #: Small pictures of cells that are called uncertain: pictures of a patient's cells leave the device.
    thumbnails: Annotated[Literal["doubtful"] | None, Meta(description="pictures that go, too")] = None
    home_assistant: Annotated[bool, Meta(description="announce the device to Home Assistant")] = True

    def __post_init__(self) -> None:
        """Check the device's name, too."""
        super().__post_init__()
        if self.device is not None and not re.fullmatch(DEVICE_NAME, self.device, re.ASCII):
            raise ConfigError(
                "forward.device must be letters, digits, '-' and '_', at most 32, the first a letter or "
                f"digit, got {_shown(self.device)}"
            )


class CollectConfig(BrokerConfig, frozen=True, forbid_unknown_fields=True):
    """``[collect]``: where many devices' rows come from, and where they are kept."""

    user: Annotated[str, Meta(min_length=1, description="the collector's name at the broker")] = "collector"
    #: A file of SQLite, or postgresql://USER@HOST/NAME, whose password is libpq's affair (~/.pgpass).
    database: Annotated[str, Meta(min_length=1, description="None for fleet.db in the state")] | None = None
    silent_h: Annotated[float, Meta(ge=0.01, le=8760.0, description="h until a device is silent")] = 24.0


def is_this_machine(host: str) -> bool:
    """Whether a host is a loopback address, or ``localhost``.

    Examples
    --------
    >>> is_this_machine("127.0.0.1"), is_this_machine("::1"), is_this_machine("broker.example")
    (True, True, False)
    """
    try:
        return _is_loopback(host)
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    """Whether an address, or ``localhost``, is this machine; a ValueError where it is neither."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration. Bounds are checked by :func:`parse_config` and :meth:`changed`.

    Attributes
    ----------
    model, scale, camera, trigger, gpio, calibration, site, sample, log, storage, review, forward, collect :
        the sections
    origin : the file it was read from; None for built-in defaults. Not part of the hash
    """

    model: ModelConfig = ModelConfig()
    scale: ScaleConfig = ScaleConfig()
    camera: CameraConfig = CameraConfig()
    trigger: TriggerConfig = TriggerConfig()
    gpio: GpioConfig = GpioConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    site: SiteConfig = SiteConfig()
    sample: SampleConfig = SampleConfig()
    log: LogConfig = LogConfig()
    storage: StorageConfig = StorageConfig()
    review: ReviewConfig = ReviewConfig()
    forward: ForwardConfig = ForwardConfig()
    collect: CollectConfig = CollectConfig()
    origin: Path | None = None

    @property
    def sha256(self) -> str:
        """Hash of the values in force, those of ``_NOT_HASHED`` left out: equal files hash the same.

        Examples
        --------
        >>> Config().sha256 == parse_config({"camera": {"interval_s": 2}}).sha256
        True
        >>> Config().sha256 == parse_config({"camera": {"interval_s": 3}}).sha256
        False
        >>> Config().sha256 == parse_config({"review": {"port": 9000}}).sha256
        True
        """
        values = {
            name: structs.asdict(getattr(self, name)) for name in section_types() if name not in _NOT_HASHED
        }
        # What older programs had for the default, which gives the same rows.
        values["sample"]["denominator"] = self.sample.denominator or "classified"
        for name, keys in _HASHED_WHERE_SET.items():
            for key in keys:
                if values[name][key] is None:
                    del values[name][key]
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def log_path(self) -> Path:
        """The log's file: the configured one, else ``blastcount.db`` in the state folder."""
        return self.log.path if self.log.path is not None else state_folder() / LOG_NAME

    @property
    def calibration_path(self) -> Path:
        """The calibration's file: the configured one, else ``calibration.json`` in the state folder."""
        return self.calibration.path or _measured_folder() / CALIBRATION_NAME

    @property
    def recalibration_path(self) -> Path:
        """The recalibration's file: the configured one, else ``recalibration.json`` in the state folder."""
        return self.model.recalibration or _measured_folder() / RECALIBRATION_NAME

    def changed(self, **sections: Mapping[str, Any]) -> Config:
        """Return the configuration with some settings of some sections changed, checked as a file's are.

        None, which an option is that was not given, leaves a setting as it is.

        Raises
        ------
        ConfigError
            A value has the wrong type or is out of range.

        Examples
        --------
        >>> changed = Config().changed(camera={"interval_s": 5}).changed(camera={"interval_s": None})
        >>> changed.camera.interval_s
        5.0
        """
        table = {name: structs.asdict(getattr(self, name)) for name in section_types()}
        for name, keys in sections.items():
            table[name].update({key: value for key, value in keys.items() if value is not None})
        return parse_config(table, origin=self.origin)


def section_types() -> dict[str, type[Struct]]:
    """Struct of each section, by its name in the file."""
    return {field.name: type(field.default) for field in structs.fields(Config) if field.name != "origin"}


def state_folder() -> Path:
    """Folder for what must survive a restart: the service's where one is installed, else the user's own.

    systemd's ``StateDirectory=`` goes before both. It is not made here.
    """
    # systemd gives a colon-separated list where a unit has more than one.
    first = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if first:
        return Path(first)
    return SYSTEM_STATE if SYSTEM_STATE.is_dir() else _own_state()


def _measured_folder() -> Path:
    """Folder of what was measured here; one's own where the microscope is not this user's."""
    folder = state_folder()
    if folder == SYSTEM_STATE and folder.is_dir() and not os.access(folder, os.X_OK):
        return _own_state()
    return folder


def _own_state() -> Path:
    return platformdirs.user_state_path("blastcount", appauthor=False)


def load_config(
    path: Path | str | None = None,
    *,
    needed: Collection[str] | None = None,
    passed_over: Callable[[ConfigError], object] = lambda _error: None,
) -> Config:
    """Read the configuration.

    Parameters
    ----------
    path : the file; None for the one that ``BLASTCOUNT_CONFIG`` names, else
        ``/etc/blastcount/blastcount.toml``, else built-in defaults
    needed : names of the sections that matter to whoever asks; None for all. A mistake in another one leaves
        it at its defaults
    passed_over : called with such a mistake

    Returns
    -------
    the configuration; relative paths in it are relative to the file's folder

    Raises
    ------
    ConfigError
        A file that was named does not exist, a file cannot be read or is not TOML, a key is
        unknown, or a value has the wrong type or is out of range.
    """
    named_by = ""
    if path is None and os.environ.get(CONFIG_VARIABLE):
        path, named_by = os.environ[CONFIG_VARIABLE], f" (named by {CONFIG_VARIABLE})"
    if path is None:
        if not SYSTEM_CONFIG.exists():
            return Config()
        path = SYSTEM_CONFIG
    path = Path(path)

    def named(error: ConfigError) -> ConfigError:
        return ConfigError(f"{path}{named_by}: {error}")

    try:
        table = _read_toml(path)
        try:
            return parse_config(table, origin=path)
        except ConfigError as error:
            if needed is None:
                raise
            config = parse_config(_only(table, needed), origin=path)
            passed_over(named(error))
            return config
    except ConfigError as error:
        raise named(error) from error


def _only(table: Mapping[str, Any], needed: Collection[str]) -> dict[str, Any]:
    """Leave out sections that are not needed; an unknown one that may have been meant stays, as [lgo]."""
    known = section_types()
    return {
        name: keys
        for name, keys in table.items()
        if name in needed or (name not in known and difflib.get_close_matches(name, needed, n=1))
    }


def names_a_camera(config: Config) -> bool:
    """Whether anybody has said where frames come from: the built-in default is not a camera that is there.

    Parameters
    ----------
    config : as it was read from its file, or changed since
    """
    said = {} if config.origin is None else _read_toml(config.origin).get("camera", {})
    return bool(said) or config.camera != CameraConfig()


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # only where there is a file: the start of `count` without one pays for nothing

    try:
        # Editors on Windows put a byte order mark in front, which TOML itself does not allow.
        text = read_bounded(path).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError("no such configuration file") from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text: {error}") from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # tomllib lets Python's own limits through: on depth, and on the digits of an integer.
        raise ConfigError(f"is not valid TOML: {error}") from error


def parse_config(table: Mapping[str, Any], *, origin: Path | None = None) -> Config:
    """Make the record from parsed TOML.

    Parameters
    ----------
    table : sections by name, as :mod:`tomllib` gives them
    origin : the file that it was read from; relative paths are relative to its folder

    Raises
    ------
    ConfigError
        A key is unknown, or a value has the wrong type or is out of range.

    Examples
    --------
    >>> parse_config({"camera": {"source": "rendered", "interval_s": 1}}).camera.interval_s
    1.0
    >>> parse_config({"camera": {"intervals": 1}})
    Traceback (most recent call last):
    edge.errors.ConfigError: unknown key camera.intervals; did you mean camera.interval_s?
    """
    _refuse_unknown(table)
    camera = table.get("camera", {})
    if type(number := camera.get("device")) is int and 0 <= number <= _MAX_CAMERA:
        # `device = 0` is what most people write.
        table = {**table, "camera": {**camera, "device": str(number)}}
    folder = Path() if origin is None else origin.absolute().parent

    def path_in(kind: type, value: object) -> object:
        if isinstance(value, Path):  # of the command line: relative to the working folder
            return value
        if isinstance(value, str) and value:
            return folder / Path(value).expanduser()
        raise ValueError("not a path")

    try:
        config = msgspec.convert(table, Config, dec_hook=path_in)
    except msgspec.ValidationError as error:
        # The rules of a section say themselves what is wrong.
        raise error.__cause__ if isinstance(error.__cause__, ConfigError) else _wrong(error, table) from error
    return structs.replace(config, origin=origin)


def _refuse_unknown(table: Mapping[str, Any]) -> None:
    """Refuse names that no section or key has, and say which one may have been meant."""
    sections = section_types()
    for name, keys in table.items():
        if name not in sections:
            raise ConfigError(f"unknown section [{name}]; {_nearest(name, sections, '[{}]')}")
        if not isinstance(keys, Mapping):
            raise ConfigError(f"{name} must be a section, [{name}], got {name} = {_shown(keys)}")
        known = sections[name].__struct_fields__
        for key in keys:
            if key not in known:
                raise ConfigError(f"unknown key {name}.{key}; {_nearest(key, known, name + '.{}')}")


def _nearest(wrong: str, valid: Iterable[str], form: str) -> str:
    close = difflib.get_close_matches(wrong, valid, n=1)
    if close:
        return f"did you mean {form.format(close[0])}?"
    return "known are " + ", ".join(form.format(name) for name in valid)


def _wrong(error: msgspec.ValidationError, table: Mapping[str, Any]) -> ConfigError:
    """Say which key was refused, what it may be and what it was; msgspec names the key alone."""
    place = re.search(r"`\$\.(\w+)\.(\w+)", str(error))
    assert place is not None  # unknown names and sections that are none have been refused before
    section, key = place.groups()
    kinds = {field.name: field.type for field in msgspec.inspect.type_info(section_types()[section]).fields}  # type: ignore[attr-defined]
    return ConfigError(f"{section}.{key} must be {_expected(kinds[key])}, got {_shown(table[section][key])}")


def _expected(kind: msgspec.inspect.Type) -> str:
    """Say in words what a setting may be, from its declaration."""
    from msgspec import inspect

    match kind:
        case inspect.Metadata():
            return _expected(kind.type)
        case inspect.UnionType(types):
            return next(_expected(one) for one in types if not isinstance(one, inspect.NoneType))
        case inspect.LiteralType(values):
            return "one of " + ", ".join(f'"{value}"' for value in values)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            word = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            return f"{word} from {kind.ge} to {kind.le}"
        case inspect.StrType():
            return "a text"
        case _:
            return "a path"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python refuses to write integers of more than 4,300 digits, and what is nested too deeply.
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
