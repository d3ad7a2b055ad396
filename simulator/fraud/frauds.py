"""Fraud campaigns, played: each case's way in, its change of account, its claims, and how it came to light.

T01 web account taken over, then invoices made up      T11 a practice's account redirected by letter
T02 one mule account collects several members          T13 an insider or broker changes many at once
T05 a change while much genuine money is pending       T14 a child's care paid to a new payee
T06 set, paid within days, set back                    T15 small receipts that begin months later
T07 a member without care for a year wakes up          T16 a dead member's care
T08 one invoice copied for several members             T17 an invoice another insurer has paid
T09 a member lends his own access, no change           T18 enrolled with a stolen identity
T10 a practice that does not exist                     T20 a contract ended for its refund
New banks abroad (T03), names that do not match (T04) and new contact data first (T12) go with any of them; failed
logins in waves (T19) go before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import DAY_SECONDS, NEVER, business_day, daytime, pick, stream
from payeewatch.simulator.fraud.campaigns import CHANGES_ACCOUNT, STOPS, Case, Crime
from payeewatch.simulator.life.changes import (
    AUTHS,
    CAUSES,
    CHANNELS,
    NAME_CHECKS,
    OTHER_NAME,
    OWN_NAME,
    PROOFS,
    Changes,
)
from payeewatch.simulator.life.claims import (
    FAMILIES,
    MOBILE,
    NOEMIE,
    PORTAL,
    REJECTED,
    SETTLED,
    THIRD_PARTY,
    Claims,
    settled_on,
)
from payeewatch.simulator.life.events import DEVICE, EMAIL, FAILED, LOGIN, MFA, PHONE, RESET, Events
from payeewatch.simulator.population.people import CHILD
from payeewatch.simulator.population.providers import SPECIALTIES, choose_providers
from payeewatch.simulator.text import NONE

DEAR = ("optical", "dental", "hospital", "hearing", "soft_medicine")
CLAIMED = {"T08": ("dental",), "T09": ("dental", "hospital"), "T14": ("dental", "optical", "soft_medicine"),
           "T15": ("soft_medicine",), "T17": ("soft_medicine", "optical")}  # fmt: skip
UNCHANGED = ("T09", "T10", "T17")
Table = TypeVar("Table", Changes, Claims, Events)


@dataclass
class CaseResult:
    """What became of one case."""

    case: Case
    account: int
    known_on: int  # day of the insurer's decision, or NEVER
    by: str  # complaint, audit, blocked or nobody
    contact_first: bool
    last: int  # day of the last claim


@dataclass
class Frauds:
    """What the campaigns add to the insurer's tables and change in them, and the result of each case."""

    changes: Changes
    claims: Claims
    events: Events
    cases: list[CaseResult]
    closing_days: Mapping[int, int]  # account -> day its bank closes it
    opened_on: dict[int, int]  # practice that does not exist -> day
    joined_on: dict[int, int]  # household enrolled with a stolen identity -> day
    left_on: dict[int, int]  # household whose contract was ended -> day
    redirections: list[tuple[int, int, int]]  # payee of a contract, day, payee its children's care goes to
    refunds: list[tuple[int, int, int, int]]  # case, payee, day, cents


@dataclass
class _Scene:
    """One case while it is played: its random stream, and the rows it adds."""

    crime: Crime
    case: Case
    rng: np.random.Generator
    until: int  # the last day on which it can act: a block, or the end
    changes: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    contact_first: bool = False

    @property
    def clumsy(self) -> float:
        return 1 - self.case.stealth

    def mixed(self, clumsy: float, careful: float) -> bool:
        """Draw whether something happens, with one probability for clumsy cases and another for careful ones."""
        return bool(self.rng.random() < clumsy * self.clumsy + careful * self.case.stealth)


def play(crime: Crime, cases: list[Case], block_days: Mapping[int, int]) -> Frauds:
    """Every case in order; a blocked one ends on that day, and its campaign may react.

    Args:
        crime: the insurer the cases are against.
        cases: the plan.
        block_days: case number -> day on which the insurer stopped it.
    """
    nothing = crime.honest.rows(_NOTHING), crime.claims.rows(_NOTHING), _no_events()
    frauds = Frauds(*nothing, [], crime.closing_days, {}, {}, {}, [], [])
    scenes = []
    first_block: dict[int, int] = {}
    for case in sorted(cases, key=lambda case: (case.day, case.number)):
        if case.number in block_days:
            first_block[case.campaign] = min(first_block.get(case.campaign, NEVER), block_days[case.number])
        after = first_block.get(case.campaign, NEVER) < case.day
        if after and case.reaction == STOPS:
            continue
        if after and case.reaction == CHANGES_ACCOUNT:
            case = replace(case, account=case.other_account)
        elif after:
            case = replace(case, stealth=min(1.0, case.stealth + 0.3))
        until = min(block_days.get(case.number, NEVER), crime.book.end)
        scene = _Scene(crime, case, stream(crime.seed, f"case {case.number}"), until)
        frauds.cases.append(_act(scene, frauds, block_days.get(case.number, NEVER)))
        scenes.append(scene)
    frauds.changes = _table(Changes, [row for scene in scenes for row in scene.changes], crime.honest)
    frauds.claims = _table(Claims, [row for scene in scenes for row in scene.claims], crime.claims)
    frauds.events = Events.concat(
        [_table(Events, [r for s in scenes for r in s.events], _no_events()), _probing(crime)]
    )
    return frauds


def _act(scene: _Scene, frauds: Frauds, blocked_on: int) -> CaseResult:
    """One case, from the start to the day of its discovery."""
    case = scene.case
    changed = case.kind not in UNCHANGED
    if changed:
        _change(scene)
    elif case.kind == "T09":
        _event(scene, case.payee, case.day * DAY_SECONDS - 7200, LOGIN, case.device, case.network, False)
    last = SCRIPTS.get(case.kind, _invoices)(scene, frauds)
    reported_on, known_on, by = _discovery(scene, last)
    if blocked_on < reported_on:
        reported_on, known_on, by = blocked_on, blocked_on, "blocked"
    if reported_on <= scene.crime.book.end and changed and case.kind not in ("T14", "T16", "T18"):
        _set_back(scene, reported_on, "restored", "back_office")
    scene.claims = [
        claim for claim in scene.claims if claim["received_at"] < reported_on * DAY_SECONDS or reported_on == blocked_on
    ]
    for claim in scene.claims:  # a claim that is not paid before the report or the block is rejected
        if claim["decided_on"] >= reported_on:
            claim["final"], claim["reimbursed_cents"] = REJECTED, 0
        elif reported_on <= business_day(np.array([claim["decided_on"]]), 3)[0]:
            claim["reversed_on"] = reported_on
    return CaseResult(case, case.account, known_on, by, scene.contact_first, last)


# The way in ----------------------------------------------------------------------------------------------


def _change(scene: _Scene) -> None:
    """The change of account, and the events before it on the web account or the telephone."""
    rng, case = scene.rng, scene.case
    requested = case.day * DAY_SECONDS + int(rng.integers(7 * 3600, 19 * 3600))
    if case.kind == "T13":  # at hours when nobody else is there
        requested = case.day * DAY_SECONDS + int(rng.choice([5, 19, 20])) * 3600 + int(rng.integers(0, 3600))
    fraud = scene.crime.fraud
    own_device = scene.mixed(*fraud.own_device)
    device = _own_device(scene) if own_device else case.device
    channel = _channel(scene)
    if channel in ("portal", "mobile"):
        _break_in(scene, requested, device, channel == "mobile")
    elif case.kind not in ("T11", "T13", "T18") and scene.mixed(*fraud.new_contact):
        scene.contact_first = True
        _event(scene, case.payee, requested - int(rng.integers(0, 14 * DAY_SECONDS)), PHONE, NONE, 3000, False)
    named = scene.mixed(*fraud.named)
    other = str(rng.choice(["close_match", "no_match", "not_possible", "not_run"], p=(0.1, 0.4, 0.3, 0.2)))
    check = NAME_CHECKS.index("match" if named else other)
    since = scene.crime.world.life.name_checked_from
    if since != p.ALWAYS_CHECKED and case.day < scene.crime.book.end - since:
        check = NAME_CHECKS.index("not_run")
    auth = {"portal": "otp_email", "mobile": "otp_sms", "call_centre": "knowledge"}.get(channel, "none")
    if fraud.authenticated and channel in PROOFS and rng.random() < fraud.authenticated:
        auth = AUTHS[int(pick(rng, PROOFS[channel], 1)[0])]
    staffed = channel in ("call_centre", "paper", "back_office", "broker")
    anybody = int(rng.integers(0, 40))
    effective = requested + int(rng.integers(600, DAY_SECONDS))
    if fraud.effect_days:
        effective += (int(pick(rng, fraud.effect_days, 1)[0]) * DAY_SECONDS) - (effective - requested) * 7 // 8
    scene.changes.append({
        "payee": case.payee, "requested_at": requested, "effective_at": effective,
        "account": case.account, "cause": CAUSES.index(case.kind), "channel": CHANNELS.index(channel),
        "actor": case.actor if case.kind == "T13" else anybody if staffed else NONE, "auth": AUTHS.index(auth),
        "name_check": check, "device": device if channel in ("portal", "mobile") else NONE,
        "document": int(rng.integers(0, 10**12)) if channel in ("portal", "paper", "email") else NONE,
        "holder": OWN_NAME if named or rng.random() < 0.5 else OTHER_NAME,
        "is_announced": _is_announced(scene), "campaign": case.campaign,
        "reported_on": requested // DAY_SECONDS, "number": -(case.number * 4 + 1),
    })  # fmt: skip


def _is_announced(scene: _Scene) -> bool:
    """Whether the log of changes has it. No insider or practice needs to go past it."""
    rng, case = scene.rng, scene.case
    past_the_log = scene.crime.fraud.unannounced
    if case.kind == "T14":
        return bool(rng.random() < 0.5)
    return not (past_the_log and case.kind not in ("T11", "T18") and rng.random() < past_the_log)


def _channel(scene: _Scene) -> str:
    usual = ("portal", "mobile", "call_centre", "paper")[int(pick(scene.rng, scene.crime.fraud.channels, 1)[0])]
    if scene.case.kind == "T13":
        return "back_office" if scene.case.actor < 1000 else "broker"
    return {"T11": "email", "T14": "paper", "T16": "paper", "T18": "portal"}.get(scene.case.kind, usual)


def _break_in(scene: _Scene, requested: int, device: int, mobile: bool) -> None:
    case, rng = scene.case, scene.rng
    at = requested - int(rng.integers(120, 2400))
    steps = [LOGIN]
    fraud = scene.crime.fraud
    if scene.mixed(*fraud.new_password):
        steps.append(RESET)
    if device != _own_device(scene):
        steps.append(DEVICE)
    if rng.random() < 0.15:
        steps.append(MFA)
    if scene.mixed(*fraud.new_contact):
        scene.contact_first = True
        steps.append(EMAIL if rng.random() < 0.5 else PHONE)
    for place, kind in enumerate(steps):
        _event(scene, case.payee, at - 300 * place, kind, device, case.network, mobile)


def _event(scene: _Scene, payee: int, at: int, kind: int, device: int, network: int, mobile: bool) -> None:
    abroad = network >= 9000 and bool(scene.rng.random() < 0.2)
    if at >= scene.crime.book.start * DAY_SECONDS:
        scene.events.append({
            "member": int(_payees(scene).member[payee]), "at": at, "kind": kind, "mobile": mobile, "device": device,
            "network": network, "abroad": abroad, "number": -(scene.case.number * 16 + len(scene.events) + 1),
        })  # fmt: skip


def _set_back(scene: _Scene, day: int, cause: str, channel: str) -> None:
    """The payee's own account is set again: by the back office, or by the fraudster who hopes that nobody noticed."""
    payee, places = scene.case.payee, len(_payees(scene).account)
    own = scene.crime.providers.account[payee - places] if payee >= places else _payees(scene).account[payee]
    at = day * DAY_SECONDS + 15 * 3600
    staff = channel == "back_office"
    scene.changes.append({
        "payee": payee, "requested_at": at, "effective_at": at + 3600, "account": int(own),
        "cause": CAUSES.index(cause), "channel": CHANNELS.index(channel), "actor": 7 if staff else NONE,
        "auth": AUTHS.index("none" if staff else "otp_sms"), "name_check": NAME_CHECKS.index("match"),
        "device": NONE if staff else scene.case.device, "document": NONE, "holder": OWN_NAME, "is_announced": True,
        "campaign": NONE, "reported_on": day, "number": -(scene.case.number * 4 + 2 + (not staff)),
    })  # fmt: skip


# What is claimed -----------------------------------------------------------------------------------------


def _invoices(scene: _Scene, frauds: Frauds) -> int:
    """Made-up invoices after a wait. Returns the day of the last."""
    if scene.case.invoices:
        return _fixed_invoices(scene)
    rng, case, fraud = scene.rng, scene.case, scene.crime.fraud
    slow, unchanged = case.kind == "T15", case.kind in UNCHANGED
    wait = (
        int(np.clip(rng.lognormal(np.log(fraud.wait_days[0] + fraud.wait_days[1] * case.stealth), 0.9), 1, 150))
        + fraud.wait_at_least
    )
    wait = int(rng.integers(45, 150)) if slow else 0 if unchanged else wait
    wait = int(rng.integers(50, 110)) if case.kind == "T18" else wait
    count = int(rng.integers(4, 11)) if slow else 1 + min(int(rng.poisson(1.2)), 3)
    copied = _invoice(scene, stream(scene.crime.seed, f"invoice {case.campaign}"))
    when = case.day + wait
    for _ in range(count):
        one = copied if case.copied else _invoice(scene, rng)
        public = scene.mixed(*fraud.recorded) and not unchanged
        if when <= scene.until:
            _claim(scene, when, one, public)
        same_day = not slow and rng.random() < p.INVOICES_TOGETHER
        when += int(rng.integers(12, 30)) if slow else 0 if same_day else int(rng.integers(1, 8))
    return when


def _fixed_invoices(scene: _Scene) -> int:
    """The invoices of a staged campaign, each on its day. Returns the day of the last."""
    for invoice in scene.case.invoices:
        content = {"family": invoice.family, "amount": invoice.euros * 100, "fit": scene.rng.uniform(0.92, 1)}
        sent_on = scene.case.day + invoice.sent_after
        _claim(scene, sent_on, content, public=False, decided=sent_on + 1)
    return scene.case.day + max(invoice.sent_after for invoice in scene.case.invoices)


def _snatch(scene: _Scene, frauds: Frauds) -> int:
    """Nothing is made up: the genuine pending money goes to the new account."""
    return scene.case.day + 6


def _flip(scene: _Scene, frauds: Frauds) -> int:
    """A claim that is paid within days; then the old account is set again before anybody looks."""
    settled = int(settled_on(np.array([scene.case.day]))[0])
    _claim(scene, scene.case.day, _invoice(scene, scene.rng), False, decided=settled)
    back = settled + int(scene.rng.integers(7, 10))
    if back <= scene.until:
        _set_back(scene, back, "flipped_back", "mobile")
    return back


def _ghost(scene: _Scene, frauds: Frauds) -> int:
    """A practice that does not exist bills for members who were never there."""
    crime, case, rng = scene.crime, scene.case, scene.rng
    frauds.opened_on[case.provider] = case.day - 20
    payees = crime.book.payees
    pool = np.flatnonzero(crime.is_exposed & (payees.left_on > case.day + 90) & (payees.joined_on < case.day))
    dental = SPECIALTIES[int(crime.providers.specialty[case.provider])] == "dentist"
    day = case.day
    for payee in rng.choice(pool, min(len(pool), int(rng.integers(12, 60))), replace=False):
        day += int(rng.integers(0, 4))
        invoice = _invoice(scene, rng) | {"family": "dental" if dental else "device"}
        if day <= scene.until:
            _claim(scene, day, invoice, False, payee=int(payee))
    return day


def _practice(scene: _Scene, frauds: Frauds) -> int:
    """A practice's genuine payments go elsewhere until it asks where they are."""
    return scene.case.day + int(scene.rng.integers(7, 14))


def _child(scene: _Scene, frauds: Frauds) -> int:
    """A child's care is paid to somebody else, and some care is made up."""
    frauds.redirections.append((int(_payees(scene).household[scene.case.payee]), scene.case.day, scene.case.payee))
    return _invoices(scene, frauds)


def _enrolment(scene: _Scene, frauds: Frauds) -> int:
    """A contract in the name of somebody else, whose guarantees are used after the first months."""
    frauds.joined_on[scene.case.payee] = scene.case.day
    return _invoices(scene, frauds)


def _refund(scene: _Scene, frauds: Frauds) -> int:
    """The contract is ended, and the premium paid in advance goes to the new account."""
    day = scene.case.day + int(scene.rng.integers(5, 11))
    if day <= scene.until:
        frauds.left_on[int(_payees(scene).household[scene.case.payee])] = scene.case.day + 2
        frauds.refunds.append(
            (scene.case.number, scene.case.payee, day, int(scene.rng.lognormal(np.log(320), 0.5) * 100))
        )
    return day


SCRIPTS = {
    "T05": _snatch, "T06": _flip, "T10": _ghost, "T11": _practice, "T14": _child, "T18": _enrolment, "T20": _refund,
}  # fmt: skip


def _invoice(scene: _Scene, rng: np.random.Generator) -> dict[str, Any]:
    """The content of a claim: family, amount in cents, how near to the ceiling."""
    kind, fraud = scene.case.kind, scene.crime.fraud
    family = str(rng.choice(CLAIMED.get(kind, DEAR)))
    usual = _usual_invoice(scene, rng) if kind not in CLAIMED and any(fraud.modest) else None
    if usual:
        return usual
    amount = float(np.clip(rng.lognormal(np.log(p.INVOICE_EUROS * (1 - 0.6 * scene.case.stealth)), 0.6), 60, 4000))
    if kind == "T15" or family == "soft_medicine":
        amount = float(rng.uniform(40, 90))
    if fraud.amount_at_most:
        amount = min(amount, fraud.amount_at_most * float(rng.uniform(0.8, 1)))
    fit = rng.uniform(0.92, 1) if rng.random() < fraud.fitted else rng.uniform(0.2, 0.8)
    return {"family": family, "amount": int(amount * 100), "fit": fit}


def _usual_invoice(scene: _Scene, rng: np.random.Generator) -> dict[str, Any] | None:
    """An invoice like one of the dearest quarter that the victim was paid for before: the web account shows them."""
    fraud, claims, case = scene.crime.fraud, scene.crime.claims, scene.case
    if not scene.mixed(*fraud.modest):
        return None
    is_own = (claims.payee == case.payee) & (claims.reimbursed_cents > 0)
    own = np.flatnonzero(is_own & (claims.received_at < case.day * DAY_SECONDS))
    if not len(own):
        return None
    dearest = own[np.argsort(-claims.reimbursed_cents[own], kind="stable")][: 1 + len(own) // 4]
    one = int(rng.choice(dearest))
    amount = int(claims.reimbursed_cents[one] * rng.uniform(0.8, 1.2))
    return {"family": FAMILIES[int(claims.family[one])], "amount": max(amount, 100), "fit": rng.uniform(0.2, 1)}


def _claim(scene: _Scene, day: int, invoice: dict[str, Any], public: bool, decided: int = 0, payee: int = NONE) -> None:
    rng, case, crime = scene.rng, scene.case, scene.crime
    who = case.payee if payee == NONE else payee
    member = int(_payees(scene).member[who])
    if case.kind == "T14":
        people = crime.book.people
        member = int(np.flatnonzero((people.household == people.household[member]) & (people.role == CHILD))[0])
    family = FAMILIES.index(invoice["family"])
    limit = p.FAMILIES[invoice["family"]][3] * (0.6 + 0.4 * int(crime.book.people.level[member])) * 100
    paid = min(invoice["amount"], int(limit)) if limit else invoice["amount"]
    provider = case.provider
    if provider == NONE:
        provider = int(
            choose_providers(rng, crime.providers, np.array([member]), np.array([family]), np.array([day]))[0]
        )
    ghost = case.kind == "T10"
    upload = int(rng.choice([PORTAL, MOBILE]))
    cared = day - int(rng.integers(0, 9))
    scene.claims.append({
        "member": member, "provider": provider, "cared_on": max(cared, case.day - 9),
        "received_at": day * DAY_SECONDS + int(rng.integers(7 * 3600, 19 * 3600)), "family": family,
        "channel": THIRD_PARTY if ghost else NOEMIE if public else upload, "public": public,
        "billed_cents": int(paid * rng.uniform(1, 1.3)), "reimbursed_cents": paid,
        "ceiling": max(int(min(limit, paid / invoice["fit"])), paid) if limit else NONE,
        "payee": len(_payees(scene).member) + provider if ghost else who, "pends": False, "final": SETTLED,
        "decided_on": decided or int(settled_on(np.array([day + 1 + int(rng.integers(0, 3))]))[0]),
        "reversed_on": NEVER,
        "invoice": NONE if public or ghost else _paper(scene), "campaign": case.campaign,
        "number": -(case.number * 64 + len(scene.claims) + 1),
    })  # fmt: skip


def _paper(scene: _Scene) -> int:
    """The uploaded document: the same for all claims of one invoice, unless the campaign is careful."""
    own = int(scene.rng.integers(0, 2**40))
    shared = int(stream(scene.crime.seed, f"paper {scene.case.campaign}").integers(0, 2**40))
    return shared if scene.case.copied and scene.case.stealth < 0.3 else own


# How it ends ---------------------------------------------------------------------------------------------


def _discovery(scene: _Scene, last: int) -> tuple[int, int, str]:
    """The day of the report, on which the insurer acts; the day of its decision after an inquiry; and who reported it.

    A payee whose account was changed misses the first money that does not come. If a closed account returns money,
    the insurer asks the payee.
    """
    rng, kind = scene.rng, scene.case.kind
    luck, wait, inquiry = rng.random(), rng.standard_normal(), int(rng.integers(5, 40))
    never = {"T15": 0.35, "T06": 0.4, "T09": 0.7, "T10": 0.2, "T17": 0.8, "T18": 0.5, "T11": 0.0}
    middle = 10 if kind == "T11" else p.COMPLAINT_DAYS * (2.1 if scene.contact_first else 1)
    money = _money(scene)
    reported_on = NEVER
    if luck >= never.get(kind, scene.crime.fraud.never_found):
        missed = last if kind in ("T11", *UNCHANGED) else int(money.min(initial=max(last, scene.case.day + 6)))
        reported_on = int(missed + middle * np.exp(0.7 * wait))
    if kind not in UNCHANGED:
        came_back = money[money >= scene.crime.closing_days.get(scene.case.account, NEVER)]
        reported_on = min(reported_on, int(came_back.min(initial=NEVER)) + p.RETURN_ASKED_DAYS)
    if reported_on >= NEVER:
        return NEVER, NEVER, "nobody"
    return reported_on, reported_on + inquiry, "audit" if kind in UNCHANGED else "complaint"


def _money(scene: _Scene) -> np.ndarray:
    """The days on which money goes to the new account: for what is made up, and the victim's own."""
    claims, case = scene.crime.claims, scene.case
    own = claims.decided_on[(claims.payee == case.payee) & (claims.final == SETTLED) & (claims.reimbursed_cents > 0)]
    invented = [claim["decided_on"] for claim in scene.claims]
    return business_day(np.concatenate([own[own >= case.day], invented]).astype(np.int64), 3)


def _probing(crime: Crime) -> Events:
    """Failed logins and new passwords in the weeks after a list is published; most have no consequence."""
    parts = [_no_events()]
    for number, breach in enumerate(crime.world.lists):
        rng = stream(crime.seed, f"probing {breach.breach_id}")
        begins = crime.book.end - breach.exposed_days_ago + int(rng.integers(5, 30))
        payees = crime.book.payees
        here = payees.has_web & crime.is_exposed & (payees.joined_on < begins) & (payees.left_on > begins)
        payee = np.flatnonzero(here & (rng.random(len(here)) < 0.02 * crime.fraud.probing))
        day = begins + rng.integers(0, 10, len(payee))
        inside = (day >= crime.book.start) & (day <= crime.book.end)
        payee, day = payee[inside], day[inside]
        count = len(payee)
        parts.append(Events(
            member=payees.member[payee], at=daytime(rng, day), kind=np.where(rng.random(count) < 0.85, FAILED, RESET),
            mobile=np.zeros(count, bool), device=2 * 10**8 + rng.integers(0, 50, count),
            network=rng.integers(9000, 9100, count), abroad=rng.random(count) < 0.4,
            number=-(10**8 * (number + 1) + np.arange(count)),
        ))  # fmt: skip
    return Events.concat(parts)


_NOTHING = np.zeros(0, np.int64)


def _payees(scene: _Scene) -> Any:
    return scene.crime.book.payees


def _own_device(scene: _Scene) -> int:
    payees = _payees(scene)
    return int(payees.device[scene.case.payee]) if 0 <= scene.case.payee < len(payees.device) else NONE


def _no_events() -> Events:
    flags = {"mobile", "abroad"}
    return Events(*(np.zeros(0, bool if f.name in flags else np.int64) for f in fields(Events)))


def _table(kind: type[Table], rows: list[dict[str, Any]], like: Table) -> Table:
    """Rows as columns, of the types that honest rows have."""
    names = [f.name for f in fields(kind)]
    return kind(*(np.array([row[name] for row in rows], getattr(like, name).dtype) for name in names))
