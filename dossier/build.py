"""Build the dossier of a home as of a day: facts into statements, statements into parts, answers to the questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from typing import Any

from payeewatch.dossier import words
from payeewatch.dossier.answers import Answer, read_answers
from payeewatch.dossier.facts import categories, fairness, model, records, retention, work
from payeewatch.dossier.findings import findings
from payeewatch.dossier.reading import Reading
from payeewatch.dossier.statements import (
    LANGUAGES,
    Both,
    Dossier,
    Fact,
    Kind,
    Part,
    Question,
    Source,
    State,
    Statement,
)

FACTS = {
    "model": model.model_facts,
    "data": model.data_facts,
    "assessment": records.assessment_facts,
    "register": categories.register_facts,
    "oversight": work.oversight_facts,
    "retention": retention.retention_facts,
    "lists": records.list_facts,
    "security": work.security_facts,
    "fairness": fairness.fairness_facts,
    "incidents": records.incident_facts,
    "changes": model.change_facts,
    "assets": records.asset_facts,
    "rights": work.right_facts,
}
"""The parts, in their order -> what the home says for them."""
OF_THE_LOG = ("incidents.breaks", "incidents.restores", "incidents.accepted_rows")
"""Statements about the audit log in a part about something else."""
STATIC = {"code": Kind.CODE, "test": Kind.TEST}
"""The keys of a text that name its source."""


def asked_for() -> dict[str, Both]:
    """Every row that the insurer or its counsel fills in: key -> what is asked for."""
    rows = {
        f"{part}.{name}": words.both(entry)
        for part in FACTS
        for name, entry in words.texts(part)["statements"].items()
        if "ask" in entry
    }
    intro = words.both(words.texts("labels")["law_row"])
    unread = [entry for entry in question_texts() if not entry["read"]]
    return rows | {_law_key(entry): {name: f"{intro[name]}: {entry[name]}" for name in LANGUAGES} for entry in unread}


def build(home: Reading) -> Dossier:
    """The dossier.

    Raises:
        SettingsError: the insurer's file of answers is wrong.
    """
    answers = read_answers(home.settings, asked_for())
    parts = tuple(_part(home, number, name, answers) for number, name in enumerate(FACTS, 1))
    by_key = {each.key: each for part in parts for each in part.statements}
    questions = tuple(_question(number, entry, by_key, answers) for number, entry in enumerate(question_texts(), 1))
    dossier = Dossier(
        home.as_of,
        home.settings.params.triage.insurer,
        f"PayeeWatch {metadata.version('payeewatch')}",
        words.filled(words.both(words.texts("labels")["made_from"]), records.newest(home)),
        (),
        parts,
        questions,
    )
    return Dossier(**vars(dossier) | {"findings": tuple(findings(home, dossier))})


@cache
def question_texts() -> tuple[dict[str, Any], ...]:
    """The questions as they are written down."""
    return tuple(words.texts("questions"))


def _part(home: Reading, number: int, name: str, answers: Mapping[str, Answer]) -> Part:
    raw, facts = words.texts(name), FACTS[name](home)
    statements = tuple(
        _statement(home, f"{name}.{key}", f"{number}.{place}", entry, facts, answers)
        for place, (key, entry) in enumerate(raw["statements"].items(), 1)
    )
    return Part(name, number, words.both(raw["title"]), words.both(raw["intro"]), statements)


def _statement(
    home: Reading,
    key: str,
    number: str,
    entry: Mapping[str, Any],
    facts: Mapping[str, Fact | None],
    answers: Mapping[str, Answer],
) -> Statement:
    """A statement; a fact that is None says that there is nothing, one that is absent that nobody can know."""
    name = key.partition(".")[2]
    fact, is_known = facts.get(name), name in facts
    if "ask" in entry:
        return _asked(key, number, entry, answers.get(key))
    if fact is not None and fact.is_nothing:
        text = words.filled(words.both(entry["absent"]), fact.values)
        return Statement(key, number, State.NOT_THERE, text, fact.sources)
    if entry.get("from") == "home" and fact is None:
        is_answer = "none" in entry and (is_known or "absent" not in entry)
        state, text = (State.STATED, entry["none"]) if is_answer else (State.NOT_THERE, entry["absent"])
        return Statement(key, number, state, words.both(text), _sources_of(home, key, entry))
    fact = fact or Fact()
    text = words.both(entry)
    settings = sorted(words.placeholders(text) & home.params.keys())
    values = {**home.params, **fact.values}
    sources = (*fact.sources, *home.settings_source(*settings), *_static(entry))
    named = entry.get("columns", dict.fromkeys(LANGUAGES, ()))
    columns = tuple({"en": english, "fr": french} for english, french in zip(named["en"], named["fr"], strict=True))
    rows = (*entry.get("rows", ()), *fact.rows)
    cells = tuple(tuple(words.cells(cell) for cell in row) for row in rows)
    return Statement(key, number, State.STATED, words.filled(text, values), sources, columns, cells)


def _sources_of(home: Reading, key: str, entry: Mapping[str, Any]) -> tuple[Source, ...]:
    """What an absence is known from: what the part is about, unless the text names something else."""
    looked_at = {
        "oversight": home.audit_source, "rights": home.audit_source, "model": home.model_source,
        "security": home.audit_source,
        "data": home.model_source, "changes": home.model_source, "lists": home.loads_source,
    }  # fmt: skip
    part = "oversight" if key in OF_THE_LOG else key.partition(".")[0]
    files = {"retention": "reports/purge-*.txt", "fairness": "reports/fairness/fairness.json"}
    if part in files:
        return (Source(Kind.FILE, files[part]),)
    return (*_static(entry),) or (looked_at.get(part, home.runs_source)(),)


def _asked(key: str, number: str, entry: Mapping[str, Any], answer: Answer | None) -> Statement:
    asked = words.both(entry)
    if answer is None:
        return Statement(
            key, number, State.OPEN, asked, (Source(Kind.ANSWER, f"dossier-answers.yaml, {key}"),), asks=entry["ask"]
        )
    who = ", ".join(filter(None, (answer.by, answer.date)))
    source = Source(Kind.ANSWER, f"dossier-answers.yaml, {key}{f' ({who})' if who else ''}")
    return Statement(key, number, State.FILLED, asked, (source,), asks=entry["ask"], answer=answer.text)


def _static(entry: Mapping[str, Any]) -> Iterator[Source]:
    for name, kind in STATIC.items():
        named = entry.get(name, ())
        yield from (Source(kind, each) for each in ([named] if isinstance(named, str) else named))


def _question(
    number: int, entry: Mapping[str, Any], by_key: Mapping[str, Statement], answers: Mapping[str, Answer]
) -> Question:
    key, law = _law_key(entry), words.both(entry["law"])
    is_filled = not entry["read"] and key in answers
    statements = tuple(by_key[each] for each in entry["answers"])
    law = answers[key].text if is_filled else law
    lacks = words.both(entry["lacks"]) if "lacks" in entry else None
    return Question(key, number, words.both(entry), law, bool(entry["read"]) or is_filled, statements, lacks)


def _law_key(entry: Mapping[str, Any]) -> str:
    """Under which key counsel says where a question stands in the law: of the first statement that answers it."""
    return f"law.{entry['answers'][0]}"
