"""Evidence frozen before nights published codes is shown in any language, too."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.translation import override

from payeewatch.pipeline.home import wording
from payeewatch.triage.language import frozen_english, phrases

SENTENCES = [
    "The old bank is being merged into the new one.",
    "There is no earlier account, or its bank is not known.",
    "no changes from this old bank to this new one within 30 days; usual is 0.1.",
    "1 change from this old bank to this new one within 30 days; usual is 0.4.",
    "1,234 changes from this old bank to this new one within 30 days; usual is 12.5.",
    "The change was asked for because a payment came back.",
    "Payments to the account before came back: 2, the last on 2024-09-03.",
    "Payments are not in the feed.",
    "No payment to the account before is known to have come back.",
    "The household is not known.",
    "Within 60 days somebody joined, left or died, or the address changed.",
    "Nobody joined, left or died within 60 days, and no change of address is known.",
    "The new bank sent the change on the member's mandate.",
    "The channel of the change is not known.",
    "The change did not come as a bank's mobility mandate.",
    "The new account is listed as that of: institution.",
    "The payee is recorded as: guardian.",
    "The new account is not on the list of known institutions.",
    "Another payee of the same household has the same account.",
    "No other payee of the household is known to have this account.",
    "Hardly a member (0.4%) is on this list: it says next to nothing about this book.",
    "Nearly all members (97.0%) are on this list: being on it cannot tell one change from another.",
    "59 provider changes to learn from: they are compared with all changes",
    "612 changes are too few to hold some back: each is compared with all others, scored in 5 parts by models that did "
    "not see it",
]
"""Every sentence that nights wrote without a code. They are frozen: none of them is ever taken off."""


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_is_read_back_into_the_code_it_has_now(sentence: str) -> None:
    message = frozen_english.message(sentence)
    assert message, f"{sentence!r} was reworded: add its wording to frozen_english.EARLIER"
    code, params = message
    if code not in {code for _, code in frozen_english.EARLIER}:
        whole = {name: int(value) if value == round(value) and name != "usual" else value
                 for name, value in params.items() if not isinstance(value, str)}  # fmt: skip
        assert wording.sentence(code, **params | whole) == sentence
    with override("fr"):
        assert phrases.message({"sentence": sentence}) != sentence


def test_what_is_not_known_stays_as_it_is() -> None:
    assert phrases.message({"sentence": "Something of an older night."}) == "Something of an older night."
    assert phrases.finding({"sentence": "Something of an older night"}) == "Something of an older night"


@pytest.mark.parametrize(
    ("sentence", "value", "usual", "french"),
    [
        ("New devices enrolled in the 7 days before: 2 (usually 0).", "2", "0",
         "Nouveaux appareils enregistrés dans les 7 jours précédents : 2 (habituellement 0)."),
        ("Rarity of the account's country among the year's changes: 1 in 74 (usually common).", "1 in 74", "common",
         "Rareté du pays du compte parmi les changements de l’année : 1 sur 74 (habituellement courant)."),
        ("The member is known to have died (usually not).", "yes", "no",
         "Le décès de l’assuré est connu (habituellement non)."),
        ("It is the payee's first account.", "yes", "", "C’est le premier compte du destinataire."),
    ],
)  # fmt: skip
def test_a_reason_is_worded_from_what_was_stored_of_it(sentence: str, value: str, usual: str, french: str) -> None:
    whole: dict[str, Any] = {"feature": "f", "value": value, "usual": usual, "sentence": sentence}
    for reason in (whole, {"sentence": sentence}):
        assert phrases.finding(reason) == sentence
        with override("fr"):
            assert phrases.finding(reason).replace("\N{NO-BREAK SPACE}", " ") == french
