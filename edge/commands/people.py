"""The type of a person's name that a command takes."""

from __future__ import annotations

import click

from edge.bloodlog.users import MAX_NAME, user_name


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
