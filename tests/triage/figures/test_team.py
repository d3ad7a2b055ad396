"""The team's figures, counted by hand."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from statistics import median
from uuid import uuid4

import pytest
from django.urls import reverse

from payeewatch.triage import clock
from payeewatch.triage.figures import team
from payeewatch.triage.models import Decision, Flag, Hold, Step, User
from payeewatch.triage.records import erasure
from payeewatch.triage.server import housekeeping
from payeewatch.triage.views import team as page_of_team
from tests.triage.conftest import MORNING, Clock, do, flag_of, signed_in


def close(flag: Flag, verdict: str, hours: float = 2, queue: str = "review") -> None:
    opened = MORNING - timedelta(hours=10)
    Flag.objects.filter(pk=flag.pk).update(
        state="closed", verdict=verdict, opened_at=opened, closed_at=opened + timedelta(hours=hours), queue=queue
    )


def test_precision_counts_verdicts_about_the_change_alone(cast: dict[str, User]) -> None:
    verdicts = ("confirmed_fraud", "attempt_stopped", "benign", "inconclusive", "duplicate")
    for flag, verdict in zip(Flag.objects.all(), verdicts, strict=False):
        close(flag, verdict)
    share = team.precision(clock.today(), ["hold", "review"])
    assert (share.hits, share.of) == (2, 4)
    assert team.precision(clock.today(), ["audit"]).of == 0


def test_the_lower_bound_holds_for_most_queues_and_is_no_empty_one() -> None:
    """Forty insurers, each with a precision and a number of judged flags of its own."""
    rng = random.Random(5)
    insurers = [(rng.uniform(0.15, 0.7), rng.randint(30, 120)) for _ in range(40)]
    shares = [(true, team.Share(sum(rng.random() < true for _ in range(of)), of)) for true, of in insurers]
    assert sum(share.at_least <= true for true, share in shares) >= 33
    assert median(share.at_least / true for true, share in shares) >= 0.5
    assert team.Share(0, 10).at_least == team.Share(0, 0).at_least == 0
    assert team.Share(10, 10).at_least == pytest.approx(0.1 ** (1 / 10))


def test_the_interval_is_wilsons() -> None:
    low, high = team.Share(2, 10).interval
    assert (low, high) == (pytest.approx(0.0567, abs=1e-4), pytest.approx(0.5098, abs=1e-4))
    assert team.Share(0, 10).interval[0] == 0
    assert team.Share(0, 0).interval == (0, 1)


def test_the_median_time_is_from_opening_to_verdict(cast: dict[str, User]) -> None:
    for flag, hours in zip(Flag.objects.all(), (1, 3, 8), strict=False):
        close(flag, "benign", hours)
    times = team.times(clock.today())
    assert (times.closed, times.median) == (3, 3)


def test_flags_go_in_the_morning_after_their_night_and_out_when_closed(cast: dict[str, User]) -> None:
    closed = Flag.objects.first()
    assert closed
    close(closed, "benign")
    days = {day.on: day for day in team.days(clock.today())}
    for night in set(Flag.objects.values_list("first_flagged_on", flat=True)):
        assert sum(days[night + timedelta(days=1)].came.values()) == Flag.objects.filter(first_flagged_on=night).count()
    assert sum(sum(day.went.values()) for day in days.values()) == 1


def test_euros_are_those_of_holds_and_of_verdicts_in_force(cast: dict[str, User], first: Flag) -> None:
    Hold.objects.all().delete()
    for payment, state, amount in (("Y1", "held", 100), ("Y2", "released", 7), ("Y3", "expired", 30)):
        hold(first, payment, state, amount)
    do(cast["reviewer"], first, "attempt_stopped", reason="F01", evidence_kind="document", loss_recovered=3)
    assert team.money()["prevented"] == 0
    do(cast["senior"], first, "approve")
    assert {name: team.money()[name] for name in ("held", "released", "prevented", "recovered")} == {
        "held": Decimal(100), "released": Decimal(7), "prevented": Decimal(100), "recovered": Decimal(3),
    }  # fmt: skip


def test_what_is_held_of_later_payments_counts_as_what_is_at_risk(cast: dict[str, User], first: Flag) -> None:
    Hold.objects.all().delete()
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=250)
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="document")
    do(cast["senior"], first, "approve")
    assert (team.money()["held"], team.money()["prevented"]) == (250, 250)
    assert "€250" in signed_in(cast["auditor"]).get(reverse("team")).text.partition("Held now")[2][:60]


def hold(flag: Flag, payment: str, state: str, amount: int) -> None:
    Hold.objects.create(
        flag=flag, payment_id=payment, payee_id="P", account="a", change_id="C", amount=amount,
        hold_until="2024-09-30", state=state, at=MORNING,
    )  # fmt: skip


def test_what_was_purged_still_counts(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    flags = list(Flag.objects.filter(is_current=True)[:4])
    for flag, verdict in zip(flags, ("benign", "benign", "data_error", "confirmed_fraud"), strict=True):
        close(flag, verdict, hours=2.5)
    Hold.objects.all().delete()
    hold(flags[0], "Y1", "released", 1840)
    step = Step.objects.create(
        step_id=uuid4(),
        flag=flags[0],
        user=cast["second"],
        action="second_look",
        at=MORNING,
        before={},
        version_after=2,
    )
    Decision.objects.create(
        flag=flags[0], step=step, kind="second_look", state="in_force", by=cast["second"], at=MORNING, verdict="benign"
    )

    def figures() -> tuple[object, ...]:
        share, times = team.precision(clock.today(), ["review"]), team.times(clock.today())
        days = [(day.on, dict(day.came), dict(day.went)) for day in team.days(clock.today())]
        return (share.hits, share.of), times.closed, days, team.agreement()

    before = figures()
    assert before[:2] == ((1, 3), 4)
    erasure.purge(clock.today() + timedelta(days=1), (), dry_run=False)
    assert set(Flag.objects.filter(pk__in=[flag.pk for flag in flags])) == {flags[3]}
    assert figures() == before
    assert team.money()["released"] == 2000  # to one digit
    assert team.times(clock.today()).median == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize(
    ("hours", "text"), [(0.01, "1 min"), (0.5, "30 min"), (2.0, "2.0 h"), (30.0, "30 h"), (72, "3 days")]
)
def test_times_are_worded_in_the_units_that_people_use(hours: float, text: str) -> None:
    assert page_of_team._hours(hours) == text


@pytest.mark.parametrize(("many", "is_shown"), [(1, False), (9, False), (10, True)])
def test_nine_in_ten_are_shown_for_ten_or_more(cast: dict[str, User], many: int, is_shown: bool) -> None:
    for number in range(many):
        close(flag_of(str(90_000 + number)), "benign")
    page = signed_in(cast["auditor"]).get(reverse("team")).text
    assert ("9 in 10 within" in page) is is_shown
    assert "within –" not in page


def test_the_legal_clock_counts_open_flags_by_days_left(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    opened = Flag.objects.count()
    assert team.clocks(clock.today()) == [0, 0, 0, 0, opened]
    Flag.objects.filter(pk=first.pk).update(first_flagged_on=clock.today() - timedelta(days=183 + 1))
    assert team.clocks(clock.today()) == [1, 0, 0, 0, opened - 1]


def test_agreement_leaves_out_what_chance_would_bring() -> None:
    pairs = (
        [("fraud", "fraud")] * 20 + [("benign", "benign")] * 15 + [("fraud", "benign")] * 5 + [("benign", "fraud")] * 10
    )
    result = team.agreement_of(pairs)  # the textbook's example: 0.4
    assert (result.alike, result.of, result.kappa) == (35, 50, pytest.approx(0.4))
    assert team.agreement_of([("benign", "benign")]).kappa is None
    assert team.agreement_of([]).of == 0


def test_work_is_counted_by_queue_and_never_by_person(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.filter(pk=first.pk).update(claimed_by=cast["second"], claimed_until=MORNING + timedelta(minutes=5))
    User.objects.filter(pk=cast["second"].pk).update(username="a-name-of-its-own")
    work = team.workload(clock.now())
    assert work[first.queue]["taken"] == 1
    assert sum(sum(counts.values()) for counts in work.values()) == Flag.objects.filter(is_current=True).count()
    assert "a-name-of-its-own" not in signed_in(cast["auditor"]).get(reverse("team")).content.decode()


def test_the_page_tells_of_blocked_accounts_and_of_holds_that_ended_too_early(
    cast: dict[str, User], first: Flag, clocked: Clock
) -> None:
    Hold.objects.all().delete()
    for each in (first, other := Flag.objects.exclude(pk=first.pk).filter(is_current=True)[0]):
        do(cast["reviewer"], each, "hold", confirm=True)
        do(cast["reviewer"], each, "confirmed_fraud", reason="F02", evidence_kind="bank_check")
    do(cast["senior"], first, "approve")
    clocked.at += timedelta(days=60)
    housekeeping.tidy()
    assert [row["flag_id"] for row in team.blocked()] == [first.pk]
    assert [row["flag_id"] for row in team.ended_in_vain()] == [other.pk]
    page = signed_in(cast["reviewer"]).get(reverse("team")).content.decode()
    assert "Blocked until the account is put right: 1" in page
    assert "Holds that ended while a fraud waits for approval: 1" in page
    assert "No hold is in force" not in page
    pane = signed_in(cast["reviewer"]).get(reverse("flag", args=[other.pk])).content.decode()
    assert "before this was approved" in pane
    pane = signed_in(cast["reviewer"]).get(reverse("flag", args=[first.pk])).content.decode()
    assert "until the account is put right" in pane
    assert "Account put right" in pane


def test_a_hold_on_later_payments_alone_is_about_to_end_too(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    Hold.objects.all().delete()
    do(cast["reviewer"], first, "hold", confirm=True)
    assert [row["flag_id"] for row in team.expiring(clock.today())] == [first.pk]
