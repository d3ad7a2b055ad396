"""A reviewer says of a reason that it misleads, with one press; the data scientists read which features do."""

from __future__ import annotations

import csv
import io

import pytest
from django.db.models.deletion import ProtectedError

from payeewatch.triage.models import AuditRecord, Flag, MisleadingReason, User
from payeewatch.triage.records.erasure import erase, purge
from payeewatch.triage.roles import Role
from payeewatch.triage.work import misleading
from payeewatch.triage.work.workflow import Refused
from tests.triage.conftest import MORNING, flag_of, signed_in, user

REASON = {
    "feature": "amount_since_change", "value": "300", "usual": "20", "sentence": "Paid: 300.", "value_number": 300.0,
    "usual_number": 20.0, "unit": "EUR", "fact": "Paid.", "points": 1.1, "place_without": None,
}  # fmt: skip
HTMX = {"HX-Request": "true"}


@pytest.fixture
def flag(house: object) -> Flag:
    flag = flag_of("01")
    row = flag.evidence.get()
    row.body |= {"reasons": [REASON, REASON | {"feature": "new_bank"}]}
    row.save()
    return flag


@pytest.fixture
def reviewer(house: object) -> User:
    return user(Role.REVIEWER)


def press(person: User, flag: Flag, **data: str) -> str:
    answer = signed_in(person).post(
        f"/flags/{flag.pk}/misleads", {"feature": "amount_since_change"} | data, headers=HTMX
    )
    return f"{answer.status_code} {answer.text}"


def test_one_press_says_it_and_the_same_press_takes_it_back(flag: Flag, reviewer: User) -> None:
    assert 'aria-pressed="true"' in press(reviewer, flag)
    assert MisleadingReason.objects.get().feature == "amount_since_change"
    assert 'aria-pressed="false"' in press(reviewer, flag)
    assert not MisleadingReason.objects.exists()
    actions = AuditRecord.objects.filter(flag_id=flag.pk).order_by("number").values_list("action", "details")
    named = {"feature": "amount_since_change"}
    assert list(actions) == [("misleads", named), ("misleads_not", named)]


def test_the_flag_itself_is_not_touched(flag: Flag, reviewer: User) -> None:
    version = flag.version
    press(reviewer, flag)
    flag.refresh_from_db()
    assert (flag.version, flag.state, flag.claimed_by, flag.steps.count()) == (version, "new", None, 0)


def test_a_few_words_may_say_why(flag: Flag, reviewer: User) -> None:
    press(reviewer, flag)
    assert "the ceiling was raised" in press(reviewer, flag, text="the ceiling was raised")
    assert MisleadingReason.objects.get().text == "the ceiling was raised"
    assert "the ceiling was raised" in signed_in(reviewer).get(f"/flags/{flag.pk}").text
    assert "the ceiling" not in str(list(AuditRecord.objects.values_list("details", flat=True)))


def test_words_that_look_like_an_account_are_refused(flag: Flag, reviewer: User) -> None:
    answer = press(reviewer, flag, text="see FR76 3000 4000 0312 3456 7890 143")
    assert answer.startswith("409")
    assert "looks like an account" in answer
    with pytest.raises(Refused):
        misleading.explain(reviewer, flag, "new_bank", "1 85 05 78 006 084")
    assert not MisleadingReason.objects.exists()


def test_only_reasons_of_the_flag_can_mislead(flag: Flag, reviewer: User) -> None:
    assert press(reviewer, flag, feature="invented").startswith("404")


def test_it_works_without_script(flag: Flag, reviewer: User) -> None:
    answer = signed_in(reviewer).post(f"/flags/{flag.pk}/misleads", {"feature": "new_bank"})
    assert answer["Location"] == f"/flags/{flag.pk}#h-reasons"
    assert MisleadingReason.objects.get().feature == "new_bank"


def test_data_scientists_read_counts_by_feature_and_each_word(flag: Flag, reviewer: User) -> None:
    second = user(Role.SENIOR, "second")
    for person in (reviewer, second):
        press(person, flag)
    press(second, flag, feature="new_bank", text="=first account")
    Flag.objects.update(state="closed", verdict="benign")
    scientist = signed_in(user(Role.SCIENTIST))
    counts = scientist.get("/misleading").context["counts"]
    assert [(c.feature, c.times, c.flags, c.fraud, c.benign) for c in counts] == [
        ("amount_since_change", 2, 1, 0, 1), ("new_bank", 1, 1, 0, 1),
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(scientist.get("/misleading.csv").text)))
    assert [(row["feature"], row["verdict"], row["text"]) for row in rows] == [
        ("new_bank", "benign", "'=first account"), ("amount_since_change", "benign", ""),
        ("amount_since_change", "benign", ""),
    ]  # fmt: skip
    assert reviewer.username not in str(rows)


def test_a_relative_does_not_read_of_their_own_household(flag: Flag, reviewer: User) -> None:
    press(reviewer, flag)
    relative = user(Role.SCIENTIST, "relative", household_id=flag.household_id)
    assert signed_in(relative).get("/misleading").context["rows"] == []


def test_it_goes_with_the_flag(flag: Flag, reviewer: User) -> None:
    press(reviewer, flag)
    with pytest.raises(ProtectedError):
        reviewer.delete()
    Flag.objects.update(first_flagged_on="2020-01-01")
    assert purge(MORNING.date(), (), dry_run=False)["qualify"]["triage/misleading_reasons"] == 1
    assert not MisleadingReason.objects.exists()


def test_who_is_erased_is_taken_out_of_the_words(flag: Flag, reviewer: User) -> None:
    press(reviewer, flag, text="as for M77 last week")
    ids = {"member": ["M77"], "change": [], "payee": [], "flag": [], "account": []}
    erase(ids, MORNING.date(), dry_run=False)
    assert MisleadingReason.objects.get().text == "as for [erased] last week"
