"""``blastcount status`` and ``blastcount capture`` against a daemon that answers what it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from edge.daemon.control import ControlServer
from edge.errors import ControlError
from tests.edge.commands.invoking import blastcount

FIELD = {
    "field": 12,
    "at": "2026-01-31T12:00:00+00:00",
    "status": "counted",
    "warnings": ["overlay"],
    "wbc": 9,
    "blasts": 4,
    "seen_before": 2,
    "sample": "S-0142",
}
STATUS: dict[str, Any] = {
    "state": "counting",
    "problem": None,
    "mode": "auto",
    "source": "picamera:0",
    "queue_age_s": 0.23,
    "uptime_s": 7200.0,
    "camera": {
        "restarts": 2,
        "failures": 3,
        "by_reason": {"hung": 1, "unplugged": 2},
        "refused_frames": {"torn": 4},
        "last_failure": {"reason": "hung", "message": "picamera:0: no frame within 3 s"},
    },
    "fields": {
        "logged": 12,
        "rejected": 3,
        "rejected_by_reason": {"out_of_focus": 2, "blank": 1},
        "warned": 2,
        "by_warning": {"scale_changed": 1, "overlay": 2},
        "per_minute": 5,
    },
    "last_field": FIELD,
    "sample": {"name": "S-0142", "specimen": "blood", "quota": 200, "wbc": 100, "blasts": 20}
    | {"blast_fraction": 0.2, "ci_low": 0.1267, "ci_high": 0.2918, "fields": 9, "rejected": 3}
    | {"rejected_by_reason": {"out_of_focus": 2, "blank": 1}, "resuming": None, "quota_reached": False},
    "disk": {"free_bytes": 12_340_000_000, "problem": None},
    "temperature_c": 61.3,
    "throttled": ["under-voltage"],
    "model": {"name": "akbar2024", "sha256": "de82c7ffd953" + "0" * 52},
    "last_reload": {"at": "", "ok": False, "message": "unknown key camera.intervall"},
}
SHOWN = """\
state       counting (mode auto, up 2.0 h)
camera      picamera:0, newest frame 0.2 s old, opened again 2 times
failures    1 hung, 2 unplugged; last: picamera:0: no frame within 3 s
dropped     frames that were 4 torn
fields      12 logged, 5 in the last minute, 3 rejected
rejected    2 out of focus, 1 blank
warnings    2 fields: 2 lettering in the picture, 1 another scale
last        2026-01-31T12:00:00+00:00, field 12: 9 white cells, 4 of them look like blasts; 2 were counted before; warning: lettering in the picture; sample S-0142
sample      S-0142 (blood): 100 of 200 cells; 20 of 100 look like blasts, 20.0 %, 95 % interval 12.7 to 29.2 %; 9 fields counted, 3 rejected (2 out of focus, 1 blank)
machine     12.3 GB free, 61 °C, throttled: under-voltage
model       akbar2024 de82c7ffd953
config      the last change was refused: unknown key camera.intervall
            For research use only; not for diagnosis.
"""  # noqa: E501  # as a terminal shows it

Ask = Callable[..., Result]


@pytest.fixture
def ask(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr("edge.daemon.control.POLL_S", 0.01)

    def run(answer: dict[str, Any] | ControlError, *arguments: str) -> Result:
        def reply(_command: str) -> dict[str, Any]:
            if isinstance(answer, ControlError):
                raise answer
            return answer

        path = tmp_path_factory.mktemp("s") / "s"
        with ControlServer(path, reply):
            return blastcount(*arguments, "--socket", path)

    return run


def test_status_for_people_and_machines(ask: Ask) -> None:
    result = ask(STATUS, "status")
    assert (result.exit_code, result.stdout) == (0, SHOWN)
    assert json.loads(ask(STATUS, "status", "--json").stdout) == STATUS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": "no_camera"}, "waiting for the camera"),
        ({"state": "opening", "queue_age_s": None}, "the camera is being opened"),
        ({"state": "stopped"}, "stopped"),
        (
            {"state": "log_lost", "problem": "it was moved", "disk": {"free_bytes": None, "problem": None}},
            "not counting: it was moved",
        ),
    ],
)
def test_a_daemon_that_does_not_count_is_exit_code_1(ask: Ask, change: dict[str, Any], words: str) -> None:
    result = ask(STATUS | change, "status")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"state       {words} (")


def test_an_idle_daemon_has_little_to_say(ask: Ask) -> None:
    quiet = STATUS | {
        "last_field": None,
        "sample": None,
        "temperature_c": None,
        "throttled": None,
        "last_reload": None,
        "camera": STATUS["camera"] | {"failures": 0, "refused_frames": {}},
        "fields": STATUS["fields"] | {"rejected_by_reason": {}, "by_warning": {}},
    }
    names = [line.split(" ")[0] for line in ask(quiet, "status").stdout.splitlines()]
    assert names == ["state", "camera", "fields", "sample", "machine", "model", ""]
    empty = STATUS | {"sample": STATUS["sample"] | {"blast_fraction": None}}
    assert "S-0142 (blood): 100 of 200 cells; 9 fields counted" in ask(empty, "status").stdout
    resuming = STATUS | {"sample": STATUS["sample"] | {"resuming": {"fields": 120, "of": 264}}}
    assert "S-0142 (blood): resuming 120 of 264 fields\n" in ask(resuming, "status").stdout
    full = STATUS | {"sample": STATUS["sample"] | {"wbc": 2619, "quota_reached": True}}
    assert "S-0142 (blood): quota reached, close S-0142 (2619 of 200 cells); " in ask(full, "status").stdout


def test_a_capture_is_reported(ask: Ask) -> None:
    said = (
        "field 12: 9 white cells, 4 of them look like blasts; 2 were counted before; "
        "warning: lettering in the picture; sample S-0142\n"
    )
    result = ask(FIELD, "capture")
    assert (result.exit_code, result.stdout) == (0, said)
    assert json.loads(ask(FIELD, "capture", "--json").stdout) == FIELD
    # A gate that said no.
    rejected = FIELD | {"status": "rejected", "reasons": ["out_of_focus"], "wbc": 0, "blasts": 0}
    result = ask(rejected, "capture")
    assert (result.exit_code, result.stdout) == (4, "field 12: rejected, out of focus; sample S-0142\n")


def test_a_reload_says_what_is_in_force(ask: Ask) -> None:
    assert ask({"sha256": "ab" * 32}, "reload").stdout == "configuration in force: sha256 abababababab\n"
    assert json.loads(ask({"sha256": "ab" * 32}, "reload", "--json").stdout) == {"sha256": "ab" * 32}


def test_a_mistake_in_the_configuration_is_the_daemon_s_to_name(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("r")
    (folder / "bad.toml").write_text("[camera]\nintervall = 3\n")
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(folder / "bad.toml"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    assert blastcount("reload").exit_code == 3  # no daemon is there to ask

    def refuse(command: str) -> dict[str, Any]:
        raise ControlError("kept the old configuration: unknown key camera.intervall", "bad_config")

    with ControlServer(folder / "control.sock", refuse):
        result = blastcount("reload")
    assert result.exit_code == 1
    assert "kept the old configuration" in result.stderr


def test_a_refusal_or_no_daemon_is_one_line(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = ask(ControlError("nothing counted: picamera:0: no frame within 3 s", "no_camera"), "capture")
    assert result.exit_code == 1
    assert result.stderr == "blastcount: error: nothing counted: picamera:0: no frame within 3 s\n"
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    result = blastcount("status", "--log", tmp_path / "blood.db")
    assert result.exit_code == 1
    assert "start it with `systemctl start blastcount`" in result.stderr
