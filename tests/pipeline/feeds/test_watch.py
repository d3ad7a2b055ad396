"""More than thirty ways in which a feed dies, or half of it: each is loud the same night, with the right exit code."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from payeewatch.pipeline.home.errors import FeedUnusual, PayeeWatchError
from payeewatch.pipeline.ingest.ingest import check
from payeewatch.pipeline.loading import ingest_until
from tests.breach_lists import person, put_list
from tests.feeds import (
    LOADED_DAYS,
    TONIGHT,
    Tables,
    daily_drop,
    fill,
    load_days,
    remember_as_often,
    session_of,
)
from tests.inbox import Row, put_drop

Change = Callable[[Tables], object]


@dataclass(frozen=True)
class Death:
    """What is done to a drop or a home, and what must be said of it: words of the message, and the exit code."""

    name: str
    do: Callable[[Path, Tables], object]
    says: tuple[str, ...]
    code: int = 0


def drop(name: str, change: Change, *says: str, code: int = 0) -> Death:
    """A change of the rows that are written."""

    def do(home: Path, tables: Tables) -> None:
        change(tables)
        put_drop(home, str(TONIGHT), **tables)

    return Death(name, do, says, code)


def folder(name: str, change: Callable[[Path], object], *says: str, code: int = 0) -> Death:
    """A change of the files of the drop."""

    def do(home: Path, tables: Tables) -> None:
        change(put_drop(home, str(TONIGHT), **tables))

    return Death(name, do, says, code)


def lists(name: str, change: Callable[[Path], object], *says: str, code: int = 0) -> Death:
    """A change below breaches/."""

    def do(home: Path, tables: Tables) -> None:
        put_drop(home, str(TONIGHT), **tables)
        change(home / "breaches")

    return Death(name, do, says, code)


def each(table: str, **cells: Callable[[Row], object]) -> Change:
    """Some cells of every row of a table, anew."""
    return lambda tables: [row.update({name: cell(row) for name, cell in cells.items()}) for row in tables[table]]


def cut(table: str, share: float) -> Change:
    return lambda tables: tables.update({table: tables[table][: round(share * len(tables[table]))]})


def again(table: str, times: int) -> Change:
    return lambda tables: tables.update({table: tables[table] * times})


def header_only(table: str) -> Callable[[Path], object]:
    def change(drop_folder: Path) -> None:
        path = drop_folder / f"{table}.csv"
        path.write_text(path.read_text().splitlines()[0] + "\n")

    return change


def without_column(table: str, column: str) -> Change:
    return lambda tables: [row.pop(column) for row in tables[table]]


def moved(column: str, **by: float) -> Callable[[Row], object]:
    def cell(row: Row) -> str:
        form = "%Y-%m-%dT%H:%M:%S" if "T" in str(row[column]) else "%Y-%m-%d"
        return (datetime.strptime(str(row[column]), form) + timedelta(**by)).strftime(form)

    return cell


def to(value: object) -> Callable[[Row], object]:
    return lambda row: value


def yesterdays(table: str) -> Change:
    return lambda tables: tables.update({table: daily_drop(TONIGHT - timedelta(days=1))[table]})


def shifted(tables: Tables) -> None:
    for row in tables["account_events"]:
        row["device_token"], row["ip_country"], row["network"] = None, row["device_token"], row["ip_country"]


DEATHS = [
    folder("claims absent", lambda f: (f / "claims.csv").unlink(), "claims: 0 rows", code=17),
    folder("account events absent", lambda f: (f / "account_events.csv").unlink(), "account_events: 0 rows", code=17),
    folder("payments absent", lambda f: (f / "payments.csv").unlink(), "payments: 0 rows", code=17),
    folder("everything absent", lambda f: [p.unlink() for p in f.iterdir()], "claims: 0 rows", code=17),
    folder("claims with a header only", header_only("claims"), "claims: 0 rows", code=17),
    folder("payments with a header only", header_only("payments"), "payments: 0 rows", code=17),
    drop("a tenth of claims", cut("claims", 0.08), "claims: ", "rows; usual is", code=17),
    drop("a tenth of payments", cut("payments", 0.1), "payments: ", "rows; usual is"),
    drop("half of claims", cut("claims", 0.45), "claims: ", "rows; usual is"),
    folder("an ending nobody reads", lambda f: (f / "claims.csv").rename(f / "claims.xlsx"), "claims: 0 rows", code=17),
    folder("a second file nobody reads", lambda f: (f / "claims-2.xlsx").write_bytes(b"x"), "claims-2.xlsx"),
    folder("a folder in the drop", lambda f: (f / "export").mkdir(), "export"),
    drop("claims three times over", again("claims", 3), "claims: 66.7% of the rows repeat a key"),
    drop("account events twice", again("account_events", 2), "account_events: 50.0% of the rows repeat a key"),
    drop("yesterday's claims again", yesterdays("claims"), "claims: 100.0% of the rows came before exactly so"),
    drop("yesterday's payments again", yesterdays("payments"), "payments: 100.0% of the rows came before"),
    drop("yesterday's events again", yesterdays("account_events"), "account_events: 100.0% of the rows came before"),
    drop("a column null", each("claims", iban=to(None)), "claims, column iban: 100.0% of the rows are empty", code=17),
    drop("half of a column null", each("claims", iban=lambda r: r["iban"] if r["claim_id"][-1] in "01234" else None),
         "claims, column iban", "are empty"),
    drop("a seldom column null", each("claims", invoice_hash=to(None)), "column invoice_hash: 100.0%", code=17),
    drop("a column gone", without_column("claims", "ceiling_left_amount"), "ceiling_left_amount"),
    drop("a column shifted", shifted, "account_events, column device_token: 100.0% of the rows are empty", code=17),
    drop("a column nobody can read", each("claims", ceiling_left_amount=to("12,5 E")), "ceiling_left_amount", code=17),
    drop("ids without leading zeros", each("claims", member_id=lambda r: f"M{int(r['member_id'][1:])}"),
         "claims, column member_id", "not known here", code=17),
    drop("ids as a spreadsheet writes them", each("payments", member_id=to("1.0E+05")), "column member_id", code=17),
    drop("ids padded", each("account_events", member_id=lambda r: r["member_id"] + "0"), "member_id", code=17),
    drop("members renumbered", each("claims", member_id=lambda r: "N" + r["member_id"][1:]), "member_id", code=17),
    drop("providers renumbered", each("claims", provider_id=lambda r: "X" + r["provider_id"]), "provider_id", code=17),
    drop("payees renumbered", each("claims", payee_id=lambda r: "X" + r["payee_id"]), "claims, column payee_id"),
    drop("everybody is one payee", each("claims", payee_id=to("P1")), "claims, payee_id"),
    drop("all keys the same", each("claims", claim_id=to("C1")), "claims: 1 rows", code=17),
    drop("keys counted from one again", lambda t: [r.update(claim_id=o["claim_id"]) for r, o in zip(
        t["claims"], daily_drop(TONIGHT - timedelta(days=3))["claims"], strict=False)],
         "of the keys came in the drops before"),
    drop("a channel nobody knows", each("claims", channel=to("X1")), "claims.channel", "[X1 ", code=12),
    drop("one status for all", each("payments", status=to("held")), "payments, column status"),
    drop("one kind of event", each("account_events", kind=to("login_failed")), "account_events, column kind"),
    drop("another time zone", each("claims", received_at=moved("received_at", hours=-6)), "claims, column received_at"),
    drop("a year old", each("claims", received_at=moved("received_at", days=-365)), "claims, column received_at"),
    drop("care a year ago", each("claims", cared_on=moved("cared_on", days=-365)), "claims, column cared_on"),
    drop("planned long ago", each("payments", planned_on=moved("planned_on", days=-300)), "column planned_on"),
    drop("amounts times 100", each("claims", billed_amount=lambda r: f"{float(r['billed_amount']) * 100:.2f}"),
         "claims, column billed_amount"),
    drop("amounts in another unit", each("payments", amount=lambda r: f"{float(r['amount']) / 100:.2f}"),
         "payments, column amount"),
    drop("amounts zero", each("claims", reimbursed_amount=to("0.00")), "claims, column reimbursed_amount"),
    drop("members' ids unreadable", lambda t: t.update(members=[
        row | {"national_id": "2.85019E+14"}
        for n in range(100, 120) for row in daily_drop(TONIGHT - timedelta(days=n))["members"]]),
         "members.national_id", code=12),
    lists("lists not mounted", shutil.rmtree, "TPO-1", "is it mounted", code=11),
    lists("lists empty", lambda b: [shutil.rmtree(f) for f in b.iterdir()], "TPO-1", "is it mounted", code=11),
    lists("one list gone", lambda b: shutil.rmtree(b / "TPO-1"), "breaches/TPO-1 is gone"),
    lists("a manifest gone", lambda b: (b / "TPO-1" / "manifest.yaml").unlink(), "breaches/TPO-1 is gone"),
    lists("a list being filled", lambda b: (b / "NEW-1").mkdir(), "breaches/NEW-1"),
    lists("a list cut to a tenth", lambda b: put_list(b, "TPO-1", [person(n) for n in range(5)], known_at="2024-01-02"),
          "TPO-1: 5 people; the copy before had 50"),
    lists("a list replaced by an older one", lambda b: put_list(
        b, "TPO-1", [person(n) for n in range(60)], known_at="2024-01-01"), "TPO-1: an older copy"),
]  # fmt: skip


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine weeks of ordinary drops. Not to be written to."""
    home = tmp_path_factory.mktemp("weeks") / "home"
    home.mkdir()
    fill(home)
    return home


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history, and not one daily drop yet. Not to be written to."""
    home = tmp_path_factory.mktemp("new") / "home"
    home.mkdir()
    load_days(home, TONIGHT - timedelta(days=1), 0)
    return home


def copied(weeks: Path, folder: Path) -> Path:
    shutil.copytree(weeks, folder / "home")
    shutil.copy2(weeks.parent / "keys.json", folder / "keys.json")
    return folder / "home"


def night(home: Path, day: date = TONIGHT, accept: str = "") -> tuple[int, str]:
    """The exit code of loading a day, and all that is said."""
    with session_of(home) as session:
        session.accepts = {day: accept} if accept else {}
        try:
            ingest_until(session, day)
        except PayeeWatchError as error:
            return error.exit_code, str(error)
        return 0, "\n".join(session.warnings)


WARNED_TOGETHER = (
    ("half of a column null", "a column gone", "one kind of event", "a year old", "planned long ago",
     "amounts times 100", "a second file nobody reads", "one list gone", "everybody is one payee"),
    ("another time zone", "care a year ago", "one status for all", "amounts in another unit", "amounts zero",
     "payees renumbered", "a folder in the drop", "a list being filled"),
    ("half of claims", "a tenth of payments", "account events twice"),
    ("yesterday's claims again", "yesterday's payments again", "yesterday's events again"),
)  # fmt: skip
"""What is a warning each, and touches no column, file or list of another: one night says all of it."""
STOPPED_TOGETHER = (
    ("a column null", "a seldom column null", "a column shifted"),
    ("ids without leading zeros", "ids as a spreadsheet writes them", "ids padded", "providers renumbered"),
)
"""What stops the night by one rule, each in another column."""


def by_night(together: Sequence[Sequence[str]], left_out: Collection[str] = ()) -> list[list[Death]]:
    """What is done to the drop of one night each."""
    nights = [[death for death in DEATHS if death.name in names] for names in together]
    assert [len(deaths) for deaths in nights] == [len(names) for names in together]
    return nights + [[death] for death in DEATHS if death.name not in {*left_out}.union(*together)]


def names_of(deaths: Sequence[Death]) -> str:
    return ", ".join(death.name for death in deaths)


@pytest.mark.parametrize("deaths", by_night(WARNED_TOGETHER + STOPPED_TOGETHER), ids=names_of)
def test_a_dying_feed_is_loud_the_same_night(deaths: list[Death], weeks: Path, tmp_path: Path) -> None:
    home, tables = copied(weeks, tmp_path), daily_drop(TONIGHT)
    for death in deaths:
        death.do(home, tables)
    code, said = night(home)
    assert {death.code for death in deaths} == {code}, said
    assert [words for death in deaths for words in death.says if words not in said] == [], said


NEEDS_DROPS = {
    "payees renumbered", "everybody is one payee", "keys counted from one again", "one status for all",
    "yesterday's claims again", "yesterday's payments again", "yesterday's events again",
}  # fmt: skip
"""What only other drops can show."""
OF_ANY_DROP = {
    "an ending nobody reads", "a channel nobody knows", "members' ids unreadable", "lists not mounted", "lists empty",
    "a manifest gone", "a list cut to a tenth", "a list replaced by an older one",
}  # fmt: skip
"""What is compared with no other drop: said alike with weeks of drops and without."""


TOGETHER = (
    ("a column null", "a seldom column null", "a column gone", "a column shifted", "ids without leading zeros",
     "ids as a spreadsheet writes them", "providers renumbered", "amounts times 100", "care a year ago",
     "planned long ago", "a second file nobody reads", "one list gone"),
    ("half of a column null", "a column nobody can read", "ids padded", "members renumbered", "one kind of event",
     "a year old", "amounts in another unit", "amounts zero", "a folder in the drop", "a list being filled"),
    ("a tenth of claims", "a tenth of payments", "account events twice"),
)  # fmt: skip
"""What touches no column, file or list of another, and stops no first night: one night says all of it."""


@pytest.mark.parametrize("deaths", by_night(TOGETHER, NEEDS_DROPS | OF_ANY_DROP), ids=names_of)
def test_without_weeks_of_drops_it_is_loud_beside_the_history(deaths: list[Death], new: Path, tmp_path: Path) -> None:
    home, tables = copied(new, tmp_path), daily_drop(TONIGHT)
    for death in deaths:
        death.do(home, tables)
    code, said = night(home)
    assert code == (deaths[0].code if deaths[0].code != FeedUnusual.exit_code else 0), said
    assert [words for death in deaths for words in death.says if words not in said] == [], said


def test_an_ordinary_first_night_says_nothing(new: Path, tmp_path: Path) -> None:
    home = copied(new, tmp_path)
    put_drop(home, str(TONIGHT), **daily_drop(TONIGHT))
    assert night(home) == (0, "")


def test_an_ordinary_drop_says_nothing(weeks: Path, tmp_path: Path) -> None:
    home = copied(weeks, tmp_path)
    put_drop(home, str(TONIGHT), **daily_drop(TONIGHT))
    assert night(home) == (0, "")


FALLBACK = '[claims.values.care_family]\n"*" = "other"\n'


def coded(day: date, **codes: int) -> Tables:
    """A day's drop of which some claims have codes that no profile lists."""
    tables = daily_drop(day)
    cells = [code for code, rows in codes.items() for _ in range(rows)]
    tables["claims"] = [
        row | {"care_family": cells[n] if n < len(cells) else row["care_family"]}
        for n, row in enumerate(tables["claims"])
    ]
    return tables


def test_a_code_that_falls_back_every_night_is_a_state_and_a_new_one_a_warning(new: Path, tmp_path: Path) -> None:
    home = copied(new, tmp_path)
    (home / "profile.toml").write_text(FALLBACK)
    days = [TONIGHT + timedelta(days=n) for n in range(3)]
    for day, codes in zip(days, ({"KIN": 5}, {"KIN": 6}, {"KIN": 5, "PH4": 1}), strict=True):
        put_drop(home, str(day), **coded(day, **codes))
    fell_back = "claims.care_family: {} rows have a code that the source profile does not list: {}"
    assert fell_back.format(5, "KIN 5") in night(home, days[0])[1]
    said, states = told(home, days[1])
    assert "care_family" not in said
    assert fell_back.format(6, "KIN 6") in states
    said, states = told(home, days[2])
    assert fell_back.format(1, "PH4 1") in said
    assert "KIN" not in said
    assert fell_back.format(5, "KIN 5") in states


def test_a_share_of_codes_that_fall_back_unlike_its_usual_is_a_warning(new: Path, tmp_path: Path) -> None:
    home = copied(new, tmp_path)
    (home / "profile.toml").write_text(FALLBACK.replace("other", "dental"))
    first, *usual, last = [TONIGHT + timedelta(days=n) for n in range(12)]
    put_drop(home, str(first), **coded(first, KIN=4))
    assert "claims, column care_family: " not in told(home, first)[0]
    remember_as_often(home, usual)
    put_drop(home, str(last), **coded(last, KIN=36))
    said = told(home, last)[0]
    assert "claims, column care_family: " in said
    assert "of the rows have a code that the source profile does not list; usual is" in said


def test_without_planned_payments_a_state_says_that_nothing_can_be_held(new: Path, tmp_path: Path) -> None:
    home = copied(new, tmp_path)
    sentence = "no planned or held payment came in the last drops ({})"
    for ago, planned in enumerate((False, True, False)):
        day = TONIGHT + timedelta(days=ago)
        tables = daily_drop(day)
        tables["payments"] = [row | {"status": "planned" if planned else "sent"} for row in tables["payments"]]
        put_drop(home, str(day), **tables)
        assert (sentence.format(ago + 2) in told(home, day)[1]) == (ago == 0)


def test_a_check_before_the_first_load_says_it_of_the_history_and_of_no_single_day(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for day in (TONIGHT, TONIGHT + timedelta(days=1)):
        tables = daily_drop(day)
        tables["payments"] = [row | {"status": "sent"} for row in tables["payments"]]
        put_drop(home, str(day), **tables)
    with session_of(home) as session:
        said = ["\n".join(each["states"]) for each in check(session)]
    assert ["no planned or held payment" in each for each in said] == [True, False]
    assert ["too few drops" in each for each in said] == [False, True]


def test_a_file_that_came_weeks_ago_is_known_again(weeks: Path, tmp_path: Path) -> None:
    home = copied(weeks, tmp_path)
    then = TONIGHT - timedelta(days=LOADED_DAYS)
    put_drop(home, str(TONIGHT), **daily_drop(then))
    said = told(home, TONIGHT)[0]
    assert "again, byte for byte" in said
    assert f"bank_changes: the files are those of the drop of {then} again" in said


def told(home: Path, day: date) -> tuple[str, str]:
    """The warnings and the states of loading a day."""
    with session_of(home) as session:
        ingest_until(session, day)
        return "\n".join(session.warnings), "\n".join(session.states)


def test_a_small_table_is_loud_as_soon_as_chance_allows(weeks: Path, tmp_path: Path) -> None:
    home = copied(weeks, tmp_path)
    said = []
    for ago in range(3):
        day = TONIGHT + timedelta(days=ago)
        put_drop(home, str(day), **{name: rows for name, rows in daily_drop(day).items() if name != "bank_changes"})
        said.append(night(home, day)[1])
    assert said[0] == ""
    assert "bank_changes: no rows in 3 drops in a row" in said[2]


def test_a_stopped_drop_leaves_nothing_and_its_repair_is_the_days_own(weeks: Path, tmp_path: Path) -> None:
    home = copied(weeks, tmp_path)
    tables = daily_drop(TONIGHT)
    claims = put_drop(home, str(TONIGHT), **tables) / "claims.csv"
    whole = claims.read_text()
    claims.unlink()
    before = loads_of(home)
    assert night(home)[0] == FeedUnusual.exit_code
    assert loads_of(home) == before
    claims.write_text(whole)
    assert night(home) == (0, "")
    assert loads_of(home)[-1][:2] == (str(TONIGHT), "next")


def test_an_accepted_drop_is_loaded_with_its_reason_and_says_so_again(weeks: Path, tmp_path: Path) -> None:
    home = copied(weeks, tmp_path)
    (put_drop(home, str(TONIGHT), **daily_drop(TONIGHT)) / "claims.csv").unlink()
    code, said = night(home, accept="the mailing room was closed")
    assert code == 0
    assert "the mailing room was closed" in said
    assert "claims: 0 rows" in said
    assert loads_of(home)[-1][2] == "the mailing room was closed"
    assert night(home) == (0, said)  # the night is run again


def test_an_accepted_dead_feed_stays_loud(weeks: Path, tmp_path: Path) -> None:
    home = copied(weeks, tmp_path)
    first, *between, last = [TONIGHT + timedelta(days=n) for n in range(9)]
    for day in (first, last):
        (put_drop(home, str(day), **daily_drop(day)) / "payments.csv").unlink()
    assert night(home, first, accept="they know")[0] == 0
    remember_as_often(home, between)
    code, said = night(home, last, accept="they know")
    assert (code, "payments: no rows in 9 drops in a row" in said) == (0, True)


def test_a_declared_feed_stops_from_the_first_drop_on(new: Path, tmp_path: Path) -> None:
    home = copied(new, tmp_path)
    (home / "params.yaml").write_text("feeds: [bank_changes]\n")
    (put_drop(home, str(TONIGHT), **daily_drop(TONIGHT)) / "bank_changes.csv").unlink()
    code, said = night(home)
    assert code == FeedUnusual.exit_code
    assert "bank_changes: no rows, but 'feeds' in params.yaml" in said


def test_a_day_of_the_calendar_and_the_days_after_it_are_compared_with_nothing(weeks: Path, tmp_path: Path) -> None:
    home = copied(weeks, tmp_path)
    (home / "params.yaml").write_text(f"calendar: {{closed: [{TONIGHT}]}}\n")
    (home / "inbox" / str(TONIGHT)).mkdir()
    assert night(home) == (0, "")
    after = TONIGHT + timedelta(days=1)
    put_drop(home, str(after), **{name: 3 * rows for name, rows in daily_drop(after).items()})
    assert night(home, after) == (0, "")


def loads_of(home: Path) -> list[tuple[str, str, str]]:
    with session_of(home) as session:
        loads = [load for load in session.lake.loads() if load.kind == "drop"]
    return [(str(load.day), load.mode, load.facts["feed"]["accepted"]) for load in loads]
