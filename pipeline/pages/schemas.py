"""Writes docs/schemas/, by which editors check files: `python -m payeewatch.pipeline.pages.schemas`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from payeewatch.pipeline.breaches.manifest import Manifest
from payeewatch.pipeline.home.codes import FIELDS
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from payeewatch.pipeline.ingest.profile import (
    CODED,
    DATED,
    OF_ONE_TABLE,
    TABLES,
    Export,
    codes_of,
    columns_of,
    meanings_of_a_minus,
)
from payeewatch.pipeline.tables import DROP_TABLES, Column, Kind, Table

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"

Schema = dict[str, Any]


def schemas() -> dict[str, str]:
    """The name of each file and its text."""
    by_name = {"params": _params(), "profile": _profile(), "manifest": _manifest()}
    return {f"{name}.schema.json": json.dumps(schema, indent=1) + "\n" for name, schema in by_name.items()}


def _params() -> Schema:
    """Nothing is required: what a file leaves out has the shipped value, which is the schema's default."""
    schema = Params.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        del section["required"]
    for name, value in Params.read(DEFAULT_PARAMS).flat().items():
        *section, parameter = name.split(".")
        owner = schema["$defs"][section[0].title()] if section else schema
        owner["properties"][parameter]["default"] = value
    schema["$defs"]["Ingest"]["properties"]["tolerance_overrides"]["propertyNames"] = {"enum": [*DROP_TABLES]}
    return schema


def _profile() -> Schema:
    settings = Export.model_json_schema()["properties"]
    shared = {name: {"$ref": f"#/$defs/{name}"} for name in settings if name not in OF_ONE_TABLE}
    form = {"$ref": "#/$defs/date"}
    tables = {name: shared | {"files": settings["files"]} | _columns(table, form) for name, table in TABLES.items()}
    return {
        "$defs": {name: settings[name] for name in shared},
        "title": "Profile",
        **_closed({name: _closed(entries) for name, entries in {"export": shared, **tables}.items()}),
    }


def _columns(table: Table, form: Schema) -> Schema:
    ours = {"enum": [column.name for column in columns_of(table)]}
    codes = {column.name: _code(column) for column in columns_of(table) if column.kind in CODED}
    amounts = [column.name for column in table.columns if column.kind is Kind.MONEY]
    return {
        "columns": _mapping({"anyOf": [ours, {"type": "array", "items": ours}]}),
        "forms": _closed({column.name: form for column in columns_of(table) if column.kind in DATED}),
        "signs": _closed({name: {"enum": [*meanings_of_a_minus(table)]} for name in amounts}),
        "defaults": _closed(codes),
        "values": _closed({name: _mapping(code) for name, code in codes.items()}),
    }


def _code(column: Column) -> Schema:
    codes = codes_of(column)
    return {"enum": [*codes]} if codes else {"type": "string"}


def _mapping(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _closed(entries: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": entries}


def _manifest() -> Schema:
    schema = Manifest.model_json_schema()
    schema["properties"]["fields_exposed"]["items"] = {"enum": [*FIELDS]}
    return schema


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in schemas().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
