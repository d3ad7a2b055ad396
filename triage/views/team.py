"""The team's page: how the work goes, in pictures. It ranks nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home import charts
from payeewatch.pipeline.home.charts import Part
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage import clock
from payeewatch.triage.access import household
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.figures import team
from payeewatch.triage.language import phrases
from payeewatch.triage.models import Flag, User
from payeewatch.triage.roles import REVIEWERS, Role

QUEUES = (
    ("c-hold", Flag.Queue.HOLD, ("hold",)),
    ("c-review", Flag.Queue.REVIEW, ("review", "audit")),
)
"""Colour, queue, and what counts as of it: the audit sample is not told from review while it is judged."""
VERDICTS = (
    ("c-hold", _("fraud or attempt"), FRAUD_VERDICTS),
    ("c-good", _("benign"), ("benign",)),
    ("c-soft", _("other"), ("inconclusive", "duplicate", "data_error")),
)
TIME_LEFT = (_("overdue"), _("a week"), _("a month"), _("3 months"), _("more"))
TIME_LEFT_COLOURS = ("c-bad", "c-warn", "c-review", "c-soft", "c-soft")
WORK = (
    ("free", _("nobody's yet"), "c-review"),
    ("taken", _("being worked on"), "c-good"),
    ("elsewhere", _("waiting"), "c-soft"),
    ("to_approve", _("to approve"), "c-warn"),
)


def page(request: Request) -> HttpResponse:
    """Show the team's figures."""
    today, now, user = clock.today(), clock.now(), request.user
    hidden = household.own_household(user).flags
    days = team.days(today, hidden)
    times, money, agreement = team.times(today, hidden), team.money(hidden), team.agreement(hidden)
    context = {
        "since": phrases.day(team.since(today)),
        "came": _by_day(say("Flags in, by day and queue"), days, "came"),
        "went": _by_day(say("Flags out, by day and verdict"), days, "went"),
        "days": [
            {"on": phrases.day(day.on), "came": sum(day.came.values()), "went": sum(day.went.values())} for day in days
        ],
        "precision": [_precision(name, team.precision(today, queues, hidden)) for name, queues in _precisions()],
        "times": {
            "closed": times.closed,
            "median": _hours(times.median),
            "ninety": times.ninety and _hours(times.ninety),
        },
        "money": {name: phrases.rough_euros(amount) for name, amount in money.items()},
        "clocks": _clocks(team.clocks(today, hidden)),
        "expiring": [_ending(row, today) for row in _placed(team.expiring(today, hidden), user)],
        "blocked": [_with_day(row, clock.day_of(row["since"])) for row in _placed(team.blocked(hidden), user)],
        "ended_in_vain": [_with_day(row, row["on"]) for row in _placed(team.ended_in_vain(hidden), user)],
        "agreement": agreement,
        "kappa": None if agreement.kappa is None else phrases.number(agreement.kappa, 2),
        "work": _work(team.workload(now, hidden)),
        "queues": [(colour, queue.label) for colour, queue, _codes in QUEUES],
        "verdicts": [(colour, words) for colour, words, _codes in VERDICTS],
    }
    return render(request, "triage/team.html", context)


def _by_day(title: str, days: list[team.Day], which: str) -> str:
    if which == "came":
        parts: list[tuple[str, str, tuple[str, ...]]] = [
            (colour, str(queue.label), codes) for colour, queue, codes in QUEUES
        ]
    else:
        parts = [(colour, str(words), codes) for colour, words, codes in VERDICTS]
    columns = []
    for day in days:
        counts: Mapping[str, int] = getattr(day, which)
        amounts = [(colour, name, sum(counts.get(code, 0) for code in codes)) for colour, name, codes in parts]
        label = phrases.day(day.on, year=False) if day.on.toordinal() % 2 == days[-1].on.toordinal() % 2 else ""
        columns.append((label, [Part(name, many, phrases.number(many), colour) for colour, name, many in amounts]))
    return charts.by_day(title, columns)


def _precisions() -> list[tuple[str, list[str]]]:
    return [
        (say("Hold and review"), ["hold", "review"]),
        (say("Hold"), ["hold"]),
        (say("Review"), ["review"]),
        (say("Audit sample"), ["audit"]),
    ]


def _placed(rows: Iterable[dict[str, Any]], user: User) -> list[dict[str, Any]]:
    """Rows with their rank as the user may see it."""
    return [row | {"rank": household.place_for(row["rank"], user)} for row in rows]


def _precision(name: str, share: team.Share) -> dict[str, object]:
    low, high = share.interval
    return {
        "name": name,
        "share": share,
        "value": phrases.share(share.value) if share.of else "–",
        "interval": say("%(low)s to %(high)s") % {"low": phrases.share(low), "high": phrases.share(high)},
        "at_least": phrases.share(share.at_least) if share.of else "–",
        "x": round((share.value or 0) * 200, 1),
        "low": round(low * 200, 1),
        "width": round((high - low) * 200, 1),
    }


def _hours(hours: float | None) -> str:
    if hours is None:
        return "–"
    if hours < 1:
        return say("%(minutes)s min") % {"minutes": phrases.number(max(1, round(hours * 60)))}
    if hours < 48:
        return say("%(hours)s h") % {"hours": phrases.number(hours, 1 if hours < 10 else 0)}
    return phrases.span(hours / 24)


def _clocks(counts: list[int]) -> str:
    rows = zip(TIME_LEFT, counts, TIME_LEFT_COLOURS, strict=True)
    return charts.rows(
        say("Open flags by time left to qualify them"),
        [Part(str(name), many, phrases.number(many), colour) for name, many, colour in rows],
    )


def _ending(row: Mapping[str, Any], today: date) -> dict[str, object]:
    return {
        "flag_id": row["flag_id"],
        "rank": row["rank"],
        "state": row["state"],
        "until": phrases.day(row["hold_until"]),
        "in": phrases.until(row["hold_until"], today),
        "amount": _amount(row),
        "is_soon": (row["hold_until"] - today).days <= 1,
    }


def _with_day(row: Mapping[str, Any], on: date) -> dict[str, object]:
    return {**row, "day": phrases.day(on), "amount": _amount(row)}


def _amount(row: Mapping[str, Any]) -> str:
    """The euros of planned payments on hold; a hold without any stands for later payments."""
    return phrases.euros(row["amount"]) if row["amount"] is not None else say("later payments")


def _work(work: Mapping[str, Mapping[str, int]]) -> list[dict[str, object]]:
    rows = []
    for _colour, queue, codes in QUEUES:
        counts = Counter[str]()
        for code in codes:
            counts.update(work.get(code, {}))
        if not counts.total():
            continue
        parts = [Part(str(words), counts[name], phrases.number(counts[name]), colour) for name, words, colour in WORK]
        title = say("Open flags of the queue %(queue)s") % {"queue": queue.label}
        rows.append({"queue": queue, "all": counts.total(), "chart": charts.shares(title, parts, width=520)})
    return rows


ROUTES = (Route("team", "team", page, REVIEWERS | {Role.AUDITOR, Role.SCIENTIST}, menu=_("Team")),)
