"""``blastcount check``: every finding has a control that fails it."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from edge.classification.classifier import Classifier
from edge.device.pi import Condition
from tests.edge.commands.invoking import blastcount

pytestmark = pytest.mark.usefixtures("no_system_config", "a_home_of_its_own")


@pytest.fixture
def a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log that this machine may have is not looked at, and its heat is not the test's matter."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setattr("edge.selfcheck.read_condition", lambda: Condition({}, None, 0.0))
    monkeypatch.setattr("edge.selfcheck.SERVICE_UNITS", (tmp_path / "blastcount.service",))


def check(*arguments: str | Path) -> Result:
    return blastcount("check", *arguments)


def test_a_sound_device(tiny_model: Path) -> None:
    result = check("--model", tiny_model)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[-1] == "fit to count files; no camera looked at"
    assert [line.split()[0] for line in lines[:-1]] == ["pass"] * 13
    report = json.loads(check("--json", "--model", tiny_model).stdout)
    assert (report["schema"], report["passed"]) == ("blastcount.check/1", True)
    assert report["verdict"] == lines[-1]
    names = [finding["name"] for finding in report["checks"]]
    assert ", ".join(names) == (
        "software, configuration, model, interpreter, golden crops, golden field, calibration, camera, "
        "permissions, disk, log, clock, supply, heat"
    )
    assert all(finding["passed"] and finding["exit_code"] == 0 for finding in report["checks"])


def test_the_program_alone(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installation asks before it puts a version in use: no matter what the device lacks."""
    monkeypatch.setattr("edge.selfcheck.check_camera", lambda _config: pytest.fail("looked for a camera"))
    result = check("--program", "--model", tiny_model)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 7)
    assert result.stdout.endswith("\nthe program is fit; the device was not looked at\n")
    monkeypatch.setattr(Classifier, "p_blast", lambda self, crops: np.zeros(len(crops), np.float32))
    result = check("--program", "--model", tiny_model)
    assert result.exit_code == 4
    assert result.stdout.splitlines()[-1].startswith("not fit: golden crops")


def test_a_missing_model(tmp_path: Path) -> None:
    result = check("--model", tmp_path / "absent")
    assert result.exit_code == 3
    assert "FAIL  model" in result.stdout
    assert result.stdout.splitlines()[-1] == "not fit: model"


@pytest.mark.parametrize("installed", [True, False])
def test_a_camera_that_should_be_there(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """Where the service is installed, or the file names a camera, even the default one."""
    if installed:
        (tmp_path / "blastcount.service").touch()
    else:
        (tmp_path / "b.toml").write_text('[camera]\nsource = "picamera"\n')
        monkeypatch.setenv("BLASTCOUNT_CONFIG", str(tmp_path / "b.toml"))
    monkeypatch.setitem(sys.modules, "picamera2", None)
    result = check("--model", tiny_model)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (4, "not fit: no camera")
    assert "FAIL  camera        picamera2 cannot be imported" in result.stdout


def test_golden_crops_that_disagree(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Classifier.p_blast
    monkeypatch.setattr(
        Classifier, "p_blast", lambda self, crops: (1 - honest(self, crops)).astype(np.float32)
    )
    result = check("--json", "--model", tiny_model)
    assert result.exit_code == 4
    report = json.loads(result.stdout)
    assert report["passed"] is False
    failed = [finding["name"] for finding in report["checks"] if not finding["passed"]]
    assert failed == ["golden crops", "golden field"]
    assert "disagree" in report["checks"][4]["detail"]


def test_a_network_that_the_interpreter_refuses(own_model: Path) -> None:
    network = own_model.with_suffix(".tflite")
    broken = b"no network"
    card = json.loads(own_model.with_suffix(".json").read_text())
    network.write_bytes(broken)
    card["sha256"] = hashlib.sha256(broken).hexdigest()
    own_model.with_suffix(".json").write_text(json.dumps(card))
    result = check("--model", own_model)
    assert result.exit_code == 3
    assert "pass  model" in result.stdout
    assert "FAIL  interpreter" in result.stdout


def test_a_configuration_with_an_error(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.toml").write_text("[model]\nthreads = 0\n")
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(tmp_path / "b.toml"))
    result = check("--model", tiny_model)
    assert result.exit_code == 3
    assert "FAIL  configuration" in result.stdout
    assert "pass  golden crops" in result.stdout  # the rest is still looked at


def test_the_configured_model_is_the_one_checked(
    own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.toml").write_text(f'[model]\npath = "{own_model}.tflite"\n[scale]\num_per_px = 0.12\n')
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(tmp_path / "b.toml"))
    result = check()
    assert result.exit_code == 0
    assert f"{own_model}.tflite" in result.stdout
    assert "scale 0.12 µm/px" in result.stdout
