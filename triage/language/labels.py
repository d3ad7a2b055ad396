"""The words reviewers read for what the files hold as codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
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
    "claims_unassigned": ("claims", _("Claims not yet assigned to an account")),
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
"""A kind of fact in a timeline -> its lane and its words."""

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
    "not_run": _("no check was made"),
    "unknown": _("not known"),
}
HAPPENINGS = {
    "login": _("sign-in"),
    "login_failed": _("failed sign-in"),
    "password_reset": _("password reset"),
    "device_enrolled": _("new device"),
    "mfa_changed": _("second factor changed"),
    "email_changed": _("e-mail address changed"),
    "phone_changed": _("telephone number changed"),
    "address_changed": _("postal address changed"),
    "account_created": _("web account created"),
}
"""What happens on a web account, inside a sentence."""
CHANNELS_OF_CHANGE = {
    "portal": _("in the web portal"),
    "mobile": _("in the mobile application"),
    "call_centre": _("by telephone"),
    "paper": _("by letter"),
    "branch": _("at a branch"),
    "email": _("by e-mail"),
    "broker": _("through a broker"),
    "employer": _("through the employer"),
    "mobility_mandate": _("by a bank's mobility mandate"),
    "bulk_migration": _("in a bulk migration"),
    "back_office": _("in the back office"),
    "return_driven": _("after a payment that came back"),
}
CHANNELS_OF_CLAIM = {
    "noemie": _("sent by the public scheme"),
    "third_party": _("third-party payment"),
    "portal": _("through the web portal"),
    "mobile": _("through the mobile application"),
    "paper": _("on paper"),
    "email": _("by e-mail"),
    "broker": _("through a broker"),
}
CARE_FAMILIES = {
    "consultation": _("consultation"),
    "pharmacy": _("pharmacy"),
    "laboratory": _("laboratory"),
    "optical": _("optical"),
    "dental": _("dental"),
    "hearing": _("hearing"),
    "hospital": _("hospital"),
    "soft_medicine": _("soft medicine"),
    "prevention": _("prevention"),
    "transport": _("transport"),
    "device": _("device"),
    "other": _("other care"),
}
WEAK_PROOFS = {
    "none": _("without authentication"),
    "knowledge": _("after security questions only"),
    "otp_email": _("with a code by e-mail"),
}
ROLES = {"policyholder": _("policyholder"), "spouse": _("spouse"), "child": _("child"), "other": _("other member")}
PROTECTIONS = {"curatorship": _("under curatorship"), "guardianship": _("under guardianship")}
CONTACTS = {
    "phone_changed": _("Telephone number"),
    "email_changed": _("E-mail address"),
    "address_changed": _("Postal address"),
}
FIRST_SEEN_ON = {
    "claims": _("on a claim"),
    "payments": _("on a payment"),
    "providers": _("in the list of providers"),
}
PAYMENT_STATES = {
    "planned": _("planned"),
    "held": _("held"),
    "sent": _("sent"),
    "returned": _("came back"),
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
RESULTS = {
    "yes": pgettext_lazy("an honest explanation was", "found"),
    "no": pgettext_lazy("an honest explanation was", "not found"),
    "unknown": _("cannot be known"),
}
STATES = {"good": _("Good"), "warn": _("To look at"), "bad": _("Changed much")}

CAPACITY = "beyond tonight's capacity"
WHY_NOT: Mapping[str, Any] = {
    "below the floor": _("below the floor"),
    CAPACITY: _("beyond the night's capacity"),
    "decided, and no new evidence since": _("decided, and no new evidence since"),
    "in the queue too long without a decision": _("in the queue too long without a decision"),
    "taken over by the announced change": _("taken over by the announced change"),
}
"""Why a change is in no queue, as nights write it -> words."""

DONE: Mapping[str, Any] = {
    "api_flag": _("read by another system"),
    "approve": _("a colleague's proposal approved"),
    "ask": _("a question asked of the member or the bank"),
    "assign": _("given to a colleague"),
    "attach": _("a file attached"),
    "attempt_stopped": _("verdict: attempt stopped"),
    "benign": _("verdict: benign"),
    "case_file": _("case file opened"),
    "claim": _("taken to work on"),
    "come_back": _("flagged again after its verdict"),
    "confirmed_fraud": _("verdict: confirmed fraud"),
    "data_error": _("verdict: data error"),
    "download": _("an attached file opened"),
    "duplicate": _("verdict: duplicate"),
    "escalate": _("put before the seniors"),
    "expire": _("ended without a verdict"),
    "extend": _("a longer hold asked for"),
    "give_back": _("given back"),
    "hold": _("payments held"),
    "hold_blocked": _("the end of a hold taken off"),
    "hold_ended": _("end of a hold"),
    "hold_renewed": _("a hold renewed"),
    "hold_unblocked": _("a hold without end ended or given an end"),
    "inconclusive": _("verdict: inconclusive"),
    "join_case": _("put into one case with others"),
    "leave_case": _("taken out of a case"),
    "lock_case_file": _("case file locked"),
    "misleads": _("a reason called misleading"),
    "misleads_not": _("a reason no longer called misleading"),
    "misleads_text": _("written why a reason misleads"),
    "note": _("a note written"),
    "open_by_hand": _("opened by hand"),
    "put_right": _("the account put right"),
    "release": _("a release of held payments"),
    "reopen": _("opening again asked for"),
    "return_proposal": _("a colleague's proposal returned"),
    "reveal": _("a full value seen"),
    "reveal_refused": _("a full value refused"),
    "row_not_ours": _("a row found that the application did not write"),
    "search": _("found by a search"),
    "second_look": _("a second look"),
    "snooze": _("put off"),
    "suppress": _("a suppression asked for"),
    "undo": _("the last step undone"),
    "view": _("looked at"),
    "view_similar": _("similar flags looked at"),
    "view_subject": _("other flags of the payee, account or agent looked at"),
    "void": _("a proposal made void by new evidence"),
    "wake": _("brought back into work"),
}
"""An action of the audit log on a flag -> what was done, for the person whom the flag is about."""
