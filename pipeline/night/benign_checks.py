"""Honest explanations of a change, each with its result: yes, no or unknown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pandas as pd
import pyarrow as pa

from payeewatch.pipeline.frames import Row, records
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.store.as_of import known_at_cutoff

CHECK = pa.struct([(name, pa.string()) for name in ("check", "result", "sentence", "code", "params")])
"""result is yes, no or unknown; the sentence is English, made of the code and its numbers (JSON text)."""

WAVE_DAYS = 30
WAVE_LEAST = 10
WAVE_RATIO = 5
"""A wave: this many alike within so many days, and so many times the usual."""

INSTITUTIONS = "('institution', 'employer', 'guardian', 'treasury', 'provider')"

READ_MOVES = """
CREATE OR REPLACE TEMP TABLE known_moves AS
    WITH sides AS (
        SELECT old_account AS account FROM known_changes UNION ALL SELECT new_account FROM known_changes
    ), last_accounts AS (
        SELECT account, country || ':' || bank_code AS bank, bank_code FROM ({accounts})
    )
    SELECT c.change_id, o.bank AS old_bank, n.bank AS new_bank, o.bank_code AS old_code, n.bank_code AS new_code,
           c.announced_at
    FROM known_changes AS c
    LEFT JOIN last_accounts AS o ON o.account = c.old_account
    LEFT JOIN last_accounts AS n ON n.account = c.new_account
"""

# A death explains a change of the others in the household; the death of the account's own member explains nothing.
CHECK_FACTS = """
WITH moves AS (
    FROM known_moves WHERE announced_at >= (SELECT min(announced_at) FROM shown) - INTERVAL 395 DAY
), own AS (
    SELECT s.flag_id, m.* FROM shown AS s JOIN moves AS m USING (change_id)
), waves AS (
    SELECT o.flag_id,
           count(*) FILTER (abs(epoch(m.announced_at) - epoch(o.announced_at)) <= {days} * 86400 / 2) AS in_wave,
           count(*) FILTER (m.announced_at < o.announced_at - INTERVAL {days} DAY) AS earlier
    FROM own AS o JOIN moves AS m ON m.old_bank = o.old_bank AND m.new_bank = o.new_bank
    WHERE o.old_bank <> o.new_bank GROUP BY o.flag_id
), merged AS (
    SELECT DISTINCT o.flag_id FROM own AS o JOIN reference_mergers AS r
      ON r.old_bank_code = o.old_code AND r.new_bank_code = o.new_code AND r.known_at <= $cutoff
     AND coalesce(r."from", DATE '1900-01-01') <= CAST(o.announced_at AS DATE) + 30
     AND coalesce(r."to", DATE '9999-12-31') >= CAST(o.announced_at AS DATE) - 30
), returned AS (
    SELECT s.flag_id, count(*) AS many, max(coalesce(p.value_date, p.planned_on)) AS last_on
    FROM shown AS s JOIN shown_payments AS p ON p.payee_id = s.payee_id AND p.account = s.old_account
    WHERE p.status = 'returned' AND CAST(coalesce(p.value_date, p.planned_on) AS TIMESTAMP) <= s.requested_at
    GROUP BY s.flag_id
), kindred AS (
    SELECT member_id FROM members WHERE household_id IN (SELECT household_id FROM shown)
), family AS ({family}), happened AS (
    SELECT s.flag_id, s.requested_at, 'moved' AS kind, CAST(e.occurred_at AS DATE) AS happened_on
    FROM shown AS s JOIN account_events AS e USING (member_id)
    WHERE e.kind = 'address_changed' AND e.known_at <= $cutoff AND e.occurred_at <= $cutoff
    UNION ALL
    SELECT s.flag_id, s.requested_at, unnest(['joined', 'left', 'died']),
           unnest([m.joined_on, CASE WHEN m.died_on IS NULL THEN m.left_on END,
                   CASE WHEN m.member_id IS DISTINCT FROM s.member_id THEN m.died_on END])
    FROM shown AS s JOIN family AS m USING (household_id)
), life AS (
    SELECT flag_id, kind, happened_on FROM happened
    WHERE abs(date_diff('day', CAST(requested_at AS DATE), happened_on)) <= 60
    QUALIFY row_number() OVER (PARTITION BY flag_id ORDER BY kind = 'moved',
        abs(date_diff('day', CAST(requested_at AS DATE), happened_on)), kind) = 1
), institutions AS (
    SELECT s.flag_id, min(r.kind) AS kind FROM shown AS s JOIN reference_accounts AS r ON r.account = s.new_account
    WHERE r.known_at <= $cutoff AND r.kind IN {institutions}
      AND coalesce(r.valid_from, DATE '1900-01-01') <= CAST($cutoff AS DATE)
      AND coalesce(r.valid_to, DATE '9999-12-31') >= CAST(s.effective_at AS DATE) GROUP BY s.flag_id
), kin AS (
    SELECT DISTINCT s.flag_id FROM shown AS s JOIN known_changes AS o
      ON o.new_account = s.new_account AND o.payee_id <> s.payee_id AND o.household_id = s.household_id
)
SELECT s.flag_id, s.channel, s.payee_type, s.household_id, s.old_account, o.old_bank, o.new_bank,
       coalesce(w.in_wave, 0) AS in_wave, coalesce(w.earlier, 0) AS earlier, m.flag_id IS NOT NULL AS is_merged,
       coalesce(r.many, 0) AS returns, r.last_on AS returned_on,
       l.kind AS life_event, l.happened_on AS life_event_on,
       i.kind AS listed_as, k.flag_id IS NOT NULL AS is_kin, (SELECT count(*) > 0 FROM payments) AS has_payments
FROM shown AS s LEFT JOIN own AS o USING (flag_id) LEFT JOIN waves AS w USING (flag_id)
LEFT JOIN merged AS m USING (flag_id) LEFT JOIN returned AS r USING (flag_id)
LEFT JOIN life AS l USING (flag_id) LEFT JOIN institutions AS i USING (flag_id) LEFT JOIN kin AS k USING (flag_id)
ORDER BY s.flag_id
"""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    check: str
    result: str
    sentence: Sentence

    def published(self) -> Row:
        """The result with the fields of CHECK."""
        return vars(self) | {"code": self.sentence.code, "params": json.dumps(self.sentence.params, sort_keys=True)}


def read_moves(con: duckdb.DuckDBPyConnection, cutoff: datetime) -> None:
    """Make `known_moves`: from which bank to which each of `known_changes` goes, flagged or not."""
    accounts = known_at_cutoff(con, "accounts", among=("sides", "account"))
    con.execute(READ_MOVES.format(accounts=accounts), {"cutoff": cutoff})


def benign_checks(con: duckdb.DuckDBPyConnection, cutoff: datetime) -> dict[str, list[Row]]:
    """flag_id -> its checks, over the temporary tables that `evidence_table` makes."""
    family = known_at_cutoff(con, "members", among=("kindred", "member_id"))
    query = CHECK_FACTS.format(days=WAVE_DAYS, institutions=INSTITUTIONS, family=family)
    return {
        row["flag_id"]: [check(row).published() for check in CHECKS]
        for row in records(con.execute(query, {"cutoff": cutoff}).df())
    }


def _bank_wave(row: Row) -> CheckResult:
    if row["is_merged"]:
        return CheckResult("bank_wave", "yes", sentence("banks_merge"))
    if pd.isna(row["old_bank"]) or pd.isna(row["new_bank"]):
        return CheckResult("bank_wave", "unknown", sentence("bank_not_known"))
    in_wave, usual = int(row["in_wave"]), float(row["earlier"] * WAVE_DAYS / 365)
    is_wave = in_wave >= WAVE_LEAST and in_wave >= WAVE_RATIO * usual
    code = {0: "no_bank_moves", 1: "one_bank_move"}.get(in_wave, "bank_moves")
    return CheckResult("bank_wave", _yes_or_no(is_wave), sentence(code, many=in_wave, days=WAVE_DAYS, usual=usual))


def _return_driven(row: Row) -> CheckResult:
    if row["channel"] == "return_driven":
        return CheckResult("return_driven", "yes", sentence("payment_came_back"))
    if row["returns"]:
        last = f"{row['returned_on']:%Y-%m-%d}"
        return CheckResult(
            "return_driven", "yes", sentence("payments_came_back", payments=int(row["returns"]), day=last)
        )
    if not row["has_payments"]:
        return CheckResult("return_driven", "unknown", sentence("no_payments_sent"))
    return CheckResult("return_driven", "no", sentence("no_payment_came_back"))


def _life_event(row: Row) -> CheckResult:
    if pd.isna(row["household_id"]):
        return CheckResult("life_event", "unknown", sentence("household_not_known"))
    if pd.isna(row["life_event"]):
        return CheckResult("life_event", "no", sentence("no_life_event"))
    code, day = f"life_{row['life_event']}", f"{row['life_event_on']:%Y-%m-%d}"
    return CheckResult("life_event", "yes", sentence(code, day=day))


def _mobility_mandate(row: Row) -> CheckResult:
    if row["channel"] == "mobility_mandate":
        return CheckResult("mobility_mandate", "yes", sentence("mandate"))
    if row["channel"] == "unknown":
        return CheckResult("mobility_mandate", "unknown", sentence("channel_not_known"))
    return CheckResult("mobility_mandate", "no", sentence("no_mandate"))


def _institution(row: Row) -> CheckResult:
    if not pd.isna(row["listed_as"]):
        return CheckResult("institution", "yes", sentence("listed_account", payee_type=row["listed_as"]))
    if row["payee_type"] in ("institution", "employer", "guardian", "estate"):
        return CheckResult("institution", "yes", sentence("payee_recorded", payee_type=row["payee_type"]))
    return CheckResult("institution", "no", sentence("not_listed"))


def _household_account(row: Row) -> CheckResult:
    if pd.isna(row["household_id"]):
        return CheckResult("household_account", "unknown", sentence("household_not_known"))
    is_found = bool(row["is_kin"])
    code = "account_of_household" if is_found else "no_account_of_household"
    return CheckResult("household_account", _yes_or_no(is_found), sentence(code))


CHECKS = (_bank_wave, _return_driven, _life_event, _mobility_mandate, _institution, _household_account)


def _yes_or_no(holds: bool) -> str:
    return "yes" if holds else "no"
