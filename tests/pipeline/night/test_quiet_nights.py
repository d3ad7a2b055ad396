"""Nights on which there is next to nothing: nobody exposed, no open change, no flag, an empty first night."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.conftest import HISTORY, NIGHTS, Home, copy_of
from tests.inbox import good, put_drop, whole_drop

FIRST = date(2024, 9, 23)
MEMBERS = [good("members", number) for number in (1, 2, 3)]
SECOND = FIRST + timedelta(days=1)


def run_of(home: Home, night: date) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((home.path / "runs" / f"{night}.json").read_text())
    return facts


def put_list(home: Home, national_id: str, purge_on: date = date(2030, 1, 1)) -> None:
    """The home's only list: of one person."""
    shutil.rmtree(home.path / "breaches", ignore_errors=True)
    folder = home.path / "breaches" / "only"
    folder.mkdir(parents=True)
    manifest = {
        "breach_id": "only", "title": "A list", "source": "Processor", "notification_ref": "N-1",
        "exposed_from": date(2024, 1, 1), "exposed_to": date(2024, 2, 1), "known_at": date(2024, 3, 1),
        "fields_exposed": ["national_id"], "purge_on": purge_on,
    }  # fmt: skip
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    (folder / "people.csv").write_text(
        "national_id,holder_national_id,family_name,given_names,birth_date,birth_rank\n"
        f"{national_id},,Essai,Zoé,19850117,1\n"
    )


@pytest.fixture
def small(trained: Home, tmp_path: Path) -> Home:
    """A home with a trained model, without drops and without a lake."""
    home = copy_of(trained, tmp_path, without=["lake", "vault", "inbox", "breaches", "reference"])
    home.done("init")
    return home


NOBODY = "2990199999999" + "29"
SOMEBODY = str(MEMBERS[0]["national_id"])
BOOKS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "members and one claim": {"members": MEMBERS, "claims": [good("claims", iban=None)]},
    "no change": {"bank_changes": []},
    "one change": {"members": MEMBERS},
    "one change of a provider": {"bank_changes": [good("bank_changes", payee_id="PR1", payee_type="provider")]},
    "an old change": {"bank_changes": [good("bank_changes", requested_at="2022-01-01", effective_at="2022-01-01")]},
}


@pytest.mark.parametrize(
    ("book", "listed"), [*((book, NOBODY) for book in BOOKS if book != "one change"), ("one change", SOMEBODY)]
)
def test_a_nearly_empty_home_has_ordinary_nights(small: Home, book: str, listed: str) -> None:
    put_list(small, listed)
    tables = {name: rows for name, rows in BOOKS[book].items() if rows}
    if "claims" in tables:
        put_drop(small.path, str(FIRST), **tables)
    else:
        whole_drop(small.path, str(FIRST), **tables)
        for name in BOOKS[book].keys() - tables.keys():
            (small.path / "inbox" / str(FIRST) / f"{name}.csv").unlink()
    (small.path / "inbox" / str(SECOND)).mkdir()
    small.done("night", "--from", str(FIRST), "--to", str(SECOND))
    for night in (FIRST, SECOND):
        run, scores = run_of(small, night), pq.read_table(small.path / "scores" / f"{night}.parquet")
        assert run["state"] == "published"
        assert run["scored"] == scores.num_rows
        codes = [coded["code"] for coded in run["warning_codes"] if coded]
        assert ("nobody_exposed" in codes) == (listed == NOBODY)
        assert all(each is not None for each in scores["exposures"].to_pylist())


def end(home: Home) -> None:
    """The lists' time is up on the first night."""
    for path in sorted(home.path.glob("breaches/*/manifest.yaml")):
        facts = yaml.safe_load(path.read_text())
        if date.fromisoformat(str(facts["known_at"])) < NIGHTS[0]:
            path.write_text(yaml.safe_dump(facts | {"purge_on": NIGHTS[0]}))
        else:
            shutil.rmtree(path.parent)


def withdraw_all(home: Home) -> None:
    for each in json.loads(home.run("lists", "--json", "--on", str(HISTORY)).stdout)["lists"]:
        home.done("lists", "withdraw", each["breach_id"], "--reason", "test", "--on", str(HISTORY))


def name_nobody(home: Home) -> None:
    withdraw_all(home)
    put_list(home, NOBODY)


@pytest.mark.parametrize(
    ("lose", "code"),
    [(end, "no_list_in_force"), (name_nobody, "nobody_exposed")],
)
def test_a_night_on_which_nobody_is_exposed_is_an_ordinary_night(
    trained: Home, tmp_path: Path, lose: Any, code: str
) -> None:
    home = copy_of(trained, tmp_path)
    lose(home)
    home.done("night", "--from", str(NIGHTS[0]), "--to", str(NIGHTS[1]))
    for night in NIGHTS[:2]:
        scores = pq.read_table(home.path / "scores" / f"{night}.parquet")
        assert scores.num_rows > 50
        assert {len(each) for each in scores["exposures"].to_pylist()} == {0}
        assert code in [coded["code"] for coded in run_of(home, night)["warning_codes"] if coded]


def test_a_night_on_which_somebody_is_exposed_does_not_say_otherwise(published: Home) -> None:
    codes = {coded["code"] for night in NIGHTS for coded in run_of(published, night)["warning_codes"] if coded}
    assert not codes & {"no_list_in_force", "nobody_exposed"}
