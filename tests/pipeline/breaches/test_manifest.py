"""A list without provenance is refused, and so is a manifest that says what cannot be."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from payeewatch.pipeline.breaches.manifest import Manifest
from payeewatch.pipeline.home.errors import InputRefused
from tests.breach_lists import manifest


def read(tmp_path: Path, **changes: object) -> Manifest:
    folder = tmp_path / "TPO-1"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest("TPO-1", **changes)))
    return Manifest.read(folder)


def test_a_manifest_is_read_whole(tmp_path: Path) -> None:
    loaded_manifest = read(tmp_path)
    assert (loaded_manifest.breach_id, loaded_manifest.notification_ref, loaded_manifest.known_at) == (
        "TPO-1",
        "ART33-1",
        date(2024, 2, 1),
    )
    assert loaded_manifest.fields_exposed == ("name", "birth_date", "national_id")


def test_a_manifest_comes_back_from_its_facts(tmp_path: Path) -> None:
    loaded_manifest = read(tmp_path)
    assert Manifest.from_facts(loaded_manifest.facts()) == loaded_manifest


def test_a_timestamp_stands_for_its_day_and_unknown_entries_do_no_harm(tmp_path: Path) -> None:
    assert read(tmp_path, known_at="2024-02-01T08:00:00", contact="dpo").known_at == date(2024, 2, 1)


@pytest.mark.parametrize("name", ["source", "notification_ref"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_list_without_provenance_is_refused(tmp_path: Path, name: str, value: str | None) -> None:
    with pytest.raises(InputRefused, match=rf"breaches/TPO-1/manifest.yaml: '{name}' is missing; a list without"):
        read(tmp_path, **{name: value})


def test_a_number_serves_as_text(tmp_path: Path) -> None:
    assert read(tmp_path, notification_ref=17, source=0).notification_ref == "17"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"breach_id": "TPO-2"}, "'breach_id' is 'TPO-2'; it must be the folder's name, 'TPO-1'"),
        ({"known_at": "01/02/2024"}, "'known_at' is '01/02/2024'; it must be a date such as 2024-02-01"),
        ({"known_at": None}, "'known_at' is missing"),
        ({"purge_on": 20290201}, "'purge_on' is missing; it must be a date"),
        ({"exposed_from": "2024-03-01"}, "'exposed_from' is 2024-03-01, after 'exposed_to', 2024-01-12"),
        ({"purge_on": "2024-01-31"}, "'known_at' is 2024-02-01, after 'purge_on', 2024-01-31"),
        ({"fields_exposed": ["name", "passwords"]}, "'fields_exposed' has 'passwords'"),
        ({"fields_exposed": [["name"]]}, "'fields_exposed' has \"['name']\""),
        ({"fields_exposed": []}, "'fields_exposed' is missing"),
        ({"fields_exposed": "name"}, "'fields_exposed' is missing"),
        ({"known_at": "2" * 50}, f"'known_at' is '{'2' * 40}'; it must be"),
        ({"title": None}, "'title' is missing; it must be text"),
        ({"title": {"en": "x"}}, "'title' is missing; it must be text"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputRefused) as refused:
        read(tmp_path, **changes)
    assert says in str(refused.value)


@pytest.mark.parametrize("raw", [b"", b"- a\n- b\n", b"a: [", b"\xff\xfe\x00", b"a: !!python/object:os.system {}"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "manifest.yaml").write_bytes(raw)
    with pytest.raises(InputRefused, match=r"manifest\.yaml"):
        Manifest.read(tmp_path)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="every list needs one that says who notified it"):
        Manifest.read(tmp_path)
