"""Flags are put into one case or taken out of a ring by hand, and stay so."""

from __future__ import annotations

from payeewatch.triage.exchange.import_night import rings_of
from payeewatch.triage.models import Flag, User
from payeewatch.triage.roles import Role
from payeewatch.triage.work.cases import JoinForm
from payeewatch.triage.work.workflow import ACTIONS, why_not
from tests.triage.conftest import do, flag_of, user

NOBODY = {"neighbours": []}


def rings() -> list[tuple[str, int]]:
    return list(Flag.objects.order_by("pk").values_list("ring", "ring_size"))


def flags_of_one_ring(*members: str) -> list[Flag]:
    flags = [flag_of(member) for member in members]
    Flag.objects.update(ring=flags[0].pk, ring_size=len(flags))
    return flags


def test_a_flag_joins_the_ring_of_another(house: object) -> None:
    one, two, three = flag_of("01"), flag_of("02"), flag_of("03")
    person: User = user(Role.REVIEWER)
    do(person, three, "join_case", with_flag=two.pk)
    assert rings() == [(one.pk, 1), (two.pk, 2), (two.pk, 2)]
    do(person, two, "join_case", with_flag=one.pk)
    assert rings() == [(one.pk, 2), (one.pk, 2), (three.pk, 1)]


def test_a_flag_leaves_its_ring_and_the_ring_gets_the_name_of_its_smallest(house: object) -> None:
    one, two, three = flags_of_one_ring("01", "02", "03")
    do(user(Role.REVIEWER), one, "leave_case")
    assert rings() == [(one.pk, 1), (two.pk, 2), (two.pk, 2)]
    assert Flag.objects.get(pk=one.pk).ring_by_hand == one.pk
    assert three.pk


def test_later_nights_keep_what_people_put_together_and_took_apart() -> None:
    tied = {"neighbours": [{"flag_id": "A"}, {"flag_id": "B"}]}
    evidence = {"A": tied, "B": tied, "C": NOBODY, "D": tied}
    assert rings_of(evidence)["D"] == ("A", 3)
    by_hand = rings_of(evidence, {"B": "B", "C": "A"})
    assert by_hand == {"A": ("A", 3), "B": ("B", 1), "C": ("A", 3), "D": ("A", 3)}
    assert rings_of({"C": NOBODY}, {"C": "gone"}) == {"C": ("C", 1)}


def test_an_undo_does_not_tear_a_case_apart(house: object) -> None:
    one, two = flag_of("01"), flag_of("02")
    person = user(Role.REVIEWER)
    do(person, two, "join_case", with_flag=one.pk)
    assert "by hand" in why_not(ACTIONS["undo"], Flag.objects.get(pk=two.pk), person)


def test_a_case_is_named_by_a_flag_that_is_there(house: object) -> None:
    form = JoinForm(flag_of("01"), {"with_flag": "F-none"})
    assert form.errors["with_flag"] == ["There is no such flag."]
