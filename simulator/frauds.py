"""Fraud campaigns: somebody else's account, and claims made up to be paid to it.

T01  one member's web account taken over, then one to four fabricated invoices
T02  one mule account collects several members within days
T05  a change while a large genuine reimbursement is pending
T08  the same fabricated invoice, copied for several members of one campaign
T15  small receipts, one after another, that begin months after the change
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulator import parameters as p
from simulator.accounts import Ledger, foreign_banks, neobanks, usual_banks
from simulator.chance import DAY_SECONDS, NEVER, pick, stream
from simulator.changes import AUTHS, CAUSES, CHANNELS, NAME_CHECKS, OTHER_NAME, OWN_NAME, Changes
from simulator.claims import FAMILIES, MOBILE, NOEMIE, PORTAL, SETTLED, Claims
from simulator.events import DEVICE, EMAIL, LOGIN, MFA, PHONE, RESET, Events
from simulator.people import Payees, People
from simulator.providers import Providers, visited
from simulator.text import NONE

RINGS = ("T02", "T08")
CLAIM_TYPES = {
    "T01": ("optical", "dental", "hospital", "hearing", "soft_medicine"),
    "T02": ("optical", "dental", "hospital", "soft_medicine"),
    "T08": ("dental",),
    "T15": ("soft_medicine",),
}


@dataclass
class Frauds:
    """What the campaigns add to the insurer's tables, and what the insurer found out later."""

    changes: Changes
    claims: Claims
    events: Events
    cases: list[dict[str, Any]]  # the truth, one entry a victim


@dataclass
class _Scene:
    """What a campaign needs to know of the insurer, and what it leaves behind."""

    rng: np.random.Generator
    people: People
    payees: Payees
    ledger: Ledger
    providers: Providers
    busy: np.ndarray  # payees no campaign may take any more
    exposed: np.ndarray  # payees on the third-party operator's list
    end: int
    changes: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)


def campaigns(
    seed: int,
    size: p.Size,
    people: People,
    payees: Payees,
    providers: Providers,
    ledger: Ledger,
    honest: Changes,
    exposed: np.ndarray,
    start: int,
    end: int,
) -> Frauds:
    """As many cases as life would bring, and at least as many as asked for."""
    rng = stream(seed, "frauds")
    usual = int(rng.poisson(p.CASES_PER_10K_PAYEES * len(payees.member) / 10_000 * (end - start) / 365))
    wanted = max(usual, size.least_cases)
    busy = np.isin(np.arange(len(payees.member)), honest.payee) | (payees.kind > 0) | (payees.joined > start - 60)
    scene = _Scene(rng, people, payees, ledger, providers, busy, exposed[payees.member], end)
    campaign = 0
    while len(scene.cases) < wanted and not scene.busy.all():
        fresh = sum(case["requested_day"] >= end - 13 for case in scene.cases)
        late = len(scene.cases) >= usual and fresh < size.late_share * (wanted - usual)
        day = int(rng.integers(end - 13, end) if late else rng.integers(start + (end - start) // 4, end - 10))
        _campaign(scene, campaign, _kind(rng), day, max(p.RING_SIZE[0], wanted // 3))
        campaign += 1
    return Frauds(_as_changes(scene.changes), _as_claims(scene.claims), _as_events(scene.events), scene.cases)


def _kind(rng: np.random.Generator) -> str:
    """A campaign's kind: shares are of cases, and a ring has several."""
    ring = sum(p.RING_SIZE) / 2
    weights = {kind: share / (ring if kind in RINGS else 1) for kind, share in p.TYPES.items()}
    return list(weights)[int(pick(rng, weights, 1)[0])]


def _campaign(scene: _Scene, campaign: int, kind: str, day: int, largest: int) -> None:
    """One campaign: its victims, account and device, then each victim's script."""
    rng = scene.rng
    stealth = float(rng.beta(*p.STEALTH))
    ring = min(int(rng.integers(*p.RING_SIZE, endpoint=True)), largest) if kind in RINGS else 1
    bank = usual_banks(rng, 1)
    if rng.random() < 0.62 * (1 - stealth) + 0.28 * stealth:
        bank = neobanks(rng, 1)
    elif rng.random() < 0.12 * (1 - stealth) + 0.02 * stealth:
        bank = foreign_banks(rng, 1)
    shared = int(scene.ledger.open(rng, bank)[0])
    tool = {"device": 2 * 10**8 + int(rng.integers(0, 10**8)), "network": int(rng.integers(9000, 9100))}
    template = _invoice(scene, kind, stealth)
    for victim in _victims(scene, ring, day):
        account = shared if kind == "T02" else int(scene.ledger.open(rng, bank)[0])
        spread = int(rng.integers(0, 6)) if ring > 1 else 0
        begin = min(day + spread, scene.end)
        copied = template if kind == "T08" else _invoice(scene, kind, stealth)
        _case(scene, campaign, kind, victim, begin, account, stealth, tool, copied)


def _victims(scene: _Scene, count: int, day: int) -> np.ndarray:
    """Payees without a change of their own, most of them from the operator's list."""
    there = ~scene.busy & (scene.payees.left > day + 60)
    pool = np.flatnonzero(there & scene.exposed) if scene.rng.random() < p.EXPOSED_VICTIMS else np.flatnonzero(there)
    chosen = scene.rng.choice(pool, min(count, len(pool)), replace=False)
    scene.busy[chosen] = True
    return chosen


def _invoice(scene: _Scene, kind: str, stealth: float) -> dict[str, Any]:
    """What is claimed: family, amount in cents, how near to the ceiling."""
    rng = scene.rng
    family = str(rng.choice(CLAIM_TYPES.get(kind, ("hospital", "dental"))))
    if kind == "T15" or family == "soft_medicine":
        amount = rng.uniform(40, 90)
    else:
        amount = np.clip(rng.lognormal(np.log(650 * (1 - 0.6 * stealth)), 0.6), 60, 4000)
    fitted = rng.random() < 0.6
    return {
        "family": family,
        "amount": int(amount * 100),
        "fit": rng.uniform(0.92, 1) if fitted else rng.uniform(0.2, 0.8),
    }


def _case(
    scene: _Scene,
    campaign: int,
    kind: str,
    payee: int,
    day: int,
    account: int,
    stealth: float,
    tool: dict[str, int],
    invoice: dict[str, Any],
) -> None:
    """One victim: the way in, the change, the claims, and perhaps the complaint."""
    rng = scene.rng
    requested = day * DAY_SECONDS + int(rng.integers(7 * 3600, 19 * 3600))
    own_device = rng.random() < 0.15 * (1 - stealth) + 0.70 * stealth
    device = int(scene.payees.device[payee]) if own_device else tool["device"]
    channel = CHANNELS[int(pick(rng, (0.60, 0.22, 0.13, 0.05), 1)[0])]
    if channel in ("portal", "mobile"):
        _break_in(scene, payee, requested, device, tool["network"], stealth, channel == "mobile")
    elif rng.random() < 0.45 * (1 - stealth) + 0.08 * stealth:
        _event(scene, payee, requested - int(rng.integers(0, 14 * DAY_SECONDS)), PHONE, NONE, 3000, False)
    named = rng.random() < 0.25 * (1 - stealth) + 0.80 * stealth
    check = (
        "match"
        if named
        else str(rng.choice(["close_match", "no_match", "not_possible", "not_run"], p=(0.1, 0.4, 0.3, 0.2)))
    )
    auth = {"portal": "otp_email", "mobile": "otp_sms", "call_centre": "knowledge", "paper": "none"}[channel]
    place = len(scene.changes)
    scene.changes.append({
        "payee": payee, "requested": requested, "effective": requested + int(rng.integers(600, DAY_SECONDS)),
        "account": account, "cause": CAUSES.index(kind), "channel": CHANNELS.index(channel),
        "actor": int(rng.integers(0, 40)) if channel in ("call_centre", "paper") else NONE, "auth": AUTHS.index(auth),
        "name_check": NAME_CHECKS.index(check), "device": device if channel in ("portal", "mobile") else NONE,
        "document": int(rng.integers(0, 10**12)) if channel in ("portal", "paper") else NONE,
        "holder": OWN_NAME if named or rng.random() < 0.5 else OTHER_NAME, "announced": True, "campaign": campaign,
    })  # fmt: skip
    last = _claims(scene, campaign, kind, payee, day, stealth, invoice)
    found = _discovered(scene, kind, last)
    if found <= scene.end:
        _restore(scene, payee, found)
    scene.cases.append({
        "campaign": campaign, "type": kind, "payee": payee, "change": place, "requested_day": day,
        "stealth": round(stealth, 3), "found": found,
    })  # fmt: skip


def _break_in(
    scene: _Scene, payee: int, requested: int, device: int, network: int, stealth: float, mobile: bool
) -> None:
    rng = scene.rng
    at = requested - int(rng.integers(120, 2400))
    steps = [LOGIN]
    if rng.random() < 0.65 * (1 - stealth) + 0.2 * stealth:
        steps.append(RESET)
    if device != int(scene.payees.device[payee]):
        steps.append(DEVICE)
    if rng.random() < 0.15:
        steps.append(MFA)
    if rng.random() < 0.45 * (1 - stealth) + 0.08 * stealth:
        steps.append(EMAIL if rng.random() < 0.5 else PHONE)
    for place, kind in enumerate(steps):
        _event(scene, payee, at - 300 * place, kind, device, network, mobile)


def _event(scene: _Scene, payee: int, at: int, kind: int, device: int, network: int, mobile: bool) -> None:
    abroad = network >= 9000 and bool(scene.rng.random() < 0.2)
    scene.events.append({
        "member": int(scene.payees.member[payee]), "at": at, "kind": kind, "mobile": mobile, "device": device,
        "network": network, "abroad": abroad,
    })  # fmt: skip


def _claims(
    scene: _Scene, campaign: int, kind: str, payee: int, day: int, stealth: float, invoice: dict[str, Any]
) -> int:
    """The claims of a case. Returns the day of the last."""
    rng = scene.rng
    if kind == "T05":  # a genuine reimbursement, big, decided while the change goes through
        _claim(
            scene,
            campaign,
            payee,
            day - int(rng.integers(0, 2)),
            invoice | {"amount": int(rng.lognormal(np.log(900), 0.5) * 100)},
            True,
        )
        return day + 6
    wait = (
        int(rng.integers(45, 150))
        if kind == "T15"
        else int(np.clip(rng.lognormal(np.log(9 + 25 * stealth), 0.9), 1, 150))
    )
    count = int(rng.integers(4, 11)) if kind == "T15" else 1 + min(int(rng.poisson(1.2)), 3)
    when = day + wait
    for turn in range(count):
        one = invoice if turn == 0 or kind == "T08" else _invoice(scene, kind, stealth)
        if when <= scene.end:
            _claim(scene, campaign, payee, when, one, rng.random() > 0.9 - 0.3 * stealth)
        when += int(rng.integers(12, 30)) if kind == "T15" else int(rng.integers(1, 12))
    return when


def _claim(scene: _Scene, campaign: int, payee: int, day: int, invoice: dict[str, Any], public: bool) -> None:
    rng = scene.rng
    member = int(scene.payees.member[payee])
    family = FAMILIES.index(invoice["family"])
    limit = p.FAMILIES[invoice["family"]][3] * (0.6 + 0.4 * int(scene.people.level[member])) * 100
    paid = min(invoice["amount"], int(limit)) if limit else invoice["amount"]
    provider = visited(rng, scene.providers, np.array([member]), np.array([family]), np.array([day]))[0]
    scene.claims.append({
        "member": member, "provider": int(provider), "cared": day - int(rng.integers(0, 9)),
        "received": day * DAY_SECONDS + int(rng.integers(7 * 3600, 19 * 3600)), "family": family,
        "channel": NOEMIE if public else int(rng.choice([PORTAL, MOBILE])), "public": public,
        "billed": int(paid * rng.uniform(1, 1.3)), "reimbursed": paid,
        "ceiling": max(int(min(limit, paid / invoice["fit"])), paid) if limit else NONE, "payee": payee,
        "pends": False, "final": SETTLED, "decided": day + 1 + int(rng.integers(0, 3)), "reversed": NEVER,
        "invoice": NONE if public else int(rng.integers(0, 2**40)), "campaign": campaign,
    })  # fmt: skip


def _discovered(scene: _Scene, kind: str, last: int) -> int:
    """The day the insurer decides on the victim's complaint, or NEVER."""
    if scene.rng.random() < (0.35 if kind == "T15" else p.NEVER_FOUND):
        return NEVER
    complaint = scene.rng.lognormal(np.log(p.COMPLAINT_DAYS), 0.7)
    return int(last + complaint + scene.rng.integers(5, 40))


def _restore(scene: _Scene, payee: int, day: int) -> None:
    """The victim's own account is put back by the back office."""
    at = day * DAY_SECONDS + 15 * 3600
    scene.changes.append({
        "payee": payee, "requested": at, "effective": at + 3600, "account": int(scene.payees.account[payee]),
        "cause": CAUSES.index("restored"), "channel": CHANNELS.index("back_office"), "actor": 7,
        "auth": AUTHS.index("none"), "name_check": NAME_CHECKS.index("match"), "device": NONE, "document": NONE,
        "holder": OWN_NAME, "announced": True, "campaign": NONE,
    })  # fmt: skip


def _columns(rows: list[dict[str, Any]], names: list[str]) -> list[np.ndarray]:
    return [np.array([row[name] for row in rows]) for name in names]


def _as_changes(rows: list[dict[str, Any]]) -> Changes:
    return Changes(*_columns(rows, list(Changes.__dataclass_fields__)))


def _as_claims(rows: list[dict[str, Any]]) -> Claims:
    return Claims(*_columns(rows, list(Claims.__dataclass_fields__)))


def _as_events(rows: list[dict[str, Any]]) -> Events:
    return Events(*_columns(rows, list(Events.__dataclass_fields__)))
