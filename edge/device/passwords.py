"""Hashes of passwords and tokens: by scrypt, each with its salt and what it costs beside it."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata

#: A password of a person's own must be at least this long; NIST SP 800-63B, 3.1.1.2, asks for 15 where it is
#: the only factor, and 8 otherwise. Guesses are limited to 5 a minute here.
MIN_PASSWORD = 12
#: Nobody types more; what is longer is not hashed.
MAX_PASSWORD = 256
#: scrypt's N, r and p: the row for 32 MiB of OWASP's table of equal strength (Password Storage Cheat Sheet,
#: 2023). Its first row takes 128 MiB, as much as a Pi with 1 GB leaves to the whole page.
COST, BLOCK, LANES = 2**15, 8, 3
#: bytes that one comparison may take, and its lanes: less than half of OWASP's 32 MiB is weak, and the page's
#: unit has room for twice.
LEAST_COST, MOST_COST, MOST_LANES = 2**24, 2**26, 8
_SALT_BYTES, _HASH_BYTES = 16, 64
#: What a hash looks like: the form that Werkzeug writes, too.
_HASH = re.compile(
    r"scrypt:(?P<cost>[1-9][0-9]{0,9}):(?P<block>[1-9][0-9]?):(?P<lanes>[1-9])"
    r"\$(?P<salt>[A-Za-z0-9./]{8,64})\$(?P<hash>[0-9a-f]{128})",
    re.ASCII,
)


def password_hash(secret: str) -> str:
    """Hash a password or token by scrypt [1]_ with a random salt.

    References
    ----------
    .. [1] C. Percival, S. Josefsson, "The scrypt Password-Based Key Derivation Function", RFC 7914, 2016.
    """
    salt = secrets.token_hex(_SALT_BYTES)
    return f"scrypt:{COST}:{BLOCK}:{LANES}${salt}${_scrypt(secret, salt, COST, BLOCK, LANES).hex()}"


def nobodys_hash() -> str:
    """Give a hash that no password has, and that takes as long to compare with as any."""
    return f"scrypt:{COST}:{BLOCK}:{LANES}${'0' * 2 * _SALT_BYTES}${'0' * 2 * _HASH_BYTES}"


def matches(stored: str, typed: str) -> bool:
    """Whether what was typed is what a hash was made of, in a time that does not tell how nearly.

    Parameters
    ----------
    stored : of :func:`password_hash`, or one in which :func:`wrong_hash` found nothing wrong
    typed : by whoever wants in
    """
    found = _HASH.fullmatch(stored)
    if found is None:
        raise ValueError("no hash of a password")
    cost, block, lanes = (int(found[name]) for name in ("cost", "block", "lanes"))
    return hmac.compare_digest(
        _scrypt(typed, found["salt"], cost, block, lanes), bytes.fromhex(found["hash"])
    )


def wrong_hash(text: str) -> str | None:
    """Say what is wrong with a hash; it must be one that is compared at every login without an error."""
    found = _HASH.fullmatch(text)
    if found is None:
        return "holds no hash of a token, expected scrypt:N:r:p$salt$hash"
    cost, block, lanes = (int(found[name]) for name in ("cost", "block", "lanes"))
    if cost & (cost - 1) or not LEAST_COST <= 128 * cost * block <= MOST_COST or lanes > MOST_LANES:
        return f"the hash's costs are out of range, got scrypt:{cost}:{block}:{lanes}"
    return None


def _scrypt(secret: str, salt: str, cost: int, block: int, lanes: int) -> bytes:
    # Two keyboards may write one letter in two ways. What a terminal could not decode is part of it, too.
    typed = unicodedata.normalize("NFC", secret).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        typed,
        salt=salt.encode("ascii"),
        n=cost,
        r=block,
        p=lanes,
        maxmem=128 * block * (cost + lanes + 32),  # what OpenSSL counts, and a little
        dklen=_HASH_BYTES,
    )
