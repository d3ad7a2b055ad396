"""Somebody who gives themselves a role in the database is signed out, and cannot sign in again."""

from __future__ import annotations

import pytest
from django.db import connection

from payeewatch.triage.access.known_users import KnownUsers
from payeewatch.triage.models import User
from tests.triage.conftest import PASSWORD, signed_in


@pytest.mark.parametrize("edit", ["role = 'senior'", "household_id = 'another'", "is_superuser = TRUE"])
def test_a_role_taken_in_the_database_is_worth_nothing(edit: str, cast: dict[str, User]) -> None:
    client = signed_in(cast["reviewer"])
    assert client.get("/").status_code == 200
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE triage_user SET {edit}")
    assert client.get("/").status_code == 302
    assert KnownUsers().authenticate(None, username=cast["reviewer"].username, password=PASSWORD) is None


def test_a_user_whom_the_application_wrote_can_sign_in(cast: dict[str, User]) -> None:
    assert KnownUsers().authenticate(None, username=cast["reviewer"].username, password=PASSWORD) == cast["reviewer"]
