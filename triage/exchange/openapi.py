"""The API as an OpenAPI document. A test compares real answers with it."""

from __future__ import annotations

from typing import Any

from payeewatch.triage.exchange.account_tokens import MOST_ACCOUNTS
from payeewatch.triage.models import Flag

TEXT = {"type": "string"}
DAY = {"type": "string", "format": "date"}
INSTANT = {"type": "string", "format": "date-time"}
WHOLE = {"type": "integer"}
FLAG_ID = r"^F-[0-9a-f]{16}$"
EUROS = {"type": "string", "pattern": r"^-?\d+\.\d\d$", "description": "euros"}
YES_NO = {"type": "boolean"}
MEASURE = {
    "type": ["number", "null"],
    "description": "null for some open flags to review: it would tell the audit sample",
}
PLACE = WHOLE | {"description": "the place on the reviewers' lists; 0 for a case opened by hand"}
QUEUE = {"enum": Flag.Queue.values, "description": "review for a flag of the audit sample until it is closed"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"type": [schema["type"], "null"]}


FLAG: dict[str, Any] = {
    "flag_id": TEXT, "change_id": TEXT, "derived": YES_NO, "night": DAY, "first_flagged_on": DAY, "is_current": YES_NO,
    "queue": QUEUE, "origin": {"enum": Flag.Origin.values}, "rank": PLACE, "score": MEASURE, "p_value": MEASURE,
    "amount_at_risk": EUROS, "amount_paid": EUROS, "first_payment_on": _or_null(DAY),
    "member_id": _or_null(TEXT), "household_id": _or_null(TEXT), "payee_id": TEXT, "payee_type": TEXT,
    "account": TEXT | {"description": "a keyed token"}, "account_hint": TEXT,
    "headline_reason": TEXT, "ring": TEXT, "ring_size": WHOLE,
    "model": TEXT, "model_version": TEXT, "run_id": TEXT,
    "state": {"enum": Flag.State.values}, "verdict": TEXT, "opened_at": INSTANT, "closed_at": _or_null(INSTANT),
}  # fmt: skip
FLAG_FIELDS = tuple(FLAG)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _page_of(name: str) -> dict[str, Any]:
    results = {"type": "array", "items": _reference(name)}
    return _object({"results": results, "next": _or_null(TEXT) | {"description": "address of the next page"}})


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _get(summary: str, scope: str, schema: str, parameters: list[dict[str, Any]], *errors: int) -> dict[str, Any]:
    def answer(description: str, name: str) -> dict[str, Any]:
        return {"description": description, "content": {"application/json": {"schema": _reference(name)}}}

    descriptions = {400: "not understood", 404: "there is none", 500: "internal error", 503: "a wrong key file"} | {
        401: "no token, or one that opens nothing", 403: f"a token without the scope {scope}",
        429: "too many requests in a minute",
    }  # fmt: skip
    failures = {str(code): answer(descriptions[code], "Error") for code in (*errors, 401, 403, 429)}
    return {
        "get": {
            "summary": summary, "parameters": parameters, "security": [{"token": []}],
            "responses": {"200": answer(summary, schema)} | failures,
        }
    }  # fmt: skip


def _post_accounts() -> dict[str, Any]:
    """The operation that answers accounts with their tokens."""
    operation = _get("Tokens of accounts, in order", "tokens", "Tokens", [], 400, 500, 503)["get"]
    accounts = {"type": "array", "maxItems": MOST_ACCOUNTS, "items": {}}
    body = {"required": True, "content": {"application/json": {"schema": accounts}}}
    about = "Accounts as people write them. They are not kept, logged or answered with. What is no account gives null."
    return {"post": operation | {"description": about, "requestBody": body}}


SIZE = _query("size", WHOLE | {"minimum": 1, "maximum": 500, "default": 100}, "how many at most")
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "PayeeWatch", "version": "1", "description": "What nights flagged and how far the work is."},
    "paths": {
        "/api/v1/flags": _get(
            "Flags, by flag_id", "flags", "Flags",
            [
                _query("night", DAY, "of the last night that had the flag"),
                _query("queue", {"enum": Flag.Queue.values}, "of this queue"),
                _query("state", {"enum": Flag.State.values}, "in this state"),
                _query("after", TEXT | {"pattern": FLAG_ID}, "behind this flag_id"),
                SIZE,
            ],
            400,
        ),
        "/api/v1/flags/{flag_id}": _get(
            "One flag", "flags", "Flag",
            [{"name": "flag_id", "in": "path", "required": True, "schema": TEXT}], 400, 404,
        ),
        "/api/v1/nights": _get(
            "Nights with their own accounts, oldest first", "runs", "Nights",
            [_query("after", DAY, "behind this night"), SIZE], 400,
        ),
        "/api/v1/tokens": _post_accounts(),
        "/api/tokens": _post_accounts(),
    },
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Flag": _object(FLAG),
            "Flags": _page_of("Flag"),
            "Night": _object({"night": DAY, "published_at": INSTANT, "run": {"type": "object"}}),
            "Nights": _page_of("Night"),
            "Tokens": _object({"tokens": {"type": "array", "items": _or_null(TEXT)}, "key_version": WHOLE}),
            "Error": _object({"message": TEXT}),
        },
    },
}  # fmt: skip
