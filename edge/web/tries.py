"""Trying a token or a password: few at a time, few for each address, and few wrong ones for each account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import request

from edge.bloodlog.users import User
from edge.device.passwords import MAX_PASSWORD, nobodys_hash
from edge.web.access import Gate, Lock, LockBusyError
from edge.web.hosts import network_of
from edge.web.setup import note_refusal, setup

#: Whose token it is: everybody's.
_TOKEN = "token"
#: Names that nobody has share one account: there are as many as somebody likes.
_NOBODY = "user"


@dataclass(frozen=True, slots=True)
class Failed:
    """A try that opened nothing.

    Attributes
    ----------
    key : of the text that tells a person why
    code : of the answer
    """

    key: str
    code: int


def try_token(lock: Lock, typed: str) -> Failed | None:
    """Try the token; None where it is the right one."""
    return _try(_TOKEN, lambda: lock.opens(typed), len(typed), lock, "token")


def try_password(user: User | None, typed: str, *, noted: str = "name or password") -> Failed | None:
    """Try a user's password; None where it is the right one.

    A name that nobody has takes as long as one that somebody has.

    Parameters
    ----------
    user : whose it should be; None where there is nobody of the name
    typed : by whoever wants in
    noted : what was wrong then, for the journal
    """
    stored = nobodys_hash() if user is None else user.password
    account = _NOBODY if user is None else f"{_NOBODY} {user.name}"

    def opens() -> bool:
        return setup().gate.opens_by(stored, typed) and user is not None

    return _try(account, opens, len(typed), setup().gate, noted)


def _try(account: str, opens: Callable[[], bool], length: int, gate: Gate, what: str) -> Failed | None:
    try:
        with gate.place():
            failed, noted = _try_in_place(account, opens, length, what)
    except LockBusyError:
        failed, noted = Failed("login.busy", 503), "too many tries at once"
    if failed is not None:
        note_refusal(noted)
    return failed


def _try_in_place(
    account: str, opens: Callable[[], bool], length: int, what: str
) -> tuple[Failed | None, str]:
    limits, address = setup(), network_of(request.remote_addr or "unknown")
    # Taken before and given back after, so that tries at the same time cannot pass together.
    if not limits.tries.allows(address):
        return Failed("problem.429", 429), f"too many tries at the {what}"
    if not limits.wrong_tries.allows(account):
        return Failed("problem.429", 429), f"too many wrong tries at the {what} from all addresses"
    if length > MAX_PASSWORD or not opens():
        return Failed("login.wrong" if account == _TOKEN else "login.wrong_user", 403), f"wrong {what}"
    limits.tries.give_back(address)
    limits.wrong_tries.give_back(account)
    return None, ""
