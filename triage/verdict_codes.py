"""What a verdict can be, why, and what it rests on. Its codes are stable: models learn from them."""

from __future__ import annotations

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _


class Verdict(TextChoices):
    """What a reviewer decided. The pipeline receives a duplicate as a data error."""

    CONFIRMED_FRAUD = "confirmed_fraud", _("Confirmed fraud")
    ATTEMPT_STOPPED = "attempt_stopped", _("Attempt stopped")
    BENIGN = "benign", _("Benign")
    INCONCLUSIVE = "inconclusive", _("Inconclusive")
    DUPLICATE = "duplicate", _("Duplicate")
    DATA_ERROR = "data_error", _("Data error")


class BenignReason(TextChoices):
    """Why a change is ordinary, in the order in which the form shows them: the commonest have a digit."""

    BANK_SWITCH = "B01", _("Bank switch confirmed")
    MOBILITY_MANDATE = "B02", _("Mobility mandate")
    BANK_MERGER = "B03", _("Bank merger")
    RETURN_DRIVEN = "B04", _("A returned payment led to it")
    JOINT_ACCOUNT = "B05", _("Joint or household account")
    FIRST_ACCOUNT = "B11", _("First account, or a new member")
    EARLIER_ACCOUNT = "B12", _("Back to an earlier own account")
    NOTHING_WRONG = "B13", _("Nothing wrong on the evidence")
    LIFE_EVENT = "B08", _("Life event")
    GUARDIAN = "B06", _("Guardian or institution")
    TYPING_ERROR = "B07", _("Typing error")
    CROSS_BORDER = "B09", _("Cross-border")
    EMPLOYER = "B10", _("Employer")
    OTHER = "B99", _("Other")


class FraudReason(TextChoices):
    """How a payment was, or was to be, diverted."""

    ACCOUNT_TAKEOVER = "F01", _("Account takeover")
    MULE_ACCOUNT = "F02", _("Mule account")
    FABRICATED_CLAIM = "F03", _("Fabricated claim")
    DIVERTED_PAYMENT = "F04", _("Diverted pending payment")
    INSIDER = "F05", _("Insider or broker")
    PROVIDER = "F06", _("Provider redirection")
    STOLEN_IDENTITY = "F07", _("Stolen identity at enrolment")
    DECEASED = "F08", _("Deceased member")
    COMPLICIT = "F09", _("Complicit member")
    DOUBLE_INSURANCE = "F10", _("Double insurance")
    OTHER = "F99", _("Other")


class DataErrorReason(TextChoices):
    """What was wrong with the data."""

    WRONG_LINK = "D01", _("Wrong link")
    DUPLICATE = "D02", _("Duplicate")
    LATE_FEED = "D03", _("Late feed")


class EvidenceKind(TextChoices):
    """What a verdict rests on. A call goes to contact details older than 90 days, or it proves nothing."""

    CALL_BACK_MADE = "call_back_made", _("Call-back made (contact details older than 90 days)")
    CALL_BACK_FAILED = "call_back_failed", _("Call-back failed (contact details older than 90 days)")
    BANK_CHECK = "bank_check", _("Bank check")
    PROVIDER_CONFIRMATION = "provider_confirmation", _("Provider confirmation")
    DOCUMENT = "document", _("Document")
    NONE = "none", _("None")


class Confidence(IntegerChoices):
    """How sure a reviewer is of a verdict."""

    LOW = 1, _("Not sure")
    FAIR = 2, _("Fairly sure")
    HIGH = 3, _("Sure")


OTHER_REASONS = frozenset({BenignReason.OTHER, FraudReason.OTHER})
"""Reasons that say something only with a note."""
ALL_REASONS = [*BenignReason.choices, *FraudReason.choices, *DataErrorReason.choices]
"""Every code and its label, for a reason to be shown."""
