"""One insurer's world: honest life, which is created once, and what happens after each decision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import DAY_SECONDS, business_day, luck
from payeewatch.simulator.fraud.campaigns import Crime, plan
from payeewatch.simulator.fraud.frauds import UNCHANGED, Frauds, play
from payeewatch.simulator.life.changes import NAME_CHECKS, Changes, Timeline, number_by_time
from payeewatch.simulator.life.claims import Claims, honest_claims
from payeewatch.simulator.life.events import Events, honest_events
from payeewatch.simulator.life.honest_changes import Book, honest_changes, provider_changes
from payeewatch.simulator.life.payments import Calendar, Hold, Refunds, pay, premium_refunds
from payeewatch.simulator.output.lists import Vocabulary, listed_members
from payeewatch.simulator.output.rows import REASON_CODES, REASON_OF, Insurer, local_day
from payeewatch.simulator.population import names
from payeewatch.simulator.population.accounts import Ledger
from payeewatch.simulator.population.people import Payees, People, settle, surname_count
from payeewatch.simulator.population.providers import Providers, open_practices
from payeewatch.simulator.text import opaque_ids

AUDITED_SHARE = 0.01  # of honest changes somebody happened to check
HOLD_DAYS = 5  # working days after which a hold ends by itself


@dataclass(frozen=True)
class Decision:
    """What the insurer decides about a change, before the day's payments leave."""

    day: int
    change_id: str
    verdict: str  # hold, release or block


class Company:
    """The world of one seed. What happens on a day depends on the seed and on earlier decisions only."""

    def __init__(self, seed: int, size: p.Size, world: p.World, end: date) -> None:
        self.seed, self.size, self.world = seed, size, world
        self.last = (end - date(1970, 1, 1)).days
        self.first = self.last - size.drops
        self.start = self.first - size.days
        ledger = Ledger()
        self.people, self.payees = settle(seed, size.members, self.start, self.last, ledger, world.life)
        self.providers = open_practices(seed, size.members, self.start, self.last, ledger)
        book = Book(self.people, self.payees, ledger, world.life, self.start, self.last)
        self.claims = honest_claims(
            seed, self.people, self.payees, self.providers, size.claims_a_year, self.start, self.last
        )
        honest = honest_changes(seed, book, size.change_factor, self.claims)
        of_providers = provider_changes(
            seed, self.providers.account, len(self.payees.member), ledger, self.start, self.last
        )
        every = Changes.concat([honest, of_providers])
        since = world.life.name_checked_from
        if since != p.ALWAYS_CHECKED:
            unchecked = every.requested_at // DAY_SECONDS < self.last - since
            every.name_check = np.where(unchecked, NAME_CHECKS.index("not_run"), every.name_check)
        self.honest = number_by_time(every.rows(np.flatnonzero(every.requested_at // DAY_SECONDS <= self.last)))
        self.events = honest_events(seed, self.payees, self.honest, self.start, self.last, world.life)
        self.members_by_list = listed_members(seed, self.people, world.lists, self.payees.reserved)
        self.refunds = premium_refunds(seed, self.payees, self.start, self.last)
        exposed = self.members_by_list[world.lists[0].breach_id][self.payees.member]
        self.crime = Crime(seed, world, book, self.providers, self.honest, self.claims, exposed)
        self.cases = plan(self.crime, size)
        self.ibans = ledger.ibans()
        given_names, women = names.given_names(seed)
        self.vocabulary = Vocabulary.of(names.surnames(seed, surname_count(size.members)), given_names, women)

    def insurer(self, decisions: Iterable[Decision] = ()) -> tuple[Insurer, Frauds]:
        """Everything that happens with these decisions."""
        blocked, holds = self._apply_decisions(list(decisions))
        frauds = play(self.crime, self.cases, blocked)
        changes = Changes.concat([self.honest, frauds.changes])
        order = np.lexsort((changes.number, changes.payee, changes.requested_at))
        changes = self._with_report_days(changes.rows(order[changes.requested_at[order] // DAY_SECONDS <= self.last]))
        timeline = Timeline.of(changes, np.r_[self.payees.account, self.providers.account])
        claims = self._claims(frauds)
        refunds = Refunds(*(
            np.r_[column, np.array([row[place] for row in frauds.refunds], np.int64)]
            for place, column in enumerate((self.refunds.payee, self.refunds.day, self.refunds.amount), 1)
        ))  # fmt: skip
        calendar = Calendar(timeline, frauds.closing_days, holds, self.start, self.last)
        payments, paid = pay(claims, changes, self.payees, refunds, calendar)
        events = Events.concat([self.events, frauds.events])
        people, payees, providers = self._with_fraud(frauds)
        insurer = Insurer(
            people=people, payees=payees, providers=providers, claims=claims, changes=changes, timeline=timeline,
            payments=payments, paid_claims=paid, events=events.rows(np.argsort(events.at, kind="stable")),
            outcomes=self._outcomes(changes, frauds), ibans=self.ibans, vocabulary=self.vocabulary,
        )  # fmt: skip
        return insurer, frauds

    def _apply_decisions(self, decisions: list[Decision]) -> tuple[dict[int, int], list[Hold]]:
        """Blocked cases and their day, and how long payments are held."""
        ids = dict(zip(opaque_ids("X", self.honest.number, 7).to_pylist(), range(len(self.honest.number)), strict=True))
        numbers = np.array([-(case.number * 4 + 1) for case in self.cases], np.int64)
        cases = dict(zip(opaque_ids("X", numbers, 7).to_pylist(), self.cases, strict=True))
        blocked: dict[int, int] = {}
        holds = []
        for place, decision in enumerate(decisions):
            rest = [d for d in decisions[place + 1 :] if d.change_id == decision.change_id and d.verdict != "hold"]
            until = int(business_day(np.array([decision.day]), HOLD_DAYS)[0])
            until = min([until, *(d.day for d in rest)])
            case = cases.get(decision.change_id)
            if decision.verdict == "block" and case is not None:
                blocked[case.number] = min(decision.day, blocked.get(case.number, decision.day))
                until = decision.day
            if decision.verdict == "release" or (case is None and decision.change_id not in ids):
                continue
            payee, account = (case.payee, case.account) if case else self._honest_change(ids[decision.change_id])
            holds.append(Hold(payee, account, decision.day, until))
        return blocked, holds

    def _honest_change(self, row: int) -> tuple[int, int]:
        return int(self.honest.payee[row]), int(self.honest.account[row])

    def _with_report_days(self, changes: Changes) -> Changes:
        """Set the day on which the feed reports each change: some come weeks after the request."""
        back = luck(changes.number, 21)
        late = (back < self.world.feed.backdated_share) & self.size.malformed
        delay = np.where(late, 3 + (luck(changes.number, 22) * 28).astype(np.int64), 0)
        changes.reported_on = local_day(changes.requested_at) + delay
        return changes

    def _claims(self, frauds: Frauds) -> Claims:
        honest = self.claims
        if frauds.redirections:  # a child's care goes to a new payee from a day on
            payee = honest.payee.copy()
            for household, day, to in frauds.redirections:
                members = np.flatnonzero(self.people.household == household)
                rows = np.flatnonzero(np.isin(honest.member, members) & (honest.payee < len(self.payees.member)))
                child = self.people.holder[honest.member[rows]] != honest.member[rows]
                payee[rows[child & (honest.received_at[rows] // DAY_SECONDS >= day)]] = to
            honest = replace(honest, payee=payee)
        if not len(frauds.claims.member):
            return honest
        claims = Claims.concat([honest, frauds.claims])
        return claims.rows(np.argsort(claims.received_at, kind="stable"))

    def _with_fraud(self, frauds: Frauds) -> tuple[People, Payees, Providers]:
        """People, payees and providers, with the entries and end dates that fraud adds."""
        joined_on, left_on = self.people.joined_on.copy(), self.people.left_on.copy()
        opened_on = self.providers.opened_on.copy()
        from_day = self.payees.joined_on.copy()
        for household, day in frauds.joined_on.items():
            joined_on[self.people.household == household] = day
            from_day[household] = day
        for household, day in frauds.left_on.items():
            left_on[self.people.household == household] = day
        for provider, day in frauds.opened_on.items():
            opened_on[provider] = day
        people = replace(self.people, joined_on=joined_on, left_on=left_on)
        return people, replace(self.payees, joined_on=from_day), replace(self.providers, opened_on=opened_on)

    def _outcomes(self, changes: Changes, frauds: Frauds) -> dict[str, np.ndarray]:
        """The insurer's decisions about changes: confirmed complaints, and honest changes that were checked."""
        complaints = [one for one in frauds.cases if one.by == "complaint" and one.case.kind not in UNCHANGED]
        fraud_numbers = np.array([-(one.case.number * 4 + 1) for one in complaints], np.int64)
        decided = np.array([one.known_on for one in complaints], np.int64)
        reason = np.array([REASON_OF.get(one.case.kind, len(REASON_CODES) - 1) for one in complaints], np.int64)
        honest = self.honest
        checked = (luck(honest.number, 23) < AUDITED_SHARE) & honest.is_announced
        honest_numbers = honest.number[checked]
        day = honest.requested_at[checked] // DAY_SECONDS + 5 + (luck(honest_numbers, 24) * 35).astype(np.int64)
        change, when = np.r_[fraud_numbers, honest_numbers], np.r_[decided, day]
        fraud = np.r_[np.ones(len(fraud_numbers), np.int64), np.zeros(len(honest_numbers), np.int64)]
        known_rows = np.flatnonzero(when <= self.last)
        order = known_rows[np.lexsort((change[known_rows], when[known_rows]))]
        return {
            "change": change[order], "decided": when[order] * DAY_SECONDS + 15 * 3600, "fraud": fraud[order],
            "reason": np.r_[reason, np.zeros(len(honest_numbers), np.int64)][order], "complaint": fraud[order],
        }  # fmt: skip
