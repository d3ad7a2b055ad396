"""One sentence for each thing that can be wrong in a file that people write."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import yaml
from pydantic import Field, field_validator

from payeewatch.pipeline.home.errors import InputRefused, SettingsError
from payeewatch.pipeline.home.validation import Section, Wrong, Zone, read, validate, yaml_of


class Inner(Section):
    no_entry: ClassVar[str] = "is nothing we know; known"
    share: Annotated[float, Field(le=1, description="a share")] = 0.5
    words: Annotated[list[str], Field(description="a list of words")] = Field(default_factory=list)

    @field_validator("words")
    @classmethod
    def _are_short(cls, words: list[str]) -> list[str]:
        for word in words:
            if len(word) > 3:
                raise Wrong("is too long", word)
        return words


class Outer(Section):
    zone: Zone = "UTC"
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"inner": {"share": 2}}, "'inner.share' is 2; it must be a share"),
        ({"inner": {"share": True}}, "'inner.share' is True; it must be a share"),
        ({"inner": {"share": "1"}}, "'inner.share' is '1'; it must be a share"),
        ({"inner": {"words": ["a", 1]}}, "'inner.words' is ['a', 1]; it must be a list of words"),
        ({"inner": {"words": ["long"]}}, "'inner.words.long' is too long"),
        ({"inner": {"word": []}}, "'inner.word' is nothing we know; known: share, words"),
        ({"inner": None}, "'inner' must be a mapping of names to values"),
        ({"zone": 1}, "'zone' is 1; it must be text"),
        ({"zone": "Nowhere"}, "'zone' is 'Nowhere'; it must be an IANA zone name"),
        ({"zone": "Z" * 50}, f"'zone' is '{'Z' * 40}'; it must be an IANA zone name"),
        ({1: 2}, "'1' is not a parameter; known here: zone, inner"),
        ([], "'the file' must be a mapping of names to values"),
    ],
)
def test_a_fault_is_named_with_what_must_be_there(raw: Any, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        validate(Outer, raw, "our.yaml", SettingsError)
    assert str(refused.value) == f"our.yaml: {says}"


def test_a_part_of_a_file_is_named_with_its_own_name() -> None:
    with pytest.raises(InputRefused, match=r"^our\.yaml: 'part\.share' is 7; it must be a share$"):
        validate(Inner, {"share": 7}, "our.yaml", InputRefused, "part")


def test_the_refusal_keeps_nothing_that_was_written() -> None:
    with pytest.raises(SettingsError) as refused:
        validate(Outer, {"zone": "x" * 50}, "our.yaml", SettingsError)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_a_file_that_is_not_there_or_not_of_its_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "our.yaml"
    with pytest.raises(SettingsError, match=r"our\.yaml: does not exist$"):
        read(path, "YAML", yaml.safe_load)
    path.write_text("a: [")
    with pytest.raises(SettingsError, match=r"our\.yaml: cannot be read as YAML \(ParserError\)$"):
        read(path, "YAML", yaml.safe_load)
    path.write_text("\ufeffa: 1", encoding="utf-8")
    assert read(path, "YAML", yaml.safe_load) == {"a": 1}


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{here}: &{here} [{', '.join([f'*{before}'] * 9)}]\n" for before, here in itertools.pairwise("abcdefghijk")
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{here}: &{here} {{'<<': [{', '.join([f'*{before}'] * 9)}]}}\n" for before, here in itertools.pairwise("abcdefgh")
)


@pytest.mark.parametrize("text", [BOMB, MERGED, "a: &a [*a]\n", "[" * 100 + "]" * 100])
def test_a_few_bytes_that_stand_for_gigabytes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more than 20000 entries"):
        yaml_of(text)


def test_an_alias_stands_for_what_it_names() -> None:
    assert yaml_of("a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    "text",
    ["a: 2024-13-01", "a: !!float x", "a: !!timestamp x", "a: !!bool x", "a: !!int ''", "? [a]\n: 1", "a: \x00",
     "- - [", "a: 1\n" * 300_000],
)  # fmt: skip
def test_a_file_that_is_no_yaml_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"params.yaml: (cannot be read as YAML|is larger than)"):
        read(path, "YAML", yaml_of)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "profile.toml")
    with pytest.raises(SettingsError, match="is a folder, a pipe or a device"):
        read(tmp_path / "profile.toml", "TOML", str)
