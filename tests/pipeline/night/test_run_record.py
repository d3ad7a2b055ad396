"""The night's own account: rows and euros that add up, and what nobody could score."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.night import run_record
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import Load
from tests.lake_rows import Row, evening, lake_session, put

NIGHT = date(2024, 5, 2)
COUNTS = dict.fromkeys(run_record.COUNTS, 0) | {"rules": {}, "extra_columns": [], "missing_columns": []}


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path / "home") as opened:
        opened.lake.register(opened.con)
        yield opened


def drop(day: str = "2024-05-02", mode: str = "next", unscored: list[Any] | None = None, **tables: Any) -> Load:
    """A drop as its record has it: a table's counts, the rest zero."""
    on = date.fromisoformat(day)
    facts = {"tables": {name: COUNTS | counts for name, counts in tables.items()}, "unscored_changes": unscored or []}
    return Load(1, "drop", on, on, day, "f", mode, facts=facts)


def read(many: int, rejected: int = 0, duplicates: int = 0, **more: Any) -> dict[str, Any]:
    accepted = many - rejected - duplicates
    return {"rows_read": many, "rows_accepted": accepted, "rows_rejected": rejected, "duplicates": duplicates} | more


def rule(rows: int, severity: str) -> dict[str, object]:
    return {"rows": rows, "severity": severity, "column": "iban"}


def test_rows_are_counted_over_all_drops_of_the_night() -> None:
    one = drop(claims=read(10, rejected=1, rules={"iban_unreadable": rule(1, "reject"), "late": rule(2, "warning")}))
    two = drop(claims=read(5, duplicates=2, rules={"late": rule(3, "warning"), "level_outside": rule(1, "null")}))
    counts = run_record.tables([one, two])["claims"]
    assert {name: counts[name] for name in ("rows_read", "rows_accepted", "rows_rejected", "duplicates")} == read(
        10 + 5, rejected=1, duplicates=2
    )
    assert counts["rejections"] == {"iban_unreadable": 1}
    assert counts["warnings"] == {"late": 2 + 3}


def test_columns_unknown_or_missing_are_named_once() -> None:
    one = drop(claims=read(1, extra_columns=["b", "a"]), members=read(1, missing_columns=["sex"]))
    counts = run_record.tables([one, drop(claims=read(1, extra_columns=["b", "c"]))])
    assert counts["claims"]["extra_columns"] == ["a", "b", "c"]
    assert "extra_columns" not in counts["members"]
    assert counts["members"]["missing_columns"] == ["sex"]


def test_rows_that_do_not_add_up_stop_the_night() -> None:
    with pytest.raises(PayeeWatchError, match="rows of claims do not add up"):
        run_record.tables([drop(claims=read(10) | {"rows_accepted": 9})])


def claim(number: int, cents: int, **more: object) -> Row:
    whole = {"claim_id": f"C{number}", "payee_id": "P1", "account": "A1", "reimbursed_cents": cents, "member_id": "M1"}
    return whole | more


def euros(session: Session, load: Load, **counts: int) -> dict[str, int]:
    """Euros of one drop in the lake, whose ingest counted `counts`, with P1 moved to A1 an open change."""
    cents = {"read": 0, "accepted": 0, "rejected": 0, "duplicate": 0} | counts
    facts_load = drop(claims=read(1, cents=cents, amounts_unreadable=2))
    load_of_drop = Load(load.sequence, "drop", NIGHT, NIGHT, "d", "f", load.mode, load.files, facts=facts_load.facts)
    changed = pd.DataFrame({"payee_id": ["P1"], "new_account": ["A1"]})
    session.lake.register(session.con)
    return run_record.euros(session.con, session.lake, [load_of_drop], changed, evening("2024-05-02"))


def test_every_claimed_euro_goes_somewhere(session: Session) -> None:
    claims = [claim(1, 10_00), claim(2, 7_00, account="A2"), claim(3, 3_00, payee_id="P2")]
    sums = euros(session, put(session, "2024-05-02", claims=claims), read=26_00, accepted=20_00, rejected=5_00,
                  duplicate=1_00)  # fmt: skip
    assert sums == {
        "claims_in_cents": 26_00,
        "payable_to_changed_accounts_cents": 10_00,
        "out_of_scope_cents": 7_00 + 3_00 + 1_00,
        "rejected_cents": 5_00,
        "unreadable_rows": 2,
    }


def test_a_claim_without_an_account_follows_the_payees_current_one(session: Session) -> None:
    moved = {"change_id": "X1", "payee_id": "P1", "new_account": "A1", "effective_at": "2024-05-01"}
    before = {"change_id": "X0", "payee_id": "P1", "new_account": "A0", "effective_at": "2023-05-01"}
    put(session, "2024-05-01", changes=[moved, before])
    load = put(session, "2024-05-02", claims=[claim(1, 10_00, account=None), claim(2, 4_00, account="A0")])
    sums = euros(session, load, read=14_00, accepted=14_00)
    assert (sums["payable_to_changed_accounts_cents"], sums["out_of_scope_cents"]) == (10_00, 4_00)


def test_two_versions_of_a_claim_in_a_first_drop_count_once(session: Session) -> None:
    load = put(session, "2024-05-02", claims=[claim(1, 10_00, status="received"), claim(1, 10_00, status="settled")])
    assert euros(session, load, read=10_00, accepted=10_00)["payable_to_changed_accounts_cents"] == 10_00


def test_euros_that_do_not_add_up_stop_the_night(session: Session) -> None:
    load = put(session, "2024-05-02", claims=[claim(1, 10_00)])
    with pytest.raises(PayeeWatchError, match="euros do not add up"):
        euros(session, load, read=11_00, accepted=11_00)


def test_rows_a_changed_drop_brings_again_are_out_of_scope(session: Session) -> None:
    load = put(session, "2024-05-02", claims=[claim(1, 10_00)])
    changed = Load(load.sequence, "drop", NIGHT, NIGHT, "d", "f", "changed", load.files)
    sums = euros(session, changed, read=25_00, accepted=25_00)
    assert (sums["payable_to_changed_accounts_cents"], sums["out_of_scope_cents"]) == (10_00, 15_00)


def test_a_change_nobody_scored_tells_the_euros_planned_for_its_payee(session: Session) -> None:
    def payment(number: int, status: str, cents: int, payee: str = "P1") -> Row:
        return {"payment_id": f"Y{number}", "payee_id": payee, "cents": cents, "status": status}

    put(session, "2024-05-01", payments=[payment(1, "planned", 10_00), payment(2, "planned", 9_00),
                                         payment(3, "held", 2_00), payment(4, "planned", 1_00, "P2")])  # fmt: skip
    put(session, "2024-05-02", payments=[payment(2, "sent", 9_00)])
    put(session, "2024-05-03", payments=[payment(5, "planned", 8_00)])
    session.lake.register(session.con)
    unscored = [
        {"change_id": "B1", "payee_id": "P1", "rules": ["x"]},
        {"change_id": None, "payee_id": "P9", "rules": []},
    ]
    changes = run_record.unscored_changes(session.con, [drop(unscored=unscored)], evening("2024-05-02"))
    assert [(change["payee_id"], change["planned_cents"]) for change in changes] == [("P1", 10_00 + 2_00), ("P9", 0)]


def test_a_payment_that_moved_away_is_not_planned_for_the_payee_it_was_for(session: Session) -> None:
    put(session, "2024-05-01", payments=[{"payment_id": "Y1", "payee_id": "P1", "cents": 10_00, "status": "planned"}])
    put(session, "2024-05-02", payments=[{"payment_id": "Y1", "payee_id": "P2", "cents": 10_00, "status": "planned"}])
    unscored = [{"change_id": "B1", "payee_id": "P1", "rules": ["x"]}]
    for register in (
        session.lake.register,
        lambda _: session.lake_cache.register(),
    ):  # from files, and cached in memory
        register(session.con)
        planned = [
            run_record.unscored_changes(session.con, [drop(unscored=unscored)], evening(day))[0]["planned_cents"]
            for day in ("2024-05-01", "2024-05-02")
        ]
        assert planned == [10_00, 0]


def test_a_nights_drops_are_those_that_count_from_it_on() -> None:
    loads = [drop("2024-05-01"), drop("2024-05-02"), Load(2, "list", NIGHT, NIGHT, "B1", "f")]
    late = Load(3, "drop", date(2024, 4, 1), NIGHT, "2024-04-01", "f", "late")
    assert run_record.drops_of([*loads, late], NIGHT) == [loads[1], late]
    assert run_record.drops_read([late]) == [{"day": date(2024, 4, 1), "mode": "late", "fingerprint": "f"}]
