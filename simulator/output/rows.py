"""The insurer's tables in the form of the data contract, as known on a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import DAY_SECONDS, NEVER
from payeewatch.simulator.life import changes as ch
from payeewatch.simulator.life import claims as cl
from payeewatch.simulator.life import events as ev
from payeewatch.simulator.life import payments as pay
from payeewatch.simulator.output.lists import Vocabulary, birth_number
from payeewatch.simulator.population.identities import format_national_ids
from payeewatch.simulator.population.people import ESTATE, PROVIDER, Payees, People
from payeewatch.simulator.population.providers import SPECIALTIES, Providers
from payeewatch.simulator.text import (
    NONE,
    choice,
    dates,
    digits,
    fixed_width,
    instants,
    mix64,
    money,
    opaque_ids,
    prefixed_ids,
    tokens,
    words,
)

TWO_HOURS = 7200
REASON_CODES = ("B01", "F01", "F02", "F03", "F04", "F05", "F06", "F07", "F08", "F99")
REASON_OF = {"T01": 1, "T02": 2, "T08": 3, "T15": 3, "T05": 4, "T13": 5, "T11": 6, "T18": 7, "T16": 8}
PROTECTIONS = ("none", "curatorship", "guardianship")
PAYEE_TYPES = ("member", "institution", "guardian", "employer", "estate", "provider")
FIRST = [ch.CAUSES.index(cause) for cause in ("first_account", "separation", "T14", "T18")]


@dataclass
class Insurer:
    """Everything that happened, and the vocabulary to write it."""

    people: People
    payees: Payees
    providers: Providers
    claims: cl.Claims
    changes: ch.Changes
    timeline: ch.Timeline
    payments: pay.Payments
    paid_claims: np.ndarray
    events: ev.Events
    outcomes: dict[str, np.ndarray]
    ibans: pa.Array
    vocabulary: Vocabulary

    @property
    def provider_offset(self) -> int:
        return len(self.payees.member)

    def news(self) -> dict[str, list[np.ndarray]]:
        """For each table, the days on which a row of it is new or different."""
        people, claims, payments = self.people, self.claims, self.payments
        death_reported_on = np.where(people.died_on < NEVER, people.died_on + p.DEATH_REPORTED_DAYS, NEVER)
        return {
            "members": [people.joined_on, people.left_on, death_reported_on, people.moved_on],
            "providers": [self.providers.opened_on, self.providers.closed_on, self._provider_moves()],
            "claims": [cl.received_day(claims), claims.decided_on, claims.reversed_on],
            "bank_changes": [np.where(self.changes.is_announced, self.changes.reported_on, NEVER)],
            "account_events": [local_day(self.events.at)],
            "payments": [
                payments.announced_on,
                payments.switched_on,
                payments.held_on,
                payments.sent_on,
                payments.returned_on,
            ],
            "outcomes": [local_day(self.outcomes["decided"])],
        }

    def table(self, name: str, rows: np.ndarray, day: int) -> pa.Table:
        """Some rows of a table, as they are at the end of a day."""
        columns: dict[str, Any] = getattr(self, f"_{name}")(rows, day)
        return pa.table(columns)

    def numbers(self, table: str, rows: np.ndarray) -> np.ndarray:
        """The number of each row; it does not depend on the other rows of the table."""
        if table == "outcomes":
            return np.asarray(self.outcomes["change"][rows])
        having: dict[str, Any] = {"claims": self.claims, "bank_changes": self.changes, "account_events": self.events,
                     "payments": self.payments}  # fmt: skip
        numbers: np.ndarray = having[table].number[rows] if table in having else rows
        return numbers

    def _provider_moves(self) -> np.ndarray:
        moves = np.full(len(self.providers.opened_on), NEVER)
        place = self.changes.payee - self.provider_offset
        mine = place >= 0
        moves[place[mine]] = local_day(self.changes.effective_at[mine])
        return np.where(self.providers.shows_account, moves, NEVER)

    def _payee_id(self, payee: np.ndarray) -> pa.Array:
        """Providers are paid under their own number."""
        provider = payee - self.provider_offset
        own = prefixed_ids("P", np.where(provider >= 0, 0, payee), 7)
        return pc.if_else(pa.array(provider >= 0), prefixed_ids("R", np.maximum(provider, 0), 7).cast(pa.string()), own)

    def _payee_type(self, payee: np.ndarray, day: int | np.ndarray) -> pa.Array:
        place = np.minimum(payee, self.provider_offset)
        kind = np.append(self.payees.kind, PROVIDER)[place]
        return choice(PAYEE_TYPES, np.where(np.append(self.payees.estate_from, NEVER)[place] <= day, ESTATE, kind))

    def _iban(self, account: np.ndarray, null: np.ndarray | None = None) -> pa.Array:
        return self.ibans.take(pa.array(account, mask=null))

    def _members(self, rows: np.ndarray, day: int) -> dict[str, Any]:
        who, book = self.people, self.vocabulary
        form = np.minimum(mix64(rows, 11) % 20, 2).astype(np.int64)
        form = np.where(form == 2, np.where(mix64(rows, 12) % 10 < 6, 0, 1), np.where(form == 1, 2, form))
        own = who.ids[rows]
        is_insured = who.left_on[rows] > day
        is_alive = who.died_on[rows] + p.DEATH_REPORTED_DAYS > day
        department = np.where(who.moved_on[rows] <= day, who.next_department[rows], who.department[rows])
        given_name = words(book.given_names, who.given_name[rows])
        return {
            "member_id": prefixed_ids("", rows, 8),
            "household_id": prefixed_ids("H", who.household[rows], 7),
            "contract_id": prefixed_ids("K", who.household[rows], 7),
            "role": choice(("policyholder", "spouse", "child", "other"), who.role[rows]),
            "national_id": format_national_ids(own, form, ~who.has_id[rows]),
            "holder_national_id": format_national_ids(
                who.ids[who.holder[rows]], np.zeros(len(rows), np.int64), rows < 0
            ),
            "birth_date": fixed_width(digits(birth_number(who.born_on[rows], who.incomplete[rows]), 8)),
            "birth_rank": pa.array(who.rank[rows], pa.int32()),
            "family_name": words(book.surnames, who.family[rows]),
            "given_names": pc.binary_join_element_wise(
                given_name, words(book.given_names, who.second_given_name[rows]), " ", null_handling="skip"
            ),
            "birth_name": words(book.surnames, who.birth_name[rows]),
            "sex": choice(("F", "M"), who.sex[rows]),
            "postal_code": fixed_width(
                digits(department * 1000 + mix64(who.household[rows], 2).astype(np.int64) % 1000, 5)
            ),
            "joined_on": dates(who.joined_on[rows]),
            "left_on": dates(np.where(is_insured, 0, who.left_on[rows]), is_insured),
            "died_on": dates(np.where(is_alive, 0, who.died_on[rows]), is_alive),
            "guarantee_level": pa.array(who.level[rows], pa.int32()),
            "legal_protection": choice(PROTECTIONS, who.protection[rows]),
            "residence": choice(("home", "care_home"), who.care_home[rows].astype(np.int64)),
            "broker_id": prefixed_ids("B", who.broker[rows], 3),
            "employer_id": prefixed_ids("E", who.employer[rows], 5),
        }

    def _providers(self, rows: np.ndarray, day: int) -> dict[str, Any]:
        who = self.providers
        open_ = who.closed_on[rows] > day
        account = self.timeline.at(rows + self.provider_offset, np.full(len(rows), (day + 1) * DAY_SECONDS - 1))
        hospital = who.specialty[rows] == SPECIALTIES.index("hospital")
        return {
            "provider_id": prefixed_ids("R", rows, 7),
            "finess": fixed_width(_luhn(np.char.mod("99%06d", rows)), ~hospital),
            "rpps": fixed_width(_luhn(np.char.mod("99%08d", rows)), hospital),
            "specialty": choice(SPECIALTIES, who.specialty[rows]),
            "opened_on": dates(who.opened_on[rows], mix64(rows, 8) % 20 == 0),
            "closed_on": dates(np.where(open_, 0, who.closed_on[rows]), open_),
            "postal_code": fixed_width(digits(who.department[rows] * 1000 + rows % 1000, 5)),
            "iban": self._iban(account, ~who.shows_account[rows]),
        }

    def _claims(self, rows: np.ndarray, day: int) -> dict[str, Any]:
        claim = self.claims.rows(rows)
        status = cl.status_on(claim, day)
        settled = status >= cl.SETTLED
        account = self.timeline.at(
            claim.payee, np.where(settled, (claim.decided_on + 1) * DAY_SECONDS - 1, claim.received_at)
        )
        luck = mix64(claim.number, 3) % 100
        current = np.where(settled, luck < 5, luck < 70) | (status == cl.REJECTED)
        return {
            "claim_id": opaque_ids("C", claim.number, 9),
            "member_id": prefixed_ids("", claim.member, 8),
            "provider_id": prefixed_ids(
                "R", np.where((luck == 99) & (claim.channel != cl.THIRD_PARTY), NONE, claim.provider), 7
            ),
            "cared_on": dates(claim.cared_on),
            "received_at": instants(claim.received_at),
            "care_family": choice(cl.FAMILIES, claim.family),
            "channel": choice(cl.CHANNELS, claim.channel),
            "has_public_record": pa.array(claim.public),
            "billed_amount": money(claim.billed_cents),
            "reimbursed_amount": money(claim.reimbursed_cents),
            "ceiling_left_amount": money(np.maximum(claim.ceiling, 0), claim.ceiling == NONE),
            "payee_id": self._payee_id(claim.payee),
            "payee_type": self._payee_type(claim.payee, day),
            "iban": self._iban(account, current),
            "status": choice(cl.STATUSES, status),
            "invoice_hash": tokens("", claim.invoice, 5),
        }

    def _bank_changes(self, rows: np.ndarray, day: int) -> dict[str, Any]:
        change = self.changes.rows(rows)
        first = np.isin(change.cause, FIRST)
        old = self.timeline.at(change.payee, change.effective_at - 1)
        provider = change.payee >= self.provider_offset
        member = np.where(provider, NONE, self.payees.member[np.where(provider, 0, change.payee)])
        broker = change.actor >= 1000
        agents = prefixed_ids("AG", np.where(broker, NONE, change.actor), 3)
        return {
            "change_id": opaque_ids("X", change.number, 7),
            "payee_id": self._payee_id(change.payee),
            "payee_type": self._payee_type(change.payee, change.requested_at // DAY_SECONDS),
            "member_id": prefixed_ids("", member, 8),
            "requested_at": instants(change.requested_at),
            "effective_at": instants(change.effective_at),
            "old_iban": self._iban(old, first),
            "new_iban": self._iban(change.account),
            "holder_name": self._holder(change, member),
            "channel": choice(ch.CHANNELS, change.channel),
            "actor_id": pc.coalesce(agents, prefixed_ids("B", np.where(broker, change.actor - 1000, NONE), 3)),
            "auth_strength": choice(ch.AUTHS, change.auth),
            "name_check": choice(ch.NAME_CHECKS, change.name_check),
            "device_token": tokens("d", change.device, 4),
            "document_hash": tokens("", change.document, 6),
        }

    def _holder(self, change: ch.Changes, member: np.ndarray) -> pa.Array:
        """The holder's name as the papers print it: given and family name, a couple's, or somebody else's."""
        someone = np.abs(mix64(change.number, 9).astype(np.int64)) % len(self.people.family)
        person = np.where(change.holder == ch.OTHER_NAME, someone, np.maximum(member, 0))
        family = words(self.vocabulary.surnames, self.people.family[person])
        given_name = words(self.vocabulary.given_names, self.people.given_name[person])
        couple = change.holder == ch.COUPLE_NAME
        start = pc.if_else(pa.array(couple), pa.scalar("M OU MME"), given_name)
        name = pc.binary_join_element_wise(start, family, " ")
        practice = pc.binary_join_element_wise(pa.scalar("CABINET"), prefixed_ids("", change.payee % 100_000, 5), " ")
        name = pc.if_else(pa.array(member == NONE), practice, name)
        return pc.if_else(pa.array(change.holder == NONE), pa.scalar(None, pa.string()), name)

    def _account_events(self, rows: np.ndarray, day: int) -> dict[str, Any]:
        event = self.events.rows(rows)
        return {
            "event_id": opaque_ids("V", event.number, 9),
            "member_id": prefixed_ids("", event.member, 8),
            "occurred_at": instants(event.at),
            "kind": choice(ev.KINDS, event.kind),
            "channel": choice(("portal", "mobile"), event.mobile.astype(np.int64)),
            "actor_id": pa.nulls(len(rows), pa.string()),
            "device_token": tokens("d", event.device, 4),
            "ip_country": choice(("FR", "RO", "NL"), np.where(event.abroad, 1 + event.network % 2, 0)),
            "network": prefixed_ids("AS", event.network, 4),
        }

    def _payments(self, rows: np.ndarray, day: int) -> dict[str, Any]:
        payment = self.payments.rows(rows)
        is_sent, is_returned = payment.sent_on <= day, payment.returned_on <= day
        is_held = ~is_sent & (payment.held_on <= day)
        return {
            "payment_id": opaque_ids("Y", payment.number, 10),
            "payee_id": self._payee_id(payment.payee),
            "member_id": prefixed_ids("", payment.member, 8),
            "iban": self._iban(np.where(payment.switched_on <= day, payment.sent_to, payment.account)),
            "amount": money(payment.amount),
            "claim_ids": pay.claim_ids(payment, self.paid_claims, self.claims.number),
            "planned_on": dates(payment.planned_on),
            "value_date": dates(np.where(is_sent, payment.sent_on, 0), ~is_sent),
            "status": choice(
                ("planned", "held", "sent", "returned"), np.select([is_returned, is_sent, is_held], [3, 2, 1], 0)
            ),
            "return_reason": choice(pay.REASONS, np.where(is_returned, payment.reason, NONE)),
        }

    def _outcomes(self, rows: np.ndarray, day: int) -> dict[str, Any]:
        outcome = self.outcomes
        fraud = outcome["fraud"][rows]
        return {
            "outcome_id": opaque_ids("O", outcome["change"][rows], 7),
            "change_id": opaque_ids("X", outcome["change"][rows], 7),
            "decided_at": instants(outcome["decided"][rows]),
            "verdict": choice(("benign", "confirmed_fraud"), fraud),
            "reason_code": choice(REASON_CODES, outcome["reason"][rows]),
            "source": choice(("audit", "complaint"), outcome["complaint"][rows]),
        }


def local_day(second: np.ndarray) -> np.ndarray:
    """The drop that brings an instant: late evenings in UTC are tomorrow in Paris."""
    return (second + TWO_HOURS) // DAY_SECONDS


def _luhn(texts: np.ndarray) -> np.ndarray:
    """Digits with their Luhn digit appended, as a matrix of ASCII."""
    matrix = np.array([list(text.encode()) for text in texts], np.uint8).reshape(len(texts), -1)
    values = matrix.astype(np.int64) - ord("0")
    doubled = values[:, ::-1].copy()
    doubled[:, ::2] *= 2
    total = np.where(doubled > 9, doubled - 9, doubled).sum(axis=1)
    return np.hstack([matrix, digits((10 - total % 10) % 10, 1)])
