"""How often a page asks the database. PostgreSQL is asked for a turn as well, once a record."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import Count
from django.test import Client

from payeewatch.triage.models import Flag, User
from payeewatch.triage.work.filters import for_second_look
from tests.triage.conftest import do, signed_in

pytestmark = pytest.mark.usefixtures("kept_listing")
HTMX = {"HX-Request": "true"}
LOCK = int(connection.vendor == "postgresql")
"""What PostgreSQL asks more for one record of the audit log: its turn."""


def warm(client: Client) -> None:
    """Whatever is asked once in a process or a session."""
    assert client.get("/").status_code == 200


def test_the_queue_asks_for_its_rows_at_once(cast: dict[str, User], django_assert_max_num_queries: Any) -> None:
    client = signed_in(cast["reviewer"])
    warm(client)
    with django_assert_max_num_queries(8):  # one counts what waits for the user
        client.get("/")


def test_the_menu_of_lists_counts_them_all_at_once(cast: dict[str, User], django_assert_max_num_queries: Any) -> None:
    client = signed_in(cast["reviewer"])
    warm(client)
    with django_assert_max_num_queries(5):
        client.get("/queue/lists", headers=HTMX)


def test_a_flag_asks_no_more_when_much_was_done_to_it(
    cast: dict[str, User], first: Flag, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(cast["senior"])
    warm(client)
    with django_assert_max_num_queries(22 + LOCK):  # one each: colleagues, what misleads, frauds on the account
        client.get(f"/flags/{first.flag_id}", headers=HTMX)
    for number in range(3):
        do(cast["reviewer"], first, "note", text=f"Note {number}")
    do(cast["reviewer"], first, "hold", confirm="on")
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    with django_assert_max_num_queries(23 + LOCK):  # whose hold it is, and the notes
        assert "Confirm fraud" in client.get(f"/flags/{first.flag_id}", headers=HTMX).content.decode()


def test_a_verdict_reads_its_flag_once_to_judge_and_once_to_show(
    cast: dict[str, User], first: Flag, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(cast["reviewer"])
    warm(client)
    form = {"step": str(uuid4()), "version": first.version, "reason": "B01", "evidence_kind": "bank_check"}
    with django_assert_max_num_queries(36 + 3 * LOCK):  # the list and what waits for the user are counted anew
        answer = client.post(f"/flags/{first.flag_id}/do/benign", form, headers=HTMX)
    assert answer.status_code == 200


def test_the_duplicates_of_a_flag_are_found_by_an_index(first: Flag) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # of so few rows it would read all
    unordered = first.duplicates.order_by()  # an order by key would let the key's own index win
    assert "flag_duplicate" in unordered.values_list("pk").explain()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL reads a small table as a whole")
def test_what_waits_for_a_second_look_is_found_without_reading_every_closed_flag(cast: dict[str, User]) -> None:
    assert "flag_second_look" in for_second_look(cast["reviewer"]).order_by().explain()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL reads a small table as a whole")
@pytest.mark.django_db
def test_the_flags_of_the_last_weeks_are_found_by_their_day() -> None:
    recent = Flag.objects.filter(first_flagged_on__gte="2024-09-01")
    assert "flag_flagged_on" in recent.values("first_flagged_on", "queue").annotate(many=Count("pk")).explain()
