"""The software bill of materials of a lock, as CycloneDX 1.6 in JSON: `make sbom`.

The same lock, with the same packages installed, gives the same bytes: there is no time and no random number in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Any

from payeewatch.lock import Package, packages

NAME = "payeewatch"
LONGEST_LICENCE = 100  # characters; a longer entry is the licence's whole text


def bill(locked: Iterable[Package]) -> dict[str, Any]:
    """The bill of a lock: components with versions, hashes and licences, and who needs whom."""
    components = sorted(locked, key=lambda package: package.name)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": NAME, "name": NAME, "version": version(NAME)},
        },
        "components": [_component(package) for package in components],
        "dependencies": [_dependency(name, components) for name in (NAME, *(each.name for each in components))],
    }


def _component(package: Package) -> dict[str, Any]:
    """One package. Its hashes are those of all files that the lock admits: one of them is installed."""
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _reference(package),
        "name": package.name,
        "version": package.version,
        "purl": _reference(package),
        "hashes": [{"alg": "SHA-256", "content": each} for each in sorted(package.hashes)],
    }
    licences = _licences(package.name)
    return component | ({"licenses": licences} if licences else {})


def _reference(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def _dependency(name: str, components: Iterable[Package]) -> dict[str, Any]:
    references = {package.name: _reference(package) for package in components}
    needed = sorted(references[package.name] for package in components if name in package.parents)
    return {"ref": references.get(name, name), "dependsOn": needed}


def _licences(name: str) -> list[dict[str, Any]]:
    """The licences that the installed package states; none where it is not installed here or states none."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return []
    if expression := _first(stated, "License-Expression"):
        return [{"expression": expression}]
    classifiers = stated.get_all("Classifier") or []
    names = {each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")}
    if not names - {"OSI Approved"}:
        text = _first(stated, "License")
        names = {text} if 0 < len(text) <= LONGEST_LICENCE and "\n" not in text else set()
    return [{"license": {"name": each}} for each in sorted(names - {"OSI Approved"})]


def _first(stated: PackageMetadata, field: str) -> str:
    return str((stated.get_all(field) or [""])[0]).strip()


def main(lock: Path, to: Path) -> None:
    """Write the bill of a lock."""
    to.write_text(json.dumps(bill(packages(lock)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{to}: {len(packages(lock))} packages")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
