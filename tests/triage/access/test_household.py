"""A user who is insured here learns nothing about flags on the own household, on any page."""

from __future__ import annotations

import re
from datetime import date
from io import BytesIO
from zipfile import ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.test import Client
from pypdf import PdfReader

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access import household
from payeewatch.triage.models import Decision, Evidence, Flag, Hold, MisleadingReason, Step, User
from payeewatch.triage.roles import ANYBODY, Role
from payeewatch.triage.urls import ROUTES
from payeewatch.triage.work import actions, search
from tests.triage.conftest import MORNING, flag_of, signed_in, user

OWN, OTHER, THIRD = "77777771", "77777772", "77777773"
"""Members: the first one's flag names the ring of all three, and has the first place."""
HOUSEHOLD, PAYEE, SILENT = "H-canary-77", "P-canary-88", "P-silent-99"
"""Numbers of the own household: the last one is of a payee without a flag."""
OWN_FLAG = f"F-{int(OWN):016x}"
CANARIES = (OWN, HOUSEHOLD, PAYEE, SILENT, "X-canary-66", OWN_FLAG)
ACCOUNT = "fedcba98fedcba98fedcba98fedcba98"


def scored(change_id: str, payee_id: str, member_id: str, household_id: str, why_not: str | None) -> dict[str, object]:
    row = dict.fromkeys(search.COLUMNS)
    return row | {
        "night": MORNING.date(), "change_id": change_id, "payee_id": payee_id, "member_id": member_id,
        "household_id": household_id, "account": ACCOUNT, "segment": "member", "age_days": 3, "score": 3.0,
        "p_value": 0.01, "rank_before_cut": 7, "why_not": why_not, "flag_id": None,
    }  # fmt: skip


@pytest.fixture
def ring(house: Settings) -> list[Flag]:
    """A flag about the own household, and two that are tied to it in every way that there is."""
    tied = {"account": ACCOUNT, "actor_id": "A1", "ring": OWN_FLAG, "ring_size": 3}
    own = flag_of(OWN, change_id="X-canary-66", household_id=HOUSEHOLD, payee_id=PAYEE, rank=1, **tied)
    others = [flag_of(each, rank=rank, **tied) for rank, each in ((2, OTHER), (3, THIRD))]
    neighbours = [
        {"relation": relation, "payee_id": payee, "flag_id": flag_id, "account": ACCOUNT}
        for relation in ("same_account", "same_device", "same_actor")
        for payee, flag_id in ((PAYEE, own.pk), (SILENT, None), (f"P{OTHER}", None))
    ]
    more = {
        "neighbours": neighbours,
        "actor_changes": [
            {"at": "2024-09-20T10:00:00", "payee_id": payee, "same_account": True, "change_id": None, "flag_id": None}
            for payee in (PAYEE, SILENT, f"P{OTHER}")
        ],
        "device_uses": [
            {"at": "2024-09-20T10:00:00", "member_id": each, "kind": "login", "event_id": "E1"} for each in (OWN, OTHER)
        ],
    }
    for row in Evidence.objects.all():
        Evidence.objects.filter(pk=row.pk).update(body=row.body | more)
    colleague = user(Role.SENIOR, "colleague")
    for flag in (own, *others):
        step = Step.objects.create(
            step_id=f"{int(flag.member_id or 0):032x}", flag=flag, user=colleague, action="note", at=MORNING, before={},
            version_after=2,
        )  # fmt: skip
        for until in (date(2024, 9, 27), None):
            Hold.objects.create(
                flag=flag, payment_id=f"Y-{until}", payee_id=flag.payee_id, account=ACCOUNT, change_id=flag.change_id,
                amount=100, hold_until=until, state="held", at=MORNING,
            )  # fmt: skip
        MisleadingReason.objects.create(flag=flag, feature="days_since", by=colleague, at=MORNING)
        Decision.objects.create(
            flag=flag, step=step, kind="verdict", state="pending", by=colleague, at=MORNING, change_id=flag.change_id,
            verdict="confirmed_fraud",
        )  # fmt: skip
    house.folder("scores").mkdir(parents=True, exist_ok=True)
    rows = [
        scored("X-silent", SILENT, OWN, HOUSEHOLD, "capacity"),
        scored("X-other", "P-other", "00000009", "H9", "capacity"),
    ]
    pq.write_table(pa.Table.from_pylist(rows), house.folder("scores") / f"{MORNING.date()}.parquet")
    return [own, *others]


def content(client: Client, method: str, path: str, data: dict[str, str] | None = None) -> str:
    answer = getattr(client, method)(path, data or {})
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    if body.startswith(b"PK"):
        with ZipFile(BytesIO(body)) as book:
            return "".join(book.read(name).decode() for name in book.namelist())
    if body.startswith(b"%PDF"):
        return "".join(page.extract_text() for page in PdfReader(BytesIO(body)).pages)
    return body.decode()


KINDS = ("member", "payee", "account", "agent", "device")
LISTS = (
    "rings=on", "of=holds_ending", "of=to_approve", "of=suppression_ends", "of=second_look", "of=audit_sample",
    "of=closed_today", "mine=on", "due=on&sort=urgency", "untouched=on", "q=canary", f"ring={OWN_FLAG}", f"q={OWN}",
)  # fmt: skip


def addresses(person: User, ring: list[Flag]) -> list[str]:
    """Every address that a person opens with GET: about the other flags, and about no flag."""
    paths = []
    for each in ROUTES:
        if "GET" not in each.methods or each.roles is ANYBODY or person.role not in each.roles or each.name == "audit":
            continue
        name = household.ring_for(OWN_FLAG, 3, person)[0]
        parts = {"flag_id": ring[1].pk, "ring": name, "pk": "1", "user_id": "1", "night": str(MORNING.date())}
        for kind in KINDS if "<str:kind>" in each.path else [""]:
            named = parts | {"kind": kind}
            paths.append("/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda match, named=named: named[match[1]], each.path))
    return sorted({*paths, *(f"/?{each}" for each in LISTS), *(f"/queue/lists?{each}" for each in LISTS)})


def told(person: User, ring: list[Flag]) -> dict[str, set[str]]:
    """Address -> the canaries that its answer has."""
    client = signed_in(person)
    asked = [(path, "get", {}) for path in addresses(person, ring)]
    asked += [(f"/queue/selected?{'&'.join(f'flag={flag.pk}' for flag in ring)}", "get", {})]
    asked += [("/search", "post", {"q": number}) for number in (OWN, PAYEE, "X-canary-66", SILENT, HOUSEHOLD)]
    pages = {}
    for path, method, data in asked:
        text, typed = content(client, method, path, data), f"{path} {data}"
        pages[f"{path} {data.get('q', '')}".strip()] = {each for each in CANARIES if each in text and each not in typed}
    return pages


@pytest.mark.parametrize(
    ("role", "own"), [(Role.SENIOR, {"household_id": HOUSEHOLD}), (Role.AUDITOR, {"member_id": OWN})]
)
def test_no_page_tells_a_user_of_the_own_household(ring: list[Flag], role: Role, own: dict[str, str]) -> None:
    relative = user(role, "relative", **own)
    assert {path: named for path, named in told(relative, ring).items() if named} == {}


def test_the_same_pages_tell_a_colleague(ring: list[Flag]) -> None:
    pages = told(user(Role.REVIEWER, "second"), ring)
    assert set().union(*pages.values()) == set(CANARIES)
    for path in ("/rings", "/export/flags.csv", "/team", f"/flags/{ring[1].pk}", f"/flags/{ring[1].pk}/about/device"):
        assert pages[path], path


def test_a_ring_has_another_name_size_and_place_and_still_opens(ring: list[Flag]) -> None:
    relative = user(Role.SENIOR, "relative", household_id=HOUSEHOLD)
    client = signed_in(relative)
    (row,) = client.get("/rings").context["rings"]
    assert (row["ring"], row["size"], row["rank"], row["open"]) == (ring[1].pk, 2, 1, 2)
    flags = client.get(f"/rings/{row['ring']}").context["flags"]
    assert [(flag.pk, flag.rank, flag.ring_size) for flag in flags] == [(ring[1].pk, 1, 2), (ring[2].pk, 2, 2)]
    assert client.get(f"/rings/{ring[0].pk}").status_code == 404
    assert [flag.pk for flag in client.get(f"/?ring={row['ring']}").context["page"]] == [ring[1].pk, ring[2].pk]


def test_a_flag_that_is_tied_to_the_own_household_alone_is_in_no_ring(ring: list[Flag]) -> None:
    Flag.objects.filter(pk=ring[2].pk).update(ring=ring[2].pk, ring_size=1)
    Flag.objects.filter(pk__in=[ring[0].pk, ring[1].pk]).update(ring_size=2)
    client = signed_in(user(Role.SENIOR, "relative", household_id=HOUSEHOLD))
    assert list(client.get("/rings").context["rings"]) == []
    assert not list(client.get("/?rings=on").context["page"])
    page = client.get(f"/flags/{ring[1].pk}")
    assert "Ring of" not in page.text
    assert "leave_case" not in page.text


def test_the_figures_of_the_team_count_without_the_own_household(ring: list[Flag]) -> None:
    relative, colleague = user(Role.REVIEWER, "relative", household_id=HOUSEHOLD), user(Role.REVIEWER, "second")
    amounts = [signed_in(each).get("/team").context["money"]["held"] for each in (relative, colleague)]
    assert amounts[0] != amounts[1]
    ends = [len(signed_in(each).get("/team").context["expiring"]) for each in (relative, colleague)]
    assert ends == [2, 3]


def test_a_colleagues_locked_case_file_is_made_anew_without_the_own_household(ring: list[Flag]) -> None:
    relative = user(Role.REVIEWER, "relative", household_id=HOUSEHOLD)
    assert household.is_named_by(ring[1], relative)
    assert not household.is_named_by(ring[1], user(Role.REVIEWER, "second"))


def test_the_next_payment_run_is_not_the_own_households(ring: list[Flag]) -> None:
    Flag.objects.filter(pk=ring[0].pk).update(first_payment_on=date(2024, 9, 28))
    Flag.objects.filter(pk=ring[1].pk).update(first_payment_on=date(2024, 9, 30))
    relative = user(Role.REVIEWER, "relative", household_id=HOUSEHOLD)
    assert actions._chosen_day("run", relative) == date(2024, 9, 30)
    assert actions._chosen_day("run", user(Role.REVIEWER, "second")) == date(2024, 9, 28)
