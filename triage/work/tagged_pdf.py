"""A tagged PDF: headings, paragraphs and tables are told to screen readers; lines and page numbers are decoration.

reportlab draws pages and knows nothing of their structure. Here each text is drawn as marked content, and the tree of
the structure is written when the document is saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, Table

Path = tuple[tuple[str, int], ...]
"""What encloses a text, outermost first: a structure type, and a number that tells two of a kind apart."""
NUMBERS = count()
"""For what stands alone; the identity of an object is given to another one once it is gone."""


@dataclass
class Mark:
    """A text that was drawn: on which page, as which marked content, and what it is."""

    page: int
    number: int
    path: Path


@dataclass
class Element:
    """A node of the tree: the PDF object, and what is in it."""

    row: Any
    reference: Any
    contents: list[Any] = field(default_factory=list)


class TaggedCanvas(Canvas):
    """A canvas that remembers what was drawn as what."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.marks: list[Mark] = []
        self.texts_of_page = 0

    @contextmanager
    def text(self, path: Path) -> Iterator[None]:
        """Draw a text of the structure inside."""
        self.marks.append(Mark(self.getPageNumber() - 1, self.texts_of_page, path))
        self._code.append(f"/{path[-1][0]} <</MCID {self.texts_of_page}>> BDC")
        self.texts_of_page += 1
        yield
        self._code.append("EMC")

    @contextmanager
    def decoration(self) -> Iterator[None]:
        """Draw inside what a screen reader leaves out."""
        self._code.append("/Artifact BMC")
        yield
        self._code.append("EMC")

    def showPage(self) -> None:  # noqa: N802
        super().showPage()
        self.texts_of_page = 0

    def save(self) -> None:
        if self._code:
            self.showPage()
        self._write_tree()
        super().save()

    def _write_tree(self) -> None:
        document, pages = self._doc, self._doc.Pages.pages
        root = PDFDictionary({"Type": PDFName("StructTreeRoot")})
        whole = self._element("Document", document.Reference(root))
        elements: dict[Path, Element] = {}
        by_page: dict[int, list[Any]] = {}
        for mark in self.marks:
            element = self._element_at(mark.path, whole, elements)
            content = {"Type": PDFName("MCR"), "Pg": document.Reference(pages[mark.page]), "MCID": mark.number}
            element.contents.append(PDFDictionary(content))
            by_page.setdefault(mark.page, []).append(element.reference)
        for each in (whole, *elements.values()):
            each.row["K"] = PDFArray(each.contents)
        numbers: list[Any] = []
        for number, page in enumerate(pages):
            page.__NoDefault__ = [*page.__NoDefault__, "StructParents", "Tabs"]
            page.StructParents, page.Tabs = number, PDFName("S")
            numbers += [number, document.Reference(PDFArray(by_page.get(number, [])))]
        root["K"] = whole.reference
        root["ParentTree"] = document.Reference(PDFDictionary({"Nums": PDFArray(numbers)}))
        root["ParentTreeNextKey"] = len(pages)
        document.Catalog.StructTreeRoot = root
        document.Catalog.MarkInfo = PDFDictionary({"Marked": "true"})

    def _element(self, kind: str, parent: Any) -> Element:
        row = PDFDictionary({"Type": PDFName("StructElem"), "S": PDFName(kind), "P": parent})
        if kind == "TH":
            row["A"] = PDFDictionary({"O": PDFName("Table"), "Scope": PDFName("Column")})
        return Element(row, self._doc.Reference(row))

    def _element_at(self, path: Path, whole: Element, elements: dict[Path, Element]) -> Element:
        """The element at a path; made with all that encloses it when it is first met."""
        if not path:
            return whole
        if path not in elements:
            parent = self._element_at(path[:-1], whole, elements)
            elements[path] = self._element(path[-1][0], parent.reference)
            parent.contents.append(elements[path].reference)
        return elements[path]


class Text(Paragraph):
    """A paragraph with its place in the structure."""

    path: Path = ()

    def draw(self) -> None:
        with self.canv.text(self.path or (("P", next(NUMBERS)),)):
            super().draw()

    def split(self, *size: float) -> list[Any]:
        parts: list[Any] = super().split(*size)
        for each in parts:
            each.path = self.path
        return parts


class Grid(Table):
    """A table whose lines and grounds are decoration."""

    def _drawBkgrnd(self) -> None:  # noqa: N802
        with self.canv.decoration():
            super()._drawBkgrnd()

    def _drawLines(self) -> None:  # noqa: N802
        with self.canv.decoration():
            super()._drawLines()


def text(words: str, style: Any, kind: str = "P") -> Text:
    """A text that stands alone, as a heading or a paragraph."""
    made = Text(words, style)
    made.path = ((kind, next(NUMBERS)),)
    return made


def in_table(cells: list[list[Text]], heads: int = 0) -> list[list[Text]]:
    """Give the cells of a table their places; the first `heads` rows are headings."""
    table = next(NUMBERS)
    for row_number, row in enumerate(cells):
        for cell_number, cell in enumerate(row):
            kind = "TH" if row_number < heads else "TD"
            cell.path = (("Table", table), ("TR", row_number), (kind, cell_number))
    return cells
