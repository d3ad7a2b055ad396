"""What nights read and refused, and how their scores moved: data quality and drift."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from payeewatch.pipeline.home import charts
from payeewatch.pipeline.home.charts import Band, Part
from payeewatch.pipeline.home.codes import WEAK_MATCHES
from payeewatch.triage.access.pseudonyms import value_for
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.evidence import svg
from payeewatch.triage.figures import drift
from payeewatch.triage.language import phrases
from payeewatch.triage.models import Night
from payeewatch.triage.roles import READERS
from payeewatch.triage.workspace import home

PAGE = 30
STATES = {
    "good": ("chip-good", _("as usual")),
    "warn": ("chip-warn", _("look at it")),
    "bad": ("chip-bad", _("moved much")),
    "few": ("", _("too few to tell")),
}
MEASURES = {
    "score": _("Score"),
    "p_value": _("p-value"),
    "lens_request": _("Lens: the request"),
    "lens_claims": _("Lens: claims that follow"),
    "lens_company": _("Lens: whom the account is shared with"),
}
VOLUMES = {"open_changes": _("Open changes"), "new_flags": _("New flags")}
EUROS = (
    ("payable_to_changed_accounts_cents", _("payable to changed accounts"), "c-review"),
    ("out_of_scope_cents", _("to other accounts"), "c-soft"),
    ("rejected_cents", _("refused"), "c-warn"),
)
Run = Mapping[str, Any]


def nights(request: Request) -> HttpResponse:
    """List the nights, the last one first."""
    page = Paginator(Night.objects.order_by("-night"), PAGE).get_page(request.GET.get("page"))
    rows = [_summary(each) for each in page]
    return render(request, "triage/nights.html", {"page": page, "rows": rows})


def night(request: Request, night: str) -> HttpResponse:
    """Show one night's data quality and drift."""
    try:
        on = date.fromisoformat(night)
    except ValueError as error:
        raise Http404 from error
    row = get_object_or_404(Night, pk=on)
    run, night_drift = row.run, drift.drift(home(), on)
    context = {
        "row": _summary(row),
        "before": Night.objects.filter(night__lt=on).order_by("-night").first(),
        "after": Night.objects.filter(night__gt=on).order_by("night").first(),
        "run": run,
        "warnings": _warnings(run),
        "tables": _tables(run),
        "rules": _rules(run),
        "euros": _euros(run.get("euros", {})),
        "unreadable": run.get("euros", {}).get("unreadable_rows", 0),
        "lists": [_list(each) for each in run.get("lists", ())],
        "unscored": [_unscored(each, request) for each in run.get("unscored_changes", ())],
        "training": _training(run.get("drift")),
        "drift": night_drift,
        "moved": [_column_row(each) for each in night_drift.columns] if night_drift else [],
        "segments": [_segment(each) for each in sorted(night_drift.segments, key=_segment_order)]
        if night_drift
        else [],
        "volumes": [_volume(each) for each in night_drift.volumes] if night_drift else [],
        "versions": run.get("versions", {}),
        "seconds": phrases.number(sum(run.get("seconds", {}).values()), 1),
    }
    return render(request, "triage/night.html", context)


def _training(facts: Run | None) -> dict[str, Any] | None:
    """What of the night is unlike the training of its model; None for nights before that was watched."""
    if not facts or facts["reference"] is None:
        return None
    return {
        "version": facts["reference"],
        "alarms": phrases.number(facts["false_alarms_a_year"]),
        "pools": [
            {
                "segment": phrases.kind_of_change(code),
                "changes": phrases.number(pool["changes"]),
                "nights": phrases.number(pool["nights"]),
                "references": phrases.number(pool["references"]),
            }
            for code, pool in sorted(facts["pools"].items())
        ],
        "moved": [
            {
                "segment": phrases.kind_of_change(each["segment"]),
                "column": each["column"],
                "side": say("above") if each["side"] == "higher" else say("at or below"),
                "share": phrases.share(each["share"]),
                "usual": phrases.share(each["usual"]),
                "changes": phrases.number(each["changes"]),
                "psi": phrases.number(each["psi"], 2),
            }
            for each in facts["moved"]
        ],
    }


def _warnings(run: Run) -> list[str]:
    """The warnings of a night, and what is so every night."""
    sentences = [*run.get("warnings", ()), *run.get("states", ())]
    codes = [*run.get("warning_codes", ()), *run.get("state_codes", ())] or [None] * len(sentences)
    return [phrases.message({"sentence": text} | (code or {})) for text, code in zip(sentences, codes, strict=True)]


def _summary(row: Night) -> dict[str, Any]:
    run = row.run
    tables = run.get("tables", {}).values()
    flagged = run.get("flagged", {})
    return {
        "night": row.night,
        "day": phrases.day(row.night),
        "read": sum(table["rows_read"] for table in tables),
        "rejected": sum(table["rows_rejected"] for table in tables),
        "nulled": sum(table["cells_nulled"] for table in tables),
        "open": run.get("changes", {}).get("open", 0),
        "scored": run.get("scored", 0),
        "flagged": sum(flagged.get(queue, 0) for queue in ("hold", "review", "audit")),
        "new": flagged.get("new", 0),
        "unscored": len(run.get("unscored_changes", ())),
        "lists": len(run.get("lists", ())),
        "warnings": len(run.get("warnings", ())),
        "model": f"{run.get('model', {}).get('name', '')} {run.get('model', {}).get('version', '')}",
    }


COUNTS = ("rows_read", "rows_accepted", "rows_rejected", "duplicates", "cells_nulled", "cells_unknown")


def _tables(run: Run) -> list[dict[str, Any]]:
    return [
        {"name": name, "counts": [facts.get(count, 0) for count in COUNTS], "warnings": sum(facts["warnings"].values()),
         "is_warn": bool(facts["rows_rejected"] or facts["cells_nulled"])}
        for name, facts in sorted(run.get("tables", {}).items())
    ]  # fmt: skip


def _rules(run: Run) -> list[dict[str, Any]]:
    """Every rule that was broken, the most often broken first."""
    broken_rules = [
        {"table": name, "rule": rule, "rows": rows, "kind": kind}
        for name, facts in run.get("tables", {}).items()
        for kind in ("rejections", "warnings")
        for rule, rows in facts.get(kind, {}).items()
    ]
    return sorted(broken_rules, key=lambda row: (row["kind"], -row["rows"], row["table"], row["rule"]))


def _euros(cents: Run) -> Any:
    if not cents.get("claims_in_cents"):
        return ""
    parts = []
    for key, name, colour in EUROS:
        amount = Decimal(cents.get(key, 0)) / 100
        parts.append(Part(str(name), float(amount), phrases.euros(amount), colour))
    whole = phrases.euros(Decimal(cents["claims_in_cents"]) / 100)
    return charts.shares(say("Claims of the night: %(whole)s") % {"whole": whole}, parts, width=760)


def _list(breach_list: Run) -> dict[str, Any]:
    share, lift = breach_list.get("exposed_share"), breach_list.get("lift")
    by_quality = breach_list.get("by_quality", {})
    return {
        "title": breach_list["title"],
        "breach_id": breach_list["breach_id"],
        "known": phrases.day(phrases.day_of(breach_list["known_at"])),
        "people": breach_list.get("people", 0),
        "exposed": breach_list.get("exposed", 0),
        "share": phrases.share(share),
        "bar": round((share or 0) * 100, 1),
        "sure": sum(many for quality, many in by_quality.items() if quality not in WEAK_MATCHES),
        "unsure": sum(many for quality, many in by_quality.items() if quality in WEAK_MATCHES),
        "lift": "–" if lift is None else phrases.number(lift, 2),
        "sentence": phrases.message(breach_list) if breach_list.get("sentence") else "",
    }


def _unscored(change: Run, request: Request) -> dict[str, Any]:
    cents = change.get("planned_cents")
    return {
        "payee": value_for(request.user, "payee", change.get("payee_id")),
        "amount": phrases.euros(None if cents is None else Decimal(cents) / 100),
    }


def _column_row(column: drift.ColumnDrift) -> dict[str, Any]:
    look, words = STATES[column.state]
    return {
        "name": MEASURES[column.name],
        "psi": "–" if column.psi is None else phrases.number(column.psi, 3),
        "ks": "–" if column.ks is None else phrases.number(column.ks, 3),
        "missing": phrases.share(column.missing, 1),
        "missing_before": phrases.share(column.missing_before, 1),
        "look": look,
        "words": words,
        "drawing": svg.tenths(
            say("%(name)s: this night beside the reference, by its tenths") % {"name": MEASURES[column.name]},
            column.shares,
            column.shares_before,
        )
        if column.shares
        else "",
    }


def _segment_order(segment: drift.Segment) -> tuple[str, str, int]:
    return phrases.segment(segment.name)[0]


def _segment(segment: drift.Segment) -> dict[str, Any]:
    return {
        "name": phrases.segment(segment.name)[1],
        "changes": segment.changes,
        "usual": phrases.number(segment.usual_changes, 1),
        "flagged": phrases.share(segment.flagged),
        "flagged_before": phrases.share(segment.flagged_before),
        "bars": svg.bars(segment.flagged, segment.flagged_before),
    }


def _volume(volume: drift.Volume) -> dict[str, Any]:
    look, words = STATES[volume.state]
    name = str(VOLUMES.get(volume.name, volume.name))
    usual = {"low": phrases.number(volume.low), "high": phrases.number(volume.high)}
    usual_text = say("usually %(low)s to %(high)s") % usual if volume.history else say("no night before")
    band = Band(volume.low, volume.middle, volume.high) if volume.state != "few" else None
    nights = len(volume.history) + 1
    description = ngettext(
        "%(many)s night; this one: %(value)s, %(usual)s", "%(many)s nights; this one: %(value)s, %(usual)s", nights
    )
    description %= {"many": nights, "value": phrases.number(volume.value), "usual": usual_text}
    return {
        "name": name,
        "value": phrases.number(volume.value),
        "usual": usual_text,
        "look": look,
        "words": words,
        "chart": charts.nights(name, [*volume.history, volume.value], band, description),
    }


ROUTES = (
    Route("nights", "nights", nights, READERS, menu=_("Nights")),
    Route("night", "nights/<str:night>", night, READERS),
)
