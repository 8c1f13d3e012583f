"""The report as one A4 sheet of PDF, with fonts in it, for printers and archives."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import chain
from xml.sax.saxutils import escape

from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib.colors import Color, black, white
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, KeepInFrame, Paragraph, Spacer, Table, TableStyle

from edge.results.sheet.kinds import DifferentialTable, KindCount
from edge.results.sheet.page import Bar, Page, SignatureBox
from edge.results.sheet.pictures import PictureBox

_MARGIN = 12 * mm
_WIDTH, _HEIGHT = A4[0] - 2 * _MARGIN, A4[1] - 2 * _MARGIN
#: Of that what is below the sheet's foot line.
_FOOT = 8 * mm
#: What does not fit is laid out on so much more room again, and drawn so much smaller.
_STEP = 1.02
#: Bitstream Vera comes with ReportLab and, unlike the fonts that every reader has, knows µ and ≥.
_FONTS = {"Vera": "Vera.ttf", "Vera-Bold": "VeraBd.ttf"}
_GREY, _LIGHT = Color(0.45, 0.45, 0.45), Color(0.93, 0.93, 0.93)
_TEXT = ParagraphStyle("text", fontName="Vera", fontSize=8, leading=10.4, spaceAfter=2)
_SMALL = ParagraphStyle("small", parent=_TEXT, fontSize=5.6, leading=7, alignment=1, spaceAfter=0)
_HINT = ParagraphStyle("hint", parent=_TEXT, fontSize=6.5, leading=8.4, spaceBefore=2)
_CELL = ParagraphStyle("cell", parent=_TEXT, spaceAfter=0)
_NAME = ParagraphStyle("name", parent=_CELL, textColor=Color(0.25, 0.25, 0.25))
_STRONG = ParagraphStyle("strong", parent=_CELL, fontName="Vera-Bold")
_NUMBER = ParagraphStyle("number", parent=_CELL, alignment=2)
_STRONG_NUMBER = ParagraphStyle("strong-number", parent=_STRONG, alignment=2)
_KIND = ParagraphStyle("kind", parent=_SMALL, alignment=2)
_KIND_SHARE = ParagraphStyle("kind-share", parent=_STRONG_NUMBER, fontSize=6.5, leading=8)
_TITLE = ParagraphStyle("title", parent=_TEXT, fontName="Vera-Bold", fontSize=14, leading=18)
_HEAD = ParagraphStyle("head", parent=_TEXT, fontName="Vera-Bold", fontSize=8.5, spaceBefore=5)
_PICTURES_A_ROW, _GAP = 12, 4
#: Of a share's bar, and the least width of the interval on it.
_BAR_HEIGHT, _LEAST_WIDTH = 4.2 * mm, 0.8
_PLAIN = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 0.6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 0.6),
    ]
)


def render_pdf(page: Page) -> bytes:
    """Lay the report out on one A4 sheet; what would not fit makes everything smaller.

    Equal pages give equal bytes.

    Parameters
    ----------
    page : what it says

    Returns
    -------
    a PDF of one page
    """
    for name, file in _FONTS.items():
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, file))
    buffer = io.BytesIO()
    # invariant: no time of day and no random number in the file; the page itself says when it was made.
    canvas = Canvas(buffer, pagesize=A4, invariant=1, lang=page.language)
    canvas.setTitle(f"{page.title}: {page.sample[0][1]}")
    canvas.setAuthor("blastcount")
    canvas.setSubject(page.warning)
    smaller = 1.0
    while True:
        width, room = smaller * _WIDTH, smaller * (_HEIGHT - _FOOT)
        body = KeepInFrame(width, room, list(_flow(page, width)), mode="overflow")
        _, height = body.wrapOn(canvas, width, room)
        if height <= room:
            break
        # Wider lines are fewer: half of what is missing is gained by the width.
        smaller *= max(_STEP, (height / room) ** 0.5)
    canvas.saveState()
    canvas.translate(_MARGIN, A4[1] - _MARGIN - height / smaller)
    canvas.scale(1.0 / smaller, 1.0 / smaller)
    body.drawOn(canvas, 0, 0)
    canvas.restoreState()
    canvas.setFont("Vera", 7)
    canvas.line(_MARGIN, _MARGIN + 4 * mm, _MARGIN + _WIDTH, _MARGIN + 4 * mm)
    canvas.drawString(_MARGIN, _MARGIN, page.warning)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _flow(page: Page, full: float) -> Iterable[Flowable]:
    yield _words(page.title, _TITLE)
    warning = page.warning if page.drawn is None else f"{page.warning} {page.drawn}"
    yield Table([[_words(warning, _STRONG)]], colWidths=[full], style=[("BOX", (0, 0), (-1, -1), 1, black)])
    yield Spacer(0, 2 * mm)
    yield _facts(page.sample, full)
    if page.banners:
        yield Spacer(0, 1.5 * mm)
    for banner in page.banners:
        yield _words(banner, _STRONG)
    if page.bars:
        yield Spacer(0, 2 * mm)
        yield _bars(page, full)
    yield Spacer(0, 1.5 * mm)
    for note in page.notes:
        yield _words(note, _TEXT)
    yield _counts(page, full)
    if page.differential is not None:
        yield from _kinds(page.differential, full)
    for box in page.pictures:
        yield _words(box.title, _HEAD)
        if box.pictures:
            yield _pictures(box, full)
    if page.pictures:
        yield _words(page.legend, _HINT)
    yield Spacer(0, 2.5 * mm)
    lines = [[_words(name, _NAME), _words(value, _CELL)] for name, value in (*page.quality, *page.origin)]
    yield Table(lines, colWidths=[34 * mm, full - 34 * mm], style=_PLAIN)
    yield Spacer(0, 2 * mm)
    gap = 6 * mm
    width = (full - gap) / 2
    first, second = page.signatures
    yield Table(
        [
            [_signed(first), "", _signed(second)],
            [_words(first.label, _CELL), "", _words(second.label, _CELL)],
        ],
        colWidths=[width, gap, width],
        style=[
            *_PLAIN.getCommands(),
            ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
            ("LINEABOVE", (0, 1), (0, 1), 0.8, black),
            ("LINEABOVE", (2, 1), (2, 1), 0.8, black),
        ],
    )


def _signed(box: SignatureBox) -> list[Flowable]:
    """Who has signed; else room for a pen."""
    return [_words(text, _STRONG) for text in box.signed] or [Spacer(0, 9 * mm)]


def _words(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(text), style)


def _facts(facts: tuple[tuple[str, str], ...], full: float) -> Table:
    pairs = [[_words(name, _NAME), _words(value, _STRONG)] for name, value in facts]
    rows = [list(chain(*pairs[start : start + 3])) for start in range(0, len(pairs), 3)]
    alone = [("SPAN", (1, -1), (-1, -1))] if len(rows[-1]) == 2 else []
    shares = (23, 34, 36, 21, 22, 50)
    widths = [full * share / sum(shares) for share in shares]
    return Table(rows, colWidths=widths, style=[*_PLAIN.getCommands(), *alone])


def _bars(page: Page, full: float) -> Table:
    label, text = 36 * mm, 78 * mm
    width = full - label - text
    rows: list[list[object]] = [
        [_words(bar.label, _CELL), _bar_line(bar, page, width - 4 * mm), _words(bar.text, _CELL)]
        for bar in page.bars
    ]
    rows.append(["", _bar_scale(page, width - 4 * mm), ""])
    return Table(rows, colWidths=[label, width, text], style=_PLAIN)


def _bar_line(bar: Bar, page: Page, width: float) -> Drawing:
    """Draw an interval as a thick line, its share as an open mark, the reference lines dashed, no colours."""
    height = _BAR_HEIGHT
    low, high, share = (part * width for part in (bar.low, bar.high, bar.share))
    interval = max(_LEAST_WIDTH, high - low)
    return Drawing(
        width,
        height,
        Rect(0, 0, width, height, fillColor=_LIGHT, strokeColor=_GREY, strokeWidth=0.5),
        *(
            Line(line * width, 0, line * width, height, strokeWidth=0.5, strokeDashArray=(2, 1.5))
            for line, _text in page.reference_lines
        ),
        Rect(low, 0.36 * height, interval, 0.28 * height, fillColor=black, strokeColor=None),
        Rect(share - 1.6, 0.12 * height, 3.2, 0.76 * height, fillColor=white, strokeColor=black),
    )


def _bar_scale(page: Page, width: float) -> Drawing:
    """Write the texts below the bars; the lines lie too close together for texts centred on them."""
    ends = zip(page.reference_lines, (("end", 1), ("start", -1)), strict=False)
    texts = [("start", 0.0, "0"), ("middle", width / 2, "50 %"), ("end", width, "100 %")]
    texts += [(end, line * width + beside, text) for (line, text), (end, beside) in ends]
    strings = (String(x, 2, text, fontName="Vera", fontSize=6, textAnchor=at) for at, x, text in texts)
    return Drawing(width, 3 * mm, *strings)


def _counts(page: Page, full: float) -> Table:
    rows = [
        [_words(page.columns[0], _CELL), *(_words(text, _STRONG_NUMBER) for text in page.columns[1:])],
        *([_words(row[0], _CELL), *(_words(value, _NUMBER) for value in row[1:])] for row in page.rows),
    ]
    name = 50 * mm
    widths = [name] + [(full - name) / (len(page.columns) - 1)] * (len(page.columns) - 1)
    style = TableStyle(
        [
            *_PLAIN.getCommands(),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, black),
            ("LINEBELOW", (0, 1), (-1, -1), 0.3, _GREY),
        ]
    )
    return Table(rows, colWidths=widths, style=style, spaceBefore=4)


def _kinds(table: DifferentialTable, full: float) -> Iterable[Flowable]:
    def text(count: KindCount | None) -> list[Paragraph]:
        if count is None:
            return [_words("–", _KIND_SHARE)]
        return [_words(count.share, _KIND_SHARE), _words(f"{count.k} ({count.interval})", _KIND)]

    rows: list[list[object]] = [["", *(_words(kind, _KIND) for kind in table.kinds)]]
    rows += [[_words(label, _CELL), *map(text, counts)] for label, counts in table.rows]
    name = 26 * mm
    width = (full - name) / len(table.kinds)
    style = [
        *_PLAIN.getCommands(),
        ("RIGHTPADDING", (0, 0), (-1, -1), 2),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, black),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, _GREY),
    ]
    yield _words(table.title, _HEAD)
    yield Table(rows, colWidths=[name, *[width] * len(table.kinds)], style=style)
    for note in table.notes:
        yield _words(note, _HINT)


def _pictures(box: PictureBox, full: float) -> Table:
    # The gap behind the last one lies outside, so that both ends are where those of the text are.
    side = (full + _GAP) / _PICTURES_A_ROW
    cells = [
        [
            Image(io.BytesIO(picture.jpeg), side - _GAP, side - _GAP, kind="proportional"),
            _words(picture.place, _SMALL),
            _words(picture.said, _SMALL),
        ]
        for picture in box.pictures
    ]
    cells += [[Spacer(0, 0)]] * (-len(cells) % _PICTURES_A_ROW)
    rows = [cells[start : start + _PICTURES_A_ROW] for start in range(0, len(cells), _PICTURES_A_ROW)]
    style = [
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), _GAP),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ("ALIGN", (0, 0), (-1, -1), "CENTER"),
        ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
    ]
    return Table(rows, colWidths=[side] * _PICTURES_A_ROW, style=style, hAlign="LEFT")
