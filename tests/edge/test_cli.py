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


def loaded_by(script: str, repository: Path) -> set[str]:
    """Modules that a new Python has loaded after a script."""
    script += "\nimport sys\nprint(*sys.modules, file=sys.stderr)\n"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.requirement(16)
def test_help_imports_no_command_and_no_heavy_library(repository: Path) -> None:
    loaded = loaded_by(
        "from edge.cli import main\ntry: main(['--help'], prog_name='blastcount')\nexcept SystemExit: pass",
        repository,
    )
    assert "edge.cli" in loaded
    assert not loaded & {"cv2", "numpy", "PIL", "tensorflow", "ai_edge_litert", "tflite_runtime"}
    assert not [module for module in loaded if module.startswith("edge.commands.")]


@pytest.mark.requirement(16)
def test_asking_the_daemon_loads_no_image_library(repository: Path) -> None:
    loaded = loaded_by("import edge.commands.control", repository)
    assert "edge.commands.control" in loaded
    assert not loaded & {"cv2", "PIL", "simplejpeg"}


@pytest.mark.requirement(16)
@pytest.mark.parametrize("words", [["count", "--help"], ["count", "edge/samples/rendered_0001.jpg"]])
def test_counting_loads_nothing_of_the_extras(words: list[str], repository: Path) -> None:
    loaded = loaded_by(
        f"from edge.cli import main\ntry: main({words}, prog_name='blastcount')\nexcept SystemExit: pass",
        repository,
    )
    assert "edge.commands.count" in loaded
    extras = {
        "dask",
        "distributed",
        "pyarrow",
        "fsspec",
        "paho",
        "psycopg",
        "tensorflow",
        "sklearn",
        "matplotlib",
    }
    assert not loaded & extras
    assert not [module for module in loaded if module.startswith(("edge.archive", "edge.fleet"))]


CODES = {
    1: (EdgeError, ImageError, SourceError, CameraError, LogError, OutputError, DataSetError),
    3: (ConfigError, ModelError, RuntimeMissingError),
    4: (GateError,),
}


@pytest.mark.requirement(15)
@pytest.mark.parametrize(("error", "code"), [(error, code) for code in CODES for error in CODES[code]])
def test_an_error_is_one_line_and_its_exit_code(
    command: Callable[[Callable[[], None]], None], error: type[EdgeError], code: int
) -> None:
    command(raising(error("a\nb\x1b[31m.jpg: broken")))
    result = invoke("trial")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "blastcount: error: a\\nb\\x1b[31m.jpg: broken\n"
    # With the traceback where it is asked for.
    assert isinstance(invoke("--debug", "trial").exception, error)


def test_a_fault_of_the_program_is_not_hidden_and_ctrl_c_is_quiet(
    command: Callable[[Callable[[], None]], None],
) -> None:
    command(raising(ZeroDivisionError("a bug")))
    assert isinstance(invoke("trial").exception, ZeroDivisionError)
    command(raising(KeyboardInterrupt()))
    result = invoke("trial")
    assert (result.exit_code, result.stderr.strip()) == (130, "")


def test_an_unknown_command_and_the_version() -> None:
    result = invoke("conut")
    assert (result.exit_code, "'conut'" in result.stderr) == (2, True)
    result = invoke("--version")
    assert invoke("-V").stdout == result.stdout
    assert (result.exit_code, result.stdout.split()[0]) == (0, "blastcount")


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Entry points of other packages, as an install announces them."""

    def announce(**values: str) -> None:
        entries = [EntryPoint(name, value, cli.PLUGIN_GROUP) for name, value in values.items()]
        monkeypatch.setattr(cli, "entry_points", lambda group: entries)

    return announce


def test_commands_of_other_packages_are_listed_unimported(plugins: Callable[..., None]) -> None:
    plugins(train="no_such_module:train", other="no_such_module:other", count="no_such_module:count")
    result = invoke("--help")
    assert result.exit_code == 0
    assert "needs the [train] extra" in result.stdout
    assert "See `blastcount other --help`." in result.stdout
    assert result.stdout.count("  count ") == 1  # a plugin cannot take the place of a command
    # One without its extra says what to install.
    result = invoke("train")
    assert result.exit_code == 3
    (line,) = result.stderr.splitlines()
    assert "'no_such_module'" in line
    assert "pip install 'blastcount[train]'" in line


def test_a_command_of_another_package_runs(
    monkeypatch: pytest.MonkeyPatch, plugins: Callable[..., None]
) -> None:
    module = type(sys)("plugin_module")
    module.train = click.command("train")(lambda: click.echo("trained"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plugin_module", module)
    plugins(train="plugin_module:train")
    assert invoke("train").stdout == "trained\n"


def run_blastcount(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        cwd=Path(cli.__file__).parent.parent,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
    )


def test_a_terminal_without_the_needed_characters_gets_escapes(tmp_path: Path, tiny_model: Path) -> None:
    image = tmp_path / "blank.png"
    Image.new("RGB", (64, 48), (220, 220, 220)).save(image)
    done = run_blastcount("count", "--model", str(tiny_model), str(image))
    assert done.returncode == 0, done.stderr
    assert b"\xb5m/px" in done.stdout  # Latin-1 has µ ...
    assert b"\\u2013" in done.stdout  # ... and no en dash


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run_blastcount("--help", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sample", "--help"]], ids=" ".join)
def test_a_full_disk_under_stdout_is_one_line(arguments: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run_blastcount(*arguments, stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 1
    assert done.stderr.startswith(b"blastcount: error: stdout: cannot be written: ")
    assert done.stderr.count(b"\n") == 1
