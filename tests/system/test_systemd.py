"""The service under a real systemd as PID 1, in a small Debian booted by systemd-nspawn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.machine import Machine, booted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CONFIG = '[camera]\nsource = "rendered"\nwidth = 800\nheight = 600\ninterval_s = 0.5\n'


@pytest.fixture(scope="module")
def root(installed: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = installed(tmp_path_factory.mktemp("systemd") / "root")
    (root / "etc/blastcount/blastcount.toml").write_text(CONFIG)
    # A shorter watchdog, so that the test of it is over soon.
    override = root / "etc/systemd/system/blastcount.service.d/test.conf"
    override.parent.mkdir()
    override.write_text("[Service]\nWatchdogSec=6s\nRestartSec=1s\n")
    return root


@pytest.fixture(scope="module")
def machine(root: Path) -> Iterator[Machine]:
    with booted(root) as machine:
        yield machine


@pytest.fixture
def running(machine: Machine) -> Iterator[Machine]:
    machine.configure(CONFIG)
    machine.run("systemctl", "reset-failed", "blastcount", check=False)
    machine.run("systemctl", "restart", "blastcount")
    yield machine
    machine.run("systemctl", "stop", "blastcount")


def test_it_starts_with_the_system(machine: Machine) -> None:
    machine.wait(lambda: machine.show("ActiveState") == "active", "start at boot")
    machine.wait(lambda: "fields logged" in machine.show("StatusText"), "status")
    assert machine.show("NRestarts") == "0", machine.journal()


def test_it_becomes_ready_and_counts(running: Machine) -> None:
    # `systemctl restart` of a Type=notify service returns when it has reported READY.
    assert running.show("ActiveState") == "active"
    before = running.fields()
    running.wait(lambda: running.fields() >= before + 3, "three fields")
    assert "counting from rendered:1: " in running.show("StatusText")
    assert running.run("stat", "-c", "%U %a", "/var/lib/blastcount") == "blastcount 750"
    assert running.run("stat", "-c", "%U %a", "/var/lib/blastcount/blastcount.db") == "blastcount 640"


def test_it_stops_cleanly_within_five_seconds(running: Machine) -> None:
    before = running.fields()
    running.wait(lambda: running.fields() > before, "a field")
    started = time.monotonic()
    running.run("systemctl", "stop", "blastcount")
    assert time.monotonic() - started < 5.0
    assert running.show("Result") == "success"
    assert running.show("ExecMainStatus") == "0"
    assert running.fields() > before
    assert "stopped: " in running.journal()


def test_it_comes_back_after_a_kill(running: Machine) -> None:
    running.wait(lambda: running.fields() > 0, "a field")
    before = running.fields()
    running.run("systemctl", "kill", "-s", "KILL", "blastcount")
    running.wait(lambda: running.show("NRestarts") == "1", "restart")
    running.wait(lambda: running.fields() > before, "a field after the restart")


def test_a_hung_loop_is_killed_by_the_watchdog(running: Machine) -> None:
    before = running.fields()
    running.run("systemctl", "kill", "-s", "STOP", "--kill-whom=main", "blastcount")
    running.wait(lambda: running.show("NRestarts") == "1", "restart by the watchdog")
    assert "Watchdog timeout" in running.journal()
    running.wait(lambda: running.fields() > before, "a field after the restart")


def test_a_bad_configuration_is_not_retried(running: Machine) -> None:
    running.configure(CONFIG + "intervall = 3\n")
    running.run("systemctl", "restart", "blastcount", check=False)
    running.wait(lambda: running.show("ActiveState") == "failed", "failure")
    time.sleep(3.0)  # RestartSec is 1 s here
    assert running.show("ExecMainStatus") == "3"
    assert running.show("NRestarts") == "0"
    assert "unknown key camera.intervall; did you mean camera.interval_s?" in running.journal()


def test_a_missing_camera_is_waited_for(running: Machine) -> None:
    running.configure('[camera]\nsource = "v4l2"\n')
    running.run("systemctl", "restart", "blastcount")
    # It is up, says what it waits for, and takes what is configured meanwhile.
    assert running.show("ActiveState") == "active"
    assert running.show("StatusText").startswith("waiting for the camera, failure ")
    assert "/dev/video0: no such camera" in running.show("StatusText")
    assert "waiting for the camera" in as_the_daemon(running, "status", check=False)
    assert as_the_daemon(running, "check", check=False).endswith("not fit: no camera")
    running.configure(CONFIG)
    running.run("systemctl", "reload", "blastcount")
    running.wait(lambda: "counting from rendered" in running.show("StatusText"), "counting once it is there")
    assert running.show("NRestarts") == "0"


def test_the_locks_hold(running: Machine) -> None:
    pid = running.show("MainPID")
    status = running.run("cat", f"/proc/{pid}/status")
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    sees = ["nsenter", "-t", pid, "-m", "--", "sh", "-c"]
    assert running.run(*sees, "touch /etc/x /usr/x; ls -A /home /root/", check=False) == "/home:\n\n/root/:"
    assert not (running.root / "etc/x").exists()


def as_the_daemon(machine: Machine, *arguments: str, check: bool = True) -> str:
    """Run a command of the program as its own user, as docs/pi.md shows."""
    return machine.run(
        "runuser", "-u", "blastcount", "--", "/usr/local/bin/blastcount", *arguments, check=check
    )


def test_people_can_ask_it(running: Machine) -> None:
    running.wait(lambda: " 0 fields logged" not in running.show("StatusText"), "a field")
    status = json.loads(as_the_daemon(running, "status", "--json"))
    assert status["state"] == "counting"
    assert status["fields"]["logged"] > 0
    assert "counting (mode interval" in as_the_daemon(running, "status")
    before = running.fields()
    captured = json.loads(as_the_daemon(running, "capture", "--json"))
    assert captured["status"] == "counted"
    assert running.fields() > before
    assert running.run("stat", "-c", "%U %a", "/run/blastcount/control.sock") == "blastcount 660"
    assert running.run("stat", "-c", "%U %a", "/run/blastcount") == "blastcount 755"
    heartbeat = json.loads(running.run("cat", "/run/blastcount/status.json"))
    assert heartbeat["pid"] == int(running.show("MainPID"))


def test_the_self_test_passes_as_the_daemon_s_user(running: Machine) -> None:
    running.wait(lambda: running.fields() > 0, "a field")
    report = json.loads(as_the_daemon(running, "check", "--json", check=False))
    assert [check for check in report["checks"] if not check["passed"]] == []
    details = {check["name"]: check["detail"] for check in report["checks"]}
    assert "held by the daemon" in details["camera"]
    assert details["log"].startswith("/var/lib/blastcount/blastcount.db: ")


def test_a_reload_takes_the_new_configuration_and_keeps_the_process(running: Machine) -> None:
    pid = running.show("MainPID")
    running.configure(CONFIG.replace("interval_s = 0.5", "interval_s = 0.25"))
    running.run("systemctl", "reload", "blastcount")
    assert running.show("ReloadResult") == "success"
    running.run("systemctl", "kill", "-s", "HUP", "--kill-whom=main", "blastcount")
    running.wait(lambda: running.journal().count("configuration reloaded") >= 2, "the second reload")
    before = running.fields()
    running.wait(lambda: running.fields() > before, "fields afterwards")
    assert running.show("MainPID") == pid
    # One that cannot be used is refused, loudly, and the old one stays in force.
    running.configure(CONFIG + "intervall = 3\n")
    running.run("systemctl", "reload", "blastcount", check=False)
    assert running.show("ReloadResult") == "exit-code"
    refusal = "the old one stays in force: /etc/blastcount/blastcount.toml: unknown key camera.intervall"
    running.wait(lambda: refusal in running.journal(), "the refusal")
    before = running.fields()
    running.wait(lambda: running.fields() > before, "fields as before")
    assert running.show("MainPID") == pid


def test_an_open_sample_is_resumed_after_a_kill(running: Machine) -> None:
    open_sample = (
        "from edge.bloodlog import BloodLog\n"
        "with BloodLog.open('/var/lib/blastcount/blastcount.db') as log:\n"
        "    log.open_sample('S-1', 'blood', 200)"
    )
    running.run("runuser", "-u", "blastcount", "--", "/opt/blastcount/bin/python", "-c", open_sample)

    def sample_fields() -> int:
        status = json.loads(as_the_daemon(running, "status", "--json", check=False) or "{}")
        return int((status.get("sample") or {}).get("fields", 0))

    running.wait(lambda: sample_fields() >= 2, "fields in the sample")
    before = sample_fields()
    running.run("systemctl", "kill", "-s", "KILL", "blastcount")
    running.wait(lambda: sample_fields() > before, "more fields in the same sample")
    assert "sample S-1: open, " in running.journal()


def test_the_nightly_upkeep_runs(running: Machine) -> None:
    assert running.run("systemctl", "is-enabled", "blastcount-upkeep.timer") == "enabled"
    assert running.run("systemctl", "is-active", "blastcount-upkeep.timer") == "active"
    running.run("systemctl", "start", "blastcount-upkeep.service")
    assert running.run("systemctl", "show", "blastcount-upkeep", "--value", "-p", "Result") == "success"
    assert running.run("ls", "/var/backups/blastcount") != ""


def test_the_security_score(running: Machine) -> None:
    for unit in ("blastcount.service", "blastcount-review.service", "blastcount-upkeep.service"):
        running.run("systemd-analyze", "security", "--threshold=30", unit)
