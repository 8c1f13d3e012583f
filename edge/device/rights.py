"""Whether this user may reach a file, and what to do where not: one line instead of a PermissionError."""

from __future__ import annotations

import grp
import os
import pwd
from contextlib import suppress
from pathlib import Path


def refusal(path: Path, mode: int = os.R_OK) -> str | None:
    """Say why this user may not use a file, and what to do; None where he may, or where it is not there.

    Parameters
    ----------
    path : the file
    mode : what is wanted of it, as for :func:`os.access`
    """
    try:
        path.stat()
    except PermissionError:
        barrier = next(
            folder for folder in reversed(path.absolute().parents) if not os.access(folder, os.X_OK)
        )
    except OSError:
        return None  # whoever opens it says what is wrong
    else:
        if os.access(path, mode):
            return None
        barrier = path
    found = barrier.stat()
    if found.st_gid != 0 and found.st_gid not in (*os.getgroups(), os.getegid()) and found.st_mode & 0o070:
        group, who = _group_name(found.st_gid), user_name(os.geteuid())
        if who in _members(found.st_gid):
            return f"you were made a member of group {group} after you had logged in: log out and in again"
        return f"you are not a member of group {group}: `sudo adduser {who} {group}`, then log in again"
    wanted = "write" if mode & os.W_OK else "read"
    return f"only user {user_name(found.st_uid)} may {wanted} {barrier}"


def become_owner_of(folder: Path) -> None:
    """Go on as the user whose the log is, where it is root who asks.

    What root makes beside the log would shut out the service whose log it is.
    """
    if os.geteuid() != 0:
        return
    owner = next(place for place in (folder, *folder.absolute().parents) if place.exists()).stat()
    if owner.st_uid == 0:
        return
    os.setgroups([])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def user_name(uid: int) -> str:
    """Name a user; the number where the system knows no name."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group_name(gid: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)


def _members(gid: int) -> list[str]:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_mem
    return []
