"""The case file of a flag as PDF, for a complaint or a referral, in order of time.

It says as little about people as possible: internal numbers and the account hint identify people and accounts; names,
national ids and accounts are not known here. A closed case can be locked: its bytes are then stored, and their hash is
in the audit log.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage import clock
from payeewatch.triage.access import household
from payeewatch.triage.evidence import evidence_panel
from payeewatch.triage.language import phrases
from payeewatch.triage.models import CaseFile, Decision, Flag, User, is_own_household
from payeewatch.triage.records import audit
from payeewatch.triage.roles import REVIEWERS, Role
from payeewatch.triage.work.action_panel import grounds
from payeewatch.triage.work.verdicts import is_blind
from payeewatch.triage.work.workflow import check_genuine
from payeewatch.triage.workspace import home, stored_file

FOLDER = "case-files"
MOST_FACTS = 120
PURPOSES = {"complaint": _("Complaint"), "referral": _("Referral")}
INK, SOFT, LINE, GROUND, ACCENT = "#17202c", "#526071", "#d8dee7", "#f3f5f8", "#0b5c8a"


class NotLockable(Exception):
    """A case file is locked once, for a purpose, and only when its flag is closed as fraud or a stopped attempt."""


def lock(flag: Flag, user: User, purpose: str) -> CaseFile:
    """Make the case file, store its bytes, and write their hash into the audit log. A locked file never changes.

    Raises:
        NotLockable: the flag is not closed as fraud or a stopped attempt.
        Refused: the flag, or what hangs on it, was changed in the database.
    """
    with transaction.atomic():
        Flag.objects.select_for_update().get(pk=flag.pk)
        stored = locked_file(flag)
        if stored:
            return stored
        check_genuine(flag)
        if purpose not in PURPOSES or flag.state != Flag.State.CLOSED or flag.verdict not in FRAUD_VERDICTS:
            raise NotLockable
        content = case_file(flag, user, purpose)
        digest = hashlib.sha256(content).hexdigest()
        folder = home().folder("triage") / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{digest}.pdf"
        temporary = path.with_suffix(".part")
        temporary.write_bytes(content)
        temporary.chmod(0o400)
        temporary.replace(path)
        row = CaseFile.objects.create(flag=flag, at=clock.now(), by=user, stored_as=path.name, digest=digest)
        audit.record(user, "lock_case_file", flag.flag_id, digest=digest, purpose=purpose)
    return row


def options_for(flag: Flag, user: User) -> dict[str, Any]:
    """What a user may do with the case file, for the page of the flag."""
    stored = locked_file(flag)
    may_lock = user.role in REVIEWERS and flag.state == Flag.State.CLOSED and flag.verdict in FRAUD_VERDICTS
    return {
        "is_offered": user.role in REVIEWERS | {Role.AUDITOR} and not is_blind(flag, user),
        "locked": stored,
        "can_lock": may_lock and not stored,
        "purposes": [("", _("Choose a purpose")), *PURPOSES.items()],
    }


def locked_file(flag: Flag) -> CaseFile | None:
    """The case file that was locked after the flag was last closed, if any."""
    since = {"at__gte": flag.closed_at} if flag.closed_at else {}
    return flag.case_files.filter(**since).select_related("by").order_by("-at").first()


def content_of(row: CaseFile) -> bytes:
    """The bytes of a locked case file.

    Raises:
        ValueError: the file is not the one that was locked.
    """
    content = stored_file(FOLDER, row.stored_as).read_bytes()
    if hashlib.sha256(content).hexdigest() != row.digest:
        raise ValueError(f"{row.stored_as}: not the bytes that were locked")
    return content


def case_file(flag: Flag, user: User, purpose: str) -> bytes:
    """The PDF, in the user's language."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import SimpleDocTemplate

    from payeewatch.triage.work import tagged_pdf

    at = clock.now()
    _fonts()
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file, pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=20 * mm, bottomMargin=20 * mm,
        title=say("Case file %(flag)s") % {"flag": flag.flag_id}, author="PayeeWatch", lang=get_language(),
        displayDocTitle=True,
    )  # fmt: skip
    frame = _page_frame(flag, at)
    document.build(
        _story(flag, user, purpose, at), onFirstPage=frame, onLaterPages=frame, canvasmaker=tagged_pdf.TaggedCanvas
    )
    return file.getvalue()


@cache
def _fonts() -> None:
    """Bitstream Vera, which reportlab brings: it has accents and the euro sign, and is embedded."""
    import reportlab
    from reportlab.pdfbase.pdfmetrics import registerFont, registerFontFamily
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(reportlab.__file__).parent / "fonts"
    for name, file in {"Vera": "Vera", "Vera-Bold": "VeraBd"}.items():
        registerFont(TTFont(name, str(folder / f"{file}.ttf")))
    registerFontFamily("Vera", normal="Vera", bold="Vera-Bold", italic="Vera", boldItalic="Vera-Bold")


def _page_frame(flag: Flag, at: datetime) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.units import mm

    footer = say("Case file %(flag)s, made on %(at)s. Confidential: for the purpose named in it alone.")
    footer %= {"flag": flag.flag_id, "at": phrases.instant(at)}
    draft = "" if flag.state == Flag.State.CLOSED else say("DRAFT")

    def draw(canvas: Any, document: Any) -> None:
        with canvas.decoration():
            _draw(canvas, document)

    def _draw(canvas: Any, document: Any) -> None:
        width, height = document.pagesize
        canvas.saveState()
        canvas.setStrokeColor(HexColor(LINE))
        canvas.line(18 * mm, 14 * mm, width - 18 * mm, 14 * mm)
        canvas.setFillColor(HexColor(SOFT))
        canvas.setFont("Vera", 7)
        canvas.drawString(18 * mm, 10 * mm, footer)
        canvas.setFont("Vera-Bold", 9)
        canvas.drawString(18 * mm, height - 14 * mm, draft)
        canvas.setFont("Vera", 7)
        canvas.drawRightString(width - 18 * mm, 10 * mm, say("Page %(number)s") % {"number": canvas.getPageNumber()})
        canvas.restoreState()

    return draw


def _story(flag: Flag, user: User, purpose: str, at: datetime) -> list[Any]:
    panel = evidence_panel.centre(flag, user)
    strip = panel["strip"]
    story = [
        _paragraph(say("Case file"), "title"),
        _paragraph(panel["headline"], "lead"),
        _pair_table(
            [
                *([(say("Insurer"), home().params.triage.insurer)] if home().params.triage.insurer else []),
                (say("Purpose"), str(PURPOSES.get(purpose, say("not stated yet")))),
                (say("Flag"), flag.flag_id),
                (say("Change"), flag.change_id),
                (say("Payee"), f"{flag.payee_id} ({panel['payee_type']})"),
                (say("Member"), flag.member_id or "–"),
                (say("New account"), flag.account_hint),
                *([(say("Opened by"), flag.get_origin_display())] if flag.origin == Flag.Origin.BY_HAND else []),
                (say("Verdict"), _verdict_text(flag)),
                (say("Made by"), f"{user.username}, {user.get_role_display()}"),
                (say("Made on"), phrases.instant(at)),
            ]
        ),
        _paragraph(
            say("A case file tells what is known and who decided what. An unusual change is not an accusation."), "soft"
        ),
        *_heading(say("Facts")),
        _pair_table(
            [
                (say("How unusual"), strip["rarity"]),
                (say("At stake"), phrases.euros(flag.amount_at_risk)),
                (say("Paid since"), phrases.euros(flag.amount_paid)),
                *((f"{side['name']}", _account_text(side)) for side in panel["sides"]),
                *((name, value) for name, value, _look in panel["change"]),
            ]
        ),
        *_heading(say("What is unusual")),
        *[_paragraph(_reason_text(reason), "line") for reason in panel["reasons"]],
        *_heading(say("What speaks for an ordinary change")),
        *[_paragraph(_reason_text(reason), "line") for reason in panel["reassuring"]],
        *[_paragraph(f"{each['name']} ({each['words']}): {each['sentence']}", "line") for each in panel["checks"]],
    ]
    if panel["exposures"]:
        story += _heading(say("This member is the victim of a breach"))
        for each in panel["exposures"]:
            details = say("known since %(day)s; exposed: %(fields)s; %(match)s.") % {
                "day": each["known"], "fields": each["fields"], "match": each["match"],
            }  # fmt: skip
            story.append(_paragraph(f"{each['title']}, {details}", "line"))
    facts = panel["facts"][-MOST_FACTS:]
    story += [
        *_heading(say("Timeline")),
        _table(
            [say("When"), say("What"), say("Amount")],
            [
                [fact.shown_at, f"{fact.words}{f' ({fact.many})' if fact.many > 1 else ''}", fact.amount]
                for fact in facts
            ],
            (38, 95, 36),
        ),
    ]
    if len(panel["facts"]) > MOST_FACTS:
        text = say("The latest %(shown)s of %(all)s lines.") % {"shown": MOST_FACTS, "all": len(panel["facts"])}
        story.append(_paragraph(text, "soft"))
    return [
        *story,
        *_ring_section(flag, user),
        *_decision_section(flag, user),
        *_notes_section(flag),
        *_attachments_section(flag),
        *_proof_section(flag, panel["frozen_on"]),
    ]


def _ring_section(flag: Flag, user: User) -> list[Any]:
    """The other flags of the ring: about whom, how much, and where the work on them is."""
    others = Flag.objects.filter(ring=flag.ring).exclude(pk=flag.pk).order_by("place", "pk")
    rows = [
        [other.flag_id, other.payee_id, other.account_hint, phrases.euros(other.amount_at_risk), _verdict_text(other)]
        for other in others
        if not is_own_household(other, user)
    ]
    heads = [say("Flag"), say("Payee"), say("New account"), say("At stake"), say("State")]
    return [*_heading(say("Other flags of the ring")), _table(heads, rows, (36, 26, 47, 24, 36))] if rows else []


def _notes_section(flag: Flag) -> list[Any]:
    rows = [
        [phrases.instant(note.at), note.by.username, note.text]
        for note in flag.notes.select_related("by").order_by("at", "pk")
    ]
    return _section_of(say("Notes"), [say("When"), say("Who"), say("Note")], rows, (38, 30, 101))


def _attachments_section(flag: Flag) -> list[Any]:
    rows = [
        [phrases.instant(each.at), each.by.username, f"{each.name}, SHA-256 {each.digest}"]
        for each in flag.attachments.select_related("by").order_by("at", "pk")
    ]
    return _section_of(say("Attachments"), [say("When"), say("Who"), say("File")], rows, (38, 30, 101))


def _section_of(
    heading: str, heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]
) -> list[Any]:
    return [*_heading(heading), _table(heads, rows, widths) if rows else _paragraph(say("None."), "line")]


def _decision_section(flag: Flag, user: User) -> list[Any]:
    """What was decided, by whom and when, and by whom it was approved."""
    rows = [
        [phrases.instant(at), what, who, state]
        for at, what, who, state in sorted([*_decision_rows(flag, user), *_hold_rows(flag)])
    ]
    heading = _heading(say("Decisions"))
    if not rows:
        return [*heading, _paragraph(say("Nothing has been decided yet."), "line")]
    return [*heading, _table([say("When"), say("What"), say("Who"), say("State")], rows, (38, 67, 40, 24))]


def _decision_rows(flag: Flag, user: User) -> Iterator[tuple[datetime, str, str, str]]:
    decisions = flag.decisions.exclude(state=Decision.State.UNDONE).select_related("by", "approver")
    for each in decisions:
        who = each.by.username
        if each.approver:
            who = say("%(by)s, approved by %(approver)s") % {"by": who, "approver": each.approver.username}
        is_told = each.duplicate_of_id and each.duplicate_of_id not in household.own_household(user).flags
        other = say("duplicate of %(flag)s") % {"flag": each.duplicate_of_id} if is_told else ""
        codes = (each.get_verdict_display(), other, *grounds(each))
        what = ", ".join(str(words) for words in (each.get_kind_display(), *codes, each.note) if words)
        yield each.decided_at or each.at, what, who, str(each.get_state_display())


def _hold_rows(flag: Flag) -> Iterator[tuple[datetime, str, str, str]]:
    for each in flag.holds.select_related("by"):
        amount = phrases.euros(each.amount) if each.payment_id else say("all later payments")
        values = {"day": phrases.day(each.hold_until) if each.hold_until else "", "amount": amount}
        words = say("Hold until %(day)s, %(amount)s") if each.hold_until else say("Hold without end, %(amount)s")
        what = words % values
        yield each.at, what, each.by.username if each.by else say("the night"), str(each.get_state_display())


def _verdict_text(flag: Flag) -> str:
    if not flag.verdict:
        return str(flag.get_state_display())
    words = flag.get_verdict_display()
    return f"{words}, {phrases.instant(flag.closed_at)}" if flag.closed_at else str(words)


def _proof_section(flag: Flag, frozen_on: date | None) -> list[Any]:
    rows = [(say("Evidence as of"), phrases.day(frozen_on) if frozen_on else "–"),
            (say("SHA-256 of the evidence"), flag.evidence_digest),
            (say("Model"), f"{flag.model} {flag.model_version}, {flag.run_id}")]  # fmt: skip
    text = say("Once locked, the SHA-256 of this document is in the audit log: any other bytes are not this case file.")
    return [*_heading(say("How to check this file")), _pair_table(rows), _paragraph(text, "soft")]


def _account_text(side: dict[str, Any]) -> str:
    if not side["is_there"]:
        return say("no account before")
    used = ", ".join(filter(None, (side["payees"], side["households"])))
    template = say("%(hint)s; this payee's since %(since)s; first seen here %(first)s; used by %(used)s")
    return template % {"hint": side["hint"], "since": side["since"], "first": side["first"], "used": used}


def _reason_text(reason: Any) -> str:
    usual = say(" (usually %(usual)s)") % {"usual": reason.usual} if reason.usual else ""
    return f"{reason.words}{say(': ')}{reason.value}{usual}."


def _heading(words: str) -> list[Any]:
    """A heading; it moves to the next page if there is little room below it."""
    from reportlab.lib.units import mm
    from reportlab.platypus import CondPageBreak

    return [CondPageBreak(40 * mm), _paragraph(words, "heading")]


def _paragraph(words: str, kind: str) -> Any:
    from payeewatch.triage.work import tagged_pdf

    return tagged_pdf.text(escape(words), _styles()[kind], {"title": "H1", "heading": "H2"}.get(kind, "P"))


@cache
def _styles() -> dict[str, Any]:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle

    plain = {"fontName": "Vera", "fontSize": 8.5, "leading": 12, "textColor": HexColor(INK)}
    bold = plain | {"fontName": "Vera-Bold"}
    return {
        "title": ParagraphStyle("title", **bold | {"fontSize": 18, "leading": 24, "textColor": HexColor(ACCENT)}),
        "lead": ParagraphStyle("lead", **plain | {"fontSize": 11, "leading": 16}, spaceAfter=8),
        "heading": ParagraphStyle("heading", **bold | {"fontSize": 11, "leading": 15}, spaceBefore=14, spaceAfter=4),
        "line": ParagraphStyle("line", **plain, leftIndent=8, spaceAfter=2),
        "soft": ParagraphStyle("soft", **plain | {"fontSize": 7.5, "textColor": HexColor(SOFT)}, spaceBefore=4),
        "cell": ParagraphStyle("cell", **plain | {"fontSize": 8, "leading": 10.5}),
        "name": ParagraphStyle("name", **plain | {"fontSize": 8, "leading": 10.5, "textColor": HexColor(SOFT)}),
        "head": ParagraphStyle("head", **bold | {"fontSize": 8, "leading": 10.5}),
    }


def _pair_table(rows: Sequence[tuple[str, str]]) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.units import mm

    from payeewatch.triage.work import tagged_pdf

    cells = tagged_pdf.in_table([[_paragraph(name, "name"), _paragraph(value, "cell")] for name, value in rows])
    style = [("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor(LINE)), ("VALIGN", (0, 0), (-1, -1), "TOP"),
             ("LEFTPADDING", (0, 0), (0, -1), 0)]  # fmt: skip
    return tagged_pdf.Grid(cells, colWidths=[42 * mm, 127 * mm], style=style, hAlign="LEFT")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.units import mm

    from payeewatch.triage.work import tagged_pdf

    cells = [[_paragraph(name, "head") for name in head], *[[_paragraph(cell, "cell") for cell in row] for row in rows]]
    cells = tagged_pdf.in_table(cells, heads=1)
    style = [("BACKGROUND", (0, 0), (-1, 0), HexColor(GROUND)), ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor(LINE)),
             ("VALIGN", (0, 0), (-1, -1), "TOP")]  # fmt: skip
    return tagged_pdf.Grid(cells, colWidths=[width * mm for width in widths], style=style, repeatRows=1, hAlign="LEFT")
