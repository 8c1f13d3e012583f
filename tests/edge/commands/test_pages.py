"""Every command that a page shows is carried out by a test, or stands here with the reason why by none."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.config import LOG_NAME
from tests.edge.commands.invoking import blastcount
from tests.edge.results.conftest import NAME, fill
from tests.edge.results.test_geojson import left_in_qupath
from tests.system.pages import NOT_HERE, commands

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What a line of a block begins with that is a command, and no output or configuration.
PROGRAM = re.compile(
    r"(sudo )?(-u blastcount )?(blastcount|make|pip|apt|openssl|mosquitto_passwd|install|systemd/install\.sh|"
    r"systemctl|adduser|git|dask|createdb|ssh-keygen|journalctl|rpicam-hello|ls|\.) "
)
HERE, DOCS = "tests/edge/commands/test_pages.py", "tests/test_docs.py"
#: By page and beginning of the command: the test that reads it there and types it.
TYPED = {
    "engineer.md": {
        "blastcount sample open": f"{HERE}::test_the_usual_commands",
        "blastcount report": f"{HERE}::test_the_usual_commands",
        "blastcount verify status": f"{HERE}::test_the_usual_commands",
        "blastcount check": f"{HERE}::test_the_usual_commands",
    },
    "clinic.md": {
        "blastcount": f"{DOCS}::test_the_clinic_page_can_be_followed",
        "make count": "tests/system/test_story.py::test_the_page_for_the_clinic",
    },
    "pi.md": {"": "tests/system/test_story.py::test_the_page_for_the_pi"},
    "verify.md": dict.fromkeys(
        [f"blastcount verify {name}" for name in ("open", "status", "close", "report")],
        "tests/edge/verification/test_page.py::test_the_afternoon_can_be_followed",
    ),
    "log.md": {"blastcount log": f"{HERE}::test_the_page_of_the_log"},
    "formats.md": {"blastcount sample import": f"{HERE}::test_words_from_another_program"},
    "fleet.md": dict.fromkeys(
        ["openssl", "sudo install", "sudo mosquitto_passwd", "sudo systemctl", "createdb"],
        "tests/system/test_fleet_unit.py::test_a_device_sends_to_a_broker_as_the_page_says",
    ),
    "review.md": {"openssl": "tests/system/test_story.py::test_a_phone_reviews_through_an_https_proxy"},
}
#: The same with other files and names.
ALIKE = {
    "make count": "tests/system/test_arm64.py::test_make_count_prints_the_same_table",
    "make release-usb": "tests/edge/updating/test_package.py::test_what_a_maker_s_command_makes_is_taken",
    "ssh-keygen": "tests/edge/updating/test_package.py::test_what_a_maker_s_command_makes_is_taken",
    "blastcount run": "tests/edge/commands/test_run.py::test_three_rendered_fields_reach_the_log",
    "blastcount count": "tests/edge/commands/test_count.py::test_shards_are_together_what_one_run_is",
    "blastcount archive fields": "tests/edge/archive/test_job.py::"
    "test_an_archive_becomes_tables_and_what_failed_is_told",
    "blastcount qc": "tests/edge/commands/test_qc.py::test_show_and_acknowledge",
    "blastcount bench": "tests/edge/test_bench.py::test_json_of_a_run_is_what_the_page_and_the_gate_take",
    "blastcount recalibrate": "tests/edge/commands/test_recalibrate.py::"
    "test_a_site_recalibrates_counts_and_goes_back",
    "blastcount compare": "tests/edge/commands/test_compare.py::test_what_changes_is_listed_with_pictures",
    "blastcount reload": "tests/edge/commands/test_control.py::test_a_reload_says_what_is_in_force",
    "blastcount verify again": "tests/edge/verification/test_again.py::"
    "test_only_a_check_that_holds_lets_a_newer_code_use_the_card",
    "blastcount user add": "tests/edge/commands/test_user.py::test_the_life_of_a_user",
    "blastcount review --phone": "tests/edge/web/test_review_command.py::"
    "test_a_phone_gets_every_address_and_a_code_that_opens_the_page",
    "sudo blastcount review --new-token": "tests/edge/web/test_review_command.py::"
    "test_a_new_token_is_printed_once_and_opens_the_lock",
    "blastcount review": "tests/system/test_review_browser.py::test_the_whole_story",
    "blastcount forward": "tests/system/test_fleet.py::test_nothing_is_lost_or_doubled_whoever_is_killed",
    "blastcount collect acknowledge": "tests/edge/fleet/test_collecting.py::"
    "test_what_somebody_has_seen_stands_no_more_until_it_comes_again",
    "blastcount collect retire": "tests/edge/fleet/test_collecting.py::"
    "test_a_device_out_of_use_raises_no_alarm_until_it_is_heard_again",
    "blastcount collect run": "tests/system/test_fleet.py::test_nothing_is_lost_or_doubled_whoever_is_killed",
    "blastcount train": "tests/training/test_cli.py::test_training_leaves_every_file_and_nothing_else",
    "blastcount convert": "tests/convert/test_cli.py::test_model_and_crops_give_a_bundle",
    "blastcount audit": "tests/training/test_audit.py::test_json_and_words_say_the_same",
    "blastcount evaluate segmentation": "tests/training/evaluation/test_evaluate.py::"
    "test_command_prints_a_table_and_writes_figures_and_a_picture_of_the_error",
    "blastcount evaluate robustness": "tests/training/evaluation/test_robustness.py::"
    "test_command_prints_json",
    "blastcount evaluate quality": "tests/training/evaluation/test_live.py::test_the_quality_command",
    "blastcount evaluate registration": "tests/training/evaluation/test_live.py::"
    "test_the_registration_command",
    "blastcount evaluate recalibration": "tests/training/evaluation/test_recalibration.py::"
    "test_the_command_takes_up_what_networks_said",
}
#: By no test, and why.
BY_NONE = {
    "make test": "runs the tests themselves",
    "make install-dev": "made the environment that runs the tests",
    ". .venv-dev/bin/activate": "a shell's own, in that environment",
    "pip install 'blastcount[": "would download the package from an index, where it is not",
    "sudo apt install": "would download packages of Debian",
    "blastcount collect page": "ends by Ctrl-C alone; tests/edge/fleet/test_page.py asks what it serves",
    "sudo systemctl enable --now blastcount-review": "started under systemd in tests/system/test_story.py "
    "by its unit's name alone",
    "dask scheduler": "a server of another program; the tests start one in their own process",
    "dask worker": "of another program, too",
    "blastcount archive s3:": "needs a bucket; tests/edge/archive/test_store.py reads one in memory",
}


def shown() -> list[tuple[str, str]]:
    return [(page.name, line) for page in PAGES for line in commands(page) if PROGRAM.match(line)]


def test_every_command_is_carried_out_or_says_why_not() -> None:
    alike, none = set(ALIKE), set(BY_NONE)
    named = {test for starts in TYPED.values() for test in starts.values()} | set(ALIKE.values())
    for page, line in shown():
        if any(line.startswith(start) for start in TYPED.get(page, ())):
            continue
        # The longest beginning says what the line is.
        start = max((start for start in [*ALIKE, *BY_NONE] if line.startswith(start)), key=len, default=None)
        assert start is not None, f"{page}: {line}: carried out by no test; name one, or say why not"
        alike.discard(start)
        none.discard(start)
    assert not alike | none, "no page shows these any more"
    for test in named:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
    assert all(NOT_HERE.values())


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_system_config: None) -> Path:
    """An empty folder, where a person stands, and the state folder's log in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path


@pytest.fixture
def filled(state: Path) -> Path:
    """The same with twelve fields of a sample."""
    with BloodLog.open(state / LOG_NAME) as log:
        fill(log, log.open_sample(NAME, "blood", 200).id, fields=11)
    return state


def types(page: str, start: str, names: dict[str, object] | None = None) -> list[str]:
    """Type a page's commands with such a beginning, with names of here where the page's are of elsewhere."""
    (path,) = (path for path in PAGES if path.name == page)
    said = []
    for line in commands(path):
        if line.startswith(start):
            for name, here in (names or {}).items():
                line = line.replace(name, str(here))
            done = blastcount(*shlex.split(line)[1:])
            assert done.exit_code == 0, (line, done.output)
            said.append(done.stdout)
    assert said
    return said


def test_the_page_of_the_log(filled: Path) -> None:
    there: dict[str, object] = {"/media/usb": filled, "/var/lib/blastcount": filled}
    verified, row, backed_up, *_, saved = types("log.md", "blastcount log", there)
    assert "12 fields" in verified
    assert "out_of_focus" in row
    assert backed_up.endswith("verified\n")
    assert (filled / "cells.csv").read_text(encoding="utf-8-sig").count("\n") > 100
    assert str(filled / "repaired.db") in saved
    with BloodLog.open(filled / "repaired.db", read_only=True) as log:
        assert (log.count(), log.verify()) == (12, ())


def test_words_from_another_program(filled: Path) -> None:
    left_in_qupath(filled / LOG_NAME, {4: "blast"}).rename(filled / "FIELD.geojson")
    (said,) = types("formats.md", "blastcount sample import")
    assert "1 word of AK added" in said


def test_the_usual_commands(state: Path) -> None:
    types("engineer.md", "blastcount sample open")
    with BloodLog.open(state / LOG_NAME) as log:
        fill(log, log.sample(NAME).id)
    types("engineer.md", "blastcount report")
    assert (state / f"{NAME}.pdf").read_bytes().startswith(b"%PDF-")
    types("engineer.md", "blastcount verify status")
    (checked,) = types("engineer.md", "blastcount check")
    assert "FAIL" not in checked
