"""What an editor says of a file is what the command says of it."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import jsonschema
import pytest
import yaml

from payeewatch.pipeline.home.settings import DEFAULT_PARAMS
from payeewatch.pipeline.pages.schemas import FOLDER, schemas
from tests.breach_lists import manifest

DOCS = FOLDER.parent


def faults(name: str, raw: Any) -> list[str]:
    """What a schema has against a file's content."""
    checker = jsonschema.Draft202012Validator(json.loads(schemas()[f"{name}.schema.json"]))
    return [error.json_path for error in checker.iter_errors(raw)]


@pytest.mark.parametrize("name", schemas())
def test_the_schemas_are_current(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == schemas()[name], "run `make docs`"
    assert {path.name for path in FOLDER.iterdir()} == set(schemas())
    jsonschema.Draft202012Validator.check_schema(json.loads(schemas()[name]))


def test_the_shipped_parameters_fit_and_are_the_defaults() -> None:
    shipped = yaml.safe_load(DEFAULT_PARAMS.read_text(encoding="utf-8"))
    assert faults("params", shipped) == []
    assert faults("params", {}) == []
    flag = json.loads(schemas()["params.schema.json"])["$defs"]["Flag"]["properties"]
    assert {name: entry["default"] for name, entry in flag.items()} == shipped["flag"]


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"flag": {"capacity": 0}}, "$.flag.capacity"),
        ({"flag": {"capacite": 1}}, "$.flag"),
        ({"flag": {"floor_p": 1.5}}, "$.flag.floor_p"),
        ({"train": {"ages_days": [-1]}}, "$.train.ages_days[0]"),
        ({"ingest": {"tolerance_overrides": {"clams": 0.1}}}, "$.ingest.tolerance_overrides"),
    ],
)
def test_a_wrong_parameter_is_underlined(raw: Any, where: str) -> None:
    assert faults("params", raw) == [where]


def test_the_profile_of_the_page_fits() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (DOCS / "source-profiles.md").read_text(encoding="utf-8"), re.DOTALL)
    assert faults("profile", tomllib.loads(example)) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[claims]\nseparator = ";"\n', "$.claims"),
        ('[claims]\ndelimiter = ";;"\n', "$.claims.delimiter"),
        ('[claims]\ndate = "dd/mm/yyyy"\n', "$.claims.date"),
        ('[export]\nfiles = "*.csv"\n', "$.export"),
        ('[claims.columns]\nNUM = "claim_number"\n', "$.claims.columns.NUM"),
        ('[claims.values.status]\nX = "paid"\n', "$.claims.values.status.X"),
        ('[claims.values.colour]\nX = "red"\n', "$.claims.values"),
        ("[claim]\n", "$"),
    ],
)
def test_a_wrong_setting_of_a_profile_is_underlined(text: str, where: str) -> None:
    assert faults("profile", tomllib.loads(text)) == [where]


def test_a_manifest_fits_with_entries_of_ones_own_and_not_without_its_source() -> None:
    whole = manifest("TPO-1")
    assert faults("manifest", whole | {"contact": "dpo"}) == []
    assert faults("manifest", {name: value for name, value in whole.items() if name != "source"}) == ["$"]
    assert faults("manifest", whole | {"fields_exposed": ["passwords"]}) == ["$.fields_exposed[0]"]
