"""A flag's page as htmx asks for it."""

from __future__ import annotations

from uuid import uuid4

from payeewatch.triage.models import AuditRecord, Flag, User
from tests.triage.conftest import signed_in


def test_nobody_comes_from_another_flag_to_one_of_their_own_household(cast: dict[str, User], first: Flag) -> None:
    other = Flag.objects.filter(is_current=True).exclude(household_id=first.household_id).order_by("rank")[0]
    form = {"step": str(uuid4()), "version": other.version, "then": first.flag_id}
    address = f"/flags/{other.flag_id}/do/claim"
    assert signed_in(cast["relative"]).post(address, form, headers={"HX-Request": "true"}).status_code == 403
    assert not AuditRecord.objects.filter(action="view", flag_id=first.flag_id).exists()
