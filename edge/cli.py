"""The command line: which commands there are, and how errors end them.

A command's module is imported when that command is called, never for another one or for ``--help``, so
that a device without TensorFlow does not pay for the commands that need it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

import click

from edge.device.printable import printable
from edge.errors import NO_ROOM, EdgeError, OutputError, RuntimeMissingError
from edge.version import software_version

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Name of each command of the device package, where it is, and its line in ``--help``.
COMMANDS = {
    "count": ("edge.commands.count:count", "Count image files, folders and videos."),
    "run": ("edge.commands.run:run", "Count what a camera sees, field after field, into the log."),
    "status": ("edge.commands.control:status", "Show what the daemon does."),
    "capture": ("edge.commands.control:capture", "Have the daemon count what the camera sees now."),
    "sample": ("edge.commands.sample:sample_group", "Open, close, list, show and hand on samples."),
    "report": ("edge.commands.report:report", "Write the one-page result of a sample."),
    "verify": ("edge.commands.verify:verify_group", "Measure the program on one's own slides."),
    "log": ("edge.commands.log:log_group", "Verify, back up, export, make room in and repair the log."),
    "reload": ("edge.commands.control:reload", "Have the daemon read its configuration again."),
    "review": ("edge.commands.review:review", "Serve the page on which people look at every cell."),
    "user": ("edge.commands.user:user_group", "Add, list and remove those who sign in to the review page."),
    "check": ("edge.commands.check:check", "Test model, camera, disk, clock, rights, supply and log."),
    "update": ("edge.commands.update:update", "Put a newer, signed version in use, from a stick."),
    "qc": ("edge.commands.qc:qc_group", "Watch microscope and stain by charts, and count a control slide."),
    "calibrate": (
        "edge.commands.calibrate:calibrate_group",
        "Measure even light, white point and the size of a pixel.",
    ),
    "recalibrate": (
        "edge.commands.recalibrate:recalibrate_group",
        "Fit the model's threshold to your own labelled cells, or go back.",
    ),
    "compare": ("edge.commands.compare:compare_command", "Run two models on the last samples, side by side."),
    "render": ("edge.commands.render:render", "Draw smears with a known truth, to try the rest with."),
    "archive": ("edge.archive.command:archive", "Count stored fields by the hundred thousand, on Dask."),
    "forward": ("edge.fleet.forward_command:forward", "Send the log's rows to a fleet's MQTT broker."),
    "collect": ("edge.fleet.collect_command:collect_group", "Collect many devices' rows in one database."),
    "bench": ("edge.commands.bench:bench", "Measure what a field costs on this machine."),
}
#: Other packages announce their commands here; see pyproject.toml.
PLUGIN_GROUP = "blastcount.commands"
PLUGIN_HELP = {
    "evaluate": "Measure on your own annotated images (needs the [train] extra).",
    "audit": "Find copies, overlaps and leaks in training data (needs the [train] extra).",
    "train": "Data set to Keras model (needs the [train] extra).",
    "convert": "Keras model to int8 TFLite, through the parity gate (needs the [convert] extra).",
}
#: What a shell reports for a program that Ctrl-C ended: 128 + SIGINT.
EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group that knows its commands by name, imports one when it is called, and translates errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands of this package, then those of others."""
        return [*COMMANDS, *sorted(name for name in _plugins() if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        plugin = _plugins().get(cmd_name)
        if plugin is None:
            return None
        try:
            loaded: click.Command = plugin.load()
        except ImportError as error:
            if ctx.resilient_parsing:
                return None  # a shell asks what could come next
            raise RuntimeMissingError(
                f"{cmd_name}: this install lacks what it needs ({error}); "
                f"pip install 'blastcount[{cmd_name}]' on a computer that may have TensorFlow"
            ) from error
        return loaded

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Tell a shell what could come next, without importing the commands."""
        from click.shell_completion import CompletionItem  # no command needs it

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=_short_help(name)) for name in names), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        lines = [(name, _short_help(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(lines)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        """Read the options of the group, which print its help and version."""
        with _full_stdout_in_one_line():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; one line on stderr and an exit code for every error meant for a person."""
        try:
            with nullcontext() if ctx.params["debug"] else _full_stdout_in_one_line():
                return super().invoke(ctx)
        except EdgeError as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"blastcount: error: {printable(error)}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo(err=True)  # ends the line on which the terminal shows ^C
            ctx.exit(EXIT_INTERRUPTED)


@contextmanager
def _full_stdout_in_one_line() -> Iterator[None]:
    """Say that stdout takes nothing more, and end."""
    try:
        yield
    except OSError as error:
        # What has a name was a file, and is an EdgeError or a fault of the program; stdout has none.
        if error.errno not in NO_ROOM or error.filename is not None:
            raise
        click.echo(
            f"blastcount: error: stdout: cannot be written: {error.strerror}; write to another disk", err=True
        )
        sys.exit(OutputError.exit_code)


def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=PLUGIN_GROUP)}


def _short_help(name: str) -> str:
    if name in COMMANDS:
        return COMMANDS[name][1]
    return PLUGIN_HELP.get(name, f"See `blastcount {name} --help`.")


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    click.echo(f"blastcount {software_version()}")
    ctx.exit()


def _quieten_libraries() -> None:
    """Keep OpenCV's and FFmpeg's own complaints off stderr; what is wrong is said once, by the error.

    They read these variables when they are loaded, which is after this. A person's own settings win.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET


def _never_fail_to_print(streams: Iterable[object]) -> None:
    """Let a terminal that cannot show µ or ✓ get an escape instead of a UnicodeEncodeError."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="For research use only. Exit codes: 0 done; 1 the work failed; 2 wrong usage; "
    "3 configuration or model unusable; 4 a gate said no.",
)
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
def main(debug: bool) -> None:
    """Count white blood cells that look like blasts in microscope images, on this device."""
    del debug  # read by LazyGroup.invoke from the context
    _quieten_libraries()
    _never_fail_to_print((sys.stdout, sys.stderr))


if __name__ == "__main__":
    main(prog_name="blastcount")
