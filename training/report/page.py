"""A page of text, lists, tables and pictures, written once and rendered as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from edge.device.printable import markdown_table

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:70em;margin:2em auto;padding:0 1.2em}
h1{font-size:1.6em;margin:0 0 .2em}h2{font-size:1.2em;margin:2.2em 0 .5em;border-bottom:1px solid #ddd}
h3{font-size:1em;margin:1.6em 0 .3em}p,li{max-width:52em}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.88em;font-variant-numeric:tabular-nums}
th,td{padding:.28em .7em;text-align:left;border-bottom:1px solid #eee;vertical-align:top}
th{border-bottom:1px solid #999}tr.no td{background:#fbeee9}
.plots{display:flex;flex-wrap:wrap;gap:1em}.plots figure{flex:0 1 340px;margin:0}
.plots svg{width:100%;height:auto}
figcaption{font-size:.85em;color:#555}code{font-size:.9em;word-break:break-all}
@media (prefers-color-scheme:dark){body{background:#181818;color:#ddd}tr.no td{background:#3a221b}
figure svg{background:#fff}th,td,h2{border-color:#444}figcaption{color:#aaa}}
"""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 2 or 3."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; ``failed`` are the numbers of rows that a reader must not overlook."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    failed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Picture:
    """What draws an SVG when it is shown, and what that shows; nothing in Markdown."""

    draw: Callable[[], str]
    caption: str


Block = Heading | Text | Bullets | Table | Picture


def markdown(title: str, blocks: Sequence[Block]) -> str:
    r"""Render as Markdown.

    Examples
    --------
    >>> print(markdown("T", [Table(("a", "b"), (("1", "x|y"),))]))
    # T
    <BLANKLINE>
    | a | b |
    |---|---|
    | 1 | x\|y |
    <BLANKLINE>
    """
    parts = [f"# {title}"]
    for block in blocks:
        match block:
            case Heading(text, level):
                parts.append(f"{'#' * level} {text}")
            case Text(text):
                parts.append(text)
            case Bullets(items):
                parts.append("\n".join(f"- {item}" for item in items))
            case Table():
                parts.append(table(block))
            case Picture():
                pass
    return "\n\n".join(parts) + "\n"


def table(block: Table) -> str:
    """Render one table as Markdown, without a line's end."""
    return markdown_table(block.header, block.rows, aligned=False)


def html(title: str, blocks: Sequence[Block]) -> str:
    """Render as one page that needs nothing else: no network, no script."""
    body = "\n".join(_html_parts(blocks))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _html_parts(blocks: Sequence[Block]) -> Iterator[str]:
    pictures: list[str] = []
    for block in [*blocks, Text("")]:
        if pictures and not isinstance(block, Picture):
            yield f'<div class="plots">{"".join(pictures)}</div>'
            pictures = []
        match block:
            case Heading(text, level):
                yield f"<h{level}>{escape(text)}</h{level}>"
            case Text(text) if text:
                yield f"<p>{escape(text)}</p>"
            case Bullets(items):
                yield "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
            case Table(header, rows, failed):
                head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
                body = "".join(
                    f"<tr{' class=no' if number in failed else ''}>"
                    + "".join(f"<td>{escape(cell)}</td>" for cell in row)
                    + "</tr>"
                    for number, row in enumerate(rows)
                )
                yield f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
            case Picture(draw, caption):
                pictures.append(f"<figure>{draw()}<figcaption>{escape(caption)}</figcaption></figure>")
