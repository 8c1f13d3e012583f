"""The manual page and the shells' completions, made of the commands: ``python -m edge.manual FOLDER``.

The installation calls it, so that both are those of the program that it installs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from edge.cli import COMMANDS, main
from edge.version import software_version

#: Shells that click can complete for; each file is named after its shell.
SHELLS = ("bash", "zsh", "fish")
_PROGRAM = "blastcount"
_END = r"""
.SH FILES
.TP
.I /etc/blastcount/blastcount.toml
the configuration; every key is in it, commented out, with its default
.TP
.I /var/lib/blastcount
the log, its pictures and the calibration
.TP
.I /var/backups/blastcount
backups of the log
.SH ENVIRONMENT
.TP
.B BLASTCOUNT_CONFIG
the configuration's file, if it is another
.SH SEE ALSO
.BR journalctl (1),
.BR systemctl (1)
"""


def escaped(text: str) -> str:
    r"""Keep roff from taking a text for its own requests.

    Examples
    --------
    >>> print(escaped(".5 of --quota"))
    \&.5 of \-\-quota
    """
    lines = text.replace("\\", r"\e").replace("-", r"\-").splitlines()
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in lines)


def manual_page() -> str:
    """Write the manual page of all commands, as roff [1]_.

    References
    ----------
    .. [1] man 7 man
    """
    context = click.Context(main, info_name=_PROGRAM, **main.context_settings)
    version = escaped(software_version())
    parts = [
        f'.TH BLASTCOUNT 1 "" "blastcount {version}" "User commands"',
        f".SH NAME\n{_PROGRAM} \\- {escaped(main.get_short_help_str(200))}",
        f".SH SYNOPSIS\n.B {_PROGRAM}\n[OPTIONS] COMMAND [ARGUMENTS]",
        f".SH DESCRIPTION\n{_described(main, context)}",
        ".SH COMMANDS",
        *_commands(main, context),
        f".SH EXIT STATUS\n{escaped(main.epilog or '')}",
    ]
    return "\n".join(parts) + _END


def _commands(group: click.Group, parent: click.Context) -> Iterator[str]:
    """Yield a section for each command, groups before their own."""
    for name in group.list_commands(parent):
        if group is main and name not in COMMANDS:
            continue  # those of other packages are not on every device
        command = group.get_command(parent, name)
        assert command is not None  # it was listed
        context = click.Context(command, parent, info_name=name, **command.context_settings)
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        yield f".SS {escaped(usage)}\n{_described(command, context)}"
        if isinstance(command, click.Group):
            yield from _commands(command, context)


def _described(command: click.Command, context: click.Context) -> str:
    """Say what a command does, and each of its options."""
    paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\f")[0].split("\n\n")]
    lines = ["\n.PP\n".join(escaped(text.removeprefix("\b").strip()) for text in paragraphs)]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            lines.append(f".TP\n.B {escaped(record[0])}\n{escaped(' '.join(record[1].split()))}")
    return "\n".join(lines)


def completion(shell: str) -> str:
    """Write what a shell reads to complete commands and options.

    Parameters
    ----------
    shell : one of :data:`SHELLS`
    """
    found = get_completion_class(shell)
    assert found is not None  # click knows each of SHELLS
    return found(main, {}, _PROGRAM, f"_{_PROGRAM.upper()}_COMPLETE").source()


def write(folder: Path) -> None:
    """Write ``blastcount.1`` and a file for each shell."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{_PROGRAM}.1").write_text(manual_page(), encoding="utf-8")
    for shell in SHELLS:
        (folder / f"{_PROGRAM}.{shell}").write_text(completion(shell), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
