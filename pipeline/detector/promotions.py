"""Who made which version the champion, when and why: the history of promotions, kept as runs in MLflow.

A promotion and a rollback move the alias `champion` and leave a record each; a proposal and its refusal leave a record
only.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from payeewatch.pipeline.detector import gate, model_registry
from payeewatch.pipeline.detector.model_registry import CHALLENGER, CHAMPION
from payeewatch.pipeline.detector.model_store import NAME, database_of, experiment_of, reading, store
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.settings import Settings

EXPERIMENT = "payeewatch-promotions"
"""Where MLflow shows the history: one run per record, what it says as tags."""
TAGS = ("kind", "from", "to", "who", "at", "why", "approved_by", "override", "comparison", "decision")
RECORDS = """
SELECT r.run_uuid, t.key, t.value FROM runs r JOIN experiments e USING (experiment_id) JOIN tags t USING (run_uuid)
WHERE e.name = ? AND r.lifecycle_stage = 'active' ORDER BY r.start_time, r.rowid
"""


class Kind(StrEnum):
    """What a record says."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    PROPOSAL = "proposal"
    REFUSAL = "refusal"


MOVES = frozenset({Kind.PROMOTION, Kind.ROLLBACK})
"""The kinds that make a version the champion."""


@dataclass(frozen=True)
class Record:
    """One line of the history. `who` decided, or proposed what `approved_by` approved; of a refusal, `who` refused."""

    kind: Kind
    before: str  # the champion until then; empty if there was none
    to: str
    who: str
    at: datetime
    why: str
    approved_by: str = ""
    override: str = ""  # why the gate did not count
    comparison: str = ""  # the run of the comparison that was known
    decision: str = ""  # of the reviewers' application: its name there
    run_id: str = field(default="", compare=False)  # of MLflow, once it is written

    @property
    def decided_by(self) -> str:
        """`one` or `two` people."""
        return "two" if self.approved_by else "one"

    def tags(self) -> dict[str, str]:
        """The record as MLflow keeps it."""
        values = (
            str(self.kind), self.before, self.to, self.who, self.at.isoformat(timespec="microseconds"), self.why,
            self.approved_by, self.override, self.comparison, self.decision,
        )  # fmt: skip
        return dict(zip(TAGS, values, strict=True)) | {"decided_by": self.decided_by}

    @classmethod
    def of(cls, tags: dict[str, str], run_id: str = "") -> Record:
        kind, before, to, who, at, *texts = (tags.get(name, "") for name in TAGS)
        named = dict(zip(TAGS[5:], texts, strict=True))
        return cls(Kind(kind), before, to, who, datetime.fromisoformat(at), **named, run_id=run_id)


def os_user() -> str:
    """The operating system's user of this process: its name, or its number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def history(settings: Settings) -> list[Record]:
    """Every record, oldest first; read without MLflow."""
    if not database_of(settings).exists():
        return []
    tags: dict[str, dict[str, str]] = {}
    with reading(database_of(settings)) as con:
        for run_id, key, value in con.execute(RECORDS, [EXPERIMENT]):
            tags.setdefault(run_id, {})[key] = value
    return [Record.of(each, run_id) for run_id, each in tags.items() if "kind" in each]


def champions(records: Sequence[Record]) -> list[str]:
    """The champions that a rollback can return to, oldest first; the last one is the present champion.

    A promotion adds one, a rollback takes those after its version away.
    """
    line: list[str] = []
    for record in records:
        if record.kind not in MOVES:
            continue
        if record.before and line[-1:] != [record.before]:  # made champion in MLflow, or before there was a history
            line.append(record.before)
        if record.kind == Kind.ROLLBACK and record.to in line:
            del line[len(line) - 1 - line[::-1].index(record.to) :]
        line.append(record.to)
    return line


def unrecorded(settings: Settings, champion: str) -> str:
    """The champion by the last record, where another version is champion: somebody moved the alias in MLflow itself.

    Empty if they agree, or nothing was ever recorded.
    """
    last = champions(history(settings))[-1:]
    return "" if last in ([], [champion]) else last[0]


def open_proposal(records: Sequence[Record], version: str) -> Record | None:
    """The newest proposal of a version that was not decided since."""
    about = [record for record in records if record.to == version]
    return about[-1] if about and about[-1].kind == Kind.PROPOSAL else None


def promote(settings: Settings, which: str, why: str, who: str, override: str = "") -> Record:
    """Make a version the champion; or propose it, where `promotion.by_two` asks for two people.

    Raises:
        ModelError: there is no such version, it cannot serve, or the gate refuses it and `override` is empty.
    """
    version = model_registry.version_of(settings, which)
    champion = model_registry.champion_version(settings)
    _check_it_can_serve(settings, version, champion)
    comparison = _pass_gate(settings, version, champion, override)
    is_proposal = settings.params.promotion.by_two and bool(champion)
    kind = Kind.PROPOSAL if is_proposal else Kind.PROMOTION
    return _keep(settings, Record(kind, champion, version, who, settings.now(), why, "", override, comparison))


def propose(settings: Settings, version: str, why: str, who: str, decision: str = "") -> Record:
    """Propose a version before it was compared: the gate is asked when it is approved.

    Raises:
        ModelError: it cannot serve.
    """
    champion = model_registry.champion_version(settings)
    _check_it_can_serve(settings, version, champion)
    figures = gate.newest_comparison(settings, champion, version)
    comparison = figures.run_id if figures else ""
    texts = {"comparison": comparison, "decision": decision}
    return _keep(settings, Record(Kind.PROPOSAL, champion, version, who, settings.now(), why, **texts))


def approve(settings: Settings, which: str, who: str, override: str = "", decision: str = "") -> Record:
    """Make a proposed version the champion, as a second person.

    Raises:
        ModelError: nobody proposed it, `who` did, it cannot serve, or the gate refuses it and `override` is empty.
    """
    version = model_registry.version_of(settings, which)
    proposal = _proposal_of_another(settings, version, who)
    champion = model_registry.champion_version(settings)
    _check_it_can_serve(settings, version, champion)
    override = override or proposal.override
    comparison = _pass_gate(settings, version, champion, override)
    promotion = replace(
        proposal, kind=Kind.PROMOTION, before=champion, at=settings.now(), approved_by=who, override=override,
        comparison=comparison, decision=decision,
    )  # fmt: skip
    return _keep(settings, promotion)


def refuse(settings: Settings, which: str, why: str, who: str, decision: str = "") -> Record:
    """Refuse a proposed version, as a second person; it may be proposed again.

    Raises:
        ModelError: nobody proposed it, or `who` did.
    """
    version = model_registry.version_of(settings, which)
    proposal = _proposal_of_another(settings, version, who)
    refusal = replace(proposal, kind=Kind.REFUSAL, who=who, at=settings.now(), why=why, decision=decision)
    return _keep(settings, refusal)


def roll_back(settings: Settings, why: str, who: str) -> Record:
    """Make the champion before the present one the champion again.

    Raises:
        ModelError: the history knows none, or it cannot serve any more.
    """
    champion = model_registry.champion_version(settings)
    line = champions(history(settings))
    if champion and line[-1:] != [champion]:  # made champion in MLflow since
        line.append(champion)
    if len(line) < 2:
        raise ModelError(
            "the history has no champion before the present one; run payeewatch promote VERSION --why TEXT"
        )
    before = model_registry.version_of(settings, line[-2])
    _check_it_can_serve(settings, before, champion)
    return _keep(settings, Record(Kind.ROLLBACK, champion, before, who, settings.now(), why))


def record_first(settings: Settings, before: str, version: str, why: str, who: str) -> Record:
    """Record that training made a version the champion at once, as one person decided."""
    return _keep(settings, Record(Kind.PROMOTION, before, version, who, settings.now(), why))


def _proposal_of_another(settings: Settings, version: str, who: str) -> Record:
    """The open proposal of a version, which somebody else made."""
    proposal = open_proposal(history(settings), version)
    if proposal is None:
        raise ModelError(f"version {version} is not proposed; run payeewatch promote {version} --why TEXT first")
    if _is_same_person(proposal.who, who):
        raise ModelError(f"{who} proposed version {version}; another person must approve or refuse it: give --by NAME")
    return proposal


def _check_it_can_serve(settings: Settings, version: str, champion: str) -> None:
    from payeewatch.features.registry import FEATURES

    if version == champion:
        raise ModelError(f"version {version} is the champion already")
    model = model_registry.load(settings, version)
    if model.uncorrected:
        raise ModelError(
            f"version {version} is what champion {model.uncorrected.version} learned from verdicts; nights use it by "
            "themselves while that one is the champion. Promote a version that was trained: see payeewatch models"
        )
    model.check_features(tuple(FEATURES.values()))


def _pass_gate(settings: Settings, version: str, champion: str, override: str) -> str:
    """The run of the comparison that the gate looked at; empty if there is none and it need not count."""
    if not champion:
        return ""
    comparison = gate.newest_comparison(settings, champion, version)
    refusals = gate.refusals(comparison, settings.params.promotion, version)
    if refusals and not override:
        raise ModelError(
            f"version {version} is not promoted: {'; '.join(refusals)}. To promote it all the same, give "
            "--override REASON, which is recorded"
        )
    return comparison.run_id if comparison else ""


def _is_same_person(first: str, second: str) -> bool:
    return first.strip().casefold() == second.strip().casefold()


def _keep(settings: Settings, record: Record) -> Record:
    """Move the alias, where the record says so, and then write the record."""
    with store(settings) as client:
        experiment = experiment_of(client, settings, EXPERIMENT)
        if record.kind in MOVES:
            _set_champion(client, record.to)
        tags = record.tags() | {"mlflow.note.content": _sentence(record), "mlflow.user": record.who}
        started = int(datetime.now(UTC).timestamp() * 1000)
        run = client.create_run(experiment, start_time=started, tags=tags, run_name=f"{record.kind} {record.to}")
        client.set_terminated(run.info.run_id)
    return replace(record, run_id=str(run.info.run_id))


def _set_champion(client: Any, version: str) -> None:
    client.set_registered_model_alias(NAME, CHAMPION, version)
    if str(client.get_registered_model(NAME).aliases.get(CHALLENGER)) == version:
        client.delete_registered_model_alias(NAME, CHALLENGER)


def _sentence(record: Record) -> str:
    """The record as MLflow shows it on the run's page."""
    instead = f" in place of {record.before}" if record.before else ""
    what = {
        Kind.PROMOTION: f"Version {record.to} became the champion{instead}",
        Kind.ROLLBACK: f"Version {record.to} became the champion again{instead}",
        Kind.PROPOSAL: f"Version {record.to} was proposed as the champion{instead}",
        Kind.REFUSAL: f"Version {record.to} was refused as the champion{instead}",
    }[record.kind]
    by = f"proposed by {record.who}, approved by {record.approved_by}" if record.approved_by else f"by {record.who}"
    override = f" The gate did not count: {record.override}" if record.override else ""
    return f"{what}, {by}: {record.why}.{override}"
