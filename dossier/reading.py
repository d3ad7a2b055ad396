"""What a home says up to a day: everything that the facts are worked out from, read once and without any lock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from payeewatch.dossier.statements import Kind, Source
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.evidence import Weights, shipped
from payeewatch.pipeline.detector.promotions import Record, history
from payeewatch.pipeline.detector.version_list import Version, versions
from payeewatch.pipeline.home.contents import hash_of, hash_of_bytes
from payeewatch.pipeline.home.errors import ModelError, StoreError
from payeewatch.pipeline.home.runs import failed_path, failures, published_nights, read_run, run_path
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.store.chain import REPLACED, Load, record_path
from payeewatch.pipeline.store.lake import Lake

if TYPE_CHECKING:
    from payeewatch.triage.figures.oversight import Oversight

Run = dict[str, Any]
DIGEST = 12
"""Characters of a digest that are printed: enough to tell two of a home apart."""


@dataclass(frozen=True)
class Review:
    """What the reviewers' application says: its counts up to the day, and what is wrong with its audit log.

    As it is now: users who may sign in (role, whether an own number is entered, whether single sign-on was used), and
    how many flags judged not pertinent up to the day still stand, and before the day.
    """

    oversight: Oversight
    findings: Sequence[str] = ()
    users: Sequence[tuple[str, bool, bool]] = ()
    standing: int = 0
    standing_from_before: int = 0


@dataclass(frozen=True)
class Reading:
    """A home up to the end of a day. `review` is None where there is no reviewers' database."""

    settings: Settings
    as_of: date
    review: Review | None = None

    @property
    def until(self) -> datetime:
        """The last instant of the day, in UTC."""
        return self.settings.params.cutoff(self.as_of).replace(tzinfo=UTC)

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """Dotted names and values of the settings, as they are now."""
        return self.settings.params.flat()

    @cached_property
    def runs(self) -> dict[date, Run]:
        """Night -> its run record, oldest first; one that cannot be read is left out, and is an altered one."""
        found = {}
        for night in published_nights(self.settings):
            if night <= self.as_of and (run := self._run(night)):
                found[night] = run
        return found

    @property
    def last(self) -> Run | None:
        """The record of the last night."""
        return next(reversed(self.runs.values()), None)

    @property
    def last_night(self) -> date | None:
        return next(reversed(self.runs), None)

    @cached_property
    def altered_runs(self) -> list[str]:
        """The run records that cannot be read, or lack the hash that they were written with."""
        nights = [night for night in published_nights(self.settings) if night <= self.as_of]
        return [f"runs/{night}.json" for night in nights if not self._is_whole(night)]

    @property
    def missing_nights(self) -> list[date]:
        """The nights without a run record, from the first one to the one before the day, whose own is not due yet."""
        if not self.runs:
            return []
        first = next(iter(self.runs))
        days = (first + timedelta(days=n) for n in range((self.as_of - first).days))
        return [day for day in days if day not in self.runs]

    @cached_property
    def failed_nights(self) -> dict[date, Run]:
        """Night -> the record of its failure."""
        found = {}
        for night, path in failures(self.settings).items():
            if night <= self.as_of:
                try:
                    found[night] = json.loads(path.read_text(encoding="utf-8"))
                except (OSError, ValueError):
                    found[night] = {"exit_code": StoreError.exit_code}
        return found

    @cached_property
    def loads(self) -> list[Load]:
        """The loads of the data store that were known up to the day; one of history counts from its first night."""
        lake = Lake(self.settings.folder("lake"))
        return [load for load in lake.loads() if max(load.day, load.known_on) <= self.as_of]

    @cached_property
    def replaced(self) -> int:
        """How many records up to the day name files that were written anew, and are no loads."""
        loads = [each.load for each in Lake(self.settings.folder("lake")).records()]
        return sum(each.kind == REPLACED and max(each.day, each.known_on) <= self.as_of for each in loads)

    @cached_property
    def records(self) -> list[Record]:
        """What was decided about the champion up to the day; without that, the first record of the version in use.

        Where past days are loaded into a new home, a version serves nights of days before it was made champion.
        """
        records = history(self.settings)
        by_then = [each for each in records if each.at.astimezone(UTC) <= self.until]
        used = str(self.last["model"].get("champion", "")) if self.last else ""
        return by_then or [each for each in records if each.to == used][:1]

    def is_later(self, record: Record) -> bool:
        """Whether a decision about the champion was recorded after the day."""
        return record.at.astimezone(UTC) > self.until

    @cached_property
    def versions(self) -> list[Version]:
        """The versions that knew nothing after the day."""
        return [each for each in versions(self.settings) if each.known_until and each.known_until <= str(self.as_of)]

    @cached_property
    def version(self) -> Version | None:
        """The version that scored the last night, also one that knew more than that night (--allow-hindsight)."""
        used = str(self.last["model"]["version"]) if self.last else ""
        return next((each for each in versions(self.settings) if each.version == used), None)

    def run_source(self, night: date | None) -> Source:
        if night is None:
            return Source(Kind.RUN, "runs/")
        return Source(Kind.RUN, f"runs/{night}.json", self._digest_of_file(run_path(self.settings, night)))

    def failure_source(self, night: date) -> Source:
        return Source(
            Kind.RUN, failed_path(self.settings, night).name, self._digest_of_file(failed_path(self.settings, night))
        )

    def runs_source(self) -> Source:
        """All run records up to the day, as one source."""
        digests = "".join(self._digest_of_file(run_path(self.settings, night)) for night in self.runs)
        names = f"runs/{next(iter(self.runs))}.json … {self.last_night}.json" if self.runs else "runs/"
        return Source(Kind.RUN, names, short(digests) if self.runs else "")

    def loads_source(self) -> Source:
        """All records of loads up to the day, as one source."""
        root = self.settings.folder("lake")
        digests = "".join(self._digest_of_file(root / record_path(load.sequence)) for load in self.loads)
        first, last = (self.loads[0].sequence, self.loads[-1].sequence) if self.loads else (0, 0)
        return Source(Kind.LAKE, f"lake/loads, {first} … {last}", short(digests))

    def model_source(self) -> Source:
        version = self.version
        if version is None:
            return Source(Kind.MODEL, "mlflow")
        return Source(
            Kind.MODEL, f"mlflow, version {version.version}", short(version.lake_fingerprint + version.code_version)
        )

    def audit_source(self) -> Source:
        if self.review is None or not self.review.oversight.last_record:
            return Source(Kind.AUDIT, "triage/")
        counts = self.review.oversight
        return Source(Kind.AUDIT, f"triage/, 1 … {counts.last_record}", counts.last_mac[:DIGEST])

    def settings_source(self, *names: str) -> tuple[Source, ...]:
        return tuple(Source(Kind.SETTING, name, short(repr(self.params.get(name)))) for name in names)

    def _digest_of_file(self, path: Any) -> str:
        return hash_of(path)[:DIGEST] if path.exists() else ""

    def _run(self, night: date) -> Run | None:
        try:
            return read_run(self.settings, night)
        except StoreError:
            return None

    def _is_whole(self, night: date) -> bool:
        from payeewatch.pipeline.home.contents import read_hashed

        try:
            read_hashed(run_path(self.settings, night))
        except StoreError:
            return False
        return True


def short(text: str) -> str:
    """A short digest of a text."""
    return hash_of_bytes(text.encode())[:DIGEST]


def weights_in_use(home: Reading) -> Weights:
    """The weights of the model of the last night; without a model, those that the product ships."""
    try:
        model = model_registry.load(home.settings, home.version.version) if home.version else None
    except ModelError:
        model = None
    return (model.weights if model else None) or shipped()
