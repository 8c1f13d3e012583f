"""The manual page and the shells' completions hold every command and option."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from itertools import takewhile
from pathlib import Path

import click
import pytest

from edge.cli import COMMANDS, main
from edge.manual import SHELLS, manual_page, write


@pytest.fixture(scope="module")
def page() -> str:
    return manual_page().replace("\\-", "-")


def commands(group: click.Group = main, path: str = "blastcount") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in COMMANDS if group is main else group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_each_command_and_option_is_on_the_page(page: str) -> None:
    parts = (part.split("\n", 1) for part in page.split("\n.SS ")[1:])
    sections = {" ".join(takewhile(str.islower, title.split())): text for title, text in parts}
    found = dict(commands())
    assert sections.keys() == found.keys()
    assert len(found) > 20
    for path, command in found.items():
        shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
        for option in (name for parameter in shown for name in parameter.opts if name[0] == "-"):
            assert re.search(rf"^\.B .*{re.escape(option)}\b", sections[path], re.M), (path, option)


def test_roff_takes_the_page() -> None:
    if shutil.which("groff") is None:
        pytest.skip("needs groff")
    for text, complaints in ((manual_page(), False), (".SH A\n.nosuchrequest\n", True)):
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-Kutf8", "-ww"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        assert bool(done.stderr) is complaints, done.stderr


def test_a_file_for_each_shell(tmp_path: Path) -> None:
    write(tmp_path / "pages")
    names = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert names == sorted(["blastcount.1", *(f"blastcount.{shell}" for shell in SHELLS)])
    if shutil.which("bash"):
        subprocess.run(["bash", "-n", tmp_path / "pages/blastcount.bash"], check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("blastcount ", {"count", "run", "sample", "train"}),
        ("blastcount cal", {"calibrate"}),
        ("blastcount sample ", {"open", "close", "list"}),
        ("blastcount count --ma", {"--masks"}),
    ],
)
def test_what_bash_is_told(words: str, expected: set[str], repository: Path) -> None:
    """As the completion calls it: words so far, and the place of the one to be completed."""
    parts = words.split(" ")
    environment = os.environ | {
        "_BLASTCOUNT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(parts) - 1)
    }  # fmt: skip
    code = "from edge.cli import main; main(prog_name='blastcount')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, capture_output=True, text=True, check=True, cwd=repository,
    )  # fmt: skip
    assert done.stderr == ""
    assert expected <= {line.split(",")[1] for line in done.stdout.splitlines()}


def test_a_command_that_this_install_lacks_completes_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = EntryPoint("train", "no_such_module:train", "blastcount.commands")
    monkeypatch.setattr("edge.cli._plugins", lambda: {"train": absent})
    context = click.Context(main, resilient_parsing=True)
    assert main.get_command(context, "train") is None
    assert [item.value for item in main.shell_complete(context, "tr")] == ["train"]
