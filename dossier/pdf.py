"""The dossier as a PDF for printing and for screen readers, by the library of the case files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from payeewatch.dossier import words
from payeewatch.dossier.page import colon, label, made_by, number_columns, source_text
from payeewatch.dossier.statements import Dossier, Part, Question, State, Statement

INK, SOFT, LINE, ACCENT, WARN = "#1b2430", "#586272", "#dddbd2", "#14566b", "#fcefcb"
WIDTH = 174
"""Millimetres between the margins of an A4 page."""
LETTER, PADDING, MOST_LETTERS = 1.55, 4.6, 24
"""Millimetres of a letter in a table and beside a text; a longer word is broken."""
BOLD = 1.2
"""A bold letter, in plain ones."""


def dossier_pdf(dossier: Dossier, language: str) -> bytes:
    """The PDF; the same dossier gives the same bytes."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import SimpleDocTemplate

    from payeewatch.triage.work.tagged_pdf import TaggedCanvas

    _register_fonts()
    file = io.BytesIO()
    title = f"{label('dossier', language)} {words.word(dossier.as_of, language)}"
    document = SimpleDocTemplate(
        file, pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=18 * mm, bottomMargin=18 * mm,
        title=title, author=dossier.product, lang=language, displayDocTitle=True, invariant=1,
    )  # fmt: skip
    frame = _frame(title, language)
    document.build([*_story(dossier, language)], onFirstPage=frame, onLaterPages=frame, canvasmaker=TaggedCanvas)
    return file.getvalue()


def _story(dossier: Dossier, language: str) -> Iterator[Any]:
    heading = " · ".join(filter(None, (label("dossier", language), dossier.insurer)))
    yield _text(heading, "title", "H1")
    as_of = words.word(dossier.as_of, language)
    yield _text(f"{label('as_of', language)} {as_of}. {made_by(dossier, language)}", "lead")
    yield _text(dossier.made_from[language], "soft")
    yield _text(label("how", language), "soft")
    yield _text(label("first", language), "heading", "H2")
    for each in dossier.findings:
        yield _text(each.text[language], "bad" if each.is_bad else "warn")
    if not dossier.findings:
        yield _text(label("nothing", language), "line")
    yield _text(label("contents", language), "heading", "H2")
    for part in dossier.parts:
        yield _text(f"{part.number}. {part.title[language]}", "line")
    yield _text(f"{len(dossier.parts) + 1}. {label('questions', language)}", "line")
    for part in dossier.parts:
        yield from _part(part, language)
    yield from _questions(dossier.questions, len(dossier.parts) + 1, language)


def _part(part: Part, language: str) -> Iterator[Any]:
    yield from _heading(f"{part.number}. {part.title[language]}", part.number == 1)
    yield _text(part.intro[language], "soft")
    for each in part.statements:
        yield from _statement(each, language)


def _statement(each: Statement, language: str) -> Iterator[Any]:
    from reportlab.lib.units import mm
    from reportlab.platypus import CondPageBreak

    marker = f"{label(f'fill_{each.asks}', language)}. " if each.state == State.OPEN else ""
    if each.rows:  # its table is split where the page ends
        yield CondPageBreak(40 * mm)
    style = "open" if marker else "lead_in" if each.rows else "statement"
    yield _text(f"{each.number}  {marker}{each.text[language]}", style)
    if each.answer:
        yield _text(f"{label('answer', language)}{colon(language)} {each.answer[language]}", "answer")
    if each.rows:
        rows = [[cell[language] for cell in row] for row in each.rows]
        yield _table([column[language] for column in each.columns], rows, numbers=number_columns(each.rows))
    yield _text("; ".join(source_text(source, language) for source in each.sources), "source")


def _questions(questions: Sequence[Question], number: int, language: str) -> Iterator[Any]:
    yield from _heading(f"{number}. {label('questions', language)}")
    yield _text(label("questions_lede", language), "soft")
    rows = [[str(each.number), each.text[language], _law(each, language), _where(each, language)] for each in questions]
    names = ("number", "question", "law", "where")
    yield _table([label(name, language) for name in names], rows, (12, 66, 60, 36))


def _law(question: Question, language: str) -> str:
    if question.was_read:
        return question.law[language]
    return f"{question.law[language]} – {label('text_not_read', language)} ({question.key})"


def _where(question: Question, language: str) -> str:
    marks = {State.OPEN: f" ({label('waiting', language)})", State.NOT_THERE: f" ({label('not_there', language)})"}
    told = ", ".join(f"{each.number}{marks.get(each.state, '')}" for each in question.answers)
    if question.lacks:
        told += f" – {label('lacks', language)}{colon(language)} {question.lacks[language]}"
    return told


def _heading(text: str, on_new_page: bool = False) -> list[Any]:
    from reportlab.lib.units import mm
    from reportlab.platypus import CondPageBreak, PageBreak

    return [PageBreak() if on_new_page else CondPageBreak(40 * mm), _text(text, "heading", "H2")]


def _text(text: str, style: str, kind: str = "P") -> Any:
    from payeewatch.triage.work import tagged_pdf

    return tagged_pdf.text(escape(text, quote=False), _styles()[style], kind)


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[float] = (),
    numbers: Sequence[bool] = (),
) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.units import mm

    from payeewatch.triage.work import tagged_pdf

    widths = widths or _widths([head, *rows])
    cells = tagged_pdf.in_table(
        [_cells(head, "head", numbers), *(_cells(row, "cell", numbers) for row in rows)], heads=1
    )
    style = [("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor(LINE)), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    columns = [width * mm for width in widths]
    return tagged_pdf.Grid(cells, colWidths=columns, style=style, repeatRows=1, hAlign="LEFT", spaceBefore=3)


def _cells(row: Sequence[str], style: str, numbers: Sequence[bool]) -> list[Any]:
    """A row of a table; numbers are set to the right."""
    return [_text(cell, f"{style}_right" if numbers and numbers[at] else style) for at, cell in enumerate(row)]


def _widths(rows: Sequence[Sequence[str]]) -> list[float]:
    """Columns at least as wide as their longest word; what is left goes to those with long texts."""
    columns = [[row[at] for row in rows] for at in range(len(rows[0]))]
    least = [PADDING + LETTER * min(MOST_LETTERS, _longest(each)) for each in columns]
    if sum(least) >= WIDTH:
        return [WIDTH * each / sum(least) for each in least]
    longest = [min(60, max(map(len, each))) or 1 for each in columns]
    left = WIDTH - sum(least)
    return [width + left * each / sum(longest) for width, each in zip(least, longest, strict=True)]


def _longest(column: Sequence[str]) -> float:
    """The letters of the longest word of a column; those of its head are bold, and so wider."""
    head, *cells = ([len(word) for word in text.split(" ")] for text in column)
    return max(BOLD * max(head), *map(max, cells)) if cells else BOLD * max(head)


def _frame(title: str, language: str) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.units import mm

    def draw(canvas: Any, document: Any) -> None:
        with canvas.decoration():
            canvas.saveState()
            canvas.setFillColor(HexColor(SOFT))
            canvas.setFont("Vera", 7)
            canvas.drawString(18 * mm, 10 * mm, title)
            number = f"{label('page', language)} {canvas.getPageNumber()}"
            canvas.drawRightString(document.pagesize[0] - 18 * mm, 10 * mm, number)
            canvas.restoreState()

    return draw


@cache
def _register_fonts() -> None:
    """Bitstream Vera, which reportlab brings and embeds: it has accents and the euro sign."""
    import reportlab
    from reportlab.pdfbase.pdfmetrics import registerFont, registerFontFamily
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(reportlab.__file__).parent / "fonts"
    for name, file in {"Vera": "Vera", "Vera-Bold": "VeraBd"}.items():
        registerFont(TTFont(name, str(folder / f"{file}.ttf")))
    registerFontFamily("Vera", normal="Vera", bold="Vera-Bold", italic="Vera", boldItalic="Vera-Bold")


@cache
def _styles() -> dict[str, Any]:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.enums import TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle

    plain = {"fontName": "Vera", "fontSize": 8.5, "leading": 12, "textColor": HexColor(INK)}
    bold = plain | {"fontName": "Vera-Bold"}
    box = plain | {"backColor": HexColor(WARN), "borderPadding": 3, "spaceBefore": 8, "spaceAfter": 4}
    small = plain | {"fontSize": 7, "leading": 9}
    kinds = {
        "title": bold | {"fontSize": 18, "leading": 24, "textColor": HexColor(ACCENT)},
        "lead": plain | {"fontSize": 10, "leading": 14, "spaceAfter": 6},
        "heading": bold | {"fontSize": 13, "leading": 17, "spaceBefore": 14, "spaceAfter": 4},
        "soft": plain | {"textColor": HexColor(SOFT), "spaceAfter": 4},
        "line": plain | {"leftIndent": 8, "spaceAfter": 2},
        "statement": plain | {"spaceBefore": 8, "keepWithNext": 1},
        "open": box,
        "warn": box,
        "bad": box | {"backColor": HexColor("#fbe3e6"), "fontName": "Vera-Bold"},
        "answer": plain | {"leftIndent": 16},
        "source": small | {"textColor": HexColor(SOFT), "leftIndent": 16, "spaceBefore": 2, "splitLongWords": 1},
        "cell": plain | {"fontSize": 7.5, "leading": 9.5},
        "head": bold | {"fontSize": 7.5, "leading": 9.5},
        "cell_right": plain | {"fontSize": 7.5, "leading": 9.5, "alignment": TA_RIGHT},
        "head_right": bold | {"fontSize": 7.5, "leading": 9.5, "alignment": TA_RIGHT},
        "lead_in": plain | {"spaceBefore": 8},
    }
    return {name: ParagraphStyle(name, **values) for name, values in kinds.items()}
