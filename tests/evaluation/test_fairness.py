"""Fairness: shares by group with exact intervals, no figure about a few people, and nothing of it in the model."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from payeewatch.evaluation.fairness import groups as measured
from payeewatch.evaluation.fairness.groups import FEWEST, TOGETHER, by_group, marked, together
from payeewatch.features.definition import _parts
from payeewatch.features.registry import FEATURES, PARTS
from payeewatch.features.versions import USES
from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.loading import link_and_derive
from tests.conftest import NIGHTS, Home, copy_of
from tests.inbox import good, inbox_session, whole_drop


@pytest.fixture(scope="module")
def answers(challenged: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[dict[str, Any]]]:
    """What the command says of the published nights, and of the challenger on the same nights."""
    home = copy_of(challenged, tmp_path_factory.mktemp("fairness"))
    words = [("fairness", "--json"), ("fairness", "--model", "challenger", "--from", str(NIGHTS[0]), "--json")]
    return home, [json.loads(home.done(*each).stdout) for each in words]


def test_the_groups_of_each_attribute_divide_the_changes(answers: tuple[Home, list[dict[str, Any]]]) -> None:
    home, reports = answers
    flags = pd.concat([pd.read_parquet(home.path / "flags" / f"{night}.parquet") for night in NIGHTS])
    members = flags[(flags["payee_type"] != "provider") & (flags["queue"] != "audit")]
    assert reports[0]["whole"]["flagged"]["hits"] == members["change_id"].nunique()
    for report in reports:
        for count in ("changes", "flagged"):
            sums: Counter[str] = Counter()
            for group in report["groups"]:
                sums[group["attribute"]] += group["changes"] if count == "changes" else group["flagged"]["hits"]
            whole = report["whole"]["changes"] if count == "changes" else report["whole"]["flagged"]["hits"]
            assert set(sums.values()) == {whole}
        assert min(group["changes"] for group in report["groups"]) >= FEWEST


def test_the_files_of_a_report_name_no_change_and_no_person(answers: tuple[Home, list[dict[str, Any]]]) -> None:
    home, (report, candidate) = answers
    scores = pd.read_parquet(home.path / "scores" / f"{NIGHTS[-1]}.parquet")
    ids = set(scores["change_id"]) | set(scores["member_id"].dropna()) | set(scores["account"])
    for folder in ("fairness", f"fairness-{candidate['version']}"):
        for name in ("fairness.html", "fairness.json"):
            text = (home.path / "reports" / folder / name).read_text(encoding="utf-8")
            assert not ids & set(re.findall(r"[\w-]+", text))
    assert (report["version"], candidate["version"]) == ("", "2")
    artefacts = list((home.path / "mlflow" / "artifacts").glob("*/artifacts/fairness.html"))
    assert len(artefacts) == 2


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({"a": 50, "b": 20, "c": 30}, {"a": "a", "b": "b", "c": "c"}),
        ({"a": 50, "b": 3, "c": 8}, {"a": "a", "b": TOGETHER, "c": TOGETHER}),
        # three alone could be worked out from the whole
        ({"a": 50, "b": 20, "c": 3}, {"a": "a", "b": TOGETHER, "c": TOGETHER}),
    ],
)
def test_small_groups_are_put_together(counts: dict[str, int], shown: dict[str, str]) -> None:
    assert together(counts) == shown


def units(many: int, flagged: int, group: str) -> pd.DataFrame:
    is_flagged = [n < flagged for n in range(many)]
    columns = {"age": group, "held": False, "nights_held": 0, "is_fraud": False, "is_honest": is_flagged}
    return pd.DataFrame({"flagged": is_flagged}).assign(**columns)


def test_a_group_that_differs_beyond_chance_is_marked() -> None:
    rows = pd.concat([units(60, 30, "old"), units(200, 10, "young")], ignore_index=True)
    old, young = sorted(marked(by_group(rows, "age")), key=lambda group: group.name)
    assert (old.differs, young.differs) == (True, True)
    assert old.flagged.share == old.false_flags.share == 0.5
    assert (old.flagged.low, old.flagged.high) == (pytest.approx(0.368, abs=0.001), pytest.approx(0.632, abs=0.001))
    same = marked(by_group(pd.concat([units(60, 4, "old"), units(200, 10, "young")], ignore_index=True), "age"))
    assert not any(group.differs for group in same)


def test_a_whole_of_a_few_changes_says_nothing() -> None:
    (group,) = by_group(units(FEWEST - 1, 3, "old"), "age")
    assert (group.changes, group.flagged.share) == (0, None)


def test_a_median_of_few_holds_is_not_shown() -> None:
    rows = units(40, 20, "old").assign(nights_held=3)
    shown = [by_group(rows.assign(held=rows.index < held), "age")[0].nights_held for held in (FEWEST - 1, FEWEST)]
    assert shown == [None, 3.0]


def test_births_are_known_where_the_setting_was_on_when_a_member_was_loaded(tmp_path: Path) -> None:
    home = tmp_path / "home"
    params = tmp_path / "params.yaml"
    params.write_text("fairness: {birth_abroad: true}\n")
    in_paris = {"national_id": "285017510100156", "holder_national_id": None}
    in_algiers = {"national_id": "150019135200156", "holder_national_id": None, "birth_date": "19500117"}
    in_evry = {"national_id": "190019122800156", "holder_national_id": None, "birth_date": "19900117"}
    people = [{}, in_paris, in_algiers, in_evry, {"national_id": None}]
    for each in people:
        if body := (each.get("national_id") or "")[:13]:
            each["national_id"] = f"{body}{97 - int(body) % 97:02d}"
    members = [good("members", number, **each) for number, each in enumerate(people, 1)]
    changes = [good("bank_changes", number) for number in range(1, len(people) + 1)]
    whole_drop(home, "2024-03-20", members=members, bank_changes=changes)
    with inbox_session(home, PAYEEWATCH_PARAMS=str(params)) as session:
        ingest(session, date(2024, 3, 20))
        link_and_derive(session)
        session.lake_cache.register()
        assert list(measured._members(session, date(2024, 3, 20))["birth"]) == [
            vault.ABROAD, vault.IN_FRANCE, vault.ABROAD, vault.IN_FRANCE, "unknown"
        ]  # fmt: skip
        off = replace(session, settings=Settings.load(home, {"PAYEEWATCH_KEY_FILE": str(session.settings.key_file)}))
        assert set(measured._members(off, date(2024, 3, 20))["birth"]) == {"unknown"}


def test_births_are_not_kept_unless_somebody_asks(published: Home) -> None:
    assert not (published.path / "vault" / vault.BIRTH).exists()


FOR_NO_FEATURE = {"birth_year", "sex", "department", "birth_rank", "role", "id_key", "person_key"}
"""Columns of members that no feature may be made of."""


def test_no_feature_is_made_of_age_sex_area_or_birth() -> None:
    for feature in FEATURES.values():
        lineage = set(re.findall(r"\w+", " ".join(_parts(feature, PARTS | FEATURES))))
        assert not lineage & FOR_NO_FEATURE, feature.name
    # what the walk sees: a column of the formula, of a relation, of a function that makes rows
    seen = {
        name: " ".join(_parts(FEATURES[name], PARTS | FEATURES)) for name in ("is_member_protected", "is_online_bank")
    }
    assert "legal_protection" in seen["is_member_protected"]
    assert "neobank" in seen["is_online_bank"]
    assert not {column for use in USES.values() for column in use.columns} & FOR_NO_FEATURE
