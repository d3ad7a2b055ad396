"""The words reviewers read for what the files hold as codes."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop as later
from django.utils.translation import pgettext_lazy

LANES = {
    "contact": _("Contact and sign-in"),
    "change": _("Change of account"),
    "claims": _("Claims"),
    "payments": _("Payments"),
    "returns": _("Returns"),
    "exposure": _("Exposure"),
}
"""The timeline's rows, from above."""

KINDS = {
    "login": ("contact", _("Signed in")),
    "login_failed": ("contact", _("Failed sign-in")),
    "password_reset": ("contact", _("Password reset")),
    "device_enrolled": ("contact", _("New device")),
    "mfa_changed": ("contact", _("Second factor changed")),
    "email_changed": ("contact", _("E-mail address changed")),
    "phone_changed": ("contact", _("Telephone number changed")),
    "address_changed": ("contact", _("Postal address changed")),
    "account_created": ("contact", _("Web account created")),
    "account_first_seen": ("change", _("Account first seen, announced by nobody")),
    "change_requested": ("change", _("Change asked for")),
    "change_effective": ("change", _("Change took effect")),
    "claims_received": ("claims", _("Claims")),
    "claims_to_new_account": ("claims", _("Claims to the new account")),
    "claims_rejected": ("claims", _("Claims rejected")),
    "claims_reversed": ("claims", _("Claims reversed")),
    "payment_planned": ("payments", _("Payment planned")),
    "payment_planned_to_new_account": ("payments", _("Payment planned to the new account")),
    "payment_held": ("payments", _("Payment held")),
    "payment_held_to_new_account": ("payments", _("Payment to the new account held")),
    "payment_sent": ("payments", _("Payment sent")),
    "payment_sent_to_new_account": ("payments", _("Payment sent to the new account")),
    "payment_returned": ("returns", _("Payment came back")),
    "payment_returned_to_new_account": ("returns", _("Payment to the new account came back")),
    "exposure_known": ("exposure", _("Breach list known")),
}
"""What a timeline tells -> its lane and its words."""

CHANNELS = {
    "portal": _("web portal"),
    "mobile": _("mobile application"),
    "call_centre": _("call centre"),
    "paper": _("letter"),
    "branch": _("branch"),
    "email": _("e-mail"),
    "broker": _("broker"),
    "employer": _("employer"),
    "mobility_mandate": _("mobility mandate"),
    "bulk_migration": _("bulk migration"),
    "back_office": _("back office"),
    "return_driven": _("after a returned payment"),
    "unknown": _("not known"),
}
AUTH_STRENGTHS = {
    "none": _("none"),
    "knowledge": _("questions only"),
    "otp_email": _("code by e-mail"),
    "otp_sms": _("code by text message"),
    "strong": _("strong"),
    "in_person": _("in person"),
    "unknown": _("not known"),
}
NAME_CHECKS = {
    "match": _("matches"),
    "close_match": _("nearly matches"),
    "no_match": _("does not match"),
    "not_possible": _("not possible"),
    "not_run": _("not made"),
    "unknown": _("not known"),
}
FIRST_SEEN_ON = {
    "claims": _("on a claim"),
    "payments": _("on a payment"),
    "providers": _("in the list of providers"),
}
PAYEE_TYPES = {
    "member": _("Member"),
    "provider": _("Provider"),
    "guardian": _("Guardian"),
    "employer": _("Employer"),
    "institution": _("Institution"),
    "estate": _("Estate"),
    "other": _("Other payee"),
}
RELATIONS = {
    "same_account": _("same account"),
    "same_device": _("same device"),
    "same_actor": _("same agent, broker or program"),
}
FIELDS = {
    "name": _("name"),
    "birth_date": _("birth date"),
    "national_id": _("national id"),
    "insurer": _("insurer"),
    "guarantees": _("guarantees"),
    "marital_status": _("marital status"),
    "email": _("e-mail"),
    "phone": _("phone"),
    "address": _("address"),
    "iban": _("account number"),
}
MATCHES = {
    "exact": _("matched on national id, birth date and birth rank"),
    "holder": _("matched through the opening-right holder"),
    "id_only": _("matched on the national id alone, so uncertain"),
    "probable": _("matched on names and birth date, so uncertain"),
}
CHECKS = {
    "bank_wave": _("A wave between the two banks"),
    "return_driven": _("A payment that came back"),
    "life_event": _("A life event in the household"),
    "mobility_mandate": _("A mobility mandate"),
    "institution": _("A known institution"),
    "household_account": _("An account of the household"),
}
RESULTS = {
    "yes": pgettext_lazy("an honest explanation was", "found"),
    "no": pgettext_lazy("an honest explanation was", "not found"),
    "unknown": _("cannot be known"),
}
STATES = {"good": _("Good"), "warn": _("To look at"), "bad": _("Changed much")}

SENTENCES = (
    later("The old bank is being merged into the new one."),
    later("There is no earlier account, or its bank is not known."),
    later("1 change from this old bank to this new one within %(days)s days; usual is %(usual)s."),
    later("%(many)s changes from this old bank to this new one within %(days)s days; usual is %(usual)s."),
    later("The change was asked for because a payment came back."),
    later("Payments to the account before came back: %(many)s, the last on %(day)s."),
    later("Payments are not in the feed."),
    later("No payment to the account before is known to have come back."),
    later("The household is not known."),
    later("Within 60 days somebody joined, left or died, or the address changed."),
    later("Nobody joined, left or died within 60 days, and no change of address is known."),
    later("The new bank sent the change on the member's mandate."),
    later("The channel of the change is not known."),
    later("The change did not come as a bank's mobility mandate."),
    later("The new account is listed as that of: %(payee_type)s."),
    later("The payee is recorded as: %(payee_type)s."),
    later("The new account is not on the list of known institutions."),
    later("Another payee of the same household has the same account."),
    later("No other payee of the household is known to have this account."),
    later("Hardly a member (%(share)s) is on this list: it says next to nothing about this book."),
    later("Nearly all members (%(share)s) are on this list: being on it cannot tell one change from another."),
    later("no more unusual than the floor"),
    later("beyond tonight's capacity"),
    later("decided, and no new evidence since"),
    later("in the queue too long without a decision"),
    later("taken over by the announced change"),
    later("%(many)s %(payee_type)s changes to learn from: they are compared with all changes"),
    later(
        "%(many)s changes are too few to hold some back: each is compared with all others, scored in %(parts)s parts "
        "by models that did not see it"
    ),
)
"""Sentences of the night, which it writes in English, as they are to be said again in the user's language."""
