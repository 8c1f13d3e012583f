"""The configuration is checked key by key, and every mistake is named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

import edge.config
from edge.config import CameraConfig, Config, load_config, parse_config, section_types, state_folder
from edge.errors import ConfigError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BLASTCOUNT_CONFIG", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(edge.config, "SYSTEM_CONFIG", tmp_path / "etc" / "blastcount.toml")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def keys_of(config: Config) -> dict[str, Any]:
    return {
        f"{name}.{key}": value
        for name in section_types()
        for key, value in structs.asdict(getattr(config, name)).items()
    }


def declared() -> dict[str, dict[str, Any]]:
    """Bounds and help of each setting, as its line in edge/config.py says."""
    schema = msgspec.json.schema(Config, schema_hook=lambda _: {"type": "string"})["$defs"]
    return {
        f"{name}.{key}": told | told.get("anyOf", [{}])[0]
        for name, section in section_types().items()
        for key, told in schema[section.__name__]["properties"].items()
    }


def test_without_a_file_the_defaults_hold() -> None:
    assert load_config() == Config() == parse_config({})
    assert load_config().origin is None


def test_the_order_in_which_a_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, named, given_path = edge.config.SYSTEM_CONFIG, tmp_path / "named.toml", tmp_path / "given.toml"
    for seconds, path in enumerate((system, named, given_path), start=3):
        write(path, f"[camera]\ninterval_s = {seconds}\n")
    assert load_config().origin == system
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(named))
    assert load_config().camera.interval_s == 4.0
    assert load_config(given_path).camera.interval_s == 5.0
    monkeypatch.setenv("BLASTCOUNT_CONFIG", "")
    assert load_config().camera.interval_s == 3.0


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    assert (
        load_config(write(tmp_path / "bom.toml", "\ufeff[camera]\ninterval_s = 4\n")).camera.interval_s == 4.0
    )


def test_values_are_typed_and_paths_are_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/lab")
    text = """
        camera = {source = "replay", path = "~/f", interval_s = 1, width = 1920, height = 1080, device = 1}
        calibration = {path = "calibration.json"}
        log = {path = "logs/blood.db"}
    """
    config = load_config(write(tmp_path / "all.toml", text))
    expected = CameraConfig("replay", "1", 1920, 1080, Path("/home/lab/f"), interval_s=1.0)
    assert config.camera == expected
    assert isinstance(config.camera.interval_s, float)
    assert config.log_path == tmp_path / "logs/blood.db"
    assert config.calibration_path == tmp_path / "calibration.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[camra]", r"\[camra\]; did you mean \[camera\]\?"),
        ("[zzz]", r"\[zzz\]; known are \[model\], \[scale\], \[camera\], \[trigger\], "),
        ("origin = 1", r"unknown section \[origin\]"),
        ("camera = 3", r"camera must be a section, .* got camera = 3"),
        ("[camera]\ninterval = 3", r"camera\.interval; did you mean camera\.interval_s\?"),
        ("[scale]\nzzz = 3", r"scale\.zzz; known are scale\.um_per_px"),
        ("[camera]\nsource = 'usb'", r'camera\.source must be one of "picamera", .* got \'usb\''),
        ("[camera]\nsource = []", r"camera\.source must be one of"),
        ("[model]\nthreads = '2'", r"model\.threads must be a whole number from 1 to 64, got '2'"),
        ("[model]\nthreads = true", r"model\.threads must be .*, got True"),
        ("[model]\nthreads = 0", r"model\.threads must be .*, got 0"),
        ("[log]\npath = ''", r"log\.path must be a path, got ''"),
        ("[camera]\nloop = 1", r"camera\.loop must be true or false, got 1"),
        ("[camera]\ninterval_s = nan", r"camera\.interval_s must be .* got nan"),
        ("[camera]\ndevice = -1", r"camera\.device must be a text, got -1"),
        ("[camera]\ndevice = '/dev/video0'", r"camera\.device must be a camera number when"),
        ("[camera]\nwidth = 640", r"camera\.width and camera\.height must be given together"),
        ("[camera]\nsource = 'replay'", r"camera\.path must name a file or folder"),
        ("[camera\n", r"is not valid TOML: .*line 1"),
        ("[camera]\n\ufeff", "is not valid TOML: "),
        ("x = " + "[" * 100_000, "is not valid TOML: .*recursion"),
        ("[camera]\nseed = " + "9" * 4000, r"camera\.seed must be a whole number .*, got 9+…"),
        ("[camera]\ninterval_s = " + "9" * 4000, r"camera\.interval_s must be a number .*, got 9+…"),
        ("[camera]\nseed = " + "9" * 5000, "is not valid TOML: .*4300 digits"),
        ("[camera]\nseed = 0x" + "f" * 5000, r"camera\.seed must be a whole number .*too long"),
        ("camera = 0x" + "f" * 5000, r"camera must be a section, .*too long"),
    ],
    ids=lambda text: text[:40].encode("unicode_escape").decode(),
)
def test_mistakes_are_named_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "bad.toml", text)
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}: .*{message}") as caught:
        load_config(path)
    assert caught.value.exit_code == 3
    assert len(str(caught.value).removeprefix(str(path))) < 200
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: no such configuration file"):
        load_config(tmp_path / "absent.toml")
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(ConfigError, match=r"absent\.toml \(named by BLASTCOUNT_CONFIG\): no such"):
        load_config()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xb5m\n")
    with pytest.raises(ConfigError, match=r"latin\.toml: is not UTF-8 text"):
        load_config(tmp_path / "latin.toml")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.4.1", "::"])
def test_a_page_that_a_network_can_reach_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match=r"needs review.token_file"):
        parse_config({"review": {"host": host}})
    table = {"review": {"host": host, "token_file": "token"}}
    section = parse_config(table, origin=Path("/etc/x.toml")).review
    assert (section.is_loopback, section.token_file) == (False, Path("/etc/token"))


def test_a_page_listens_on_an_address_and_one_of_this_machine_needs_no_token() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert parse_config({"review": {"host": host}}).review.is_loopback
    for host in ("example.org", "127.0.0.1/8"):
        with pytest.raises(ConfigError, match=r"review\.host must be an address"):
            parse_config({"review": {"host": host}})


def test_options_of_the_command_line_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"camera\.interval_s must be"):
        Config().changed(camera={"interval_s": -1.0})
    changed = Config(origin=Path("/etc/x.toml")).changed(
        log={"path": Path("blood.db")}, scale={"um_per_px": 0.1}
    )
    assert (changed.log.path, changed.scale.um_per_px) == (Path("blood.db"), 0.1)
    assert (changed.origin, changed.camera) == (Path("/etc/x.toml"), CameraConfig())


def test_the_hash_is_of_the_values_in_force(tmp_path: Path) -> None:
    written_out = write(tmp_path / "a.toml", "# the same\n[camera]\ninterval_s = 2\n")
    assert load_config(written_out).sha256 == Config().sha256
    # Rows of older logs name it: the defaults must not hash to something else because the code was rewritten.
    assert Config().sha256 == "7b91bc17413cec5aeb860c6bc0fddb0fa214701fa7f56cdd3fd995f43496dff9"
    changed: list[dict[str, dict[str, object]]] = [
        {"camera": {"interval_s": 2.5}}, {"camera": {"seed": 2}}, {"model": {"threads": 2}},
        {"scale": {"um_per_px": 0.1}}, {"log": {"path": "/x.db"}}, {},
        {"camera": {"pixel_format": "MJPG"}},
    ]  # fmt: skip
    assert len({parse_config(table).sha256 for table in changed}) == 7
    # How the page is served is not how fields are counted.
    elsewhere = parse_config({"review": {"port": 9000, "names": "lab", "with_daemon": True}})
    assert elsewhere != Config()
    assert elsewhere.sha256 == Config().sha256


def test_the_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/home/lab/state")
    assert state_folder() == Path("/home/lab/state/blastcount")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/blastcount:/var/lib/other")
    assert state_folder() == Path("/var/lib/blastcount")
    assert Config().log_path == Path("/var/lib/blastcount/blastcount.db")
    assert Config().calibration_path == Path("/var/lib/blastcount/calibration.json")


def test_the_example_file_shows_every_key_with_its_default(repository: Path) -> None:
    example = repository / "systemd" / "blastcount.toml"
    assert structs.replace(load_config(example), origin=None) == Config()

    uncommented = re.sub(r"^#(?=[a-z_]+ = )", "", example.read_text(encoding="utf-8"), flags=re.MULTILINE)
    table = tomllib.loads(uncommented)
    shown = {f"{section}.{key}": value for section, keys in table.items() for key, value in keys.items()}
    defaults = keys_of(Config())
    assert list(shown) == list(defaults)
    assert {key: value for key, value in shown.items() if defaults[key] is not None} == {
        key: value for key, value in defaults.items() if value is not None
    }
    parse_config(table)  # the examples of keys without a default are valid, too


def test_the_example_file_tells_the_ranges(repository: Path) -> None:
    text = (repository / "systemd" / "blastcount.toml").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^\[(\w+)\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL))
    settings = declared()
    assert all(told["description"] for told in settings.values())
    ranged = {key: told for key, told in settings.items() if "maximum" in told}
    # A camera's size is the camera's affair, and any seed will do.
    for key in ranged.keys() - {"camera.width", "camera.height", "camera.seed"}:
        section, _, name = key.partition(".")
        paragraphs = sections[section].split("\n\n")
        (paragraph,) = [part for part in paragraphs if re.search(f"^#{name} = ", part, re.MULTILINE)]
        assert f"{ranged[key]['minimum']:g} to {ranged[key]['maximum']:g}" in paragraph
    assert len(ranged) >= 20


def test_settings_that_the_pages_name_are_there(repository: Path) -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted((repository / "docs").glob("*.md")))
    named = set(re.findall(rf"`((?:{'|'.join(section_types())})\.[a-z_]+)`", pages))
    assert {"storage.reserve_mb", "camera.interval_s"} <= named <= set(keys_of(Config()))


@given(
    key=st.sampled_from(sorted(keys_of(Config()))),
    value=st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2),
)
def test_any_value_is_taken_or_refused_with_its_key(key: str, value: object) -> None:
    section, name = key.split(".")
    try:
        config = parse_config({section: {name: value}})
    except ConfigError as error:
        assert key in str(error) or "camera.path" in str(error)  # noqa: PT017  # either outcome is right
    else:
        assert config != Config() or keys_of(config)[key] in (value, str(value))
