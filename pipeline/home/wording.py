"""How numbers, dates and findings are worded for people, the same on every page.

An unusual change is not an accusation, and an exposed member is a victim: every sentence here keeps to that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from payeewatch.pipeline.home.codes import FIELDS, MATCHES

CREED = "An unusual change is not an accusation, and an exposed member is a victim."

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def euros(amount: Decimal | float | None) -> str:
    """`1840` -> `1,840.00 EUR`; None -> a dash."""
    return "–" if amount is None else f"{amount:,.2f} EUR"


def plain_euros(amount: Decimal | float | None) -> str:
    """For a column headed EUR: `1840` -> `1,840.00`."""
    return "–" if amount is None else f"{amount:,.2f}"


def cents(amount: int | None) -> str:
    """Cents as euros: `184000` -> `1,840.00 EUR`."""
    return euros(None if amount is None else Decimal(int(amount)) / 100)


def rounded_euros(amount: Decimal | float) -> str:
    """Whole euros, where cents are not needed: `1840.40` -> `1,840 EUR`."""
    return f"{amount:,.0f} EUR"


def number(value: float | None) -> str:
    """`12345` -> `12,345`; None -> a dash."""
    return "–" if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """`0.123` -> `12 %`, with a decimal where whole percents are too coarse: `0.004` -> `0.4 %`."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value * 100:.{_digits_of_share(value)}f} %"


def _digits_of_share(value: float) -> int:
    return 1 if 0 < value * 100 < 2 or 98 < value * 100 < 100 else 0


def one_among(p_value: float | None) -> int | None:
    """`0.0004` -> `2500`, to two digits: one of so many honest changes is this unusual; 1: ordinary; None: unknown."""
    if p_value is None or math.isnan(p_value) or p_value <= 0:
        return None
    if p_value > 0.4:
        return 1
    many = 1 / p_value
    digits = max(0, math.floor(math.log10(many)) - 1)
    return int(round(many / 10**digits) * 10**digits)


def one_in(p_value: float | None) -> str:
    """`0.0004` -> `1 in 2,500`: how rarely an honest change is at least this unusual."""
    among = one_among(p_value)
    return "–" if among is None else "ordinary" if among == 1 else f"1 in {among:,}"


def rarity(p_value: float | None) -> str:
    """The same as a sentence."""
    frequency = one_in(p_value)
    if frequency == "–":
        return "It could not be compared with other changes."
    if frequency == "ordinary":
        return "Comparable honest changes are often at least this unusual."
    return f"About {frequency} comparable honest changes is at least this unusual."


def day(value: date | str | None) -> str:
    """`2024-09-03` -> `3 Sep 2024`, in English on every machine."""
    value = _as_date(value)
    return "–" if value is None else f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def short_day(value: date) -> str:
    """`2024-09-03` -> `3 Sep`."""
    return f"{value.day} {MONTHS[value.month - 1]}"


def long_day(value: date) -> str:
    """`2024-09-03` -> `Tuesday 3 Sep 2024`."""
    return f"{WEEKDAYS[value.weekday()]} {day(value)}"


def instant(value: datetime | date | None) -> str:
    """`3 Sep 2024 14:05`, UTC; a plain date stays a date."""
    return f"{day(value)} {value:%H:%M}" if isinstance(value, datetime) else day(value)


def seconds(value: float) -> str:
    """`83.2` -> `83 s`, `0.42` -> `0.42 s`."""
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


def count_text(number_of: int, one: str, many: str | None = None) -> str:
    """`1 change`, `3 changes`, `no changes`."""
    return f"{f'{number_of:,}' if number_of else 'no'} {one if number_of == 1 else many or one + 's'}"


def exposure(item: Mapping[str, Any]) -> str:
    """One exposure of a member, worded as something that happened to them."""
    fields = [FIELDS.get(name, name.replace("_", " ")) for name in item.get("fields") or ()]
    fields_text = f"; exposed: {', '.join(fields)}" if fields else ""
    quality = item.get("match_quality")
    match_text = f"; {MATCHES[quality]}" if quality in MATCHES else ""
    return f"On list {item.get('breach_id')}, known since {day(item.get('known_at'))}{fields_text}{match_text}."


@dataclass(frozen=True)
class Measure:
    """A feature's value as it is shown: what it looks like, its number, and how many decimals."""

    form: str  # eur, share (0 to 1), rarity (1 in so many), days, years, times, number; or a word: yes, no, ...
    number: float | None = None  # None: the form is the word
    digits: int = 0


def measure(value: float | None, unit: str) -> Measure:
    """How a value of this unit (a `Unit` of the features) is shown."""
    if value is None or math.isnan(value):
        return Measure("unknown")
    kind = str(unit).lower()
    if kind == "eur":
        return Measure("eur", value, 2 if value else 0)
    if kind == "yes or no":
        return Measure("yes" if value >= 0.5 else "no")
    if kind == "share":
        return Measure("share", value, _digits_of_share(value))
    if kind == "surprise":
        among = None if value < math.log10(3) else one_among(10.0**-value)
        return Measure("common") if among is None else Measure("rarity", among)
    digits = 0 if float(value).is_integer() or abs(value) >= 100 else 1
    form = {"days": "days", "years": "years", "ratio": "times"}.get(kind, "number")
    return Measure(form, value, digits)


def measure_text(item: Measure) -> str:
    """The same in English: `1,840.00 EUR`, `3 days`, `yes`, `12 %`, `1 in 300`."""
    if item.number is None:
        return item.form
    if item.form == "share":
        return share(item.number)
    if item.form == "rarity":
        return f"1 in {item.number:,}"  # an integer, however large
    text = f"{item.number:,.{item.digits}f}"
    if item.form in ("days", "years"):
        return f"{text} {item.form.removesuffix('s') if item.number == 1 else item.form}"
    return {"eur": f"{text} EUR", "times": f"{text} times"}.get(item.form, text)


def fact(reason: Mapping[str, Any]) -> str:
    """What a reason's feature measures, for places that show the value and the usual one next to it."""
    if reason.get("fact"):
        return str(reason["fact"]).removesuffix(".")
    value, usual = reason.get("value"), reason.get("usual")  # the row of a night that did not publish the fact
    for tail in (f": {value} (usually {usual}).", f": {value}.", " (usually not).", "."):
        if str(reason["sentence"]).endswith(tail):
            return str(reason["sentence"]).removesuffix(tail)
    return str(reason["sentence"])


def ties_sentence(neighbours: Sequence[Mapping[str, Any]]) -> str:
    """How many other payees share the account, the device or the actor: one payee may be tied in several ways."""
    relations = sorted({str(item.get("relation")).removeprefix("same_").replace("_", " ") for item in neighbours})
    payees = {item.get("payee_id") for item in neighbours}
    flagged_payees = {item.get("payee_id") for item in neighbours if item.get("flag_id")}
    flagged_text = f"; {len(flagged_payees)} of them flagged" if flagged_payees else ""
    return f"{count_text(len(payees), 'other payee')} tied to it by {', '.join(relations)}{flagged_text}."


HONEST = {
    "bank_wave": "a wave between the two banks",
    "return_driven": "a payment that came back",
    "life_event": "a life event in the household",
    "mobility_mandate": "a mobility mandate",
    "institution": "a known institution",
    "household_account": "an account of the household",
}
"""What each check looks for."""


def check_sentences(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Full sentences for what was found; one line for what was not found, and one for what cannot be known."""
    sentences = [str(item["sentence"]) for item in checks if item.get("result") == "yes" and item.get("sentence")]
    for result, intro in (("no", "Looked for and not found"), ("unknown", "Cannot be known")):
        names = [str(item.get("check")) for item in checks if item.get("result") == result]
        if names:
            sentences.append(f"{intro}: {', '.join(HONEST.get(name, name.replace('_', ' ')) for name in names)}.")
    return sentences


MESSAGES = {
    # honest explanations of a change, looked for by pipeline/night/benign_checks.py
    "banks_merge": "The old bank is being merged into the new one.",
    "bank_not_known": "There is no earlier account, or its bank is not known.",
    "no_bank_moves": "no changes from this old bank to this new one within %(days)s days; usual is %(usual)s.",
    "one_bank_move": "1 change from this old bank to this new one within %(days)s days; usual is %(usual)s.",
    "bank_moves": "%(many)s changes from this old bank to this new one within %(days)s days; usual is %(usual)s.",
    "payment_came_back": "The change was asked for because a payment came back.",
    "payments_came_back": "Payments to the account before came back: %(payments)s, the last on %(day)s.",
    "no_payments_sent": "Payments are not in the feed.",
    "no_payment_came_back": "No payment to the account before is known to have come back.",
    "household_not_known": "The household is not known.",
    "life_event": "Within 60 days somebody joined, left or died, or the address changed.",
    "life_joined": "Somebody of the household became a member on %(day)s.",
    "life_left": "Somebody of the household ended their membership on %(day)s.",
    "life_died": "Another member of the household died on %(day)s.",
    "life_moved": "The postal address changed on %(day)s.",
    "no_life_event": "Nobody else of the household joined, left or died within 60 days; no change of address is known.",
    "mandate": "The new bank sent the change on the member's mandate.",
    "channel_not_known": "The channel of the change is not known.",
    "no_mandate": "The change did not come as a bank's mobility mandate.",
    "listed_account": "The new account is listed as that of: %(payee_type)s.",
    "payee_recorded": "The payee is recorded as: %(payee_type)s.",
    "not_listed": "The new account is not on the list of known institutions.",
    "account_of_household": "Another payee of the same household has the same account.",
    "no_account_of_household": "No other payee of the household is known to have this account.",
    # breach lists on which being or not being says nothing
    "covers_hardly_anyone": "Hardly a member (%(share)s) is on this list: it says next to nothing about this book.",
    "covers_nearly_all": (
        "Nearly all members (%(share)s) are on this list: being on it cannot tell one change from another."
    ),
    # what a person should know about a night
    "list_has_ended": "breaches/%(breach_id)s: purge_on, %(purge_on)s, has come; delete the folder",
    "codes_fell_back": (
        "%(table)s.%(column)s: %(rows)s rows have a code that the source profile does not list: %(codes)s"
    ),
    "ids_are_identities": (
        "%(table)s.%(column)s: %(rows)s ids are an account, a national id or somebody's name, and the lake keeps none "
        "of them: send another id, such as a keyed hash"
    ),
    "ids_repaired": (
        "%(table)s.%(column)s: %(rows)s ids were unknown as written, and are read as the one known id that differs in "
        "leading zeros, blanks or a trailing .0"
    ),
    "list_lacks_field": (
        "breaches/%(breach_id)s: the manifest says that %(field)s was exposed, but the people file has no %(columns)s"
    ),
    "drop_changed": "Drop %(day)s changed after it was read: what is new in it counts from night %(night)s.",
    "drop_late": "Drop %(day)s came late: it counts from night %(night)s.",
    "shadow_failed": "version %(version)s could not score this night in shadow: %(why)s",
    "night_redone": "The night was run again with --redo, with its drop as it was then.",
    "no_list_in_force": "No breach list is in force: nobody counts as exposed.",
    "nobody_exposed": "No member is on a breach list that is in force: nobody counts as exposed.",
    "verdicts_rejected": "%(file)s: %(verdicts)s verdicts cannot be used; see quarantine/%(folder)s/",
    "table_all_rejected": (
        "drop of %(day)s: nothing of %(table)s can be used; %(rows)s rejected (%(rules)s); see quarantine/%(day)s/"
    ),
    "column_useless": (
        "%(table)s.%(column)s: %(rows)s of %(many)s filled cells cannot be used and count as empty: it %(must)s"
    ),
    "words_for_nothing": (
        "%(table)s.%(column)s: %(rows)s cells hold a word for nothing, such as NULL, and count as one id; name it "
        "under 'nulls' in the source profile"
    ),
    "names_misread": (
        "%(table)s.%(column)s: %(rows)s names were misread before they were written (Ã© for é): they match nobody"
    ),
    "lists_unseparated": "%(table)s.%(column)s: %(rows)s lists are not separated by |, and count as one id each",
    "first_drop_repeats": "%(table)s: %(rows)s of %(many)s rows of the first drop repeat a key; the later row counts",
    "ids_unknown": "%(table)s, column %(column)s: %(rows)s of %(many)s ids are not in the table that they name",
    "first_drop_empty": "%(table)s: the files of the first drop have no rows",
    "erasure_cut_short": (
        "an erasure was cut short: run payeewatch purge again to finish it in the reviewers' database"
    ),
    "lens_without_features": "%(payee_type)s changes: lens %(lens)s is absent: it has no features",
    "lens_without_difference": (
        "%(payee_type)s changes: lens %(lens)s is absent: none of its features differs between changes"
    ),
    "lens_of_rarities": (
        "%(payee_type)s changes: lens %(lens)s is absent: of its features only rarities differ between changes, and no "
        "forest learns from these; they count by their weights alone"
    ),
    "features_without_values": "nothing is known in any change of: %(features)s",
    "features_without_difference": "every change has the same value of: %(features)s",
    "weights_left_out": (
        "their formulas changed after the weights were learned, so they count only through the forests: %(features)s"
    ),
    "few_of_party": "%(changes)s %(payee_type)s changes to learn from: they are compared with all changes",
    "few_changes": (
        "%(changes)s changes are too few to hold some back: each is compared with all others, "
        "scored in %(parts)s parts by models that did not see it"
    ),
    "few_recent": "%(changes)s changes of the last %(days)s days to compare with: older ones are used too",
    "few_references": "%(references)s references, %(wanted)s wanted: no p-value can be below %(least)s",
    "few_references_past": (
        "%(references)s references past %(days)s days with a payment pending, %(wanted)s wanted: for changes "
        "past that age, no p-value can be below %(least)s"
    ),
    # a feed unlike its usual: pipeline/feeds/watch.py
    "feed_rows": "%(table)s: %(rows)s rows; usual is %(typical)s",
    "feed_declared_absent": "%(table)s: no rows, but 'feeds' in params.yaml says that it comes every working day",
    "feed_empty_days": "%(table)s: no rows in %(days)s drops in a row; chance would do this less than once a year",
    "feed_empty_drop": "the drop of %(day)s is empty, and the day is not in the calendar",
    "feed_files_unread": "drop of %(day)s: nobody reads %(files)s; see the names of tables in docs/input.md",
    "files_unread": "%(folder)s: nobody reads %(files)s; see the names of files in docs/input.md",
    "feed_column_absent": (
        "%(table)s, column %(column)s: the file does not have it; earlier ones had: known values stand"
    ),
    "feed_null": "%(table)s, column %(column)s: %(share)s of the rows are empty; usual is %(usually)s",
    "feed_unknown": "%(table)s, column %(column)s: %(share)s of the rows are 'unknown'; usual is %(usually)s",
    "feed_fell_back": (
        "%(table)s, column %(column)s: %(share)s of the rows have a code that the source profile does not list; usual "
        "is %(usually)s"
    ),
    "feed_unresolved": (
        "%(table)s, column %(column)s: %(share)s of the ids are not known here; usual is %(usually)s"
    ),
    "feed_rejected": "%(table)s: %(share)s of the rows are rejected; usual is %(usually)s",
    "feed_repeated": "%(table)s: %(share)s of the rows repeat a key of the same drop; usual is %(usually)s",
    "feed_unchanged": "%(table)s: %(share)s of the rows came before exactly so; usual is %(usually)s",
    "feed_same_files": "%(table)s: the files are those of the drop of %(day)s again, byte for byte",
    "feed_known": "%(table)s: %(share)s of the keys came in the drops before; usual is %(usually)s",
    "feed_distinct": "%(table)s, %(column)s: %(share)s of the rows have a different one; usual is %(usually)s",
    "feed_value": (
        "%(table)s, column %(column)s: %(share)s of the rows have the value %(value)s; usual is %(usually)s"
    ),
    "feed_large": "%(table)s, column %(column)s: %(share)s of the amounts are over 1,000 EUR; usual is %(usually)s",
    "feed_zero": "%(table)s, column %(column)s: %(share)s of the amounts are zero; usual is %(usually)s",
    "feed_old": "%(table)s, column %(column)s: %(share)s are older than 60 days; usual is %(usually)s",
    "feed_ahead": "%(table)s, column %(column)s: %(share)s lie more than 60 days ahead; usual is %(usually)s",
    "feed_before": "%(table)s, column %(column)s: %(share)s are before %(before)s o'clock; usual is %(usually)s",
    "feed_seen": "%(table)s, column %(column)s: %(share)s of the ids came in the drops before; usual is %(usually)s",
    "feed_padded": (
        "%(table)s, column %(column)s: %(share)s of the ids begin with a zero or end in .0; usual is %(usually)s"
    ),
    "feed_median": "%(table)s, column %(column)s: the middle amount is %(times)s times its usual",
    "feed_age": "%(table)s, column %(column)s: the middle row is %(days)s days old; usual is %(typical)s",
    "feed_newest": "%(table)s, column %(column)s: the newest row is %(days)s days old; usual is %(typical)s",
    "no_planned_payments": (
        "payments: no planned or held payment came in the last drops (%(drops)s): only a payment that is not sent yet "
        "can be held, so the hold queue stays empty"
    ),
    "feed_without_usual": "%(table)s: too few drops to say what is usual",
    "night_purged": (
        "something was purged or erased from this night on %(days)s: flags that a purge deleted may be in its "
        "files again, until the next purge"
    ),
    "champion_unrecorded": (
        "version %(version)s is the champion, but the last promotion or rollback made version %(recorded)s it: "
        "somebody moved it in MLflow; see payeewatch models, and promote the one that is wanted"
    ),
    "changes_moved": (
        "bank_changes: %(many)s known changes came again for another account or payee, and payments to the one before "
        "are no longer proposed to be held: %(changes)s"
    ),
    "reference_changed": "reference/%(table)s: has changed: %(rows)s rows, %(before)s before",
    "profile_changed": (
        "%(table)s: the source profile has changed since the drop of %(day)s was read; loaded drops are not read "
        "again: see docs/running.md"
    ),
    "read_with_other_profile": "%(table)s: read with another source profile: %(many)s drops, the last of %(day)s",
    "feed_accepted": "drop of %(day)s: let through although a feed is unlike its usual: %(reason)s",
    # a night unlike the training of its model: pipeline/night/drift.py
    "drift_no_reference": (
        "version %(version)s of the model kept nothing to compare its nights with, so drift is not watched: train again"
    ),
    "drift_higher": (
        "%(column)s, %(segment)s: %(share)s of the last %(changes)s changes are above what %(usually)s were in training"
    ),
    "drift_lower": (
        "%(column)s, %(segment)s: %(share)s of the last %(changes)s changes are at or below what %(usually)s were in "
        "training"
    ),
    "drift_more": "further columns unlike the training of the model: %(many)s; payeewatch drift lists them",
    "drift_goes_on": "columns still unlike the training of the model: %(many)s; payeewatch drift lists them",
    "drift_flags": "%(changes)s new flags; usual is %(typical)s",
    "drift_list": "breaches/%(breach_id)s covers %(share)s of the members; usual is %(usually)s",
    "drift_verdicts": "%(share)s of the last %(changes)s verdicts are fraud; usual is %(usually)s",
    "drift_accepted": "published although it is unlike the training of the model: %(reason)s",
    # breach lists that are not as they were
    "lists_accepted": "no breach list in breaches/: those that are known stay in force: %(reason)s",
    "list_folder_gone": (
        "breaches/%(breach_id)s is gone; the list stays in force until %(purge_on)s, or until "
        "payeewatch lists withdraw %(breach_id)s"
    ),
    "list_without_manifest": "breaches/%(breach_id)s: has no manifest.yaml yet; it is left out",
    "list_shrinks": "breaches/%(breach_id)s: %(rows)s people; the copy before had %(typical)s",
    "list_matches_fewer": (
        "breaches/%(breach_id)s: %(rows)s members match at level %(level)s or better; usual is %(typical)s"
    ),
    "list_older": "breaches/%(breach_id)s: an older copy of the list has replaced a newer one",
    # a challenger beside the champion: pipeline/detector/gate.py
    "gate_not_compared": "it was not compared with the champion (payeewatch compare champion %(version)s)",
    "gate_calibration": (
        "%(share)s of honest changes have p <= 0.05 (95 %%: %(low)s to %(high)s); it must be %(from_share)s to "
        "%(to_share)s, chance apart"
    ),
    "gate_most_flags": (
        "it would flag %(changes)s changes where the champion flags %(typical)s; at most %(most)s are allowed"
    ),
    # what was decided in the reviewers' application about models: pipeline/detector/decisions.py
    "model_promoted": "Version %(version)s of the model is the champion from this night on, as two people decided.",
    "model_refused": "Version %(version)s of the model was proposed, and refused by a second person.",
    "model_proposed": "Version %(version)s of the model is proposed as the champion and waits for a second person.",
    "decision_not_applied": "What was decided about version %(version)s of the model is not applied: %(why)s",
    "decision_not_signed": (
        "outcomes/models/%(file)s: was not written by this home's application with its key; it is not applied"
    ),
    # the export about one person
    "times_in_zone": "Times of day are those of the time zone %(zone)s.",
    "kept_nights": (
        "%(days)s days after the night. When a flag is deleted, its change's scores stay, without the flag's number."
    ),
    "kept_models": "%(days)s days after the model was trained; longer while it, or a night that it scored, is kept.",
    "kept_flags": (
        "Without a verdict, or with one that is not clear: %(qualify)s days after it was first flagged. Found to be no "
        "fraud, a duplicate or a data error: until the day after it was closed, or after its second look. Found to be "
        "fraud: %(closed)s days after it was closed. In any case as long as payments are held for it."
    ),
}  # fmt: skip
"""Code -> what it says in English. What is published contains the code and its numbers next to the sentence, so that it
can be translated into any language; `make words` puts the sentences into the catalogue of translations."""

PARAM_FORMATS = {
    "many": "{:,}",
    "rows": "{:,}",
    "usual": "{:.1f}",
    "share": "{:.1%}",
    "usually": "{:.1%}",
    "least": "{:.4f}",
    "low": "{:.1%}",
    "high": "{:.1%}",
    "from_share": "{:.0%}",
    "to_share": "{:.0%}",
    "ratio": "{:g}",
}
"""The name of a number in a message -> how it is written, where not simply as text."""


class Sentence(str):
    """A sentence in English, with the code and the numbers that it was made from."""

    code: str
    params: dict[str, Any]

    @property
    def coded(self) -> dict[str, Any]:
        """The code and the numbers, for JSON."""
        return {"code": self.code, "params": self.params}


def sentence(code: str, **params: Any) -> Sentence:
    """The message of that code in English. Dates among the numbers are given as ISO text."""
    texts = {name: PARAM_FORMATS.get(name, "{}").format(value) for name, value in params.items()}
    message = Sentence(MESSAGES[code] % texts)
    message.code, message.params = code, params
    return message


def of_code(coded: Mapping[str, Any]) -> Sentence:
    """The message that `Sentence.coded` wrote down."""
    return sentence(coded["code"], **coded["params"])


def _as_date(value: date | str | None) -> date | None:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value
