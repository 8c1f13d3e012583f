"""People who give a command their name: what a name is, and the password that is asked for with it."""

from __future__ import annotations

import sys

import click

from edge.bloodlog import BloodLog
from edge.bloodlog.samples import NOBODY
from edge.bloodlog.users import MAX_NAME, Role, User, UserFile, user_name
from edge.daemon.served import ServedLog
from edge.device.passwords import MAX_PASSWORD, matches
from edge.device.printable import printable
from edge.errors import LogError


class _Person(click.ParamType):  # type: ignore[type-arg]  # generic for mypy only
    name = "SIGN"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Clean a person's name."""
        name = user_name(value)
        if name is None:
            self.fail(f"{value!r}: expected 1 to {MAX_NAME} characters that can be seen", param, ctx)
        return name


#: Whom something is put down to.
PERSON = _Person()

who_option = click.option(
    "--who",
    type=PERSON,
    metavar="SIGN",
    default=NOBODY,
    help="Your sign, kept with the change; where the log has users, a user's, whose password is asked for.",
)


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()


def typed_password(prompt: str, *, twice: bool = False) -> str:
    """Ask for a password, which is shown nowhere; a script gives it as one line of standard input."""
    if is_terminal():
        return str(click.prompt(prompt, hide_input=True, confirmation_prompt=twice, err=True))
    return sys.stdin.readline(MAX_PASSWORD + 2).rstrip("\r\n")


def whose(log: BloodLog, who: str) -> tuple[str, Role | None]:
    """Give the name that a change is put down to, and its role where the log has users; nobody's needs none.

    Raises
    ------
    LogError
        There is no such user, or the password is another one.
    """
    user = None if who == NOBODY else signed_in(log, who)
    return (who, None) if user is None else (user.name, user.role)


def signed_in(log: BloodLog, observer: str) -> User | None:
    """Have a user say who he is; None where the log has no users, and signs are given on trust.

    Raises
    ------
    LogError
        There is no such user, or the password is another one.
    """
    users = UserFile.beside(log.path)
    if not users.exists() or isinstance(log, ServedLog):  # its owner's daemon refuses names by itself
        return None
    user = users.known(observer)
    if not matches(user.password, typed_password(f"Password of {printable(user.name)}")):
        raise LogError(f"{log.path}: this is not the password of {user.name}; nothing was written")
    return user
