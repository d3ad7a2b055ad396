"""`make audit`: an OSV file that the user brings, compared with the locks; what is not understood is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from payeewatch.advisories import Event, _is_within, main

HASH = " \\\n    --hash=sha256:" + "a" * 64 + "\n"


def advisory(name: str = "pony", **fields: Any) -> dict[str, Any]:
    """A made-up advisory: versions 1.0 to before 1.4.2 of a package are affected."""
    events = fields.pop("events", [{"introduced": "1.0"}, {"fixed": "1.4.2"}])
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {
        "schema_version": "1.7.3", "id": f"TEST-{name}", "modified": "2026-11-02T10:00:00Z", "affected": [affected],
    } | fields  # fmt: skip


def audited(tmp_path: Path, content: Any, lock: str = f"pony==1.4.1{HASH}zebra-stripes==3.0{HASH}") -> int:
    (tmp_path / "osv.json").write_text(content if isinstance(content, str) else json.dumps(content))
    (tmp_path / "some.lock").write_text(lock)
    return main([str(tmp_path / "osv.json"), str(tmp_path / "some.lock")])


def test_a_hit_is_told_with_its_ids_and_what_mends_it_and_others_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [
        advisory("Pony", aliases=["CVE-0000-0001"]),
        advisory("Zebra_Stripes", modified="2026-11-20T00:00:00Z", events=[{"introduced": "0"}, {"fixed": "3.0"}]),
        advisory("pony", id="TEST-withdrawn", withdrawn="2026-11-01T00:00:00Z"),
        advisory("horse"),
    ]
    assert audited(tmp_path, told) == 1
    assert capsys.readouterr().out.splitlines() == [
        "osv.json: advisories for PyPI: 4, the newest of 2026-11-20",
        "some.lock: 2 packages, hits: 1",
        "  pony 1.4.1: TEST-Pony (CVE-0000-0001), fixed in 1.4.2",
    ]


def test_nothing_found_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited(tmp_path, {"vulns": [advisory("horse")]}) == 0
    assert "hits: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("events", "affected", "free"),
    [
        ([{"introduced": "0"}], ["0.1.dev0", "9!1"], []),
        ([{"introduced": "0"}, {"fixed": "1.0"}], ["0a1", "1.0rc1", "1.0.dev3"], ["1.0", "1.0.post1"]),
        ([{"introduced": "1.0"}, {"last_affected": "1.2"}], ["1.0", "1.2", "1.2.0"], ["0.9", "1.2.post1", "1.2.1"]),
        ([{"fixed": "1"}, {"introduced": "2"}, {"fixed": "3"}, {"introduced": "0"}], ["0.9", "2", "2.2"], ["1.5", "3"]),
        ([{"introduced": "1"}, {"limit": "2"}], ["1.9"], ["2", "2.1"]),
        ([{"introduced": "1.10"}, {"fixed": "1.11"}], ["1.10.5"], ["1.9", "1.11"]),
    ],
)  # fmt: skip
def test_a_range_has_the_versions_between_its_events(events: list[Any], affected: list[str], free: list[str]) -> None:
    read = [Event(**each) for each in events]
    assert [text for text in affected if not _is_within(read, Version(text))] == []
    assert [text for text in free if _is_within(read, Version(text))] == []


numbers = st.lists(st.integers(0, 20), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))


@given(numbers, numbers, numbers)
def test_a_range_is_what_a_specifier_of_the_same_bounds_is(low: str, high: str, version: str) -> None:
    assume(Version(low) <= Version(high))  # another order says another thing
    expected = SpecifierSet(f">={low},<{high}").contains(version)
    assert _is_within([Event(introduced=low), Event(fixed=high)], Version(version)) == expected


def test_versions_that_are_listed_count_beside_ranges(tmp_path: Path) -> None:
    listed = advisory()
    listed["affected"][0] |= {
        "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}],
        "versions": ["old", "1.4.1"],
    }
    assert audited(tmp_path, listed) == 1
    listed["affected"][0]["versions"] = ["old", "1.4"]
    assert audited(tmp_path, listed) == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no JSON", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ([], "no advisory for PyPI"),
        ({"vulns": {"a": 1}}, "id"),
        ({"bomFormat": "CycloneDX"}, "id"),
        ([[1]], "record"),
        (advisory(schema_version="2.0.0"), "schema_version"),
        (advisory(modified="yesterday"), "modified"),
        (advisory(events=[{"introduced": "0"}, {"repaired": "1.0"}]), "repaired"),
        (advisory(events=[{"introduced": "spring"}]), "spring"),
        (advisory(affected=[{"package": {"ecosystem": "npm", "name": "pony"}}]), "no advisory for PyPI"),
        (advisory(affected=[{"ranges": [{"type": "CALENDAR", "events": []}]}]), "type"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, reason: str
) -> None:
    assert audited(tmp_path, content) == 2
    assert reason in capsys.readouterr().out


def test_a_zip_of_advisories_is_read_and_a_huge_file_in_it_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, lock = tmp_path / "all.zip", tmp_path / "some.lock"
    lock.write_text(f"pony==1.0{HASH}")
    with ZipFile(archive, "w") as files:
        files.writestr("TEST-pony.json", json.dumps(advisory()))
        files.writestr("readme.txt", "no advisory")
    assert main([str(archive), str(lock)]) == 1
    monkeypatch.setattr("payeewatch.advisories.LARGEST_ADVISORY", 100)
    assert main([str(archive), str(lock)]) == 2
    assert "at most 100" in capsys.readouterr().out


def test_without_a_file_it_says_how_to_give_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([""]) == 2
    assert "FILE=" in capsys.readouterr().out
