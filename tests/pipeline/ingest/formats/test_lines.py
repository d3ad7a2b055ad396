"""Lines: a stray quotation mark costs its own line, and an honest cell of several lines costs none."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from payeewatch.pipeline.ingest.formats import lines
from payeewatch.pipeline.ingest.formats.lines import CHUNK, CutShort, Row, Rows, TooLarge, scan, tally, text_of


def rows_of(text: str, width: int = 3, delimiter: str = ",") -> list[list[str] | str]:
    """Each record's cells, or its text where it is no row."""
    rows = Rows(text.splitlines(keepends=True), width, delimiter, '"')
    return [row.text if row.cells is None else row.cells for row in rows]


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("a,b,c\nd,e,f\n", [["a", "b", "c"], ["d", "e", "f"]]),
        ('a,"b",c\n', [["a", "b", "c"]]),
        ('a,"b, ""c""",d\n', [["a", 'b, "c"', "d"]]),
        ('a,5" pipe,c\n', [["a", '5" pipe', "c"]]),
        ('a,"b\nc",d\n', [["a", "b\nc", "d"]]),
        ('"a\nb",c,"d\ne"\nf,g,h\n', [["a\nb", "c", "d\ne"], ["f", "g", "h"]]),
        ('a,b,"c\n\nd, e"\nf,g,h\n', [["a", "b", "c\n\nd, e"], ["f", "g", "h"]]),
        ("\n\na,b,c\n\n", [["a", "b", "c"]]),
    ],
)
def test_what_is_quoted_right_is_a_row(text: str, records: list[list[str]]) -> None:
    assert rows_of(text) == records


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ('a,"b,c\nd,e,f\ng,h,i\n', ['a,"b,c', ["d", "e", "f"], ["g", "h", "i"]]),
        ('a,"b,c\nd,e,f\ng,h",i\n', ['a,"b,c', ["d", "e", "f"], ["g", 'h"', "i"]]),
        ('a,"b,c\nd,e",f\n', ['a,"b,c', ["d", 'e"', "f"]]),
        ('a,5" pipe,"c\nd,e,f\n', ['a,5" pipe,"c', ["d", "e", "f"]]),
        ('"a","b"x,"c"\n"d","e","f"\n', ['"a","b"x,"c"', ["d", "e", "f"]]),
        ('"a","b,"c"\n"d","e, f","g"\n', ['"a","b,"c"', ["d", "e, f", "g"]]),
        ('a,b,"c\n', ['a,b,"c']),
        ("a,b\nc,d,e,f\n", ["a,b", "c,d,e,f"]),
    ],
)
def test_a_stray_quotation_mark_costs_its_own_line(text: str, records: list[list[str] | str]) -> None:
    assert rows_of(text) == records


def test_a_quotation_mark_that_never_closes_is_looked_for_in_so_many_lines_only() -> None:
    assert rows_of('a,"b\n' + "no row\n" * 5_000)[-1] == "no row"


def test_a_tally_counts_rows_and_lines_that_are_none() -> None:
    assert tally([Row(["a"], "a"), Row(None, "b")]) == (1, 1, False)
    assert tally([Row(None, "b"), Row(["a"], "a")]) == (1, 1, True)


@pytest.mark.parametrize(
    ("content", "lines", "has_quote", "tail"),
    [
        (b"", 0, False, b""),
        (b"a\nb\n", 2, False, b""),
        (b"a\nb", 2, False, b"b"),
        (b'a\r\n"b"\r\n', 2, True, b""),
        (b"a\rb\r", 2, False, b""),
        ("a\nb\n".encode("utf-16-le"), 2, False, b""),
        (b"x" * 3_000_000, 1, False, b"x" * 3_000_000),
    ],
)
def test_a_scan_counts_lines_and_keeps_what_stands_behind_the_last(
    tmp_path: Path, content: bytes, lines: int, has_quote: bool, tail: bytes
) -> None:
    for path, written in ((tmp_path / "a.csv", content), (tmp_path / "a.csv.gz", gzip.compress(content))):
        path.write_bytes(written)
        found = scan(path, '"')
        assert (found.lines, found.has_quote, found.tail) == (lines, has_quote, tail)


def test_a_file_without_text_is_blank(tmp_path: Path) -> None:
    for content in (b"", b"\xef\xbb\xbf", b"  \r\n\n"):
        (tmp_path / "a.csv").write_bytes(content)
        assert scan(tmp_path / "a.csv", '"').is_blank
    (tmp_path / "a.csv").write_bytes(b"a")
    assert not scan(tmp_path / "a.csv", '"').is_blank


def test_a_packed_file_that_is_cut_short_is_told_from_text_that_is_wrong(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" * 100_000, mtime=0)
    for written in (whole[:-20], whole[: len(whole) // 2], b"a,b\n"):
        (tmp_path / "a.csv.gz").write_bytes(written)
        with pytest.raises(CutShort):
            scan(tmp_path / "a.csv.gz", '"')


def test_a_packed_file_that_unpacks_to_too_much_is_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claims.csv.gz"
    path.write_bytes(gzip.compress(b"0" * 5 * CHUNK, mtime=0))
    assert scan(path, "").lines == 1
    monkeypatch.setattr(lines, "SMALL", CHUNK)
    for read in (lambda: scan(path, ""), lambda: read_header(path)):
        with pytest.raises(TooLarge, match="unpacks to more than 1,048,576 bytes"):
            read()


def read_header(path: Path) -> str:
    with text_of(path, "utf-8") as text:
        return next(text)


def test_of_a_line_without_end_only_the_beginning_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 8)
    (tmp_path / "a.csv").write_text("a" * 50 + "\nb\n")
    with text_of(tmp_path / "a.csv", "utf-8") as text:
        assert list(text) == ["a" * 8, "b\n"]
