"""What happened on the member's web account around the change."""

from __future__ import annotations

from narwhals import Expr

from payeewatch.features.engines.engine import DAY
from payeewatch.features.formulas import Aggregate, Row, count, yes_no
from payeewatch.features.registry import Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.sources import CHANGE, Relation

family = Family(__name__, __doc__, Lens.REQUEST)

WEB_EVENT = Relation(
    "web_event", "account_events", on="member_id", to="member_id", happened="occurred_at",
    columns=lambda event, change: {"before_days": (change.requested_at - event.occurred_at) / DAY},
)  # fmt: skip
"""Events on the web account of the change's member."""


def _within(event: Row, kind: str, days: int) -> Aggregate:
    return count((event.kind == kind) & (event.before_days >= 0) & (event.before_days < days))


@family.feature(
    WEB_EVENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True, topic="contact"
)
def email_changes_14d(event: Row) -> Aggregate:
    """Changes of e-mail address in the 14 days before."""
    return _within(event, "email_changed", 14)


@family.feature(
    WEB_EVENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True, topic="contact"
)
def phone_changes_14d(event: Row) -> Aggregate:
    """Changes of telephone number in the 14 days before."""
    return _within(event, "phone_changed", 14)


@family.feature(WEB_EVENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True)
def address_changes_14d(event: Row) -> Aggregate:
    """Changes of postal address in the 14 days before."""
    return _within(event, "address_changed", 14)


@family.part(WEB_EVENT)
def email_changes_30d(event: Row) -> Aggregate:
    """Changes of e-mail address in the 30 days before."""
    return _within(event, "email_changed", 30)


@family.part(WEB_EVENT)
def phone_changes_30d(event: Row) -> Aggregate:
    """Changes of telephone number in the 30 days before."""
    return _within(event, "phone_changed", 30)


@family.feature(
    CHANGE, unit=Unit.YESNO, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True, topic="contact"
)
def has_new_email_and_phone_30d(change: Row) -> Expr:
    """Both e-mail address and telephone number changed in the 30 days before."""
    return yes_no((change.email_changes_30d > 0) & (change.phone_changes_30d > 0))


@family.feature(WEB_EVENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True)
def contact_changes_after_3d(event: Row) -> Aggregate:
    """Changes of e-mail address or telephone number in the 3 days after."""
    is_contact = event.kind.is_in(["email_changed", "phone_changed"])
    return count(is_contact & (event.before_days < 0) & (event.before_days >= -3))


@family.feature(WEB_EVENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True)
def password_resets_7d(event: Row) -> Aggregate:
    """Password resets in the 7 days before."""
    return _within(event, "password_reset", 7)


@family.feature(WEB_EVENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True)
def new_devices_7d(event: Row) -> Aggregate:
    """New devices enrolled in the 7 days before."""
    return _within(event, "device_enrolled", 7)


@family.feature(WEB_EVENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True)
def second_factor_changes_14d(event: Row) -> Aggregate:
    """Changes of the second authentication factor in the 14 days before."""
    return _within(event, "mfa_changed", 14)


@family.feature(WEB_EVENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True)
def failed_logins_7d(event: Row) -> Aggregate:
    """Failed logins in the 7 days before."""
    return _within(event, "login_failed", 7)


@family.feature(WEB_EVENT, unit=Unit.COUNT, suspicious=Suspicious.HIGH, missing=Missing.ZERO, member_only=True)
def web_accounts_created_30d(event: Row) -> Aggregate:
    """Web accounts created for the member in the 30 days before."""
    return _within(event, "account_created", 30)
