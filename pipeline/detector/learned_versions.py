"""What a champion learned from verdicts, as versions in MLflow: register, take back, which one a night uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.model_registry import delete, existing_version, log_model, version_of, with_version
from payeewatch.pipeline.detector.model_store import NAME, database_of, experiment_of, reading, store
from payeewatch.pipeline.home.settings import Settings

LEARNED = "learned"
"""The alias of the newest one that counts."""


@dataclass(frozen=True)
class LearnedVersion:
    """A version that corrects its champion by the verdicts known until a day. It counts from the night after."""

    version: str
    parent: str  # the champion that it corrects
    since: date  # the day until which the version before knew verdicts
    known_until: date
    is_taken_back: bool


def register_learned(
    settings: Settings,
    model: Model,
    since: date,
    moved: Mapping[str, float],
    data: Mapping[str, object],
    used: Collection[str] = (),
) -> Model:
    """Log a champion corrected by verdicts as a version under the alias `learned`; the champion stays.

    One that corrects the same champion as of the same day, and was not taken back, is replaced, unless it is `used`.

    Args:
        since: the day until which the version before knew verdicts.
        moved: the multipliers and offsets, and the figures before and after: metrics of the run.
        data: tags of the run and the version, such as how many verdicts were used.

    Raises:
        StoreError: the store cannot be written.
    """
    parent = model.uncorrected.version if model.uncorrected else ""
    data = {"learned_from": parent, "learned_since": since, **data}
    day = date.fromisoformat(model.facts["known_until"])
    with store(settings) as client:
        experiment_of(client, settings)
        version = existing_version(client, model) or log_model(client, settings, model, data, "learn", moved)
        client.set_registered_model_alias(NAME, LEARNED, version.version)
    others = [each for each in all_versions(settings) if each.parent == parent and not each.is_taken_back]
    same_day = [each.version for each in others if each.known_until == day and each.version != str(version.version)]
    delete(settings, [version for version in same_day if version not in used])
    return with_version(model, version)


def take_back(settings: Settings, learned: LearnedVersion, before: str | None, on: date) -> None:
    """Mark a learned version as taken back: no night uses it any more, and `before` is the newest learned version.

    Raises:
        StoreError: the store cannot be written.
    """
    with store(settings) as client:
        client.set_model_version_tag(NAME, learned.version, "taken_back_on", str(on))
        if before:
            client.set_registered_model_alias(NAME, LEARNED, before)
        else:
            client.delete_registered_model_alias(NAME, LEARNED)


def all_versions(settings: Settings) -> list[LearnedVersion]:
    """The versions that correct a champion of any time, by the day until which they know; read without MLflow."""
    names = ("learned_from", "learned_since", "known_until", "taken_back_on")
    columns = ", ".join(f"max(t.value) FILTER (WHERE t.key = '{name}')" for name in names)
    with reading(database_of(settings)) as con:
        rows = con.execute(
            f"SELECT m.version, {columns} FROM model_versions m JOIN model_version_tags t"
            " ON t.name = m.name AND t.version = m.version"
            " WHERE m.name = ? AND m.current_stage <> 'Deleted_Internal' GROUP BY m.version ORDER BY m.version",
            [NAME],
        ).fetchall()
    found = [
        LearnedVersion(str(version), of, date.fromisoformat(since), date.fromisoformat(until), taken_back is not None)
        for version, of, since, until, taken_back in rows
        if of
    ]
    return sorted(found, key=lambda each: (each.known_until, int(each.version)))


def in_force(settings: Settings, night: date) -> str:
    """The version that a night uses: what the champion learned from the verdicts known before it, or the champion.

    Raises:
        ModelError: there is no champion.
    """
    champion = version_of(settings)
    learned = [each.version for each in serving(settings, champion) if each.known_until < night]
    return learned[-1] if learned else champion


def serving(settings: Settings, champion: str) -> list[LearnedVersion]:
    """The learned versions of a champion that were not taken back, oldest first."""
    return [each for each in all_versions(settings) if each.parent == champion and not each.is_taken_back]


def prune_learned(settings: Settings, keep: int, used: Collection[str]) -> int:
    """Delete all but the newest learned versions, except those in `used`. Returns how many were deleted.

    Those that were taken back stay: they say which verdicts do not count.

    Raises:
        StoreError: the store cannot be written.
    """
    kept = [each for each in all_versions(settings) if not each.is_taken_back]
    old = [each.version for each in kept[:-keep] if each.version not in used]
    delete(settings, old)
    return len(old)
