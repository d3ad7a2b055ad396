"""A straightforward version of a night: pandas and scikit-learn, without care for time, memory or what was known when.

    python -m benchmarks.plain HOME

It reads the same drops, makes fifteen features of the same families for every change of the last 180 days, fits
one isolation forest and ranks. It links by the thirteen characters alone, keeps raw identities in memory, writes
nothing, explains nothing and does not know what was known on an earlier night.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest


def read(home: Path, table: str) -> pd.DataFrame:
    """Every row of a table, the last version of each key."""
    frames = []
    for path in sorted(home.glob(f"inbox/*/{table}*")):
        frames.append(pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str))
    every = pd.concat(frames, ignore_index=True)
    return every.drop_duplicates(every.columns[0], keep="last")


def numbers(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    for column in columns:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    return frame


def moments(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    for column in columns:
        frame[column] = pd.to_datetime(frame[column], errors="coerce")
    return frame


def features(home: Path) -> pd.DataFrame:
    """One row per change of the last 180 days."""
    changes = moments(read(home, "bank_changes"), "requested_at", "effective_at")
    night = changes.requested_at.max()
    claims = moments(numbers(read(home, "claims"), "reimbursed_amount", "ceiling_left_amount"), "received_at")
    payments = moments(numbers(read(home, "payments"), "amount"), "planned_on", "value_date")
    events = moments(read(home, "account_events"), "occurred_at")
    members = moments(read(home, "members"), "joined_on").set_index("member_id")
    banks = pd.read_csv(home / "reference" / "banks.csv", dtype=str)
    kinds_of_bank = banks[banks.country == "FR"].set_index("bank_code").kind

    changes = changes[changes.requested_at > night - pd.Timedelta(days=180)].set_index("change_id")
    frame = pd.DataFrame(index=changes.index)
    frame["age_days"] = (night - changes.effective_at).dt.days
    frame["no_proof"] = changes.auth_strength.isin(["none", "knowledge"]).astype(float)
    frame["name_differs"] = changes.name_check.isin(["no_match", "close_match"]).astype(float)
    frame["tenure_days"] = (changes.requested_at - members.joined_on.reindex(changes.member_id).to_numpy()).dt.days
    frame["is_foreign"] = (~changes.new_iban.str.startswith("FR", na=True)).astype(float)
    frame["is_neobank"] = changes.new_iban.str[4:9].map(kinds_of_bank).isin(["neobank", "emi"]).astype(float)
    frame["account_payees"] = changes.new_iban.map(payments.groupby("iban").payee_id.nunique()).fillna(0)

    touched = changes.reset_index()[["change_id", "payee_id", "member_id", "requested_at", "new_iban"]]
    care = touched.merge(claims, on="payee_id")
    after = care[care.received_at > care.requested_at]
    before = care[care.received_at <= care.requested_at]
    frame["claims_after"] = after.groupby("change_id").size()
    frame["amount_after"] = after.groupby("change_id").reimbursed_amount.sum()
    frame["amount_before"] = before.groupby("change_id").reimbursed_amount.sum()
    without_record = after[~after.has_public_record.astype(str).str.lower().eq("true")]
    frame["amount_without_record"] = without_record.groupby("change_id").reimbursed_amount.sum()
    frame["ceiling_fit"] = (after.reimbursed_amount / after.ceiling_left_amount).groupby(after.change_id).max()

    waiting = touched.merge(payments[payments.status == "planned"], on="payee_id")
    frame["amount_pending"] = waiting.groupby("change_id").amount.sum()
    events_near_change = touched.merge(events, on="member_id")
    near = events_near_change[
        (events_near_change.requested_at - events_near_change.occurred_at).between(
            pd.Timedelta(0), pd.Timedelta(days=14)
        )
    ]
    kinds = near[near.kind.isin(["password_reset", "device_enrolled", "email_changed", "phone_changed"])]
    frame["web_events_before"] = kinds.groupby("change_id").size()
    frame["is_exposed"] = changes.member_id.map(exposed(home, members)).astype(float)
    return frame.fillna(0.0)


def exposed(home: Path, members: pd.DataFrame) -> pd.Series:
    """Whether a member's national id is on any list."""
    ids = set()
    for path in home.glob("breaches/*/people*"):
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
        ids |= set(frame.national_id.dropna().str[:13])
    return members.national_id.str.replace(" ", "").str[:13].isin(ids)


def main() -> None:
    frame = features(Path(sys.argv[1]))
    forest = IsolationForest(n_estimators=200, max_samples=min(512, len(frame)), random_state=1).fit(frame)
    order = np.argsort(forest.score_samples(frame))
    print(json.dumps({"changes": len(frame), "features": frame.shape[1], "first": frame.index[order[0]]}))


if __name__ == "__main__":
    main()
