"""``[review]``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edge.config.section import Section, within
from edge.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ReviewConfig(Section):
    """``[review]``: the page on which people look at cells.

    Attributes
    ----------
    with_daemon : ``blastcount run`` starts and stops the page, too
    host : address that is listened on. A loopback address is reached from this machine alone; any other
        one needs ``token_file``
    port : TCP port
    token_file : file with the hash of the token that opens the page; ``blastcount review --new-token``
        makes it. None for no token
    names : names that browsers may call this machine by, separated by spaces, besides its own name, that
        with ``.local``, and its addresses
    """

    NAME: ClassVar[str] = "review"
    with_daemon: bool = False
    host: str = "127.0.0.1"
    port: int = within(8321, 1, 65535)
    token_file: Path | None = None
    names: str | None = None

    def __post_init__(self) -> None:
        """Check the ranges, and that nothing is open to a network without a token."""
        Section.__post_init__(self)
        if not self.is_loopback and self.token_file is None:
            raise ConfigError(
                f"review.host {self.host!r} can be reached from the network and needs review.token_file; "
                "make one with `blastcount review --new-token FILE`"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the page.

        Raises
        ------
        ConfigError
            ``host`` is not an address.
        """
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError as error:
            raise ConfigError(
                f"review.host must be an address such as 127.0.0.1 or 0.0.0.0, got {self.host!r}"
            ) from error
