"""Every feature and its description. Columns, checks, docs and the reviewers' sentences come from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from payeewatch.features.definition import definition
from payeewatch.features.formulas import Formula, Row, refuse_hours
from payeewatch.features.sources import Source


class Unit(StrEnum):
    """How a feature's number is to be read."""

    EUR = "EUR"
    COUNT = "count"
    DAYS = "days"
    SHARE = "share"  # 0 to 1
    YESNO = "yes or no"  # 1 or 0
    RATIO = "ratio"
    SURPRISE = "surprise"  # -log10 of a share: 2 is one in a hundred
    LEVEL = "level"  # 0, 1, 2 ...: the sentence says what the ends mean
    YEARS = "years"


class Suspicious(StrEnum):
    """Which side of a feature counts against a change."""

    HIGH = "high"
    LOW = "low"
    CONTEXT = "context"  # explains or segments, never accuses


class Missing(StrEnum):
    """What a missing number means."""

    ZERO = "zero"  # nothing there: 0
    UNKNOWN = "unknown"  # stays null
    NEVER = "never"  # a null stops the run


class Lens(StrEnum):
    """The forest a feature belongs to."""

    REQUEST = "request"  # known when the change is asked for
    CLAIMS = "claims"  # the claims and payments that follow
    COMPANY = "company"  # whom else the account is tied to


FeatureFunction = Callable[..., Formula]


@dataclass(frozen=True)
class Feature:
    """One documented number about a change as of a night. `is_part` is a number others are made of, never shown."""

    name: str
    sentence: str
    unit: Unit
    suspicious: Suspicious
    missing: Missing
    lens: Lens
    family: str
    source: Source
    function: FeatureFunction
    formula: Formula  # in UTC, until `in_zone`
    asks: frozenset[str]  # columns its formula uses
    usual: str | None = None  # the CONTEXT feature that holds the payee's own usual value
    is_member_only: bool = False  # null for a provider's change
    topic: str = ""  # features of one topic say one thing, so only one of them is shown as a reason; "": its own
    is_part: bool = False

    def in_zone(self, zone: str) -> Feature:
        """The same feature with the hours, weekdays and dates of a time zone."""
        return replace(self, formula=self.function(Row(self.source.prefix, zone)))

    @property
    def definition(self) -> str:
        """A digest of what is measured: a model serves as long as its features are measured as when it was trained."""
        return definition(self, PARTS | FEATURES)


FEATURES: dict[str, Feature] = {}
"""Every feature by name, in the order of the measured frame."""

PARTS: dict[str, Feature] = {}
"""Numbers that features are made of."""

FAMILIES: dict[str, str] = {}
"""Family -> what it measures, in order."""


@dataclass(frozen=True)
class Family:
    """A file of features: `family = Family(__name__, __doc__, Lens.CLAIMS)`, then `@family.feature(CLAIM, ...)`."""

    module: str
    doc: str | None
    lens: Lens

    def __post_init__(self) -> None:
        FAMILIES[self.name] = _first_line(self.doc, self.name)

    @property
    def name(self) -> str:
        return self.module.rpartition(".")[2]

    def feature(
        self,
        source: Source,
        *,
        unit: Unit,
        suspicious: Suspicious,
        missing: Missing,
        usual: str | None = None,
        member_only: bool = False,
        lens: Lens | None = None,
        topic: str = "",
    ) -> Callable[[FeatureFunction], FeatureFunction]:
        """Register a feature. Its name is the function's, its sentence the first line of the docstring."""

        def register(function: FeatureFunction) -> FeatureFunction:
            name = function.__name__
            if name in FEATURES or name in PARTS:
                raise ValueError(f"{self.module}: a feature {name} exists already; choose another name")
            formula, asks = _formula(function, source)
            FEATURES[name] = Feature(
                name, _first_line(function.__doc__, name), unit, suspicious, missing, lens or self.lens, self.name,
                source, function, formula, asks, usual, member_only, topic,
            )  # fmt: skip
            return function

        return register

    def part(self, source: Source) -> Callable[[FeatureFunction], FeatureFunction]:
        """Register a number that features are made of."""

        def register(function: FeatureFunction) -> FeatureFunction:
            name = function.__name__
            if name in FEATURES or name in PARTS:
                raise ValueError(f"{self.module}: a part {name} exists already; choose another name")
            formula, asks = _formula(function, source)
            PARTS[name] = Feature(
                name, _first_line(function.__doc__, name), Unit.COUNT, Suspicious.CONTEXT, Missing.UNKNOWN, self.lens,
                self.name, source, function, formula, asks, is_part=True,
            )  # fmt: skip
            return function

        return register


def _formula(function: FeatureFunction, source: Source) -> tuple[Formula, frozenset[str]]:
    row = Row(source.prefix, "UTC")
    formula = function(row)
    refuse_hours(function.__name__, formula)
    return formula, frozenset(row.columns_used)


def _first_line(doc: str | None, name: str) -> str:
    line = (doc or "").strip().partition("\n")[0]
    if not line.endswith("."):
        raise ValueError(f"{name}: its docstring must begin with a sentence, it is what a reviewer reads")
    return line
