"""Freeze the evidence of one change for a case that a person opens, by the same code as that of a night's flags.

It is as the last published night knew it, or an earlier one that is named. No file of a night changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.amounts import amounts
from payeewatch.pipeline.changes.context import ChangeContext, change_context, exposures_by_change
from payeewatch.pipeline.changes.measure import measure_named
from payeewatch.pipeline.changes.scope import focus
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.reasons import reasons
from payeewatch.pipeline.detector.score import score
from payeewatch.pipeline.frames import Row, day_of, records
from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.by_hand import Refusal
from payeewatch.pipeline.home.codes import Queue
from payeewatch.pipeline.home.errors import InputMissing
from payeewatch.pipeline.home.files import cannot_be_read
from payeewatch.pipeline.home.published import FLAGS_SCHEMA
from payeewatch.pipeline.home.runs import last_published, read_run
from payeewatch.pipeline.home.tabular import write_parquet
from payeewatch.pipeline.night.evidence import EVIDENCE_SCHEMA, evidence_table, read_changes
from payeewatch.pipeline.night.expectations import judge_evidence, judge_flags
from payeewatch.pipeline.night.outputs import ModelName, flags_table
from payeewatch.pipeline.night.queues import Queues, flag_id
from payeewatch.pipeline.session import Session

BY_HAND_SCHEMA = pa.schema(
    [
        *FLAGS_SCHEMA,
        *(field for field in EVIDENCE_SCHEMA if field.name not in FLAGS_SCHEMA.names),
        ("origin", pa.string()),
    ]
)
"""evidence/by-hand/<name>.parquet: one row, the columns of flags, then those of evidence, then `origin`."""


class UnknownChange(InputMissing):
    """The change was not known on the night."""


class NotMeasured(InputMissing):
    """The change was known, and cannot be measured on the night."""


@dataclass(frozen=True)
class Answered:
    """A request that was answered: by a file with evidence, or why not."""

    change_id: str
    path: Path | None = None
    flag_id: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True)
class FrozenNight:
    """A published night as whose evidence changes are frozen."""

    session: Session
    night: date
    model: Model

    @classmethod
    def of(cls, session: Session, night: date | None = None) -> FrozenNight:
        """The night that is named, or the last published one.

        Raises:
            InputMissing: it is not published, or none is.
            ModelError: its model is gone, or measures other features.
        """
        from payeewatch.features.registry import FEATURES

        settings = session.settings
        on = night or last_published(settings)
        run = read_run(settings, on) if on else None
        if on is None or run is None:
            which = f"night {on} is not published" if on else "no night was published yet"
            raise InputMissing(f"{settings.folder('runs')}: {which}; evidence is frozen as a published night knew it")
        model = model_registry.load(settings, str(run["model"]["version"]))
        model.check_features(tuple(FEATURES.values()))
        session.lake_cache.register()
        return cls(session, on, model)

    @cached_property
    def flags(self) -> list[Row]:
        """The night's own flags, by rank: evidence names them where they are tied to the change."""
        path = self.session.settings.folder("flags") / f"{self.night}.parquet"
        try:
            rows: list[Row] = pq.read_table(path, columns=["flag_id", "change_id", "payee_id"]).to_pylist()
        except FileNotFoundError:
            return []  # purged
        except (OSError, pa.ArrowException) as error:
            raise cannot_be_read(path, error) from error
        return rows

    def freeze(self, change_id: str) -> pa.Table:
        """The one row of BY_HAND_SCHEMA about a change. For a change that another took over, it is about that one.

        Raises:
            UnknownChange: no such change was known on the night.
            NotMeasured: no feature of it can be measured on the night.
        """
        con, params = self.session.con, self.session.settings.params
        cutoff = params.cutoff(self.night)
        context = self._context(change_id)
        change_id = context.changes["change_id"].iloc[0]
        with focus(self.session, [self.night], [change_id], []):
            frame = measure_named(PlannedEngine(con), params, [(change_id, self.night)])
            if frame.empty:
                raise NotMeasured(f"change {change_id!r} cannot be measured on night {self.night}")
            row = self._flag_row(context, frame)
            why = reasons(frame, self.model)
            by_change = {change_id: (why["reasons"].iloc[0], why["reassuring"].iloc[0])}
            name = ModelName(self.model.name, self.model.version, self.model.run_id)
            flags = flags_table(Queues([row], pd.DataFrame()), by_change, name)
            read_changes(con, cutoff)
            others = [{"exposures": [], **each} for each in self.flags if each["flag_id"] != row["flag_id"]]
            queues = Queues([*others, row], pd.DataFrame())
            evidence = evidence_table(con, self.night, queues, params, only=row["flag_id"])
        judge_flags(flags, self.night, 1)
        judge_evidence(evidence, self.night, {row["flag_id"]})
        return _joined(flags, evidence)

    def _context(self, change_id: str) -> ChangeContext:
        """Whose change it is. One that another took over leads to that one."""
        cutoff = self.session.settings.params.cutoff(self.night)
        seen: set[str] = set()
        while change_id not in seen:
            seen.add(change_id)
            context = change_context(self.session.con, [change_id], cutoff)
            if context.changes.empty:
                break
            later = context.changes["superseded_by"].iloc[0]
            if pd.isna(later):
                return context
            change_id = str(later)
        raise UnknownChange(
            f"change {change_id!r} was not known on night {self.night}; see docs/outputs.md for how changes are named"
        )

    def _flag_row(self, context: ChangeContext, frame: pd.DataFrame) -> Row:
        """The change as a row of the flags of a night; it is the only one of its file, so its rank is 1."""
        con, params = self.session.con, self.session.settings.params
        cutoff = params.cutoff(self.night)
        (scored,) = records(score(frame, self.model, context.weakly_matched()))
        changes = context.changes.assign(is_decided=False)
        (change,) = records(changes)
        (euros,) = records(amounts(con, {cutoff: changes}, params.timezone)[cutoff].by_change)
        return {
            "night": self.night,
            "first_flagged_on": self.night,
            "is_new": True,
            "flag_id": flag_id(self.session.keys, change["origin_id"]),
            "change_id": change["change_id"],
            "derived": bool(change["derived"]),
            **{name: _or_none(change[name]) for name in ("member_id", "household_id", "payee_id", "payee_type")},
            "account": change["new_account"],
            "account_hint": change["account_hint"],
            "queue": str(Queue.REVIEW),
            "rank": 1,
            **{name: float(scored[name]) for name in ("score", "p_value", "p_value_uncorrected")},
            "at_risk_cents": int(euros["at_risk_cents"]),
            "paid_cents": int(euros["paid_cents"]),
            "first_payment_on": day_of(euros["first_payment_on"]),
            "exposures": exposures_by_change(context.exposures).get(change["change_id"], []),
        }


def answer(session: Session, change_ids: Iterable[str], night: date | None = None) -> list[Answered]:
    """Freeze the evidence of each change into evidence/by-hand/, and take its request away.

    Raises:
        InputMissing: the night is not published, or none is.
        ModelError: the night's model is gone, or measures other features.
    """
    frozen_night = FrozenNight.of(session, night)
    return [_answer(frozen_night, change_id) for change_id in change_ids]


def _answer(frozen_night: FrozenNight, change_id: str) -> Answered:
    session = frozen_night.session
    settings, name = session.settings, by_hand.name_of(session.keys, change_id)
    try:
        with session.stage("evidence") as facts:
            table = frozen_night.freeze(change_id)
            facts |= {"flag_id": table["flag_id"][0].as_py()}
        path = by_hand.answer_path(settings, name)
        write_parquet(path, table)
        by_hand.refusal_path(settings, name).unlink(missing_ok=True)
        result = Answered(change_id, path, table["flag_id"][0].as_py())
    except (UnknownChange, NotMeasured) as error:
        why = Refusal.UNKNOWN if isinstance(error, UnknownChange) else Refusal.NOT_MEASURED
        if by_hand.request_path(settings, name).exists():
            by_hand.write_refusal(settings, name, why, settings.now())
        result = Answered(change_id, refusal=why)
    by_hand.request_path(settings, name).unlink(missing_ok=True)
    return result


def waiting_changes(session: Session) -> list[str]:
    """The changes of all requests that wait, the oldest first. A file that is no request is deleted, with a warning."""
    requests = []
    for path in by_hand.request_files(session.settings):
        if request := by_hand.read_request(path):
            requests.append(request)
        else:
            session.warn(f"{path}: is not a request; it was deleted, and the application asks again")
            path.unlink(missing_ok=True)
    return [each.change_id for each in sorted(requests, key=lambda each: (each.asked_at, each.change_id))]


def _joined(flags: pa.Table, evidence: pa.Table) -> pa.Table:
    """One row of both tables side by side, and its origin."""
    columns: dict[str, Any] = {name: flags[name] for name in flags.column_names}
    columns = {name: evidence[name] for name in evidence.column_names} | columns
    columns["origin"] = pa.array([by_hand.BY_HAND], pa.string())
    return pa.table([columns[name] for name in BY_HAND_SCHEMA.names], schema=BY_HAND_SCHEMA)


def _or_none(value: Any) -> Any:
    return None if pd.isna(value) else value
