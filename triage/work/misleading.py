"""Reasons that mislead: a reviewer presses once, and the data scientists read it as a list, with counts by feature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as say

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage import clock
from payeewatch.triage.identifying import looks_identifying
from payeewatch.triage.models import Flag, MisleadingReason, User, is_own_household
from payeewatch.triage.records import audit
from payeewatch.triage.work.workflow import Refused

LONGEST = 200
"""Letters that a reviewer may write about a reason."""
MOST_LISTED = 500


@dataclass(frozen=True)
class FeatureCount:
    """How often the reasons of one feature were said to mislead, and what became of those flags."""

    feature: str
    times: int
    flags: int
    fraud: int
    benign: int


def toggle(user: User, flag: Flag, feature: str) -> MisleadingReason | None:
    """Say that a reason misleads, or take it back. None: it was taken back."""
    with transaction.atomic():
        audit.take_turn()
        earlier = MisleadingReason.objects.filter(flag=flag, feature=feature, by=user)
        audit.record(user, "misleads_not" if earlier.exists() else "misleads", flag.pk, feature=feature)
        if earlier.delete()[0]:
            return None
        return MisleadingReason.objects.create(flag=flag, feature=feature, by=user, at=clock.now())


def explain(user: User, flag: Flag, feature: str, text: str) -> MisleadingReason:
    """Add in a few words why a reason misleads; data scientists read them, so they name nobody.

    Raises:
        Refused: the words look like an account or a national id.
    """
    if looks_identifying(text):
        raise Refused(say("This looks like an account or a national id. Say it without the number."))
    with transaction.atomic():
        audit.take_turn()
        row, is_new = MisleadingReason.objects.get_or_create(
            flag=flag, feature=feature, by=user, defaults={"at": clock.now()}
        )
        row.text = text.strip()[:LONGEST]
        row.save()
        audit.record(user, "misleads" if is_new else "misleads_text", flag.pk, feature=feature, length=len(row.text))
    return row


def features_of(flag: Flag) -> set[str]:
    """The features of all reasons that a flag has or had."""
    bodies = flag.evidence.values_list("body__reasons", flat=True)
    return {reason["feature"] for reasons in bodies for reason in reasons or ()}


def with_own(reasons: Sequence[Any], flag: Flag, user: User) -> list[tuple[Any, MisleadingReason | None]]:
    """The reasons of a page, each with what this user said of it."""
    own = {row.feature: row for row in MisleadingReason.objects.filter(flag=flag, by=user)}
    return [(reason, own.get(reason.feature)) for reason in reasons]


def listed(user: User) -> list[MisleadingReason]:
    """What reviewers said, the latest first; never of the user's own household."""
    rows = MisleadingReason.objects.select_related("flag").order_by("-at", "-pk")[:MOST_LISTED]
    return [row for row in rows if not is_own_household(row.flag, user)]


def counts(rows: Sequence[MisleadingReason]) -> list[FeatureCount]:
    """By feature, the most frequent first."""
    times = Counter(row.feature for row in rows)
    verdicts = {feature: {r.flag_id: r.flag.verdict for r in rows if r.feature == feature} for feature in times}
    return [
        FeatureCount(
            feature,
            many,
            len(verdicts[feature]),
            sum(verdict in FRAUD_VERDICTS for verdict in verdicts[feature].values()),
            sum(verdict == "benign" for verdict in verdicts[feature].values()),
        )
        for feature, many in sorted(times.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
