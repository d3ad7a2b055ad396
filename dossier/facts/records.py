"""The assessment, lists, incidents and assets: from the run records, the data store and the code."""

from __future__ import annotations

import gettext
from collections import Counter
from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from itertools import zip_longest
from typing import Any

from payeewatch.dossier.reading import DIGEST, Reading, Review, short
from payeewatch.dossier.statements import Fact, Kind, Source
from payeewatch.dossier.words import Percent, both, cells, filled, free_text, number_in, texts, word
from payeewatch.pipeline.feeds.calendar import is_closed
from payeewatch.pipeline.home import errors
from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.home.wording import MESSAGES, PARAM_FORMATS
from payeewatch.pipeline.store.lake import PURGE, Lake
from payeewatch.pipeline.store.lake_format import read_format
from payeewatch.pipeline.store.tombstones import ERASURE

STORES = (
    ("inbox", {"en": "drops of the insurer, as sent", "fr": "dépôts de l'assureur, tels qu'envoyés"}, True),
    ("breaches", {"en": "breach lists, as notified", "fr": "listes de fuite, telles que notifiées"}, True),
    ("reference", {"en": "reference tables, such as of banks", "fr": "tables de référence, comme des banques"}, True),
    ("lake", {"en": "the data store, with keyed tokens", "fr": "l'entrepôt de données, en jetons à clé"}, True),
    ("vault", {"en": "sealed originals", "fr": "originaux scellés"}, True),
    ("quarantine", {"en": "refused rows, masked", "fr": "lignes refusées, masquées"}, True),
    ("mlflow", {"en": "models, measurements such as of fairness, and which staff decided",
                "fr": "modèles, mesures comme celle de l'équité, et quel personnel a décidé"}, True),
    ("flags, scores, evidence", {"en": "what nights found, and cases that people opened by hand",
                                 "fr": "ce que les nuits ont trouvé, et les dossiers ouverts à la main"}, True),
    ("shadow", {"en": "scores of versions on trial", "fr": "scores de versions à l'essai"}, True),
    ("holds, releases, outcomes", {
        "en": "what nights proposed to hold, and what people decided",
        "fr": "ce que les nuits ont proposé de bloquer, et ce que les personnes ont décidé",
    }, True),
    ("runs, reports", {"en": "records and pages of nights, other reports, backtests, and these dossiers",
                       "fr": "enregistrements et pages des nuits, autres rapports, rejeux et ces dossiers-ci"}, True),
    (
        "triage",
        {
            "en": "the reviewers' database, if it is not PostgreSQL, and files",
            "fr": "la base des gestionnaires, hors PostgreSQL, et leurs fichiers",
        },
        True,
    ),
    ("params.yaml", {"en": "settings", "fr": "réglages"}, False),
    ("profile.toml", {"en": "how the insurer's files differ from the contract",
                      "fr": "en quoi les fichiers de l'assureur diffèrent du contrat"}, False),
    ("dossier-answers.yaml", {"en": "answers of the insurer", "fr": "réponses de l'assureur"}, True),
    ("models.json", {"en": "versions of the model, as the application shows them",
                     "fr": "versions du modèle, telles que l'application les montre"}, True),
)  # fmt: skip

NO_DROP = {
    "en": "no drop of the day was loaded when it ran; whoever ran it said that there was no news (--no-news)",
    "fr": "aucun dépôt du jour n'était chargé quand elle a été exécutée ; qui l'a lancée a dit qu'il n'y avait rien de "
    "nouveau (--no-news)",
}
SEPARATOR = {"en": "; ", "fr": " ; "}
KNEW_MORE = {
    "en": "its model knew what was known on {day} (--allow-hindsight)",
    "fr": "son modèle savait ce qui était connu le {day} (--allow-hindsight)",
}
PARTIES = {"member": "assuré", "provider": "professionnel"}
SOFTWARE = {"key_version": {"en": "key of tokens of accounts, number", "fr": "clé des jetons de comptes, numéro"}}
WHOLE = 1e-6
"""How far from a whole number a share of a night times its changes may be."""
IN_FORCE = {"en": "in force", "fr": "en vigueur"}
ENDED = {"en": "over or withdrawn", "fr": "terminée ou retirée"}


def assessment_facts(home: Reading) -> dict[str, Fact | None]:
    if home.last is None:
        return {"scale": None}
    values = {
        "members": _members(home), "insured": _insured(home.last), "open": home.last["changes"]["open"],
        "lists": len(_lists_in_force(home)), "erased": sum(load.kind == ERASURE for load in home.loads),
    }  # fmt: skip
    return {"scale": Fact(values, (home.run_source(home.last_night), home.loads_source()))}


def newest(home: Reading) -> dict[str, Any]:
    """The newest of what was read, up to the day; and what may be later than it."""
    load = home.loads[-1] if home.loads else None
    log = home.review.oversight if home.review else None
    later = sum(home.is_later(each) for each in home.records)
    return {
        "night": home.last_night, "load": load.sequence if load else None, "load_day": load.known_on if load else None,
        "record": (log.last_record or None) if log else None,
        "at": log.last_at.replace(tzinfo=None, microsecond=0) if log and log.last_at else None,
        "version": home.version.version if home.version else None, "later": later,
        "settings": short(repr(sorted(home.params.items()))),
    }  # fmt: skip


def _members(home: Reading) -> int:
    """How many members known up to the last night the data store has, those who left too; not those erased since."""
    import duckdb

    rows = Lake(home.settings.folder("lake")).scan("members")
    until = home.settings.params.cutoff(home.last_night or home.as_of)
    with duckdb.connect() as con:
        query = f"SELECT count(DISTINCT member_id) FROM ({rows}) WHERE known_at <= ?"
        return int(con.execute(query, [until]).fetchall()[0][0])


def _insured(run: Mapping[str, Any]) -> int | None:
    """How many members were insured on a night: of whom its record counts those on each list."""
    shares = [each for each in run.get("lists", ()) if each["exposed"] and each["exposed_share"]]
    return round(shares[0]["exposed"] / shares[0]["exposed_share"]) if shares else None


def list_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `lists`."""
    return {"lists": _lists(home), "coverage": _coverage(home), "refused": _refused_people(home)}


def incident_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `incidents`."""
    runs, sources = home.runs, (home.runs_source(),)
    nights = [*runs]
    missing = tuple((night,) for night in home.missing_nights)
    failed = tuple(
        (night, facts.get("exit_code"), exit_meaning(facts.get("exit_code")))
        for night, facts in home.failed_nights.items()
    )
    of_the_log = _of_the_log(home, home.review) if home.review else {}
    return of_the_log | {
        "nights": Fact({"many": len(nights), "first": nights[0], "last": nights[-1]}, sources) if nights else None,
        "missing": _table(missing, *sources),
        "failed": _table(failed, *(home.failure_source(night) for night in home.failed_nights)),
        "accepted": _table(_let_through(home), *sources),
        "unscored": _unscored(home),
        "attempts": Fact({}, (Source(Kind.CODE, "pipeline/home/runs.py"),), is_nothing=True),
        "warnings": _warnings(home),
        "altered": _table(tuple((name,) for name in home.altered_runs), *sources),
    }


def _let_through(home: Reading) -> tuple[tuple[Any, ...], ...]:
    """Nights that somebody accepted, or gave a model from after them, and working days that had no drop of the day.

    A drop that came late belongs to a later night, and does not undo that this one ran without it.
    """
    calendar, rows = home.settings.params.calendar, []
    for night, run in home.runs.items():
        known_until = date.fromisoformat(run["model"].get("known_until") or str(night))
        reasons = [cells(free_text(run["accepted"]))] if run.get("accepted") else []
        if known_until > night:
            reasons.append(filled(KNEW_MORE, {"day": known_until}))
        if str(night) not in {each["day"] for each in run.get("drops", ())} and not is_closed(calendar, night):
            reasons.append(NO_DROP)
        if reasons:
            rows.append((night, {name: SEPARATOR[name].join(each[name] for each in reasons) for name in SEPARATOR}))
    return tuple(rows)


def _unscored(home: Reading) -> Fact | None:
    """Rules that announced changes broke so that no night scored them, and how many changes.

    A change that was refused several times counts once, by the rules that it broke last.
    """
    refused = [each for load in home.loads if load.kind == "drop" for each in load.facts.get("unscored_changes", ())]
    rules = {each["change_id"] or f"no. {place}": ", ".join(each["rules"]) for place, each in enumerate(refused)}
    many = Counter(rules.values())
    return Fact({"many": many.total()}, (home.loads_source(),), tuple(sorted(many.items()))) if many else None


def asset_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `assets`."""
    versions = home.last["versions"] if home.last else {}
    software = tuple((SOFTWARE.get(name, name), str(version)) for name, version in versions.items())
    exits = tuple((code, exit_meaning(code)) for code in exit_codes())
    form = read_format(home.settings.folder("lake"))
    number = form.format if form else None
    lake = Source(Kind.LAKE, "lake/format.json", short(str(number)))
    return {
        "software": Fact({}, (home.run_source(home.last_night),), software) if software else None,
        "stores": Fact({}, (Source(Kind.CODE, "pipeline/home/settings.py"),), STORES),
        "format": Fact({"format": number, "params": short(repr(sorted(home.params.items())))}, (lake,)),
        "exit_codes": Fact({}, (Source(Kind.CODE, "pipeline/home/errors.py", short(repr(exits))),), exits),
    }


def _of_the_log(home: Reading, review: Review) -> dict[str, Fact | None]:
    """Breaks and findings of the audit log, restores, and rows that an operator accepted."""
    counts, day_of = review.oversight, home.settings.params.day_of
    found: dict[str, list[tuple[Any, ...]]] = {
        "breaks": [*((number, why) for number, _, why in counts.breaks), *(("", each) for each in review.findings)],
        "restores": [(number, day_of(at), made_at[:16].replace("T", " ")) for number, at, made_at in counts.restores],
        "accepted_rows": [(number, day_of(at), rows) for number, at, rows in counts.accepted_rows],
    }
    return {key: _table(tuple(rows), home.audit_source()) for key, rows in found.items()}


def _table(rows: tuple[tuple[Any, ...], ...], *sources: Source) -> Fact | None:
    return Fact({"many": len(rows)}, sources, rows) if rows else None


def exit_codes() -> list[int]:
    """What a command can end with: 0, 1, 2 (of the command line), and one for each class of error."""
    classes = [each for each in PayeeWatchError.__subclasses__() if each.__module__ == errors.__name__]
    return sorted({0, PayeeWatchError.exit_code, 2, *(each.exit_code for each in classes)})


def exit_meaning(code: Any) -> dict[str, str]:
    """What an exit code says, in both languages; of one that nobody knows: an internal error."""
    known = texts("exit_codes")
    return dict(both(known[code] if code in known else known[PayeeWatchError.exit_code]))


def _lists_in_force(home: Reading) -> set[str]:
    last = {load.source: load for load in home.loads if load.kind in {"list", PURGE}}
    return {name for name, load in last.items() if load.kind == "list" and load.facts["purge_on"] > str(home.as_of)}


def _lists(home: Reading) -> Fact | None:
    last = {load.source: load for load in home.loads if load.kind == "list"}
    if not last:
        return None
    words, in_force = texts("fields"), _lists_in_force(home)
    rows = tuple(
        (
            name, load.facts["title"], load.facts["source"], load.facts["notification_ref"],
            date.fromisoformat(load.facts["known_at"][:10]), _joined(words, load.facts["fields_exposed"]),
            load.facts["people"]["rows"], date.fromisoformat(load.facts["purge_on"][:10]),
            IN_FORCE if name in in_force else ENDED,
        )
        for name, load in sorted(last.items())
    )  # fmt: skip
    sources = tuple(
        Source(Kind.LIST, f"lake/loads, {load.sequence}", load.fingerprint[:DIGEST]) for _, load in sorted(last.items())
    )
    return Fact({"many": len(rows)}, sources, rows)


def _refused_people(home: Reading) -> Fact | None:
    """List -> how many of its rows were refused when it was last loaded."""
    last = {load.source: load.facts["people"] for load in home.loads if load.kind == "list"}
    rows = tuple((name, people["rows"], people.get("rejected", 0)) for name, people in sorted(last.items()))
    many = sum(row[2] for row in rows)
    return Fact({"many": many}, (home.loads_source(),), rows) if rows else None


def _joined(words: dict[str, Any], codes: list[str]) -> dict[str, str]:
    return {name: ", ".join(str(words[code][name]) for code in codes) for name in ("en", "fr")}


def _coverage(home: Reading) -> Fact | None:
    if home.last is None or home.last_night is None:
        return None
    insured, changes = _insured(home.last), _changes_of_members(home, home.last, home.last_night)
    rows = tuple(
        (
            each["breach_id"], each["exposed"], insured, Percent(each["exposed_share"] or 0),
            None if changes is None else round(changes * (each.get("changes_exposed_share") or 0)), changes,
            Percent(each.get("changes_exposed_share") or 0),
        )
        for each in home.last.get("lists", ())
    )  # fmt: skip
    return Fact({}, (home.run_source(home.last_night),), rows) if rows else None


def _changes_of_members(home: Reading, run: Mapping[str, Any], night: date) -> int | None:
    """How many of a night's open changes were of members and not of providers, that night; None: not known any more.

    Rows of its scores may be erased since. Then it is the one number for which every share that the night recorded
    is of a whole number of changes.
    """
    import pyarrow.parquet as pq

    path = home.settings.folder("scores") / f"{night}.parquet"
    if not path.exists():
        return None
    members = pq.read_table(path, columns=["member_id"]).column("member_id")
    left, gone = len(members) - members.null_count, max(0, run["scored"] - len(members))
    shares = [each.get("changes_exposed_share") or 0 for each in run.get("lists", ())]
    fitting = [
        many for many in range(left, left + gone + 1) if all(abs(many * s - round(many * s)) < WHOLE for s in shares)
    ]
    return left if not gone else fitting[0] if len(fitting) == 1 else None


def _warnings(home: Reading) -> Fact | None:
    """Kinds of what nights told: code, the last such sentence, how often, the last night."""
    kinds: Counter[str] = Counter()
    last: dict[str, tuple[dict[str, str], date]] = {}
    for night, run in home.runs.items():
        for text, coded in zip_longest(run.get("warnings", ()), run.get("warning_codes", ())):
            code = coded["code"] if coded else "other"
            kinds[code] += 1
            last[code] = (in_both(str(text or code), coded), night)
    rows = tuple((last[code][0], code, many, last[code][1]) for code, many in sorted(kinds.items()))
    return Fact({"many": kinds.total(), "kinds": len(kinds)}, (home.runs_source(),), rows) if kinds else None


def in_both(text: str, coded: Mapping[str, Any] | None) -> dict[str, str]:
    """A sentence of a night or of a model, worded in each language; the French is of the application's catalogue."""
    if not coded or coded["code"] not in MESSAGES:
        return {"en": text, "fr": f"(en anglais) {text}"}
    message = MESSAGES[coded["code"]]
    return {
        language: words % {name: _param(name, value, language) for name, value in coded["params"].items()}
        for language, words in (("en", message), ("fr", _french(message)))
    }


def _param(name: str, value: Any, language: str) -> str:
    """A value of such a sentence, as the language writes numbers, and a party in its word."""
    if name == "features":
        return ("; " if language == "en" else " ; ").join(_measured(each, language) for each in str(value).split(", "))
    form = PARAM_FORMATS.get(name, "{}")
    if form.endswith("%}"):
        return word(Percent(float(value)), language)
    text = form.format(value)
    if language == "en":
        return text
    return number_in(text, language) if isinstance(value, int | float) else PARTIES.get(text, text)


def _measured(feature: str, language: str) -> str:
    """What a feature measures, in place of its name in the code."""
    from payeewatch.features.registry import FEATURES

    if feature not in FEATURES:
        return feature
    sentence = in_catalogue(FEATURES[feature].sentence)[language].rstrip(".")
    return f"“{sentence}”" if language == "en" else f"« {sentence} »"


def in_catalogue(message: str) -> dict[str, str]:
    """A sentence that the application has, in each language."""
    return {"en": message, "fr": _french(message)}


def _french(message: str) -> str:
    folder = files("payeewatch.triage").joinpath("locale")
    return gettext.translation("django", str(folder), ["fr"], fallback=True).gettext(message)
