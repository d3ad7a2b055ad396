"""The structure of a case file: what a screen reader is told."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import pytest
from pypdf import PdfReader
from reportlab.lib.styles import getSampleStyleSheet

from payeewatch.triage.models import Flag, User
from payeewatch.triage.work import case_file
from payeewatch.triage.work.tagged_pdf import in_table, text
from tests.triage.conftest import do


@pytest.fixture
def document(cast: dict[str, User], first: Flag) -> PdfReader:
    for number in range(40):
        do(cast["reviewer"], first, "note", text=f"Call {number}: nobody answered. " * 8)
    first.refresh_from_db()
    return PdfReader(io.BytesIO(case_file.case_file(first, cast["reviewer"], "referral")))


def elements(node: Any) -> list[Any]:
    """A node of the tree and all below it."""
    contents = node.get("/K", [])
    below = [each.get_object() for each in (contents if isinstance(contents, list) else [contents])]
    return [node, *(found for each in below if "/S" in each for found in elements(each))]


def test_it_says_that_it_is_tagged_its_language_and_its_title(document: PdfReader) -> None:
    catalog = document.trailer["/Root"]
    assert catalog["/MarkInfo"]["/Marked"]
    assert catalog["/Lang"] == "en"
    assert catalog["/ViewerPreferences"]["/DisplayDocTitle"]
    assert len(document.pages) > 2


def test_headings_paragraphs_and_tables_are_elements(document: PdfReader) -> None:
    root = document.trailer["/Root"]["/StructTreeRoot"]["/K"].get_object()
    kinds = Counter(each["/S"] for each in elements(root))
    assert kinds["/H1"] == 1
    assert min(kinds[kind] for kind in ("/H2", "/P", "/Table", "/TR", "/TH", "/TD")) > 1


def test_each_text_on_each_page_belongs_to_an_element(document: PdfReader) -> None:
    tree = document.trailer["/Root"]["/StructTreeRoot"]["/ParentTree"]["/Nums"]
    owners = {tree[place]: tree[place + 1].get_object() for place in range(0, len(tree), 2)}
    for page in document.pages:
        content = page.get_contents().get_data().decode("latin-1")
        assert content.count("/MCID") == len(owners[page["/StructParents"]]) > 0
        assert content.count(" BDC") + content.count(" BMC") == content.count("EMC")


def test_a_table_is_never_taken_for_another_one_where_a_list_was_before() -> None:
    cells = [[text("a", getSampleStyleSheet()["Normal"])]]
    first, second = (in_table(cells)[0][0].path[0] for _ in range(2))  # as memory is given again
    assert first != second
