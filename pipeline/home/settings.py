"""Where files are (environment), and the parameters (params.yaml)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.shown import is_printable, printable
from payeewatch.pipeline.home.validation import Section, Wrong, Zone, read, validate, yaml_of
from payeewatch.pipeline.tables import DROP_TABLES

DEFAULT_PARAMS = Path(__file__).with_name("params.yaml").resolve()
FOLDERS = (
    "inbox", "breaches", "reference", "lake", "vault", "mlflow", "quarantine", "flags", "scores",
    "shadow", "evidence", "runs", "reports", "holds", "releases", "outcomes", "triage",
)  # fmt: skip


PRIVATE = ("vault", "triage")
"""The folders that only their owner opens; the owner's group reads the others."""
PRIVATE_MODE, FOLDER_MODE = 0o700, 0o750


Share = Annotated[float, Field(ge=0, le=1, description="a share from 0 to 1")]
Probability = Annotated[float, Field(ge=0, le=1, description="a probability")]
Days = Annotated[int, Field(ge=1, le=3650, description="a positive number of days")]
ManyDays = Annotated[int, Field(ge=1, le=36500, description="a positive number of days")]
DaysOrNone = Annotated[int, Field(ge=0, le=3650, description="a number of days")]
Euros = Annotated[int, Field(ge=0, le=10**9, description="a number of euros")]
Changes = Annotated[int, Field(ge=1, le=10**9, description="a positive number of changes a night")]
Minutes = Annotated[int, Field(ge=1, le=1440, description="a positive number of minutes")]


class Ingest(Section):
    tolerance_share: Share
    tolerance_rows: Annotated[int, Field(ge=0, le=10**9, description="a number of rows")]
    tolerance_overrides: Annotated[dict[str, Share], Field(description="shares by table")]
    people_tolerance_share: Share
    max_amount: Annotated[int, Field(ge=1, le=10**12, description="a positive number of euros")]

    @field_validator("tolerance_overrides")
    @classmethod
    def _are_tables(cls, shares: dict[str, float]) -> dict[str, float]:
        for table in shares:
            if table not in DROP_TABLES:
                raise Wrong(f"is not a table; known: {', '.join(DROP_TABLES)}", table)
        return shares


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Calendar(Section):
    """The days on which feeds rest; pipeline/feeds/calendar.py works them out."""

    holidays: Annotated[list[Literal["france", "target"]], Field(description="a list of france, target")]
    closed: Annotated[list[str], Field(description="a list of days such as 2024-12-24")]
    weekly: Annotated[list[Weekday], Field(description=f"a list of {', '.join(WEEKDAYS)}")]

    @field_validator("closed", mode="before")
    @classmethod
    def _are_days(cls, days: object) -> object:
        if not isinstance(days, list):
            return days
        for day in days:
            try:
                date.fromisoformat(str(day))
            except ValueError:
                raise Wrong(f"has {str(day)[:40]!r}; it must be a list of days such as 2024-12-24") from None
        return [str(day) for day in days]


class Link(Section):
    discriminates_from_share: Share
    discriminates_to_share: Share


class Observe(Section):
    window_days: Days
    derived_after_days: DaysOrNone
    announced_within_days: DaysOrNone


class Train(Section):
    ages_days: Annotated[list[DaysOrNone], Field(description="ages in days")]
    past_window_days: Annotated[list[Days], Field(description="days past the window")]
    history_days: ManyDays
    most_changes: Annotated[int, Field(ge=2, le=10**9, description="a number of changes from 2 up")]
    min_changes: Annotated[int, Field(ge=2, le=10**9, description="a number of changes from 2 up")]
    holdout_share: Annotated[float, Field(ge=0.05, le=0.95, description="a share from 0.05 to 0.95")]
    recent_days: ManyDays
    reference_min: Annotated[int, Field(ge=1, le=10**9, description="a positive number of references")]
    trees: Annotated[int, Field(ge=1, le=10_000, description="a positive number of trees")]
    samples_per_tree: Annotated[int, Field(ge=2, le=10**6, description="a number of samples from 2 up")]


class Learn(Section):
    """How far verdicts may move the champion, and how fast they do; pipeline/detector/learning.py learns."""

    least: Annotated[float, Field(ge=0.1, le=1, description="a multiplier from 0.1 to 1")]
    most: Annotated[float, Field(ge=1, le=10, description="a multiplier from 1 to 10")]
    spread: Annotated[float, Field(ge=0.01, le=10, description="a spread from 0.01 to 10")]
    segment_spread: Annotated[float, Field(ge=0.01, le=10, description="a spread in log-odds from 0.01 to 10")]
    segment_most: Annotated[float, Field(ge=0, le=10, description="log-odds from 0 to 10")]
    most_share: Annotated[float, Field(ge=0.01, le=1, description="a share from 0.01 to 1")]
    prior_verdicts: Annotated[float, Field(ge=1, le=10**6, description="a number of verdicts from 1 up")]
    audit_most: Annotated[float, Field(ge=1, le=10**4, description="a weight from 1 up")]
    keep: Annotated[int, Field(ge=1, le=10**4, description="a positive number of versions")]


class Promotion(Section):
    """Who makes a champion, and what a challenger must show first; pipeline/detector/gate.py refuses."""

    by_two: Annotated[bool, Field(description="a bool")]
    least_share_p05: Share
    most_share_p05: Share
    most_flags_ratio: Annotated[float, Field(ge=1, le=1000, description="a ratio from 1 up")]
    more_flags_a_night: Annotated[float, Field(ge=0, le=1000, description="a number of flags from 0 up")]


class Fairness(Section):
    birth_abroad: Annotated[bool, Field(description="a bool")]


class Watch(Section):
    """How nights are compared with what the model was trained on; pipeline/night/drift.py compares."""

    stop: Annotated[bool, Field(description="a bool")]
    false_alarms_a_year: Annotated[float, Field(gt=0, le=365, description="a number of alarms above 0, at most 365")]


class Retrain(Section):
    """When `payeewatch retrain --if-due` trains; what it trains is proposed at most."""

    every_days: Annotated[int, Field(ge=0, le=3650, description="a number of days; 0: on no schedule")]
    on_drift: Annotated[bool, Field(description="a bool")]
    compare_nights: Annotated[int, Field(ge=1, le=365, description="a positive number of nights")]


class Flag(Section):
    capacity: Annotated[Changes | None, Field(description="a positive number of changes a night")]
    capacity_min: Changes
    capacity_per_10k_payees: Annotated[float, Field(ge=0, le=10_000, description="changes a night per 10,000 payees")]
    floor_p: Probability
    floor_loss: Euros
    floor_forest: Annotated[float, Field(ge=0, le=100, description="a sum of tails from 0 to 100")]
    forest_share: Annotated[float, Field(ge=0, le=0.5, description="a share from 0 to 0.5")]
    hold_p: Probability
    hold_share: Share
    hold_within_days: Annotated[int, Field(ge=0, le=365, description="a number of days")]
    audit_share: Share
    reflag_p_ratio: Annotated[float, Field(ge=1, le=10**9, description="a ratio from 1 up")]
    undecided_days: Days
    base_rate: Annotated[float, Field(ge=1e-9, le=0.5, description="a share above 0, at most 0.5")]
    usual_loss: Euros
    usual_loss_half_life_days: Annotated[float, Field(gt=0, le=36500, description="a number of days above 0")]
    reported_median_days: Annotated[float, Field(gt=0, le=3650, description="a number of days above 0")]
    reported_p90_days: Annotated[float, Field(gt=0, le=36500, description="a number of days above the median")]
    never_reported: Share

    @field_validator("reported_p90_days")
    @classmethod
    def _is_above_the_median(cls, days: float, info: ValidationInfo) -> float:
        median = info.data.get("reported_median_days")
        if median is not None and days <= median:
            raise Wrong(f"is {days:g}; it must be above reported_median_days, {median:g}")
        return days


class Holds(Section):
    automatic: Annotated[bool, Field(description="a bool")]
    business_days: Annotated[int, Field(ge=1, le=60, description="a positive number of business days")]


class Nights(Section):
    late_after_hours: Annotated[int, Field(ge=0, le=168, description="a number of hours, at most a week")]


class Triage(Section):
    lease_minutes: Minutes
    undo_seconds: Annotated[int, Field(ge=0, le=600, description="a number of seconds")]
    release_alone_up_to: Euros
    second_look_share: Share
    attachment_mb: Annotated[int, Field(ge=1, le=1000, description="a positive number of megabytes")]
    idle_minutes: Minutes
    session_hours: Annotated[int, Field(ge=1, le=168, description="a positive number of hours")]
    totp_roles: Annotated[list[str], Field(description="a list of roles")]
    reveals_a_day: Annotated[int, Field(ge=0, le=10**6, description="a number of full values")]
    answer_requests: Annotated[bool, Field(description="a bool")]
    member_link: Annotated[str, Field(max_length=500, description="an address with {member_id} in it, or empty")]
    insurer: Annotated[str, Field(max_length=100, description="the insurer's name, or empty")]
    anchor: Annotated[str, Field(max_length=1000, description="a folder outside the home (/...), or empty")]

    @field_validator("member_link")
    @classmethod
    def _is_address(cls, link: str) -> str:
        if link and not (link.startswith(("https://", "http://")) and "{member_id}" in link):
            raise Wrong(f"is {link!r}; it must be empty, or an address (https://...) that contains {{member_id}}")
        return link

    @field_validator("anchor")
    @classmethod
    def _is_whole_path(cls, folder: str) -> str:
        if folder and not Path(folder).is_absolute():
            raise Wrong(f"is {folder!r}; it must be empty, or a folder with its whole path (/...) outside the home")
        return folder


class Retention(Section):
    qualify_days: Days
    closed_days: ManyDays
    nights_days: Annotated[int, Field(ge=31, le=36500, description="a number of days from 31 up")]
    models_days: ManyDays


class Params(Section):
    """params.yaml, checked."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="a whole number from 0")]
    timezone: Zone
    ingest: Ingest
    calendar: Calendar
    feeds: Annotated[list[str], Field(description="a list of tables")]
    link: Link
    observe: Observe
    train: Train
    learn: Learn
    promotion: Promotion
    fairness: Fairness
    watch: Watch
    retrain: Retrain
    flag: Flag
    holds: Holds
    nights: Nights
    triage: Triage
    retention: Retention

    @field_validator("feeds")
    @classmethod
    def _are_tables(cls, tables: list[str]) -> list[str]:
        for table in tables:
            if table not in DROP_TABLES:
                raise Wrong(f"has {table!r}, which is not a table; known: {', '.join(DROP_TABLES)}")
        return tables

    @classmethod
    def read(cls, path: Path) -> Params:
        """Read and check a parameter file. What it leaves out has the value of the product's own file.

        Raises:
            SettingsError: no or unreadable file, unknown key, wrong type, value out of range.
        """
        raw = read(path, "YAML", yaml_of)
        if isinstance(raw, dict):
            shipped = read(DEFAULT_PARAMS, "YAML", yaml_of)
            sections = [name for name in raw if isinstance(raw[name], dict) and isinstance(shipped.get(name), dict)]
            raw = shipped | raw | {name: shipped[name] | raw[name] for name in sections}
        return validate(cls, raw, str(path), SettingsError)

    def flat(self) -> dict[str, object]:
        """Dotted names and values, as MLflow logs them."""
        return dict(_flatten("", self.model_dump()))

    def day_of(self, at: datetime) -> date:
        """The insurer's day of an instant, which must have a zone."""
        return at.astimezone(ZoneInfo(self.timezone)).date()

    def cutoff(self, day: date) -> datetime:
        """The last microsecond of a day in the insurer's time zone, in naive UTC."""
        midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=ZoneInfo(self.timezone))
        return midnight.astimezone(ZoneInfo("UTC")).replace(tzinfo=None) - timedelta(microseconds=1)


def _flatten(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flatten(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


@dataclass(frozen=True)
class Settings:
    """Where everything is, and the parameters. `folder("inbox")` and so on give the paths."""

    home: Path
    key_file: Path
    params: Params
    params_path: Path
    folders: dict[str, Path]

    @classmethod
    def load(cls, home: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
        """Settings from `--home` or PAYEEWATCH_HOME, the environment and params.yaml.

        Raises:
            SettingsError: no home named, a key file under home, or a bad parameter file.
        """
        if home is None and not environ.get("PAYEEWATCH_HOME"):
            raise SettingsError("PAYEEWATCH_HOME is not set: name the folder that holds everything, or give --home")
        home = (home or Path(environ["PAYEEWATCH_HOME"])).expanduser().resolve()
        key_file = Path(environ.get("PAYEEWATCH_KEY_FILE") or _default_key_file(environ)).expanduser().resolve()
        params_path = next(
            Path(p)
            for p in (environ.get("PAYEEWATCH_PARAMS"), home / "params.yaml", DEFAULT_PARAMS)
            if p and (Path(p).exists() or p == environ.get("PAYEEWATCH_PARAMS") or p == DEFAULT_PARAMS)
        )
        folders = {
            name: Path(environ.get(f"PAYEEWATCH_{name.upper()}_DIR") or home / name).expanduser().resolve()
            for name in FOLDERS
        }
        for name, folder in {"HOME": home, **folders}.items():
            if not is_printable(str(folder)) or "?" in str(folder):
                where = printable(str(folder))
                raise SettingsError(
                    f"PAYEEWATCH_{name.upper()}{'' if name == 'HOME' else '_DIR'} is {where}; it must be a path without"
                    " question marks, and without control or invisible characters"
                )
        for holder in (home, *folders.values()):
            if key_file.is_relative_to(holder):
                raise SettingsError(f"PAYEEWATCH_KEY_FILE is {key_file}; it must lie outside the data, {holder}")
        params = Params.read(params_path)
        anchor = Path(params.triage.anchor).resolve()
        for holder in (home, *folders.values()):
            if params.triage.anchor and anchor.is_relative_to(holder):
                raise SettingsError(f"{params_path}: 'triage.anchor' is {anchor}; it must lie outside {holder}")
        return cls(home, key_file, params, params_path, folders)

    def now(self) -> datetime:
        """This instant in UTC, or PAYEEWATCH_NOW, with which demos over past nights start their clock."""
        start = os.environ.get("PAYEEWATCH_NOW")
        return datetime.fromisoformat(start).replace(tzinfo=UTC) if start else datetime.now(UTC)

    def today(self) -> date:
        """The insurer's day of now."""
        return self.params.day_of(self.now())

    def folder(self, name: str) -> Path:
        return self.folders[name]


def _default_key_file(environ: Mapping[str, str]) -> Path:
    config = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config) / "payeewatch" / "keys.json"


def mode_limits(settings: Settings) -> dict[Path, int]:
    """The home and its folders -> the permissions that each may have at most."""
    folders = {settings.folder(name): PRIVATE_MODE if name in PRIVATE else FOLDER_MODE for name in FOLDERS}
    return {settings.home: FOLDER_MODE} | folders
