"""Which drops there are, which are news, and reviewers' verdicts read like one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.home.runs import run_path
from payeewatch.pipeline.ingest import ingest as ingesting
from payeewatch.pipeline.ingest.adapters import files_of
from payeewatch.pipeline.ingest.drops import Drop, find_drops, find_verdicts, fingerprint, known_on, news
from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.ingest.profile import Export, Profile
from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.night.run_record import verdicts_read
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import Load
from tests.inbox import good, inbox_session, looks_of, put_drop, rows_of, whole_drop

PLAIN = Profile()
APRIL = [date(2024, 4, day) for day in range(1, 30)]


def put_files(inbox: Path, *names: str) -> None:
    for name in names:
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_text("a")


def loaded(drop: Drop, lake_root: Path) -> Load:
    return Load(1, "drop", drop.day, drop.day, drop.source, fingerprint(files_of(drop.tables), lake_root))


def test_drops_are_folders_named_by_a_day_oldest_first(tmp_path: Path) -> None:
    for folder in ("2024-04-02", "2024-04-01", "2024-04-03", "2024-4-1", "20240401", "notes"):
        put_files(tmp_path, f"{folder}/claims.csv")
    put_files(tmp_path, "2024-04-02.csv")
    assert [drop.day for drop in find_drops(tmp_path, PLAIN, APRIL[1])] == APRIL[:2]
    assert find_drops(tmp_path / "none", PLAIN, APRIL[1]) == []


def test_files_belong_to_tables_by_name_and_others_are_told(tmp_path: Path) -> None:
    put_files(tmp_path / "2024-04-01", "claims-0002.csv", "claims-0001.csv", "members.ndjson.gz", "claims.txt",
              "claimsold.csv", ".hidden", "payments.parquet")  # fmt: skip
    (drop,) = find_drops(tmp_path, PLAIN, APRIL[0])
    assert {table: [part.files[0].name for part in parts] for table, parts in drop.tables.items()} == {
        "claims": ["claims-0001.csv", "claims-0002.csv"],
        "members": ["members.ndjson.gz"],
        "payments": ["payments.parquet"],
    }
    assert set(drop.ignored) == {"claims.txt", "claimsold.csv"}


@pytest.mark.parametrize(
    ("name", "is_claims"),
    [
        ("CLAIMS.CSV", True), ("Claims-2.csv.GZ", True), ("claims_2.csv", True), ("claims2.parquet", True),
        ("claims (1).csv", True), ("claims_2024-04-01.ndjson", True), ("claims-late.csv", True),
        ("claimsold.csv", False), ("claims_of_march.csv", False), ("claims.xlsx", False), ("claims.jsonl", False),
    ],
)  # fmt: skip
def test_a_tables_files_are_known_by_their_names(tmp_path: Path, name: str, is_claims: bool) -> None:
    put_files(tmp_path / "2024-04-01", name, "members.csv")
    (drop,) = find_drops(tmp_path, PLAIN, APRIL[0])
    assert ("claims" in drop.tables) is is_claims
    assert drop.ignored == (() if is_claims else (name,))


@pytest.mark.parametrize(
    ("export", "names"),
    [
        (Export(), ["claims.csv", "claims-2.csv", "claims-0003.csv.gz", "claims_4.ndjson", "CLAIMS-10.parquet"]),
        (Export(files="PREST*"), ["PREST.csv", "PREST_2.csv", "prest_0010.csv", "PREST_0010_2.csv", "PREST_11.csv"]),
    ],
)
def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path, export: Export, names: list[str]) -> None:
    put_files(tmp_path / "2024-04-01", *names)
    (drop,) = find_drops(tmp_path, Profile({"claims": export}), APRIL[0])
    assert [part.files[0].name for part in drop.tables["claims"]] == names


@pytest.mark.parametrize("name", ["claims.csv.filepart", "claims.part", "x.TMP", ".claims.csv.Xa3f1", ".PREST_1.csv.k"])
def test_a_file_in_transfer_means_the_drop_is_not_complete(tmp_path: Path, name: str) -> None:
    put_files(tmp_path / "2024-04-01", name, "members.csv", ".DS_Store", ".keep")
    (drop,) = find_drops(tmp_path, Profile({"payments": Export(files="PREST_*.csv")}), APRIL[0])
    assert (drop.in_transfer, set(drop.tables)) == ((name,), {"members"})
    with pytest.raises(InputRefused, match=f"drop 2024-04-01: is not complete: {name} is still in transfer"):
        drop.require_readable()


@pytest.mark.parametrize(
    ("name", "says"), [("export/claims.csv", "export/"), ("claims.xlsx", "claims.xlsx"), ("DECOMPTES.csv", "DECOMPTES")]
)
def test_a_drop_of_which_nothing_can_be_read_is_refused(tmp_path: Path, name: str, says: str) -> None:
    put_files(tmp_path / "2024-04-01", name)
    (drop,) = find_drops(tmp_path, PLAIN, APRIL[0])
    with pytest.raises(InputRefused, match=f"drop 2024-04-01: holds {says}.*nothing of it can be read"):
        drop.require_readable()
    put_files(tmp_path / "2024-04-01", "members.csv")
    (drop,) = find_drops(tmp_path, PLAIN, APRIL[0])
    drop.require_readable()
    assert drop.ignored[0].startswith(says)


def test_an_empty_drop_and_one_of_hidden_files_are_no_news(tmp_path: Path) -> None:
    put_files(tmp_path / "2024-04-01", ".DS_Store")
    (drop,) = find_drops(tmp_path, PLAIN, APRIL[0])
    drop.require_readable()
    assert (drop.tables, drop.ignored) == ({}, ())


def test_a_profile_may_name_the_files(tmp_path: Path) -> None:
    put_files(tmp_path / "2024-04-01", "PRESTATIONS_01.csv", "claims.csv")
    (drop,) = find_drops(tmp_path, Profile({"claims": Export(files="PRESTATIONS_*.csv")}), APRIL[0])
    assert [path.name for path in files_of(drop.tables)] == ["PRESTATIONS_01.csv"]


def test_news_is_first_next_late_or_changed(tmp_path: Path) -> None:
    put_files(tmp_path / "in", *(f"{day}/claims.csv" for day in APRIL[:4]))
    drops = find_drops(tmp_path / "in", PLAIN, APRIL[3])
    loads = [loaded(drops[1], tmp_path)]
    assert [drop.mode for drop in news(drops, [], tmp_path)] == ["first", "next", "next", "next"]
    assert [(drop.day, drop.mode) for drop in news(drops, loads, tmp_path)] == [
        (APRIL[0], "late"), (APRIL[2], "next"), (APRIL[3], "next"),
    ]  # fmt: skip
    (tmp_path / "in" / "2024-04-02" / "claims.csv").write_text("more")
    assert [(drop.day, drop.mode) for drop in news(drops[1:2], loads, tmp_path)] == [(APRIL[1], "changed")]


def test_a_drop_for_a_night_published_without_it_is_late(tmp_path: Path) -> None:
    put_files(tmp_path / "in", *(f"{day}/claims.csv" for day in APRIL[:4]))
    drops = find_drops(tmp_path / "in", PLAIN, APRIL[3])
    new_drops = news(drops, [loaded(drops[0], tmp_path)], tmp_path, last_published=APRIL[2])
    assert [drop.mode for drop in new_drops] == ["late", "late", "next"]


def test_late_and_changed_drops_count_from_a_night_not_yet_published() -> None:
    drop = Drop(APRIL[2], Path(), {}, (), mode="late")
    assert known_on(drop, APRIL[4], APRIL[6]) == APRIL[7]
    assert known_on(drop, APRIL[9], APRIL[6]) == APRIL[9]
    assert known_on(drop, APRIL[9], None) == APRIL[9]
    assert known_on(Drop(APRIL[2], Path(), {}, (), mode="next"), APRIL[9], APRIL[6]) == APRIL[2]


def test_a_fingerprint_follows_names_and_contents_not_times(tmp_path: Path) -> None:
    put_files(tmp_path, "d/claims.csv", "e/claims.csv", "d/members.csv")
    one = fingerprint([tmp_path / "d" / "claims.csv"], tmp_path / "lake")
    assert fingerprint([tmp_path / "e" / "claims.csv"], tmp_path / "lake") == one
    assert fingerprint([tmp_path / "d" / "members.csv"], tmp_path / "lake") != one
    (tmp_path / "d" / "claims.csv").write_text("b")
    assert fingerprint([tmp_path / "d" / "claims.csv"], tmp_path / "lake") != one


def test_a_file_written_again_with_its_time_set_back_has_another_fingerprint(tmp_path: Path) -> None:
    put_files(tmp_path, "d/claims.csv")
    path = tmp_path / "d" / "claims.csv"
    path.write_text("1,a")
    before, times = fingerprint([path], tmp_path / "lake"), path.stat()
    path.write_text("1,b")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint([path], tmp_path / "lake") != before


def test_a_file_that_vanishes_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"d/claims\.csv: cannot be read"):
        fingerprint([tmp_path / "d" / "claims.csv"], tmp_path / "lake")


# Reviewers' verdicts


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        whole_drop(tmp_path / "home", "2024-04-01")
        put_drop(tmp_path / "home", "2024-04-02")
        yield opened


def verdict(number: int, at: datetime, **changed: Any) -> dict[str, Any]:
    return good("outcomes", number, change_id="B1", decided_at=at, **changed)


def put_verdicts(session: Session, day: date, *rows: dict[str, Any]) -> Path:
    path = session.settings.folder("outcomes") / f"{day}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)
    return path


def published(session: Session, night: date) -> None:
    path = run_path(session.settings, night)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def lake_outcomes(session: Session) -> list[tuple[Any, ...]]:
    return rows_of(session, "SELECT outcome_id, verdict, known_at FROM outcomes ORDER BY known_at, version", "outcomes")


def verdict_loads(loads: list[Load]) -> list[Load]:
    return [load for load in loads if load.kind == "verdicts"]


def test_a_file_exchanged_while_it_is_read_is_refused_though_it_is_back_by_then(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the lake would hold rows that no file of the inbox has, under the hash of another file."""
    real = ingesting._stage_drop
    path = session.settings.folder("inbox") / "2024-04-01" / "claims.csv"
    away, other = path.with_name(".away"), path.read_text(encoding="utf-8").replace("P1", "P2")

    @contextmanager
    def exchanged(session: Session, drop: Drop, profile: Profile) -> Iterator[list[Staged]]:
        path.rename(away)
        path.write_text(other, encoding="utf-8")
        with real(session, drop, profile) as tables:
            away.replace(path)
            yield tables

    monkeypatch.setattr(ingesting, "_stage_drop", exchanged)
    with pytest.raises(InputRefused, match=r"2024-04-01/claims\.csv: changed while it was read"):
        ingest(session, APRIL[0])
    assert session.lake.loads()[-1].kind == "reference"
    monkeypatch.undo()
    assert ingest(session, APRIL[0])[-1].kind == "drop"


def test_verdict_files_are_those_named_by_a_day(tmp_path: Path) -> None:
    put_files(tmp_path, "2024-04-02.parquet", "2024-04-01.parquet", "2024-04-03.parquet", "2024-04-01.csv",
              ".2024-04-01.parquet.12.part", "all.parquet")  # fmt: skip
    assert [drop.day for drop in find_verdicts(tmp_path, APRIL[1])] == APRIL[:2]
    assert find_verdicts(tmp_path / "none", APRIL[1]) == []


def test_a_verdict_is_known_when_it_was_decided(session: Session) -> None:
    decided = datetime(2024, 4, 2, 8, 30)
    put_verdicts(session, APRIL[1], verdict(1, decided))
    assert verdict_loads(ingest(session, APRIL[0])) == []
    (load,) = verdict_loads(ingest(session, APRIL[1]))
    assert (load.mode, load.source, load.known_on) == ("reviewed", "outcomes/2024-04-02.parquet", APRIL[1])
    assert lake_outcomes(session) == [("O1", "benign", decided)]
    assert verdicts_read(session.lake.loads(), APRIL[1]) == [
        {"day": APRIL[1], "fingerprint": load.fingerprint, "rows_read": 1, "rows_accepted": 1, "rows_rejected": 0}
    ]


def test_a_verdict_decided_the_night_before_is_known_then_unless_that_night_is_published(session: Session) -> None:
    decided = datetime(2024, 4, 1, 15)
    put_verdicts(session, APRIL[1], verdict(1, decided))
    published(session, APRIL[0])
    (load,) = verdict_loads(ingest(session, APRIL[1]))
    first_open = session.settings.params.cutoff(APRIL[0]) + timedelta(microseconds=1)
    assert lake_outcomes(session) == [("O1", "benign", first_open)]
    assert load.known_on == APRIL[1]


def test_the_same_file_is_read_once_and_a_changed_one_for_what_changed(session: Session) -> None:
    first, second = verdict(1, datetime(2024, 4, 2, 8)), verdict(2, datetime(2024, 4, 2, 9))
    put_verdicts(session, APRIL[1], first)
    ingest(session, APRIL[1])
    assert verdict_loads(ingest(session, APRIL[1])) == []
    published(session, APRIL[1])
    put_verdicts(session, APRIL[1], first, second | {"verdict": "confirmed_fraud"})
    (load,) = verdict_loads(ingest(session, APRIL[2]))
    assert load.known_on == APRIL[2]
    later = session.settings.params.cutoff(APRIL[1]) + timedelta(microseconds=1)
    assert lake_outcomes(session) == [("O1", "benign", first["decided_at"]), ("O2", "confirmed_fraud", later)]


def test_verdicts_do_not_make_a_drop_of_their_day_late_or_changed(session: Session) -> None:
    put_verdicts(session, APRIL[1], verdict(1, datetime(2024, 4, 2, 8)))
    loads = ingest(session, APRIL[1])
    assert [load.mode for load in loads if load.kind == "drop"] == ["first", "next"]
    assert ingest(session, APRIL[1]) == []


def test_a_verdict_that_cannot_be_used_is_rejected_and_reported(session: Session) -> None:
    put_drop(session.settings.home, "2024-04-02", outcomes=[good("outcomes", 9, verdict="maybe")])
    put_verdicts(session, APRIL[1], verdict(1, datetime(2024, 4, 2, 8)), verdict(2, datetime(2024, 4, 2), verdict="?"))
    ingest(session, APRIL[1])
    assert [row[0] for row in lake_outcomes(session)] == ["O1"]
    aside = session.settings.folder("quarantine")
    for folder in ("2024-04-02", "2024-04-02-reviewed"):  # the insurer's own outcomes keep theirs
        assert len(pd.read_parquet(aside / folder / "outcomes.parquet")) == 1
    assert looks_of(session) == [
        "drop of 2024-04-02: nothing of outcomes can be used; 1 rejected"
        " (verdict_unlisted 1 [(not quoted, 5 characters) 1]); see quarantine/2024-04-02/",
    ]
    assert session.warnings == [
        "outcomes/2024-04-02.parquet: 1 verdicts cannot be used; see quarantine/2024-04-02-reviewed/",
    ]


def test_an_unreadable_verdict_file_is_refused_by_name(session: Session) -> None:
    put_verdicts(session, APRIL[1], verdict(1, datetime(2024, 4, 2, 8))).write_bytes(b"not parquet")
    with pytest.raises(InputRefused, match=r"outcomes/2024-04-02\.parquet"):
        ingest(session, APRIL[1])


def test_a_profile_describes_the_insurers_outcomes_and_not_the_reviewers(session: Session) -> None:
    (session.settings.home / "profile.toml").write_text('[outcomes.columns]\nentscheid = "verdict"\n')
    put_verdicts(session, APRIL[1], verdict(1, datetime(2024, 4, 2, 8)))
    ingest(session, APRIL[1])
    assert [row[:2] for row in lake_outcomes(session)] == [("O1", "benign")]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("/dev/null", "payments.csv: is a link that leads out of inbox/"),
        (".", "2024-04-02/payments.csv: is a folder, a pipe or a device and no file"),
    ],
    ids=["a device", "a folder"],
)
def test_what_is_no_file_is_refused_before_it_is_opened(session: Session, target: str, says: str) -> None:
    drop = put_drop(session.settings.home, "2024-04-02", claims=[good("claims", 9)])
    (drop / "payments.csv").symlink_to(target)  # a pipe would wait for ever for somebody who writes into it
    with pytest.raises(InputRefused, match=says):
        ingest(session, APRIL[1])
