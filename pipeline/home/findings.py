"""What a reviewer reads of each feature: one sentence per fact, with its number in words.

features/ says what is measured; here is how a value of it reads. The keys are the features' names, and a test compares
them. `%(value)s` is the value with its unit; the usual value is added in brackets where it differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ALIKE = 0.1
"""A value this near to the usual one is not worth a word."""
HARDLY_ANY = 50
"""A ratio over this has next to nothing below its line: the number itself says nothing."""


@dataclass(frozen=True)
class Finding:
    """How a value reads: `many` by default, `one` for 1 (or yes), `none` for 0 (or no), `steps` of a scale."""

    many: str
    one: str = ""
    none: str = ""
    beyond: str = ""  # of a ratio over HARDLY_ANY
    steps: Mapping[int, str] = field(default_factory=dict)

    def template(self, value: float) -> str:
        """The sentence for a value; it may contain `%(value)s`."""
        if self.steps:
            return self.steps[min(self.steps, key=lambda step: abs(step - value))]
        if value == 1 and self.one:
            return self.one
        if value == 0 and self.none:
            return self.none
        return self.beyond if self.beyond and value > HARDLY_ANY else self.many


def _yes(yes: str, no: str) -> Finding:
    return Finding(yes, one=yes, none=no)


FINDINGS: dict[str, Finding] = {
    # the change
    "is_first_account": _yes("It is the payee's first account.", "The payee had an account before."),
    "was_never_announced": _yes("Nobody announced the account.", "The change was announced."),
    "changes_before_90d": Finding(
        "The account was changed %(value)s times in the 90 days before.",
        one="The account was changed once in the 90 days before.",
        none="The account was not changed in the 90 days before.",
    ),
    "changes_before_365d": Finding(
        "The account was changed %(value)s times in the year before.",
        one="The account was changed once in the year before.",
        none="The account was not changed in the year before.",
    ),
    "was_reverted_10d": _yes(
        "The payee went back to the old account within 10 days.", "The payee stayed with the new account for 10 days."
    ),
    "is_return_to_earlier_account": _yes(
        "The payee goes back to an account they had before.", "The payee never had this account before."
    ),
    "differing_characters": Finding(
        "%(value)s characters of the account differ from the old one; a few would be a typing error put right.",
        one="One character of the account differs from the old one, as in a typing error put right.",
    ),
    "holder_names_found_share": Finding(
        "%(value)s of the words in the holder's name are names of the household.",
        one="The holder's name is a name of the household.",
        none="The holder's name is no name of the household.",
    ),
    "name_check_doubt": Finding(
        "",
        steps={
            0: "The bank confirms the holder's name.",
            1: "The bank says that the holder's name nearly matches.",
            2: "The bank could not check the holder's name.",
            3: "The bank says that the holder's name does not match.",
        },
    ),
    "days_to_effect": Finding(
        "The change takes effect %(value)s after it was asked for.",
        none="The change takes effect on the day it was asked for.",
    ),
    # the channel
    "auth_weakness": Finding(
        "",
        steps={
            0: "Whoever asked was identified in person or by strong authentication.",
            1: "Whoever asked confirmed it by a code sent as a text message.",
            2: "Whoever asked confirmed it by a code sent by e-mail.",
            3: "Whoever asked only answered security questions.",
            4: "Whoever asked was not authenticated.",
        },
    ),
    "is_new_channel": _yes(
        "The payee never used this channel for a change before.", "The payee used this channel for a change before."
    ),
    "channel_surprise": Finding(
        "Few changes come this way: %(value)s of the year's.", none="Many changes come this way."
    ),
    "is_mobility_mandate": _yes(
        "The new bank sent the change under a mobility mandate.", "It is not a bank's mobility mandate."
    ),
    "is_return_driven": _yes(
        "The change puts right an account that sent a payment back.", "No returned payment led to the change."
    ),
    "actor_changes_1d": Finding(
        "The same agent, broker or program entered %(value)s other changes within a day of this one.",
        one="The same agent, broker or program entered one other change within a day of this one.",
        none="The same agent, broker or program entered no other change within a day of this one.",
    ),
    "usual_actor_changes_1d": Finding("The agent, broker or program usually enters %(value)s changes a day."),
    "actor_volume_ratio": Finding(
        "That day the agent, broker or program entered %(value)s their usual number of changes.",
        beyond="That day the agent, broker or program entered far more changes than usual.",
    ),
    # the web account
    "email_changes_14d": Finding(
        "The e-mail address was changed %(value)s times in the 14 days before.",
        one="The e-mail address was changed in the 14 days before.",
        none="The e-mail address was not changed in the 14 days before.",
    ),
    "phone_changes_14d": Finding(
        "The telephone number was changed %(value)s times in the 14 days before.",
        one="The telephone number was changed in the 14 days before.",
        none="The telephone number was not changed in the 14 days before.",
    ),
    "address_changes_14d": Finding(
        "The postal address was changed %(value)s times in the 14 days before.",
        one="The postal address was changed in the 14 days before.",
        none="The postal address was not changed in the 14 days before.",
    ),
    "has_new_email_and_phone_30d": _yes(
        "Both e-mail address and telephone number were changed in the 30 days before.",
        "E-mail address and telephone number were not both changed in the 30 days before.",
    ),
    "contact_changes_after_3d": Finding(
        "E-mail address or telephone number were changed %(value)s times in the 3 days after.",
        one="The e-mail address or the telephone number was changed in the 3 days after.",
        none="Neither e-mail address nor telephone number was changed in the 3 days after.",
    ),
    "password_resets_7d": Finding(
        "The password was reset %(value)s times in the 7 days before.",
        one="The password was reset in the 7 days before.",
        none="The password was not reset in the 7 days before.",
    ),
    "new_devices_7d": Finding(
        "%(value)s new devices were enrolled in the 7 days before.",
        one="A new device was enrolled in the 7 days before.",
        none="No new device was enrolled in the 7 days before.",
    ),
    "second_factor_changes_14d": Finding(
        "The second factor was changed %(value)s times in the 14 days before.",
        one="The second factor was changed in the 14 days before.",
        none="The second factor was not changed in the 14 days before.",
    ),
    "failed_logins_7d": Finding(
        "%(value)s sign-ins failed in the 7 days before.",
        one="One sign-in failed in the 7 days before.",
        none="No sign-in failed in the 7 days before.",
    ),
    "web_accounts_created_30d": Finding(
        "%(value)s web accounts were created for the member in the 30 days before.",
        one="The web account was created in the 30 days before.",
        none="The web account is older than 30 days.",
    ),
    # tenure
    "previous_account_days": Finding(
        "Since the account last changed, as far as known, or since the member joined: %(value)s."
    ),
    "membership_days": Finding(
        "The member had joined %(value)s before the change.", none="The member joined on the day of the change."
    ),
    "dormant_days": Finding("Before the change, no claim and no sign-in is known for %(value)s."),
    "is_member_dead": _yes("The member has died.", "The member is not known to have died."),
    "is_member_protected": _yes(
        "The member is under curatorship or guardianship.", "The member is not under curatorship or guardianship."
    ),
    "is_in_care_home": _yes("The member lives in a care home.", "The member does not live in a care home."),
    # the bank
    "is_in_another_country": _yes(
        "The new account is in another country than the old one.",
        "The new account is in the same country as the old one.",
    ),
    "country_surprise": Finding(
        "Few changes go to this country: %(value)s of the year's.", none="Many changes go to this country."
    ),
    "bank_surprise": Finding("Few changes go to this bank: %(value)s of the year's.", none="Many go to this bank."),
    "is_online_bank": _yes(
        "The account is with an online bank or a payment institution.", "The account is with an ordinary bank."
    ),
    "is_treasury": _yes("The account is with a public treasury.", "The account is not with a public treasury."),
    "is_same_bank_group": _yes(
        "The new account is with the same bank or banking group as the old one.",
        "The new account is with another banking group than the old one.",
    ),
    "is_announced_merger": _yes(
        "The old bank's accounts are known to move to the new bank.", "No merger of the two banks is known."
    ),
    "same_bank_moves_30d": Finding(
        "%(value)s other changes went from the same old bank to the same new bank in 30 days.",
        one="One other change went from the same old bank to the same new bank in 30 days.",
        none="No other change went from the same old bank to the same new bank in 30 days.",
    ),
    "bank_wave": Finding(
        "More accounts than usual move between these two banks.",
        none="As many accounts as usual move between these two banks.",
    ),
    # payments
    "usual_payment_amount": Finding("A payment to the payee was %(value)s on average in the year before."),
    "pending_amount_at_change": Finding(
        "%(value)s was waiting to be paid to the payee when the change was asked for.",
        none="Nothing was waiting to be paid to the payee when the change was asked for.",
    ),
    "pending_ratio_at_change": Finding(
        "What was waiting when the change was asked for is %(value)s the payee's average payment.",
        beyond="What was waiting when the change was asked for is far more than the payee's average payment.",
    ),
    "planned_amount": Finding(
        "%(value)s is planned or held, to go to the new account.", none="Nothing is planned to go to the new account."
    ),
    "paid_amount_since_change": Finding(
        "%(value)s was sent to the new account since the change.", none="Nothing was sent to the new account yet."
    ),
    "returns_before_180d": Finding(
        "The account before sent %(value)s payments back in the 180 days before.",
        one="The account before sent a payment back in the 180 days before.",
        none="The account before sent no payment back in the 180 days before.",
    ),
    "returns_since_change": Finding(
        "The new account sent %(value)s payments back.",
        one="The new account sent a payment back.",
        none="The new account sent no payment back.",
    ),
    # exposure
    "exposure_surprise": Finding(
        "The member is on a breach list that few members are on: %(value)s.",
        none="The member is on no breach list, or on one that nearly everybody is on.",
    ),
    "breach_lists": Finding(
        "The member is on %(value)s breach lists.",
        one="The member is on one breach list.",
        none="The member is on no breach list.",
    ),
    "best_exposure_match": Finding(
        "",
        steps={
            0: "The member is on no breach list.",
            1: "A breach list has somebody with the member's names and birth date.",
            2: "A breach list has the member's national id, without more.",
            3: "A breach list has the member through the opening-right holder.",
            4: "A breach list has the member's national id and birth date.",
        },
    ),
    "exposure_known_days": Finding("The first breach list with the member on it was notified %(value)s before."),
    "has_identity_and_contact_exposed": _yes(
        "Lists have both the member's national id and a way to reach or impersonate the member.",
        "No list has both the member's national id and a way to reach the member.",
    ),
    "exposed_relatives": Finding(
        "%(value)s other members of the household are on a breach list.",
        one="One other member of the household is on a breach list.",
        none="No other member of the household is on a breach list.",
    ),
    # claims
    "usual_amount_30d": Finding("The payee was usually reimbursed %(value)s a month in the year before."),
    "usual_claims_30d": Finding("The payee usually had %(value)s claims a month in the year before."),
    "largest_claim_before_365d": Finding("The payee's largest claim in the year before was %(value)s."),
    "amount_since_change_30d": Finding(
        "%(value)s was claimed to the new account in the 30 days after the change.",
        none="Nothing was claimed to the new account in the 30 days after the change.",
    ),
    "claims_since_change_30d": Finding(
        "%(value)s claims came for the new account in the 30 days after the change.",
        one="One claim came for the new account in the 30 days after the change.",
        none="No claim came for the new account in the 30 days after the change.",
    ),
    "amount_since_change": Finding(
        "%(value)s was claimed to the new account since the change.",
        none="Nothing was claimed to the new account since the change.",
    ),
    "amount_ratio_30d": Finding(
        "The claims of the 30 days after the change come to %(value)s the payee's usual month.",
        beyond="The claims of the 30 days after the change are far above the payee's usual month.",
    ),
    "largest_claim_since_change": Finding("The largest claim to the new account is %(value)s."),
    "unrecorded_amount_since_change": Finding(
        "%(value)s claimed since the change is for care without a public record.",
        none="All care claimed since the change has a public record.",
    ),
    "unrecorded_share_since_change": Finding(
        "%(value)s of the euros claimed since the change are for care without a public record.",
        one="No care claimed since the change has a public record.",
        none="All care claimed since the change has a public record.",
    ),
    "usual_unrecorded_share": Finding("In the year before, %(value)s of the payee's euros had no public record."),
    "ceiling_fit_since_change": Finding(
        "One claim since the change took %(value)s of what the guarantee still allowed.",
        one="One claim since the change took all that the guarantee still allowed.",
    ),
    "fitted_unrecorded_claims_since_change": Finding(
        "%(value)s claims without a public record took nearly all that the guarantee still allowed.",
        one="One claim without a public record took nearly all that the guarantee still allowed.",
        none="No claim without a public record took nearly all that the guarantee still allowed.",
    ),
    "amount_after_death_since_change": Finding(
        "%(value)s was claimed to the new account for care after the patient's death.",
        none="Nothing was claimed for care after a death.",
    ),
    "new_care_families_since_change": Finding(
        "The claims since the change have %(value)s kinds of care that the payee never claimed before.",
        one="The claims since the change have a kind of care that the payee never claimed before.",
        none="The claims since the change have no new kind of care.",
    ),
    "new_providers_since_change": Finding(
        "The claims since the change come from %(value)s providers that the payee never went to before.",
        one="The claims since the change come from a provider that the payee never went to before.",
        none="The claims since the change come from providers that the payee knew.",
    ),
    # who else has the account
    "other_households_on_account": Finding(
        "%(value)s other households have or had the new account.",
        one="One other household has or had the new account.",
        none="No other household ever had the new account.",
    ),
    "unrelated_households_on_account": Finding(
        "%(value)s other households on the new account share no surname with this one.",
        one="One other household on the new account shares no surname with this one.",
        none="No unrelated household is on the new account.",
    ),
    "is_institution_account": _yes(
        "The account is known as an institution's, an employer's, a guardian's or a treasury's.",
        "The account is no known institution's.",
    ),
    "is_blocked_account": _yes("The account is on the list of blocked accounts.", "The account is not blocked."),
    "new_payees_on_account_14d": Finding(
        "%(value)s other payees came to the same account within 14 days.",
        one="One other payee came to the same account within 14 days.",
        none="No other payee came to the same account within 14 days.",
    ),
    "other_households_on_device": Finding(
        "The accounts of %(value)s other households were changed from the same device.",
        one="The account of one other household was changed from the same device.",
        none="No other household's account was changed from the same device.",
    ),
    "other_households_on_document": Finding(
        "The accounts of %(value)s other households were changed on the same document.",
        one="The account of one other household was changed on the same document.",
        none="No other household's account was changed on the same document.",
    ),
    "own_account_known_days": Finding(
        "The account had been known as this household's for %(value)s before the change."
    ),
}


TEXTS = tuple(
    dict.fromkeys(
        text
        for finding in FINDINGS.values()
        for text in (finding.many, finding.one, finding.none, finding.beyond, *finding.steps.values())
        if text
    )
)
"""Every sentence, for the catalogue of translations."""


def template(reason: Mapping[str, Any]) -> str:
    """The sentence for a reason's value; empty where there is none: of an earlier night, or not known."""
    finding, value = FINDINGS.get(str(reason.get("feature"))), reason.get("value_number")
    if finding is None or value is None or math.isnan(value) or not reason.get("unit"):
        return ""
    return finding.template(_as_shown(finding, float(value), str(reason["unit"]).lower()))


def _as_shown(finding: Finding, value: float, unit: str) -> float:
    """A share that is shown as 100 % reads as whole, and what is common is not rare."""
    if unit == "surprise":
        return 0.0 if value < math.log10(3) else value
    return 1.0 if unit == "share" and value >= 0.995 else value


COMPARED = frozenset({"eur", "count", "days", "share", "years"})
"""Units whose usual value is worth saying. A rate, a scale or a yes says by itself what is usual."""


def usual_to_say(reason: Mapping[str, Any]) -> float | None:
    """The usual value to put beside a reason's own; None where it would tell nothing."""
    usual = reason.get("usual_number")
    if not usual or math.isnan(usual) or str(reason.get("unit")).lower() not in COMPARED:
        return None
    if "%(value)s" not in template(reason):
        return None
    return None if is_usual(reason.get("value_number"), usual) else float(usual)


def is_usual(value: float | None, usual: float | None) -> bool:
    """Whether a value is unknown, or so near to the usual one that it tells nothing."""
    if value is None or math.isnan(value):
        return True
    if usual is None or math.isnan(usual):
        return False
    return abs(value - usual) <= ALIKE * max(abs(value), abs(usual))
