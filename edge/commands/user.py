"""``blastcount user``: who may look at cells under a name of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import click

from edge.bloodlog.connection import check_name, check_there
from edge.bloodlog.users import Role, User, UserFile
from edge.commands.options import config_for, json_option, log_option
from edge.commands.outputs import make_state_folder
from edge.commands.people import PERSON, typed_password
from edge.device.passwords import MAX_PASSWORD, MIN_PASSWORD, password_hash
from edge.device.printable import printable
from edge.device.rights import become_owner_of

_user = click.argument("name", type=PERSON, metavar="NAME")


@click.group("user")
def user_group() -> None:
    """Add, list and remove those who sign in to the review page by name and password.

    Where there is one, nobody looks at cells without a name, and the page's token opens nothing. Words,
    closings, settlements and signatures are kept with the name. They are in a file beside the log, which its
    owner alone reads. For research use only.
    """


def _users(log_path: Path | None) -> UserFile:
    """Find the users of a log, as the user whose the log is.

    A log that is named has to be there, or a slip of the pen would make users of no log. The configured one
    may get its users before its first field.
    """
    named = log_path is not None
    if log_path is None:
        config = config_for("log")
        make_state_folder(config)
        log_path = config.log_path
    become_owner_of(log_path.parent)
    check_name(log_path)
    if named:
        check_there(log_path)
    return UserFile.beside(log_path)


def _password() -> str:
    """Ask for a password twice, and hash it.

    Raises
    ------
    click.UsageError
        It is too short or too long, or there is none.
    """
    typed = typed_password("Password", twice=True)
    if not MIN_PASSWORD <= len(typed) <= MAX_PASSWORD:
        raise click.UsageError(
            f"the password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters, got {len(typed)}; "
            "it is asked for on the terminal, or is the first line of standard input"
        )
    return password_hash(typed)


@user_group.command("add")
@_user
@click.option(
    "--role",
    type=click.Choice(get_args(Role)),
    default="reader",
    help="A supervisor also settles what readers differ on, and signs as having checked.",
)
@log_option
def add(name: str, role: Role, log_path: Path | None) -> None:
    """Add user NAME, and ask for a password."""
    users = _users(log_path)
    users.check_free(name)  # before anybody thinks of a password
    users.add(User(name, role, _password()))
    click.echo(f"user {printable(name)}: {role}")


@user_group.command("password")
@_user
@log_option
def password(name: str, log_path: Path | None) -> None:
    """Give user NAME another password; whoever is signed in with the old one is out."""
    users = _users(log_path)
    users.known(name)
    user = users.replace(name, _password())
    click.echo(f"user {printable(user.name)}: {user.role}, new password")


@user_group.command("remove")
@_user
@log_option
def remove(name: str, log_path: Path | None) -> None:
    """Remove user NAME, who is out at once; what that user said stays in the log."""
    gone = _users(log_path).remove(name)
    click.echo(f"user {printable(gone.name)}: removed")


@user_group.command("list")
@log_option
@json_option
def list_(log_path: Path | None, as_json: bool) -> None:
    """List the users, never their passwords."""
    users = _users(log_path).all().values()
    for user in users:
        record = {"name": user.name, "role": user.role}
        click.echo(json.dumps(record) if as_json else f"{printable(user.name)}: {user.role}")
    if not users and not as_json:
        click.echo("no users: whoever opens the page gives a sign of their own, on trust; nobody can sign")
