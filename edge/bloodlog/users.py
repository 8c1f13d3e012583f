"""Who may look at a log's cells under a name of their own: a file beside the log, not rows in it.

A password that was changed and a person who has left must be gone. The log forgets nothing, is copied with
every backup and is read by everybody in its group; this file is read by its owner alone, and replaced whole.
What people have said stands in the log with their names and roles, and needs this file no more.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edge.bloodlog.locks import USUAL, Patience, locked
from edge.device.decoding import decode_json
from edge.device.durable import write_whole
from edge.device.passwords import wrong_hash
from edge.device.reading import read_bounded
from edge.device.rights import refusal
from edge.device.rights import user_name as account_name
from edge.errors import LogError

#: A reader says what cells are. A supervisor does so, too, settles what readers differ on, and signs for it.
Role = Literal["reader", "supervisor"]
#: A name or a short sign; what a signature field holds.
MAX_NAME = 40
#: Nobody else has to know even the hashes: who does can guess without being counted.
_RIGHTS = 0o600
#: What the file's name has more than the log's.
_SUFFIX = ".users"
#: Rights of anybody but the owner.
_OTHERS = 0o077
#: Cyrillic and Greek letters by the Latin ones that they look like, small or capital; out of Unicode's table
#: of confusable characters (UTS 39).
_LOOK_ALIKE = str.maketrans("авекмнорстухіјѕһԁԛԝαβεζηικμνορτυχϳ", "abekmhopctyxijshdqwabezhikmnoptyxj")


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who signs in.

    Attributes
    ----------
    name : under which words are kept; no two differ by capitals alone
    role : what he or she may do
    password : its hash, see :func:`edge.device.passwords.password_hash`
    """

    name: str
    role: Role
    password: str


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal["blastcount.users/1"]
    users: tuple[User, ...]


@dataclass(slots=True)
class UserFile:
    """The users of a log. The file is read anew where it has changed: a removed user is out at once.

    Parameters
    ----------
    path : of the file; there is none where there is no user
    """

    path: Path
    _seen: tuple[int, int, int] | None = None
    _users: Mapping[str, User] | None = None

    @classmethod
    def beside(cls, log: Path) -> UserFile:
        """Name the users of a log, which all names of the log have in common."""
        real = log.resolve()
        return cls(real.with_name(f"{real.name}{_SUFFIX}"))

    def exists(self) -> bool:
        """Whether there are users; whoever may not read who they are sees this much."""
        # A link that leads nowhere is no sign that there are none.
        return os.path.lexists(self.path)

    def all(self) -> Mapping[str, User]:
        """Read all users by their names, in the order in which they were added; none where there is no file.

        Raises
        ------
        LogError
            The file cannot be read or understood, or is not its owner's alone: nobody is let in by mistake.
        """
        try:
            found = self.path.stat()
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not self.exists():
                return {}
            raise LogError(f"{self.path}: cannot be read: {error.strerror}") from error
        if found.st_mode & _OTHERS:
            raise LogError(
                f"{self.path}: others may use this file (mode {stat.S_IMODE(found.st_mode):04o}), and so who "
                f"signs in; `chmod 600 {self.path}`, and give new passwords"
            )
        expected = self._owner()
        if found.st_uid not in (0, expected):
            raise LogError(
                f"{self.path}: belongs to {account_name(found.st_uid)}, who could change who signs in; "
                f"expected {account_name(expected)}, whose the log is; remove it, and add the users anew"
            )
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if self._users is None or seen != self._seen:
            self._users, self._seen = self._read(), seen
        return self._users

    def _owner(self) -> int:
        """Give the user id of whose the log is; without a log, of who asks."""
        with suppress(OSError):
            return self.path.with_name(self.path.name.removesuffix(_SUFFIX)).stat().st_uid
        return os.geteuid()

    def find(self, typed: str) -> User | None:
        """Look up a user by a name as somebody types it: a phone begins it with a capital."""
        wanted = (user_name(typed) or "").casefold()
        return next((user for name, user in self.all().items() if name.casefold() == wanted), None)

    def known(self, name: str) -> User:
        """Look up a user who must be there.

        Raises
        ------
        LogError
            There is none of this name.
        """
        found = self.find(name)
        if found is None:
            known = ", ".join(self.all()) or "none"
            raise LogError(f"there is no user {name}; there are: {known}")
        return found

    def check_free(self, name: str) -> None:
        """See whether nobody has a name yet, nor one that looks the same.

        Raises
        ------
        LogError
            Somebody has it, or it mixes letters that look alike.
        """
        if len(scripts := _scripts(name)) > 1:
            raise LogError(f"{name}: has {' and '.join(scripts)} letters, which look alike; use those of one")
        there = self.find(name)
        if there is not None:
            raise LogError(
                f"user {there.name} is there already; `blastcount user password` gives a new password"
            )
        for other in self.all():
            if _look(other) == _look(name):
                raise LogError(f"{name}: looks like {other}, who is there already; use another name")

    def add(self, user: User, patience: Patience = USUAL) -> None:
        """Add a user.

        Raises
        ------
        LogError
            There is one of this name, or the file cannot be written.
        """

        def added() -> list[User]:
            self.check_free(user.name)
            return [*self.all().values(), user]

        self._change(added, patience)

    def replace(self, name: str, password: str, patience: Patience = USUAL) -> User:
        """Give a user another password, by its hash.

        Raises
        ------
        LogError
            There is none of this name, or the file cannot be written.
        """

        def replaced() -> list[User]:
            old = self.known(name)
            new = User(old.name, old.role, password)
            return [new if user is old else user for user in self.all().values()]

        self._change(replaced, patience)
        return self.known(name)

    def remove(self, name: str, patience: Patience = USUAL) -> User:
        """Remove a user; with the last one the file goes.

        Raises
        ------
        LogError
            There is none of this name, or the file cannot be written.
        """
        gone = self.known(name)
        self._change(lambda: [user for user in self.all().values() if user.name != gone.name], patience)
        return gone

    def _read(self) -> Mapping[str, User]:
        if (why := refusal(self.path)) is not None:
            raise LogError(f"{self.path}: {why}; users sign in on the page that its owner serves")
        source, advice = f"{self.path}: the users cannot be read", "remove it, and add them anew"
        try:
            content = read_bounded(self.path)
        except OSError as error:
            raise LogError(f"{source}: {error}; {advice}") from error
        users = decode_json(content, _Content, source=source, advice=advice, error=LogError).users
        for user in users:
            wrong = wrong_hash(user.password) or (user_name(user.name) != user.name and "is no name") or None
            if wrong is not None:
                raise LogError(
                    f"{self.path}: user {user.name!r}: {wrong}; remove the file, and add them anew"
                )
        return {user.name: user for user in users}

    def _change(self, changed: Callable[[], list[User]], patience: Patience) -> None:
        what = f"{self.path}: no user was changed"
        try:
            with locked(self.path.with_name(f"{self.path.name}.lock"), "exclusive", patience, what):
                users = changed()
                if users:
                    content = _Content("blastcount.users/1", tuple(users))
                    text = msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
                    write_whole(self.path, text, durable=True, mode=_RIGHTS, exactly=True)
                else:
                    self.path.unlink()
        except OSError as error:
            raise LogError(f"{what}: {error.strerror or error}; is it yours? Else with sudo") from error


def _look(name: str) -> str:
    """Give what two names have in common that a reader cannot tell apart."""
    return unicodedata.normalize("NFKC", name).casefold().translate(_LOOK_ALIKE)


def _scripts(name: str) -> list[str]:
    """Name the alphabets of a name among those whose letters look alike."""
    letters = (unicodedata.name(letter, "") for letter in unicodedata.normalize("NFKC", name))
    found = {letter.split()[0] for letter in letters if letter}
    return [script.capitalize() for script in ("LATIN", "CYRILLIC", "GREEK") if script in found]


def user_name(typed: str) -> str | None:
    """Clean a typed name; None where it cannot be one.

    Examples
    --------
    >>> user_name("  dr.  Sari "), user_name(" "), user_name("x" * 41)
    ('dr. Sari', None, None)
    """
    # What a person cannot see must not make two names of one.
    name = " ".join(unicodedata.normalize("NFC", typed).split())
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        return None
    return name


def check_person(name: str) -> None:
    """See whether a name can be written down beside what a person has said or done.

    Raises
    ------
    LogError
        It is none, or not as :func:`user_name` cleans it.
    """
    if user_name(name) != name:
        raise LogError(
            f"a person's name must be 1 to {MAX_NAME} characters that can be seen, and single spaces, "
            f"got {name!r}"
        )
