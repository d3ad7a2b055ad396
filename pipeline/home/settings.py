"""Where things are (environment) and what is tuned (params.yaml)."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.tables import DROP_TABLES

DEFAULT_PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"
FOLDERS = (
    "inbox", "breaches", "reference", "lake", "vault", "mlflow", "quarantine", "flags", "scores",
    "evidence", "runs", "reports", "holds", "releases", "outcomes", "triage",
)  # fmt: skip


@dataclass(frozen=True)
class Within:
    """The bounds of a parameter (of each entry, for lists and mappings), and how an error words them."""

    low: float
    high: float
    what: str


@dataclass(frozen=True)
class Ingest:
    tolerance_share: Annotated[float, Within(0, 1, "a share from 0 to 1")]
    tolerance_rows: Annotated[int, Within(0, 10**9, "a number of rows")]
    tolerance_overrides: Annotated[dict[str, float], Within(0, 1, "shares by table")]
    people_tolerance_share: Annotated[float, Within(0, 1, "a share from 0 to 1")]
    max_amount: Annotated[int, Within(1, 10**12, "a positive number of euros")]


@dataclass(frozen=True)
class Link:
    discriminates_from_share: Annotated[float, Within(0, 1, "a share from 0 to 1")]
    discriminates_to_share: Annotated[float, Within(0, 1, "a share from 0 to 1")]


@dataclass(frozen=True)
class Observe:
    window_days: Annotated[int, Within(1, 3650, "a positive number of days")]
    derived_after_days: Annotated[int, Within(0, 3650, "a number of days")]
    announced_within_days: Annotated[int, Within(0, 3650, "a number of days")]


@dataclass(frozen=True)
class Train:
    ages_days: Annotated[list[int], Within(0, 3650, "ages in days")]
    past_window_days: Annotated[list[int], Within(1, 3650, "days past the window")]
    history_days: Annotated[int, Within(1, 36500, "a positive number of days")]
    min_changes: Annotated[int, Within(2, 10**9, "a number of changes from 2 up")]
    holdout_share: Annotated[float, Within(0.05, 0.95, "a share from 0.05 to 0.95")]
    recent_days: Annotated[int, Within(1, 36500, "a positive number of days")]
    reference_min: Annotated[int, Within(1, 10**9, "a positive number of references")]
    trees: Annotated[int, Within(1, 10_000, "a positive number of trees")]
    samples_per_tree: Annotated[int, Within(2, 10**6, "a number of samples from 2 up")]


@dataclass(frozen=True)
class Flag:
    capacity: Annotated[int | None, Within(1, 10**9, "a positive number of changes a night")]
    capacity_min: Annotated[int, Within(1, 10**9, "a positive number of changes a night")]
    capacity_per_10k_payees: Annotated[float, Within(0, 10_000, "changes a night per 10,000 payees")]
    floor_p: Annotated[float, Within(0, 1, "a probability")]
    hold_p: Annotated[float, Within(0, 1, "a probability")]
    hold_share: Annotated[float, Within(0, 1, "a share from 0 to 1")]
    hold_within_days: Annotated[int, Within(0, 365, "a number of days")]
    audit_share: Annotated[float, Within(0, 1, "a share from 0 to 1")]
    reflag_p_ratio: Annotated[float, Within(1, 10**9, "a ratio from 1 up")]
    undecided_days: Annotated[int, Within(1, 3650, "a positive number of days")]
    base_rate: Annotated[float, Within(1e-9, 0.5, "a share above 0, at most 0.5")]
    usual_loss: Annotated[int, Within(0, 10**9, "a number of euros")]


@dataclass(frozen=True)
class Holds:
    automatic: bool
    business_days: Annotated[int, Within(1, 60, "a positive number of business days")]


@dataclass(frozen=True)
class Triage:
    lease_minutes: Annotated[int, Within(1, 1440, "a positive number of minutes")]
    undo_seconds: Annotated[int, Within(0, 600, "a number of seconds")]
    release_alone_up_to: Annotated[int, Within(0, 10**9, "a number of euros")]
    second_look_share: Annotated[float, Within(0, 1, "a share from 0 to 1")]
    attachment_mb: Annotated[int, Within(1, 1000, "a positive number of megabytes")]
    idle_minutes: Annotated[int, Within(1, 1440, "a positive number of minutes")]
    session_hours: Annotated[int, Within(1, 168, "a positive number of hours")]
    totp_roles: list[str]
    reveals_a_day: Annotated[int, Within(0, 10**6, "a number of full values")]


@dataclass(frozen=True)
class Retention:
    qualify_days: Annotated[int, Within(1, 3650, "a positive number of days")]
    closed_days: Annotated[int, Within(1, 36500, "a positive number of days")]
    nights_days: Annotated[int, Within(31, 36500, "a number of days from 31 up")]
    models_days: Annotated[int, Within(1, 36500, "a positive number of days")]


@dataclass(frozen=True)
class Params:
    """params.yaml, checked."""

    seed: Annotated[int, Within(0, 2**31 - 1, "a whole number from 0")]
    timezone: str
    ingest: Ingest
    link: Link
    observe: Observe
    train: Train
    flag: Flag
    holds: Holds
    triage: Triage
    retention: Retention

    @classmethod
    def read(cls, path: Path) -> Params:
        """Read and check a parameter file.

        Raises:
            SettingsError: unreadable file, unknown or missing key, wrong type, value out of range.
        """
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise SettingsError(f"{path}: cannot be read as YAML ({type(error).__name__})") from error
        params: Params = _build(cls, raw, "", path)
        for table in params.ingest.tolerance_overrides:
            if table not in DROP_TABLES:
                raise SettingsError(
                    f"{path}: 'ingest.tolerance_overrides.{table}' is not a table; known: {', '.join(DROP_TABLES)}"
                )
        try:
            ZoneInfo(params.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise SettingsError(f"{path}: 'timezone' is {params.timezone!r}; it must be an IANA zone name") from error
        return params

    def flat(self) -> dict[str, object]:
        """Dotted names and values, as MLflow logs them."""
        return dict(_flatten("", dataclasses.asdict(self)))

    def cutoff(self, day: date) -> datetime:
        """The last microsecond of a day of the insurer's, in naive UTC."""
        midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=ZoneInfo(self.timezone))
        return midnight.astimezone(ZoneInfo("UTC")).replace(tzinfo=None) - timedelta(microseconds=1)


def _flatten(prefix: str, values: dict[str, Any]) -> typing.Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flatten(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _build(cls: type, raw: object, prefix: str, path: Path) -> Any:
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: '{prefix.rstrip('.') or 'the file'}' must be a mapping of names to values")
    hints = typing.get_type_hints(cls, include_extras=True)
    for name in raw:
        if name not in hints:
            raise SettingsError(f"{path}: '{prefix}{name}' is not a parameter; known here: {', '.join(hints)}")
    values = {}
    for name, hint in hints.items():
        if name not in raw:
            raise SettingsError(f"{path}: '{prefix}{name}' is missing; copy it from the default params.yaml")
        if dataclasses.is_dataclass(hint):
            values[name] = _build(typing.cast(type, hint), raw[name], f"{prefix}{name}.", path)
        else:
            values[name] = _checked(raw[name], hint, f"{path}: '{prefix}{name}'")
    return cls(**values)


def _checked(value: object, hint: Any, name: str) -> object:
    """The value as its type, or a SettingsError that says what it must be."""
    limits = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Within)), None)
    hint = hint.__origin__ if limits else hint
    wrong = SettingsError(f"{name} is {value!r}; it must be {limits.what if limits else f'a {hint.__name__}'}")
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = typing.get_args(hint)[0]
    expected = typing.get_origin(hint) or hint
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise wrong
    if limits:
        entries = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else [value]
        for entry in entries:
            if isinstance(entry, bool) or not isinstance(entry, int | float) or not limits.low <= entry <= limits.high:
                raise wrong
    return value


@dataclass(frozen=True)
class Settings:
    """Where everything is, and the parameters. `folder("inbox")` and its like give the paths."""

    home: Path
    key_file: Path
    params: Params
    params_path: Path
    folders: dict[str, Path]

    @classmethod
    def load(cls, home: Path | None = None, environ: typing.Mapping[str, str] = os.environ) -> Settings:
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
        for holder in (home, *folders.values()):
            if key_file.is_relative_to(holder):
                raise SettingsError(f"PAYEEWATCH_KEY_FILE is {key_file}; it must lie outside the data, {holder}")
        return cls(home, key_file, Params.read(params_path), params_path, folders)

    def folder(self, name: str) -> Path:
        return self.folders[name]


def _default_key_file(environ: typing.Mapping[str, str]) -> Path:
    config = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config) / "payeewatch" / "keys.json"
