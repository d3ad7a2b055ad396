"""What a file contains: any other byte, any other length is found, with the file's name and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payeewatch.pipeline.home import contents
from payeewatch.pipeline.home.contents import END_BYTES, content_of, hash_of, hash_of_bytes
from payeewatch.pipeline.home.errors import StoreError


@given(content=st.binary(min_size=1, max_size=300), bit=st.integers(0))
def test_any_bit_that_flips_is_found(tmp_path_factory: pytest.TempPathFactory, content: bytes, bit: int) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(content)
    written = content_of(path)
    contents.refuse_other_bytes(path, written)
    position = bit % (8 * len(content))
    flipped = bytearray(content)
    flipped[position // 8] ^= 1 << position % 8
    path.write_bytes(flipped)
    with pytest.raises(StoreError, match=r"flipped: is damaged .*; restore it from the last backup"):
        contents.refuse_other_bytes(path, written)


def test_the_end_of_a_file_is_compared_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * END_BYTES))
    written = content_of(path)
    path.write_bytes(b"x" + bytes(3 * END_BYTES - 1))
    contents.refuse_other_end(path, written)
    path.write_bytes(bytes(3 * END_BYTES - 1) + b"x")
    with pytest.raises(StoreError, match="is damaged"):
        contents.refuse_other_end(path, written)


def test_a_file_that_is_gone_or_cut_says_so(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    written = content_of(path)
    path.write_bytes(b"1234")
    with pytest.raises(StoreError, match="has 4 bytes and was written with 5; restore it"):
        contents.refuse_other_size(path, written)
    path.unlink()
    with pytest.raises(StoreError, match="is gone; restore it"):
        contents.refuse_other_size(path, written)


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc" * 10_000)
    assert hash_of(tmp_path / "file") == hash_of_bytes(b"abc" * 10_000)


def test_an_object_with_a_hash_of_itself_is_read_back_and_any_other_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    contents.write_hashed(path, {"night": "2024-09-23", "files": {}})
    assert contents.read_hashed(path) == {"night": "2024-09-23", "files": {}}
    for was, now in (("23", "24"), ('"hash"', '"h`sh"'), ("  ", "   ")):
        path.write_text(path.read_text().replace(was, now, 1))
        with pytest.raises(StoreError, match="is damaged"):
            contents.read_hashed(path, since="files")
        contents.write_hashed(path, {"night": "2024-09-23", "files": {}})


def test_an_object_of_an_earlier_version_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"night": "2024-09-23"}')
    assert contents.read_hashed(tmp_path / "run.json", since="files") == {"night": "2024-09-23"}
    with pytest.raises(StoreError, match="is damaged"):
        contents.read_hashed(tmp_path / "run.json")
