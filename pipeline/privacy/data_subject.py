"""Everything in the lake about one person: the ids that belong only to them, and the rows that name them.

A payee is the person's own when it is paid only for their household, and belongs to them by an announced or derived
change or because the person is its policyholder. Where relatives changed its account too, it is the policyholder's. An
institution's or a provider's payee is nobody's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import duckdb

from payeewatch.pipeline.night.queues import flag_id
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.tables import LAKE_TABLES

TABLES = (
    "members", "claims", "bank_changes", "changes", "account_events", "payments", "outcomes", "exposures", "sightings",
    "member_spellings",
)  # fmt: skip

OWN_PAYEES = """
CREATE OR REPLACE TEMP TABLE person_payees AS
    WITH home AS (SELECT DISTINCT household_id FROM members WHERE member_id = $member),
    family AS (SELECT DISTINCT member_id, role FROM members WHERE household_id IN (FROM home)),
    named AS (
        SELECT payee_id, payee_type, true AS by_change FROM changes WHERE member_id = $member
        UNION ALL SELECT payee_id, payee_type, true FROM bank_changes WHERE member_id = $member
        UNION ALL SELECT payee_id, payee_type, false FROM claims WHERE member_id = $member
        UNION ALL SELECT payee_id, payee_type, false FROM sightings WHERE member_id = $member
        UNION ALL SELECT payee_id, NULL, false FROM payments WHERE member_id = $member
    ), asked AS (
        SELECT payee_id, bool_or(by_change) AS by_change FROM named GROUP BY payee_id
        HAVING NOT coalesce(bool_or(payee_type = 'provider'), false)
    ), paid_for AS (
        SELECT payee_id, member_id FROM claims SEMI JOIN asked USING (payee_id)
        UNION SELECT payee_id, member_id FROM payments SEMI JOIN asked USING (payee_id) WHERE member_id IS NOT NULL
    ), judged AS (
        SELECT a.payee_id, any_value(a.by_change) AS by_change,
               coalesce(bool_and(p.member_id IN (SELECT member_id FROM family)), true) AS of_household,
               count(DISTINCT p.member_id) FILTER (p.member_id <> $member) AS others
        FROM asked AS a LEFT JOIN paid_for AS p USING (payee_id) GROUP BY a.payee_id
    ), others_changes AS (
        SELECT DISTINCT payee_id FROM changes SEMI JOIN asked USING (payee_id) WHERE member_id <> $member
    )
    SELECT payee_id FROM judged,
        (SELECT coalesce(bool_or(role = 'policyholder'), false) AS is_holder FROM family WHERE member_id = $member)
    WHERE of_household AND (others = 0 OR (by_change AND is_holder)
        OR ((by_change OR is_holder) AND payee_id NOT IN (FROM others_changes)))
"""

IDS = {
    "payee": "SELECT payee_id FROM person_payees",
    "change": "SELECT change_id FROM changes WHERE payee_id IN (FROM person_payees)"
    " UNION SELECT change_id FROM bank_changes WHERE payee_id IN (FROM person_payees)",
    "claim": "SELECT claim_id FROM claims WHERE member_id = $member OR payee_id IN (FROM person_payees)",
    "event": "SELECT event_id FROM account_events WHERE member_id = $member",
    "payment": "SELECT payment_id FROM payments WHERE member_id = $member OR payee_id IN (FROM person_payees)",
    "account": "SELECT account FROM sightings WHERE payee_id IN (FROM person_payees)"
    " UNION SELECT new_account FROM changes WHERE payee_id IN (FROM person_payees)"
    " UNION SELECT old_account FROM changes WHERE payee_id IN (FROM person_payees)"
    " UNION SELECT new_account FROM bank_changes WHERE payee_id IN (FROM person_payees)"
    " UNION SELECT old_account FROM bank_changes WHERE payee_id IN (FROM person_payees)"
    " UNION SELECT account FROM claims WHERE payee_id IN (FROM person_payees)"
    " UNION SELECT account FROM payments WHERE payee_id IN (FROM person_payees)",
}
"""Kind of id -> SQL of the person's own. Other people may use the same accounts."""

KEYS = {
    "person_key": "SELECT person_key FROM members WHERE member_id = $member",
    "holder_key": "SELECT holder_key FROM members WHERE member_id = $member",
    "id_key": "SELECT id_key FROM members WHERE member_id = $member",
    "name_key": "SELECT unnest(name_keys) FROM members WHERE member_id = $member",
    "spelling_key": "SELECT unnest(keys) FROM member_spellings WHERE member_id = $member",
}
"""The keyed identities by which a breach list finds the person."""


@dataclass(frozen=True)
class Person:
    """One person's ids by kind (with `member` and `flag`), and the keys by which breach lists find them."""

    member_id: str
    ids: dict[str, list[str]] = field(default_factory=dict)
    keys: dict[str, list[int]] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Every id but accounts, which others may share."""
        return frozenset(value for kind, values in self.ids.items() if kind != "account" for value in values)

    @property
    def is_known(self) -> bool:
        """Whether the lake contains anything about them."""
        return any(values for kind, values in self.ids.items() if kind != "member") or any(self.keys.values())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Person:
        return cls(str(raw["member_id"]), dict(raw["ids"]), dict(raw["keys"]))


def find(session: Session, member_id: str) -> Person:
    """The ids and keys of a member, from every version of every row of the lake."""
    con = session.con
    session.lake.register(con, *TABLES)
    con.execute(OWN_PAYEES, {"member": member_id})
    ids = {kind: _sorted_values(con, query, member_id) for kind, query in IDS.items()}
    keys = {kind: _sorted_values(con, query, member_id) for kind, query in KEYS.items()}
    ids["member"] = [member_id]
    ids["flag"] = sorted(flag_id(session.keys, change) for change in ids["change"])
    return Person(member_id, ids, keys)


def delete_conditions(person: Person) -> dict[str, str]:
    """Lake table -> SQL condition of the rows that belong to the person and are deleted.

    Of a table that has a `member_id` and is not named here, the rows with that member are deleted.
    """
    member, payees = f"member_id = {text(person.member_id)}", _within("payee_id", person.ids["payee"])
    changes = _within("change_id", person.ids["change"])
    own = {
        "members": member,
        "claims": f"{member} OR {payees}",
        "payments": f"{member} OR {payees}",
        "account_events": member,
        "bank_changes": payees,
        "changes": payees,
        "sightings": payees,
        "outcomes": changes,
        "exposures": member,
        "people": _on_list(person),
        "people_spellings": _is_spelt(person),
    }
    return {name: member for name, table in LAKE_TABLES.items() if "member_id" in table.columns} | own


def anonymised_columns(person: Person, table: str) -> str:
    """SQL of the columns of the rows that stay, without the person: `* REPLACE (...)`."""
    own = text(person.member_id)
    others = {
        "bank_changes": {"member_id": f"nullif(member_id, {own})"},
        "changes": {
            "household_id": f"CASE WHEN member_id IS DISTINCT FROM {own} THEN household_id END",
            "member_id": f"nullif(member_id, {own})",
        },
        "sightings": {"member_id": f"nullif(member_id, {own})"},
        "payments": {
            "claim_ids": "nullif(array_to_string(list_filter(string_split(claim_ids, '|'),"
            f" LAMBDA c: NOT {_within('c', person.ids['claim'])}), '|'), '')"
        },
    }.get(table, {})
    return "* REPLACE (" + ", ".join(f"{sql} AS {column}" for column, sql in others.items()) + ")" if others else "*"


def anonymise_condition(person: Person, table: str) -> str:
    """SQL condition of the rows that stay, but name the person."""
    if table in {"bank_changes", "changes", "sightings"}:
        return f"member_id = {text(person.member_id)}"
    if table == "payments" and person.ids["claim"]:
        claims = ", ".join(text(claim) for claim in person.ids["claim"])
        return f"list_has_any(string_split(claim_ids, '|'), [{claims}])"
    return "false"


def _on_list(person: Person) -> str:
    """SQL condition of a list's rows with one of the person's numbers; rows without a number are found by name."""
    numbers = [
        _within(column, [str(key) for key in person.keys[column]], quoted=False)
        for column in ("person_key", "id_key", "holder_key")
    ]
    names = [
        _within(column, [str(key) for key in person.keys["name_key"]], quoted=False)
        for column in ("name_key", "first_name_key")
    ]
    nameless = "person_key IS NULL AND id_key IS NULL AND holder_key IS NULL"
    return f"{' OR '.join(numbers)} OR ({nameless} AND ({' OR '.join(names)}))"


def _is_spelt(person: Person) -> str:
    """The same of spellings. A row with one of the two names is the person's if that name and the birth date are."""
    name = _within("name_key", [str(key) for key in person.keys["name_key"]], quoted=False)
    keys = ", ".join(map(str, person.keys.get("spelling_key", [])))
    return f"{name} OR (name_key IS NULL AND list_has_any(keys, CAST([{keys}] AS BIGINT[])))"


def _within(column: str, values: list[str], *, quoted: bool = True) -> str:
    if not values:
        return "false"
    value_list = ", ".join(text(value) if quoted else re.sub(r"[^-0-9]", "", value) for value in values)
    return f"coalesce({column} IN ({value_list}), false)"


def _sorted_values(con: duckdb.DuckDBPyConnection, query: str, member_id: str) -> list[Any]:
    params = {"member": member_id} if "$member" in query else {}
    return sorted({row[0] for row in con.execute(query, params).fetchall() if row[0] is not None})
