"""Drawn insurers of our own simulator, written in the form of the yardstick's insurers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from payeewatch.evaluation.yardstick.insurer import CORRECTION, DRAWN, Insurer
from payeewatch.evaluation.yardstick.nights import code_digest
from payeewatch.pipeline.detector.evidence import shipped
from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.home.files import write_json

END = date(2024, 9, 29)
"""The last scored night of a drawn insurer."""
SIMULATED = "simulated"
DRAWN_BY = ("simulator", "evaluation/yardstick/drawn.py")
"""The files on which a drawn insurer depends."""
SAMPLE_SEED = 500_000
"""Added to an insurer's seed: the same figures, other people."""

# A change is known with the first drop that has it. One that no drop announces is known with the first drop that shows
# its account on a payment or a claim of its payee; one that nothing shows is no change.
READ_CHANGES = """
CREATE TEMP TABLE known AS
WITH announced AS (
    SELECT change_id, min(drop_day(filename)) AS day
    FROM read_parquet($bank_changes, filename = true, union_by_name = true) GROUP BY ALL
), shown AS (
    SELECT payee_id, iban AS account, min(day) AS day FROM (
        SELECT payee_id, iban, drop_day(filename) AS day
        FROM read_parquet($payments, filename = true, union_by_name = true)
        UNION ALL SELECT payee_id, iban, drop_day(filename)
        FROM read_parquet($claims, filename = true, union_by_name = true)
    ) WHERE iban IS NOT NULL GROUP BY ALL
)
SELECT c.*, a.day IS NULL AS silent, coalesce(a.day, s.day) AS known_on, l.found_on AS revealed_on
FROM read_parquet($changes) AS c LEFT JOIN announced AS a USING (change_id)
LEFT JOIN shown AS s ON a.day IS NULL AND s.payee_id = c.payee_id AND s.account = c.account
LEFT JOIN read_parquet($losses) AS l USING (change_id)
WHERE coalesce(a.day, s.day) IS NOT NULL
"""

WRITE_PAYMENTS = """
CREATE TEMP TABLE paid AS
WITH latest AS (
    SELECT payment_id, payee_id, iban, amount, coalesce(value_date, planned_on) AS value_date
    FROM read_parquet($payments, filename = true, union_by_name = true)
    QUALIFY row_number() OVER (PARTITION BY payment_id ORDER BY drop_day(filename) DESC) = 1
)
SELECT payment_id, change_id, amount::DOUBLE AS amount, value_date::TIMESTAMP AS value_date
FROM latest JOIN known ON known.is_fraud AND known.payee_id = latest.payee_id AND known.account = latest.iban
QUALIFY row_number() OVER (PARTITION BY payment_id ORDER BY known_on, change_id) = 1
ORDER BY payment_id
"""

WRITE_CHANGES = """
SELECT change_id, is_fraud, typology, CASE WHEN NOT is_fraud THEN if(cause = 'restored', $correction, cause) END
       AS benign_cause, campaign::VARCHAR AS campaign_id, stealth, known_on::TIMESTAMP AS known_on,
       known_on BETWEEN $first AND $last AS in_score_period, revealed_on::TIMESTAMP AS revealed_on,
       first_fraud_value_date, silent, payee_id,
       account[1:2] || ' ' || account[5:12] || ' ' || account[-4:] AS account_hint
FROM known LEFT JOIN (SELECT change_id, min(value_date) AS first_fraud_value_date FROM paid GROUP BY ALL)
    USING (change_id)
ORDER BY change_id
"""

COUNT_PAYEES = """
SELECT count(DISTINCT payee_id) FROM read_parquet($claims, union_by_name = true) WHERE payee_type <> 'provider'
"""


@dataclass(frozen=True)
class Wanted:
    """How large a drawn insurer is to be."""

    members: int = 12_000
    days: int = 420
    nights: int = 120
    sample_members: int = 0  # of the larger sample with labels; 0: none
    cases_factor: float = 1.0  # times the draw's rate of fraud


def refuse_learned(seeds: Iterable[int]) -> None:
    """Refuse insurers from which the shipped weights were learned.

    Raises:
        InputRefused: there is one among the seeds.
    """
    record = shipped().record
    learned = range(record["first"], record["first"] + record["insurers"] + len(record["left_out"]))
    known = sorted(set(seeds) & set(learned))
    if known:
        raise InputRefused(
            f"the shipped weights were learned from the drawn insurers {learned[0]} to {learned[-1]}, and {known[0]} is"
            f" one of them; take seeds from {learned[-1] + 1} on"
        )


def drawn_insurer(folder: Path, seed: int, wanted: Wanted) -> Insurer:
    """The drawn insurer of a seed, written unless it stands already."""
    note = json.loads(json.dumps(asdict(wanted) | {"seed": seed, "code": code_digest(DRAWN_BY)}))
    path = folder / "drawn.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) == note:
        return Insurer(folder, DRAWN)
    shutil.rmtree(folder, ignore_errors=True)
    _write(folder, seed, seed, wanted)
    if wanted.sample_members:
        _write(folder / "sample", seed, seed + SAMPLE_SEED, replace(wanted, members=wanted.sample_members, nights=1))
    write_json(path, note)
    return Insurer(folder, DRAWN)


def _write(folder: Path, seed: int, people_seed: int, wanted: Wanted) -> None:
    from payeewatch import simulator
    from payeewatch.simulator.draws import draw, figures_of

    drawn = draw(seed)
    with figures_of(drawn):
        simulator.simulate(
            folder, members=wanted.members, days=wanted.days, end=END, seed=people_seed, truth=folder / SIMULATED,
            tier=drawn.tier, drops=wanted.nights, form="parquet", cases_factor=wanted.cases_factor,
        )  # fmt: skip
    write_truth(folder, END - timedelta(days=wanted.nights - 1), END)
    shutil.rmtree(folder / SIMULATED)


def write_truth(folder: Path, first: date, last: date) -> None:
    """Write truth/ from what the simulator wrote into the insurer's folder: its feeds and its own truth."""
    truth = folder / "truth"
    truth.mkdir()
    with duckdb.connect() as con:
        con.execute("CREATE MACRO drop_day(path) AS split_part(path, '/', -2)::DATE")
        simulated = {name: str(folder / SIMULATED / f"{name}.parquet") for name in ("changes", "losses")}
        con.execute(READ_CHANGES, _paths(folder, "bank_changes", "payments", "claims") | simulated)
        con.execute(WRITE_PAYMENTS, _paths(folder, "payments"))
        given = {"first": first, "last": last, "correction": CORRECTION}
        con.execute("SELECT * FROM paid").df().to_parquet(truth / "fraud_payments.parquet", index=False)
        con.execute(WRITE_CHANGES, given).df().to_parquet(truth / "changes.parquet", index=False)
        payees = con.execute(COUNT_PAYEES, _paths(folder, "claims")).fetchall()[0][0]
    write_json(truth / "world.json", {"first_scored": str(first), "last_scored": str(last), "member_payees": payees})


def _paths(folder: Path, *tables: str) -> dict[str, Any]:
    return {table: [str(path) for path in sorted((folder / "inbox").glob(f"*/{table}*.parquet"))] for table in tables}
