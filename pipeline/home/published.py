"""The columns of what a night publishes, and what they promise. docs/outputs.md describes them; a test compares."""

from __future__ import annotations

import pyarrow as pa

from payeewatch.pipeline.home.codes import QUEUES
from payeewatch.pipeline.home.promises import NULLABLE, Bounds, Promise, promises
from payeewatch.pipeline.tables import PAYEE_TYPES

AMOUNT = pa.decimal128(18, 2)


REASON = pa.struct(
    [
        ("feature", pa.string()),
        ("value", pa.string()),
        ("usual", pa.string()),
        ("sentence", pa.string()),
        ("value_number", pa.float64()),
        ("usual_number", pa.float64()),
        ("unit", pa.string()),
        ("fact", pa.string()),  # what the feature measures, in English
        ("points", pa.float64()),  # what all features of its topic add to the score
        ("place_without", pa.int32()),  # where the change would stand without them, among the night's open changes
    ]
)
"""A reason: in English, and as numbers and a unit from which the sentence can be made in any language."""


EXPOSURE = pa.struct(
    [
        ("breach_id", pa.string()),
        ("known_at", pa.date32()),
        ("fields", pa.list_(pa.string())),
        ("match_quality", pa.string()),
    ]
)


WHOSE = [
    ("member_id", pa.string()),
    ("household_id", pa.string()),
    ("payee_id", pa.string()),
    ("payee_type", pa.string()),
    ("account", pa.string()),
]


WHOSE_PROMISES = {"member_id": NULLABLE, "household_id": NULLABLE, "payee_type": Promise(values=PAYEE_TYPES)}


SCORE_PROMISES = {"score": Promise(bounds=Bounds()), "p_value": Promise(bounds=Bounds(0, 1, is_above_low=True))}


MODEL = [("model", pa.string()), ("model_version", pa.string()), ("run_id", pa.string())]


FLAGS_SCHEMA = pa.schema(
    [
        ("night", pa.date32()),
        ("first_flagged_on", pa.date32()),
        ("is_new", pa.bool_()),
        ("flag_id", pa.string()),
        ("change_id", pa.string()),
        ("derived", pa.bool_()),
        *WHOSE,
        ("account_hint", pa.string()),
        ("queue", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.float64()),
        ("p_value", pa.float64()),
        ("p_value_uncorrected", pa.float64()),  # null where the change is not scored any more
        ("amount_at_risk", AMOUNT),
        ("amount_paid", AMOUNT),
        ("first_payment_on", pa.date32()),
        ("reasons", pa.list_(REASON)),
        ("reassuring", pa.list_(REASON)),
        ("exposures", pa.list_(EXPOSURE)),
        *MODEL,
    ]
)
"""flags/<night>.parquet: one row per flag, by rank."""

FLAGS_PROMISES = promises(
    "flags",
    FLAGS_SCHEMA.names,
    (("flag_id",), ("change_id",), ("rank",)),
    {
        **WHOSE_PROMISES,
        **SCORE_PROMISES,
        "p_value_uncorrected": NULLABLE,
        "queue": Promise(values=tuple(QUEUES)),
        "rank": Promise(bounds=Bounds(1)),
        "amount_at_risk": Promise(bounds=Bounds(0)),
        "first_payment_on": NULLABLE,
    },
)


SCORES_SCHEMA = pa.schema(
    [
        ("night", pa.date32()),
        ("flag_id", pa.string()),  # null unless the change is in a queue
        ("change_id", pa.string()),
        ("derived", pa.bool_()),
        *WHOSE,
        ("segment", pa.string()),
        ("age_days", pa.int32()),
        ("score", pa.float64()),
        ("p_value", pa.float64()),
        ("p_value_uncorrected", pa.float64()),
        ("lens_request", pa.float64()),
        ("lens_claims", pa.float64()),
        ("lens_company", pa.float64()),
        ("rank_before_cut", pa.int32()),
        ("why_not", pa.string()),  # null when the change is in a queue
        ("exposures", pa.list_(EXPOSURE)),
        *MODEL,
    ]
)
"""scores/<night>.parquet: one row per open change, by change_id."""

SHADOW_SCHEMA = pa.schema(
    [
        *SCORES_SCHEMA,
        ("queue", pa.string()),  # null unless the challenger would have put it into one
        ("rank", pa.int32()),
        ("is_new", pa.bool_()),
        ("first_flagged_on", pa.date32()),
    ]
)
"""shadow/<version>/<night>.parquet: one row per open change, by change_id, as a challenger scored it."""

SCORES_PROMISES = promises(
    "scores",
    SCORES_SCHEMA.names,
    (("change_id",), ("flag_id",), ("rank_before_cut",)),
    {
        **WHOSE_PROMISES,
        **SCORE_PROMISES,
        "p_value_uncorrected": SCORE_PROMISES["p_value"],
        "flag_id": NULLABLE,
        "age_days": Promise(bounds=Bounds(0)),
        "lens_request": NULLABLE,
        "lens_claims": NULLABLE,
        "lens_company": NULLABLE,
        "rank_before_cut": Promise(bounds=Bounds(1)),
        "why_not": NULLABLE,
    },
)
