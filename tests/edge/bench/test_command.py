"""``blastcount bench`` from the command line to its report."""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge import cli
from edge.bench import engines, fields, process, session
from edge.bench.energy import Energy
from edge.bench.report import markdown
from edge.commands import bench as command
from edge.counting import pipeline
from edge.errors import ConfigError
from edge.rendered import RenderSettings


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["bench", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(autouse=True)
def no_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow takes seconds to import; the engines that need it have tests of their own."""
    monkeypatch.setattr(engines, "_plugins", list)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of fresh processes, which have tests of their own, for nothing."""
    monkeypatch.setattr(session, "imports_ms", lambda: 200.0)
    monkeypatch.setattr(session, "first_count_ms", lambda *_: 400.0)
    monkeypatch.setattr(session, "classifier_memory", lambda *_: {"peak_mb": 50.0})
    memory = {"peak_mb": 100.0, "after_first_round_mb": 90.0, "after_last_round_mb": 90.0}
    monkeypatch.setattr(session, "path_memory", lambda *_: memory)


def test_json_and_markdown_of_one_run(tiny_model: Path, field_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "bench.md"
    result = bench(field_folder, "--model", tiny_model, "--threads", "1", "--batch", "1,8", "--repeat", 3,
                   "--compare", "--json", "--markdown", page)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert gc.get_freeze_count() == 0  # objects kept from the collector during the profile are given back
    document = json.loads(result.stdout)
    assert document["schema"] == "blastcount.bench/1"
    assert document["model"]["name"] == "tiny"
    assert len(document["model"]["sha256"]) == 64
    (field,) = document["fields"]
    assert (field["file"], field["status"], field["rendered"]) == ("rendered_0001.jpg", "counted", False)
    assert field["white_cells"] > 0
    runtimes = {row["engine"] for row in document["network"]}
    assert len(document["network"]) == 2 * len(runtimes)
    assert [row["batch"] for row in document["ratios"]] == [1, 8] * (len(runtimes) - 1)
    (path,) = document["path"]
    assert sum(stage["share"] for stage in path["stages"].values()) == pytest.approx(1, abs=0.01)
    assert path["fields_per_s"] > 0
    assert path["stages"]["segment"]["p5"] < path["glue_ms"]["p5"] < path["ms"]["p5"]
    assert path["ms"]["n"] == 3
    assert document["cold_start_ms"]["first_count"]["p50"] > document["cold_start_ms"]["imports"]["p5"]
    assert document["memory"]["path_peak_mb"] > document["memory"]["classifier_peak_mb"] > 10
    assert len(document["samples_ms"]["path threads=1 total"]) == 3
    # The page is nothing but the JSON, rendered.
    assert page.read_text() == markdown(document)
    for words in ("| segment", "| **whole field**", "Network alone", "no Raspberry Pi", "tiny", "kernel"):
        assert words in page.read_text()


@pytest.mark.usefixtures("quick")
def test_rendered_fields_are_named_as_such(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = RenderSettings(width=320, height=240, um_per_px=0.2)
    monkeypatch.setattr(
        command, "render_images", lambda folder, number: fields.render_images(folder, number, small)
    )
    result = bench("--model", tiny_model, "--threads", "1", "--batch", "1", "--repeat", 2, "--fields", 2)
    assert result.exit_code == 0
    assert "2 rendered fields (drawn by this program) of 320×240 px" in result.stdout


@pytest.mark.usefixtures("quick")
def test_the_log_is_written_where_asked_and_removed(
    tiny_model: Path, field_folder: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "card"
    result = bench(field_folder, "--model", tiny_model, "--threads", "1", "--batch", "1", "--repeat", 2,
                   "--scratch", scratch)  # fmt: skip
    assert result.exit_code == 0
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_an_equal_run_passes_and_a_slowed_stage_does_not(
    tiny_model: Path, field_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline = tmp_path / "baseline.json"
    options = [field_folder, "--model", tiny_model, "--threads", "1", "--batch", "8", "--repeat", 10]
    first = bench(*options, "--json")
    assert first.exit_code == 0
    baseline.write_text(first.stdout)
    # The same run again, exactly: what two honest runs differ by is tested on simulated ones.
    monkeypatch.setattr(session, "run", lambda *_: json.loads(first.stdout))
    equal = bench(*options, "--baseline", baseline)
    assert equal.exit_code == 0
    assert "## Against the baseline" in equal.stdout
    monkeypatch.undo()
    monkeypatch.setattr(engines, "_plugins", list)
    monkeypatch.setattr(process, "_figures", lambda _: {"imports_ms": 200.0, "peak_mb": 50.0})
    monkeypatch.setattr(session, "first_count_ms", lambda *_: 400.0)
    memory = {"peak_mb": 100.0, "after_first_round_mb": 90.0, "after_last_round_mb": 90.0}
    monkeypatch.setattr(session, "path_memory", lambda *_: memory)
    honest = pipeline.assess
    # Three times the whole field: whatever else this machine does meanwhile, it does not do that.
    slow_s = 3 * json.loads(first.stdout)["path"][0]["ms"]["p99"] / 1000

    def slow(*arguments: object) -> object:
        time.sleep(slow_s)
        return honest(*arguments)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(pipeline, "assess", slow)
    slower = bench(*options, "--baseline", baseline)
    assert slower.exit_code == 4
    assert "slower than the baseline beyond noise" in slower.stderr
    assert "path threads=1 quality" in slower.stderr


@pytest.mark.usefixtures("quick")
def test_energy_is_reported_where_there_is_a_power_chip(
    tiny_model: Path, field_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "measure_energy", lambda *_: Energy(2.0, 5.0, 0.75, 40))
    result = bench(field_folder, "--model", tiny_model, "--threads", "1", "--batch", "1", "--repeat", 2)
    assert "energy of a field: 0.75 J at 5.00 W (2.00 W idle), behind the power chip, n = 40" in result.stdout


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--threads", "0", "numbers must rise and be 1 to 4, got '0'"),
        ("--threads", "3-2", "numbers must rise"),
        ("--threads", "5", "be 1 to 4"),
        ("--batch", "one", "expected numbers like 1,8,32 or 1-4, got 'one'"),
        ("--batch", "1,,2", "expected numbers"),
        ("--batch", "300", "be 1 to 256"),
    ],
)
def test_numbers_that_are_none(option: str, value: str, message: str) -> None:
    result = bench(option, value)
    assert result.exit_code == 2
    assert message in result.stderr


def test_more_threads_than_cores_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.os, "sched_getaffinity", lambda _: {0, 1})
    assert session.usable_threads((1, 2, 3, 4)) == (1, 2)
    with pytest.raises(ConfigError, match="threads 3, 4: this process has 2 cores; give fewer"):
        session.usable_threads((3, 4))


def test_a_missing_baseline_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    result = bench("--baseline", tmp_path / "absent.json")
    assert result.exit_code == 3
    assert "cannot be read" in result.stderr
