"""`make sbom`: every package of the lock, in the form that CycloneDX asks for, the same bytes each time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from payeewatch.lock import packages
from payeewatch.materials import main

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "requirements.lock"


@pytest.fixture
def written(tmp_path: Path) -> bytes:
    main(LOCK, tmp_path / "bill.json")
    return (tmp_path / "bill.json").read_bytes()


@pytest.fixture
def bill(written: bytes) -> dict[str, Any]:
    return dict(json.loads(written))


def test_the_bill_has_every_package_with_version_and_hashes(bill: dict[str, Any]) -> None:
    of_bill = {
        (each["name"], each["version"], frozenset(h["content"] for h in each["hashes"])) for each in bill["components"]
    }
    assert of_bill == {(each.name, each.version, frozenset(each.hashes)) for each in packages(LOCK)}


def test_the_bill_has_the_form_of_cyclonedx(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert bill.keys() <= {"$schema", "bomFormat", "specVersion", "version", "metadata", "components", "dependencies"}
    references = [each["bom-ref"] for each in (bill["metadata"]["component"], *bill["components"])]
    assert len(set(references)) == len(references)
    for each in bill["components"]:
        assert each["type"] == "library"
        assert each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"
        assert all(h["alg"] == "SHA-256" and re.fullmatch(r"[0-9a-f]{64}", h["content"]) for h in each["hashes"])
        expressions = [licence for licence in each.get("licenses", []) if "expression" in licence]
        assert len(expressions) in {0, len(each.get("licenses", []))}  # one expression, or names, never both
        assert len(expressions) <= 1
        assert all(licence["license"]["name"] for licence in each.get("licenses", []) if "license" in licence)


def test_what_needs_what_leads_from_the_application_to_every_package(bill: dict[str, Any]) -> None:
    needed = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    references = {each["bom-ref"] for each in bill["components"]}
    reached, waiting = set(), ["payeewatch"]
    while waiting:
        fresh = set(needed[waiting.pop()]) - reached
        reached |= fresh
        waiting += fresh
    assert reached == references
    assert needed.keys() == references | {"payeewatch"}


def test_nearly_every_licence_is_known(bill: dict[str, Any]) -> None:
    without = [each["name"] for each in bill["components"] if not each.get("licenses")]
    assert len(without) <= 3, without
    django = next(each for each in bill["components"] if each["name"] == "django")
    assert "BSD" in str(django["licenses"])


def test_the_same_lock_gives_the_same_bytes(written: bytes, tmp_path: Path) -> None:
    main(LOCK, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == written
    assert b"://" not in written.replace(b"http://cyclonedx.org", b"")  # no index, no machine
