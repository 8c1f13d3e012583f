"""The group: commands found without importing them, errors as one line, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edge import cli
from edge.errors import (
    CameraError,
    ConfigError,
    DataSetError,
    EdgeError,
    GateError,
    ImageError,
    LogError,
    ModelError,
    OutputError,
    RuntimeMissingError,
    SourceError,
)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments), prog_name="blastcount")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Install a function as the command ``trial``."""

    def install(function: Callable[[], None]) -> None:
        module = type(sys)("trial_module")
        module.trial = click.command("trial")(function)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "trial_module", module)
        monkeypatch.setitem(cli.COMMANDS, "trial", ("trial_module:trial", "A trial."))

    return install


def raising(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_listed_command_is_there(name: str) -> None:
    module, _, attribute = cli.COMMANDS[name][0].partition(":")
    loaded = getattr(import_module(module), attribute)
    assert isinstance(loaded, click.Command)
    assert loaded.name == name
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: blastcount {name}" in result.stdout


def test_help_lists_every_command_with_a_line() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for name, (_, line) in cli.COMMANDS.items():
        assert f"  {name} " in result.stdout
        assert line.split()[0] in result.stdout


def test_help_imports_no_command_and_no_heavy_library(repository: Path) -> None:
    script = (
        "import sys\nfrom edge.cli import main\n"
        "try: main(['--help'], prog_name='blastcount')\nexcept SystemExit: pass\n"
        "heavy = {'cv2', 'numpy', 'PIL', 'tensorflow', 'ai_edge_litert', 'tflite_runtime'}\n"
        "loaded = heavy & set(sys.modules) | {m for m in sys.modules if m.startswith('edge.commands.')}\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Commands:" in done.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EdgeError("m"), 1),
        (ImageError("m"), 1),
        (SourceError("m"), 1),
        (CameraError("m"), 1),
        (LogError("m"), 1),
        (OutputError("m"), 1),
        (DataSetError("m"), 1),
        (ConfigError("m"), 3),
        (ModelError("m"), 3),
        (RuntimeMissingError("m"), 3),
        (GateError("m"), 4),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    command: Callable[[Callable[[], None]], None], error: EdgeError, code: int
) -> None:
    command(raising(error))
    result = invoke("trial")
    assert result.exit_code == code
    assert result.stderr == "blastcount: error: m\n"
    assert result.stdout == ""


def test_an_error_stays_one_line_whatever_it_says(command: Callable[[Callable[[], None]], None]) -> None:
    command(raising(ImageError("a\nb\x1b[31m.jpg: broken")))
    assert invoke("trial").stderr == "blastcount: error: a\\nb\\x1b[31m.jpg: broken\n"


def test_debug_shows_the_traceback(command: Callable[[Callable[[], None]], None]) -> None:
    command(raising(ImageError("m")))
    result = invoke("--debug", "trial")
    assert isinstance(result.exception, ImageError)


def test_a_fault_of_the_program_is_not_hidden(command: Callable[[Callable[[], None]], None]) -> None:
    command(raising(ZeroDivisionError("a bug")))
    assert isinstance(invoke("trial").exception, ZeroDivisionError)


def test_ctrl_c_is_quiet(command: Callable[[Callable[[], None]], None]) -> None:
    command(raising(KeyboardInterrupt()))
    result = invoke("trial")
    assert result.exit_code == 130
    assert result.stderr.strip() == ""


def test_an_unknown_command_is_wrong_usage() -> None:
    result = invoke("conut")
    assert result.exit_code == 2
    assert "No such command 'conut'" in result.stderr


def test_the_version() -> None:
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("blastcount ")


class Plugins:
    """Entry points of other packages, as an install announces them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
        entries = [EntryPoint(name, value, cli.PLUGIN_GROUP) for name, value in values.items()]
        monkeypatch.setattr(cli, "entry_points", lambda group: entries)


def test_commands_of_other_packages_are_listed_unimported(monkeypatch: pytest.MonkeyPatch) -> None:
    Plugins(monkeypatch, train="no_such_module:train", other="no_such_module:other")
    result = invoke("--help")
    assert result.exit_code == 0
    assert "needs the [train] extra" in result.stdout
    assert "See `blastcount other --help`." in result.stdout


def test_a_command_of_another_package_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("plugin_module")
    module.train = click.command("train")(lambda: click.echo("trained"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plugin_module", module)
    Plugins(monkeypatch, train="plugin_module:train")
    assert invoke("train").stdout == "trained\n"


def test_a_command_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    Plugins(monkeypatch, train="no_such_module:train")
    result = invoke("train")
    assert result.exit_code == 3
    assert "this install lacks what it needs (No module named 'no_such_module')" in result.stderr
    assert "pip install 'blastcount[train]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_plugin_cannot_take_the_place_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    Plugins(monkeypatch, count="no_such_module:count")
    result = invoke("--help")
    assert result.stdout.count("  count ") == 1


def run_blastcount(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", *arguments],
        capture_output=True,
        check=False,
        cwd=Path(cli.__file__).parent.parent,
        env=os.environ | environment,
    )


def test_a_terminal_without_the_needed_characters_gets_escapes(tmp_path: Path, tiny_model: Path) -> None:
    image = tmp_path / "blank.png"
    Image.new("RGB", (64, 48), (220, 220, 220)).save(image)
    done = run_blastcount("count", "--model", str(tiny_model), str(image), PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert b"\xb5m/px" in done.stdout  # Latin-1 has µ ...
    assert b"\\u2013" in done.stdout  # ... and no en dash


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edge.cli", "--help"],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            cwd=Path(cli.__file__).parent.parent,
        )
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1
