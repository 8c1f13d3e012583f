"""Options that several commands share, and the types of paths that options take."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from edge.config import Config, load_config
from edge.device.printable import printable
from edge.errors import ConfigError

Command = Callable[..., None]


class _Named(click.Path):
    """A path with a name: an empty one, of a variable that a script has not set, would be ``.``.

    Where ``-`` is not stdout, it is refused: whoever typed it does not want a file of that name.
    """

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Refuse what is empty, and ``-`` where nothing is written to stdout."""
        if value == "":
            self.fail("the name is empty; name a file or folder, the working folder is .", param, ctx)
        if value == "-" and not self.allow_dash:
            self.fail(
                "stdin and stdout cannot be used here; name a file or folder (one called - is ./-)",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


class FiniteRange(click.FloatRange):
    """A range that NaN, which compares with nothing, is outside of."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse what is no number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number", param, ctx)
        return number


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a work that is shared out.

    Attributes
    ----------
    number : 1 to ``parts``
    parts : that there are
    """

    number: int
    parts: int

    def of(self, files: Sequence[Path]) -> list[Path]:
        """Give this part: all parts together are the whole, once, and a folder is in as few as can be.

        Examples
        --------
        >>> [[path.name for path in Shard(n, 2).of([Path("a"), Path("b"), Path("c")])] for n in (1, 2)]
        [['a'], ['b', 'c']]
        """
        first, last = (len(files) * number // self.parts for number in (self.number - 1, self.number))
        return list(files[first:last])


PATH = _Named(path_type=Path)
#: A path, or the address of a store elsewhere, which is not one.
ADDRESS = _Named(path_type=str)
FILE = _Named(path_type=Path, dir_okay=False)
FOLDER = _Named(path_type=Path, file_okay=False)
#: A file for a result, or ``-`` for stdout.
RESULT = _Named(path_type=Path, dir_okay=False, allow_dash=True)


def check_one_to_stdout(*results: Path | None) -> None:
    """See that at most one result goes to stdout.

    Raises
    ------
    click.UsageError
        Two would be written into one another.
    """
    if sum(str(result) == "-" for result in results) > 1:
        raise click.UsageError('only one form can go to stdout ("-"); name files for the others')


def config_for(*sections: str) -> Config:
    """Read the sections that a command needs; a mistake in another one is said on stderr and stops nothing.

    A log can be read, verified and copied whatever is wrong with the camera's section.

    Raises
    ------
    ConfigError
        One of these sections, or the file as a whole, cannot be used.
    """
    return load_config(needed=sections, passed_over=_tell)


def _tell(error: ConfigError) -> None:
    click.echo(f"blastcount: warning: {printable(error)}; what is asked here does not need it", err=True)


config_option = click.option(
    "--config",
    "config_path",
    type=PATH,
    help="TOML file. Without it: the one that BLASTCOUNT_CONFIG names, else "
    "/etc/blastcount/blastcount.toml, else defaults.",
)
#: For another log than the configured one.
log_option = click.option(
    "--log", "log_path", type=PATH, metavar="FILE", help="The log; without it the configured one."
)
#: For another model than the configured or shipped one.
model_option = click.option(
    "--model", type=PATH, metavar="FILE", help="Model bundle; without it the configured or shipped one."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text for people.")


def _read_shard(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Shard | None:
    if value is None:
        return None
    found = re.fullmatch(r"0*([1-9][0-9]{0,8})/0*([1-9][0-9]{0,8})", value, re.ASCII)
    if found is None or int(found[1]) > int(found[2]):
        raise click.BadParameter(f"{value}: expected a part and their number, as 1/16 to 16/16")
    return Shard(int(found[1]), int(found[2]))


shard_option = click.option(
    "--shard",
    metavar="I/N",
    callback=_read_shard,
    help="Count one part of the files: 3/16 is the third of sixteen.",
)
