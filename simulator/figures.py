"""The world in figures, compared with published ones; the acceptance tests check them and the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb


@dataclass(frozen=True)
class Figure:
    """One figure of a world and its plausible range."""

    name: str
    sentence: str
    value: float
    low: float
    high: float
    source: str
    unit: str = ""

    @property
    def fits(self) -> bool:
        return self.low <= self.value <= self.high


class Home:
    """An insurer simulated with `form="parquet"` as a database: every table at its last version, and the truth."""

    def __init__(self, home: Path, truth: Path) -> None:
        self._con = duckdb.connect()
        self._con.execute("SET TimeZone = 'UTC'")
        self._con.execute("SET threads = 2")
        keys = {"members": "member_id", "claims": "claim_id", "bank_changes": "change_id", "payments": "payment_id"}
        for table, key in keys.items():
            self._con.execute(
                f"CREATE TABLE {table} AS SELECT * EXCLUDE (filename) "
                f"FROM read_parquet('{home}/inbox/*/{table}*.parquet', union_by_name = true, filename = true) "
                f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY filename DESC) = 1"
            )
        for table in ("changes", "claims", "losses", "listed"):
            self._con.execute(f"CREATE VIEW true_{table} AS SELECT * FROM '{truth}/{table}.parquet'")
        self._con.execute(PERSON_YEARS)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._con.execute(sql).fetchall()
        return rows

    def number(self, sql: str) -> float:
        value = self.ask(sql)[0][0]
        return float("nan") if value is None else float(value)


PERSON_YEARS = """
CREATE TABLE span AS
WITH days AS (SELECT min(cared_on) AS first, max(cared_on) AS last FROM claims)
SELECT sum(greatest(0, datediff('day', greatest(joined_on, first),
           least(coalesce(left_on, last), coalesce(died_on, last), last)))) / 365.25 AS years,
       datediff('day', any_value(first), any_value(last)) / 365.25 AS length FROM members, days
"""
SPENT = "(SELECT sum(reimbursed_amount) FROM claims WHERE status IN ('settled', 'received', 'pended'))"
ORDINARY = "cause NOT IN ('first_account', 'separation', 'merger', 'closure', 'provider', 'restored', 'flipped_back')"
PAYEES = "(SELECT count(DISTINCT payee_id) FROM claims WHERE payee_type <> 'provider')"
SHARING = """
SELECT avg((households {test})::INT) FROM (
    SELECT iban, count(DISTINCT household_id) AS households
    FROM payments JOIN members USING (member_id) WHERE iban IS NOT NULL GROUP BY iban)
"""
# a practice's case is all it bills, and money that came back was not lost
LOST = "true_losses WHERE change_id IS NOT NULL AND typology <> 'T11' AND payment_count > returned_count"


def figures(home: Home) -> list[Figure]:
    """Every figure with the range it must lie in."""
    number = home.number
    entries = [
        Figure("cost", "Paid for a member in a year", number(f"SELECT {SPENT} / years FROM span"), 481, 589,
               "DREES: 35 bn euros for 65 million members, 535 each", "EUR"),
    ]  # fmt: skip
    for family, share in (("dental", 18.0), ("optical", 15.7), ("hearing", 2.8)):
        sql = f"SELECT 100 * sum(reimbursed_amount) / {SPENT} FROM claims WHERE care_family = '{family}' " \
              "AND status IN ('settled', 'received', 'pended')"  # fmt: skip
        entries.append(Figure(f"{family}_share", f"{family.capitalize()} care, of all that is paid", number(sql),
                            share - 3, share + 3, f"DREES 2024: {share} %", "%"))  # fmt: skip
    entries += [
        Figure("change_rate", "Payees who change accounts in a year, without waves and first accounts", number(
            f"SELECT 100 * count(*) FILTER (payee_id LIKE 'P%' AND NOT is_fraud AND {ORDINARY}) / {PAYEES} / "
            "(SELECT length FROM span) FROM true_changes"), 6, 9, "bank mobility 4.7-5.5 % and life's events", "%"),
        Figure("fraud_share", "Changes that are fraud", number(
            "SELECT 100 * count(*) FILTER (is_fraud) / count(*) FROM true_changes WHERE payee_id LIKE 'P%'"),
            0.02, 1.0, "SSA and CNAF: 0.1 to 5 payees in 10,000 a year", "%"),
        Figure("accounts_of_one", "Accounts of one household", 100 * number(SHARING.format(test="= 1")), 97, 98,
               "estimate: 97-98 %", "%"),
        Figure("accounts_of_two", "Accounts of two", 100 * number(SHARING.format(test="= 2")), 1.9, 2.8,
               "estimate: 1.9-2.8 %", "%"),
        Figure("accounts_of_more", "Accounts of three and more", 100 * number(SHARING.format(test="> 2")), 0.1, 0.3,
               "estimate: 0.1-0.3 %", "%"),
        Figure("loss", "Lost in a case where an account changed", number(
            f"SELECT avg(sent_amount - returned_amount) FROM {LOST}"), 900, 1600,
            "SSA 1,266-1,667 dollars; CNAF 650 euros", "EUR"),
        Figure("payments", "Payments in such a case", number(
            f"SELECT avg(payment_count - returned_count) FROM {LOST}"), 1.1, 2.5,
            "SSA: 1.11; a victim's genuine refunds go along", ""),
        Figure("january", "Changes in January, times an ordinary month", number(_month(1)), 1.15, 2.0,
               "contracts and banks change with the year; estimate 1.5", ""),
        Figure("september", "Changes in September", number(_month(9)), 1.1, 2.0, "students; estimate 1.4", ""),
    ]  # fmt: skip
    return entries


def _month(month: int) -> str:
    """SQL: a month's changes per day, divided by those of months without a season."""
    return f"""
    WITH honest AS (
        SELECT requested_at::DATE AS day FROM bank_changes JOIN true_changes USING (change_id)
        WHERE {ORDINARY} AND NOT is_fraud),
    days AS (SELECT unnest(generate_series(min(day), max(day), INTERVAL 1 DAY))::DATE AS day FROM honest),
    per_day AS (SELECT days.day, count(honest.day) AS n FROM days LEFT JOIN honest USING (day) GROUP BY 1)
    SELECT avg(n) FILTER (month(day) = {month}) / avg(n) FILTER (month(day) IN (3, 4, 5, 6, 10, 11)) FROM per_day
    """
