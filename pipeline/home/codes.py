"""Codes that are published, in their order and with their words, in this one place.

The codes of input columns are declared with the tables; groups of them are imported from there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from payeewatch.pipeline.tables import FRAUD_VERDICTS as FRAUD_VERDICTS
from payeewatch.pipeline.tables import HONEST_VERDICT as HONEST_VERDICT
from payeewatch.pipeline.tables import UNCLEAR_VERDICTS as UNCLEAR_VERDICTS

ON_ITS_WAY = ("planned", "held")
"""The states of a payment that can still be stopped."""


class Queue(StrEnum):
    """The queues, the most urgent first."""

    HOLD = "hold"
    REVIEW = "review"
    AUDIT = "audit"


QUEUES = {
    Queue.HOLD: "Hold: money is about to leave",
    Queue.REVIEW: "Review",
    Queue.AUDIT: "Audit sample",
}
"""Queue -> its heading, in the order they are shown."""


class WhyNot(StrEnum):
    """Why an open change is in no queue."""

    FLOOR = "below the floor"
    CAPACITY = "beyond tonight's capacity"
    DECIDED = "decided, and no new evidence since"
    UNDECIDED = "in the queue too long without a decision"
    SUPERSEDED = "taken over by the announced change"


class MatchLevel(NamedTuple):
    """How a member was matched with a person on a breach list; `words` say how certain that is.

    A weak match never places a change in the hold queue by itself.
    """

    code: str
    words: str
    is_weak: bool = False


MATCH_LEVELS = (
    MatchLevel("exact", "matched on national id, birth date and birth rank"),
    MatchLevel("holder", "matched through the opening-right holder"),
    MatchLevel("id_only", "matched on the national id alone, so uncertain", is_weak=True),
    MatchLevel("probable", "matched on names and birth date, so uncertain", is_weak=True),
)
"""Best first. `pipeline/breaches/match.py` says what joins at each level."""

MATCHES = {level.code: level.words for level in MATCH_LEVELS}
"""Match quality -> how certain it is that the exposed person is this member."""

WEAK_MATCHES = frozenset(level.code for level in MATCH_LEVELS if level.is_weak)

FIELDS = {
    "name": "name",
    "birth_date": "birth date",
    "national_id": "national id",
    "insurer": "insurer",
    "guarantees": "guarantees",
    "marital_status": "marital status",
    "email": "e-mail",
    "phone": "phone",
    "address": "address",
    "iban": "account number",
}
"""What a breach list says was exposed -> its word, in the order they are listed."""
