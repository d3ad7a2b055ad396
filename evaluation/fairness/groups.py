"""Fairness: how often changes are flagged, proposed to hold, and flagged although honest, by group of members.

The attributes here never enter the model: no feature reads them, and a test follows every feature to its columns. Small
groups are put together, so that no figure is about a few people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import pandas as pd

from payeewatch.evaluation.backtest import LATEST_VERDICTS
from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, HONEST_VERDICT, Queue
from payeewatch.pipeline.home.errors import InputMissing
from payeewatch.pipeline.home.runs import published_files
from payeewatch.pipeline.intervals import exact_interval
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.as_of import known_at_cutoff

FEWEST = 10
"""Changes of a group; a smaller one is put together with others."""
CHANCE = 0.05
"""How likely it is that chance alone marks a group anywhere on the page."""
UNKNOWN, TOGETHER = "unknown", "small groups together"
AGES = ((30, "under 30"), (45, "30 to 44"), (60, "45 to 59"), (75, "60 to 74"), (999, "75 and over"))
OVERSEAS = ("97", "98")
QUEUES = (str(Queue.HOLD), str(Queue.REVIEW))

ATTRIBUTES = {
    "age": "age",
    "sex": "sex",
    "department": "department of residence",
    "bank": "kind of the new account's bank",
    "country": "country of the new account",
    "protection": "legal protection",
    "household": "household",
    "birth": "place of birth",
}
"""Attribute -> what it is called. The groups of each divide the changes."""

MEMBERS = """
WITH members_then AS ({members}),
household AS (
    SELECT household_id, count(*) FILTER (role <> 'child') AS adults, count(*) FILTER (role = 'child') AS children
    FROM members_then
    WHERE coalesce(left_on > $night, true) AND coalesce(died_on > $night, true) GROUP BY household_id
),
bank AS (SELECT country, bank_code, any_value(kind) AS kind FROM reference_banks GROUP BY country, bank_code)
SELECT change.change_id, change.member_id, member.birth_year, member.sex, member.department, member.legal_protection,
       household.adults, household.children, account.country, bank.kind
FROM ({changes}) AS change JOIN members_then AS member ON member.member_id = change.member_id
LEFT JOIN household ON household.household_id = member.household_id
LEFT JOIN ({accounts}) AS account ON account.account = change.new_account
LEFT JOIN bank ON bank.country = account.country AND bank.bank_code = account.bank_code
WHERE change.payee_type <> 'provider'
ORDER BY change.change_id
"""


@dataclass(frozen=True)
class Rate:
    """A share with its exact 95 % interval."""

    hits: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, n: int) -> Rate:
        return cls(hits, n, *exact_interval(hits, n)) if n else cls(0, 0, 0.0, 1.0)

    @property
    def share(self) -> float | None:
        return self.hits / self.n if self.n else None


@dataclass(frozen=True)
class Group:
    """The changes of one group of members."""

    attribute: str
    name: str
    changes: int
    flagged: Rate  # put into hold or review
    held: Rate  # put into hold
    false_flags: Rate  # flagged and judged honest, of those not judged fraud
    nights_held: float | None  # nights in the hold queue, in the middle of those held
    differs: bool  # flagged more or less often than the others, beyond chance


@dataclass(frozen=True)
class Seen:
    """What some nights showed: the open changes, and the rows of their queues (night, change_id, queue)."""

    first: date
    last: date
    nights: int
    changes: frozenset[str]
    flags: pd.DataFrame
    version: str = ""  # of a candidate; empty: as published


@dataclass(frozen=True)
class Fairness:
    """The groups of each attribute, and all together. No id of a change or a person."""

    first: date
    last: date
    nights: int
    version: str
    whole: Group
    groups: tuple[Group, ...]
    births_known: bool  # whether the place of birth is kept

    def as_dict(self) -> dict[str, Any]:
        figures = asdict(self)
        for row, group in zip([figures["whole"], *figures["groups"]], [self.whole, *self.groups], strict=True):
            for name in RATES:
                row[name]["share"] = getattr(group, name).share
        return figures


RATES = ("flagged", "held", "false_flags")


def published(session: Session, first: date | None, last: date | None) -> Seen:
    """What published nights showed: all, or those of a span.

    Raises:
        InputMissing: none was published.
    """
    settings = session.settings
    paths = {night: path for night, path in published_files(settings, "scores").items() if _within(night, first, last)}
    if not paths:
        span = f" from {first or 'the first'} to {last or 'the last'}" if first or last else ""
        raise InputMissing(f"no night{span} was published in {settings.home}; run payeewatch night first")
    changes = pd.concat([pd.read_parquet(path, columns=["change_id"]) for path in paths.values()])
    columns = ["night", "change_id", "queue"]
    flags = pd.concat(
        [
            pd.read_parquet(path, columns=columns)
            for night, path in published_files(settings, "flags").items()
            if night in paths
        ]
    )
    return Seen(min(paths), max(paths), len(paths), frozenset(changes["change_id"]), flags)


def fairness(session: Session, seen: Seen) -> Fairness:
    """The rates of every group of the members' changes that these nights saw; the lake's tables are registered.

    Attributes are those known on the last of the nights, and verdicts those known today.
    """
    units = _units(session, seen)
    groups = [group for name in ATTRIBUTES for group in by_group(units, name)]
    return Fairness(
        seen.first,
        seen.last,
        seen.nights,
        seen.version,
        _group(units, units, "all", "all"),
        tuple(marked(groups)),
        session.settings.params.fairness.birth_abroad,
    )


def by_group(units: pd.DataFrame, attribute: str) -> list[Group]:
    """The groups of one attribute; those below FEWEST together, with the next one where that is needed."""
    names = together({str(name): int(many) for name, many in units[attribute].value_counts().items()})
    named = units[attribute].map(names)
    return [_group(units[named == name], units, attribute, name) for name in dict.fromkeys(names.values())]


def together(counts: Mapping[str, int]) -> dict[str, str]:
    """Group -> the group under which it is shown. What is put together cannot be worked out from the others."""
    rising = sorted(counts, key=lambda name: (counts[name], name))
    small = [name for name in rising if counts[name] < FEWEST]
    if small and sum(counts[name] for name in small) < FEWEST:
        small = rising[: len(small) + 1]
    return {
        name: TOGETHER if name in small else name for name in sorted(counts, key=lambda name: (name in small, name))
    }


def marked(groups: Sequence[Group]) -> list[Group]:
    """The groups; those that do not differ beyond chance, for as many groups as there are, are not marked."""
    from scipy.stats import fisher_exact

    limit = CHANCE / max(len(groups), 1)
    result = []
    for group in groups:
        others = [each for each in groups if each.attribute == group.attribute and each is not group]
        hits, n = sum(each.flagged.hits for each in others), sum(each.flagged.n for each in others)
        own = group.flagged
        table = [[own.hits, own.n - own.hits], [hits, n - hits]]
        result.append(replace(group, differs=bool(n and fisher_exact(table).pvalue <= limit)))
    return result


def _group(part: pd.DataFrame, units: pd.DataFrame, attribute: str, name: str) -> Group:
    if len(part) < FEWEST:  # all that there is: nothing can be said of so few
        part = units.iloc[:0]
    n, held = len(part), part[part["held"]]
    return Group(
        attribute,
        name,
        n,
        Rate.of(int(part["flagged"].sum()), n),
        Rate.of(len(held), n),
        Rate.of(int((part["flagged"] & part["is_honest"]).sum()), int((~part["is_fraud"]).sum())),
        float(held["nights_held"].median()) if len(held) >= FEWEST else None,
        differs=False,
    )


def _units(session: Session, seen: Seen) -> pd.DataFrame:
    """One row per member's change that the nights saw: attributes, flagged, held, nights_held, is_fraud, is_honest."""
    units = _members(session, seen.last)
    units = units[units["change_id"].isin(seen.changes)].reset_index(drop=True)
    held = seen.flags[seen.flags["queue"] == str(Queue.HOLD)].groupby("change_id")["night"].nunique()
    verdicts = session.con.execute(LATEST_VERDICTS).df().set_index("change_id")["verdict"].reindex(units["change_id"])
    queued = set(seen.flags.loc[seen.flags["queue"].isin(QUEUES), "change_id"])
    return units.assign(
        flagged=units["change_id"].isin(queued),
        held=units["change_id"].isin(set(held.index)),
        nights_held=held.reindex(units["change_id"]).fillna(0).to_numpy(),
        is_fraud=verdicts.isin(FRAUD_VERDICTS).to_numpy(),
        is_honest=(verdicts == HONEST_VERDICT).to_numpy(),
    )


def _members(session: Session, night: date) -> pd.DataFrame:
    """change_id and the attributes of its member, as known on a night."""
    con = session.con
    query = MEMBERS.format(**{name: known_at_cutoff(con, name) for name in ("members", "changes", "accounts")})
    rows = con.execute(query, {"cutoff": session.settings.params.cutoff(night), "night": night}).df()
    births = _births(session, rows["member_id"])
    return pd.DataFrame(
        {
            "change_id": rows["change_id"],
            "age": [_age(year, night.year) for year in rows["birth_year"]],
            "sex": rows["sex"].map({"F": "women", "M": "men"}).fillna(UNKNOWN),
            "department": [_area(each) for each in rows["department"]],
            "bank": rows["kind"].fillna(UNKNOWN),
            "country": [
                UNKNOWN if pd.isna(each) else "France" if each == "FR" else "other" for each in rows["country"]
            ],
            "protection": rows["legal_protection"].map(lambda each: "none" if each == "none" else "protected adult"),
            "household": [_household(*each) for each in rows[["adults", "children"]].itertuples(index=False)],
            "birth": [births.get(each, UNKNOWN) for each in rows["member_id"]],
        }
    )


def _births(session: Session, members: pd.Series) -> dict[str, str]:
    """member_id -> where born, of those that were loaded while `fairness.birth_abroad` was set."""
    if not session.settings.params.fairness.birth_abroad:
        return {}
    return vault.reveal_all(session.keys, session.settings.folder("vault"), vault.BIRTH, set(members))


def _age(birth_year: float, year: int) -> str:
    if pd.isna(birth_year):
        return UNKNOWN
    return next(name for below, name in AGES if year - birth_year < below)


def _area(department: object) -> str:
    if not isinstance(department, str):
        return UNKNOWN
    return "overseas" if department.startswith(OVERSEAS) else "mainland France"


def _household(adults: float, children: float) -> str:
    if pd.isna(adults) or not adults:
        return UNKNOWN
    grown = {1: "one adult", 2: "two adults"}.get(int(adults), "more adults")
    return f"{grown} with children" if children else grown


def _within(night: date, first: date | None, last: date | None) -> bool:
    return (first is None or night >= first) and (last is None or night <= last)
