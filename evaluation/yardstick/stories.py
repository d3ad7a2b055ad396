"""Whether reasons tell what was planted: by kind of fraud, on each dishonest change's last night as a flag."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from payeewatch.evaluation.yardstick.insurer import Truth, recognised
from payeewatch.pipeline.home.codes import Queue

FIRST = 3
"""The reasons that a reviewer reads at a glance."""

WEB_EVENTS = frozenset({
    "email_changes_14d", "phone_changes_14d", "address_changes_14d", "has_new_email_and_phone_30d",
    "contact_changes_after_3d", "password_resets_7d", "new_devices_7d", "second_factor_changes_14d", "failed_logins_7d",
    "web_accounts_created_30d",
})  # fmt: skip
SHARED = frozenset({
    "other_households_on_account", "unrelated_households_on_account", "new_payees_on_account_14d", "is_blocked_account",
    "other_households_on_device", "other_households_on_document",
})  # fmt: skip
CLAIMS = frozenset({
    "amount_since_change", "amount_since_change_30d", "claims_since_change_30d", "amount_ratio_30d",
    "largest_claim_since_change", "unrecorded_amount_since_change", "unrecorded_share_since_change",
    "ceiling_fit_since_change", "fitted_unrecorded_claims_since_change", "new_care_families_since_change",
    "new_providers_since_change",
})  # fmt: skip
WAITING = frozenset({"pending_amount_at_change", "pending_ratio_at_change", "planned_amount"})
NEWCOMER = frozenset({"is_first_account", "membership_days"})
AT_ONCE = frozenset({"actor_changes_1d", "usual_actor_changes_1d", "actor_volume_ratio", "same_bank_moves_30d"})
DEAD = frozenset({"is_member_dead", "amount_after_death_since_change"})
BACK_AND_FORTH = frozenset({"was_reverted_10d", "changes_before_90d"})
AS_ASKED = frozenset({"name_check_doubt", "channel_surprise", "is_new_channel", "auth_weakness"})
ASLEEP = frozenset({"dormant_days", "amount_ratio_30d", "amount_since_change_30d", "claims_since_change_30d",
                    "new_care_families_since_change"})  # fmt: skip

STORIES: Mapping[str, frozenset[str]] = {
    "T01": WEB_EVENTS | CLAIMS, "account_takeover": WEB_EVENTS | CLAIMS,
    "T02": SHARED, "mule_ring": SHARED,
    "T05": WAITING, "pending_snatch": WAITING,
    "T06": BACK_AND_FORTH, "flip_back": BACK_AND_FORTH,
    "T07": ASLEEP, "dormant_reactivation": ASLEEP,
    "T08": SHARED | CLAIMS,
    "T11": WAITING | AS_ASKED, "provider_redirection": WAITING | AS_ASKED,
    "T13": AT_ONCE | SHARED, "insider_batch": AT_ONCE | SHARED,
    "T14": NEWCOMER | CLAIMS, "new_payee_added": NEWCOMER | CLAIMS,
    "T15": CLAIMS, "low_and_slow": CLAIMS,
    "T16": DEAD, "deceased_member": DEAD,
    "T18": NEWCOMER | CLAIMS, "first_account_enrolment": NEWCOMER | CLAIMS,
}  # fmt: skip
"""A kind of fraud, as our simulator or another calls it -> features of which each tells what it is made of."""


def stories(folder: Path, truth: Truth) -> list[dict[str, Any]]:
    """For each kind of fraud with a known story: how many of its changes were flags, and whose reasons tell it.

    Args:
        folder: the flags of an insurer's nights, one file for each.

    Returns:
        typology, flagged, first (told among the first three reasons), any (among all).
    """
    flags = _last_flags(folder, truth)
    rows = []
    for kind, part in flags.groupby("typology"):
        story = STORIES[str(kind)]
        told = [[reason["feature"] in story for reason in reasons] for reasons in part["reasons"]]
        rows.append({
            "typology": str(kind), "flagged": len(part),
            "first": sum(any(each[:FIRST]) for each in told), "any": sum(map(any, told)),
        })  # fmt: skip
    return rows


def _last_flags(folder: Path, truth: Truth) -> pd.DataFrame:
    """typology and reasons of each dishonest change with a known story, on its last night in hold or review."""
    columns = ["change_id", "payee_id", "derived", "queue", "account_hint", "reasons"]
    nights = [pd.read_parquet(path, columns=columns).assign(night=pd.Timestamp(path.stem)) for path in _files(folder)]
    if not nights:
        return pd.DataFrame(columns=["typology", "reasons"])
    flags = pd.concat(nights, ignore_index=True)
    hints = dict(zip(flags["change_id"], flags["account_hint"], strict=True))
    flags = recognised(flags[flags["queue"] != Queue.AUDIT], truth, hints)
    dishonest = truth.changes[truth.changes["is_fraud"] & truth.changes["typology"].isin(STORIES.keys())]
    last = flags.sort_values("night", kind="stable").drop_duplicates("change_id", keep="last")
    return last[["change_id", "reasons"]].merge(dishonest[["change_id", "typology"]], on="change_id")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))
