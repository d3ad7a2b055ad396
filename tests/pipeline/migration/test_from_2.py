"""Format 2 to 3: a decision on a change has a column for who decided, which is empty in those of before."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq

from payeewatch.pipeline.migration.from_2 import outcomes_with_who_decided
from payeewatch.pipeline.migration.migrate import STEPS, migrate
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import SCHEMAS
from tests.earlier_lakes import back_to_format_1, back_to_format_2
from tests.lake_rows import put

DAY = "2024-05-01"


def outcomes(session: Session) -> list[dict[str, Any]]:
    return [row for path in session.lake.files("outcomes") for row in pq.read_table(path).to_pylist()]


def test_a_decision_of_before_stays_as_it_is_and_names_nobody(session: Session) -> None:
    put(session, DAY, outcomes=[{"outcome_id": "O1", "verdict": "benign"}, {"outcome_id": "O2"}])
    before = outcomes(session)
    back_to_format_1(session.lake.root)
    migrate(session, dry_run=False, steps=STEPS[:2])
    assert session.lake.format() == 2
    assert "decided_by" not in outcomes(session)[0]
    migrate(session, dry_run=False)
    assert outcomes(session) == before
    assert before[0]["decided_by"] is None
    assert list(outcomes(session)[0]) == list(SCHEMAS["outcomes"])
    assert session.lake.refuse_altered()


def test_what_says_who_decided_already_is_not_written_again(session: Session) -> None:
    put(session, DAY, outcomes=[{"outcome_id": "O1"}])
    back_to_format_2(session.lake.root)
    put(session, DAY, outcomes=[{"outcome_id": "O2", "decided_by": "E7"}])
    assert [each.path for each in outcomes_with_who_decided(session)] == [f"outcomes/drop={DAY}/00000001.parquet"]
