"""Codes that a person should see are quoted and counted; a text that may be a name is only counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from payeewatch.pipeline.ingest.codes_met import quotable
from payeewatch.pipeline.ingest.ingest import DropRefused
from payeewatch.pipeline.session import Session
from tests.inbox import describe, facts_of, good, inbox_session, looks_of, rows_of


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def test_codes_that_fall_back_are_named_and_counted(session: Session) -> None:
    describe(session, '[claims.values.care_family]\nOPT = "optical"\n"*" = "other"\n')
    families = ["OPT", "PH4", "PH4", "KIN", "dental", "x" * 30]
    rows = [good("claims", n, care_family=family) for n, family in enumerate(families, start=1)]
    facts = facts_of(session, "claims", *rows)
    assert facts["codes_fell_back"] == {"care_family": {"PH4": 2, "(long)": 1, "KIN": 1}}
    assert "claims.care_family: 4 rows have a code that the source profile does not list: PH4 2, (long) 1, KIN 1" in (
        looks_of(session)
    )
    read = rows_of(session, "SELECT DISTINCT care_family FROM claims ORDER BY 1", "claims")
    assert read == [("dental",), ("optical",), ("other",)]


def test_codes_that_nobody_lists_are_named(session: Session) -> None:
    rows = [good("claims", n, channel=channel) for n, channel in enumerate(("FAX", "FAX", "285019999900164"), start=1)]
    assert facts_of(session, "claims", *rows)["codes_unlisted"] == {"channel": {"FAX": 2, "(long)": 1}}


def test_a_shifted_row_with_a_name_in_it_is_not_quoted(session: Session) -> None:
    shifted = good("bank_changes", channel="Dupond", name_check="portal")
    facts = facts_of(session, "bank_changes", shifted, good("bank_changes", 2, name_check="M9"))
    assert facts["codes_unlisted"] == {"name_check": {"M9": 1}}


def test_a_column_of_text_where_codes_belong_is_counted_and_not_quoted(session: Session) -> None:
    names = [f"Dupond{chr(ord('a') + n)}" for n in range(21)]
    rows = [good("claims", n, channel=name) for n, name in enumerate(names, start=1)]
    rows += [good("claims", n) for n in range(100, 150)]
    facts = facts_of(session, "claims", *rows)
    assert facts["codes_unlisted"] == {"channel": {"(many different)": 21}}
    assert "Dupond" not in str(session.lake.loads())


@pytest.mark.parametrize(
    ("counts", "quoted"),
    [
        ({"FAX": 2, "(long)": 1}, {"FAX": 2, "(long)": 1}),
        ({"FAX": 1}, {"FAX": 1}),
        ({"DUPOND": 1}, {"(not quoted, 6 characters)": 1}),
        ({"DUPOND": 900, "MARTINET": 1}, {"(not quoted, 6 characters)": 900, "(not quoted, 8 characters)": 1}),
        ({"M9": 1, "12": 1, "A-3b": 1}, {"M9": 1, "12": 1, "A-3b": 1}),
        ({"TIERS PAYANT": 9, "X": 2, "DUPOND": 1}, {"TIERS PAYANT": 9, "X": 2, "(not quoted, 6 characters)": 1}),
        ({"Portal": 1, "moblie": 1, "3rd party": 1}, {"Portal": 1, "moblie": 1, "3rd party": 1}),
        ({"Portail": 1, "3RD_PARTY": 1, "VIR": 1, "Réglé": 2, "broker": 1, "GUICHET 2": 1},
         {"Portail": 1, "3RD_PARTY": 1, "VIR": 1, "Réglé": 2, "broker": 1, "GUICHET 2": 1}),
        ({"Dupond": 3, "Zoé": 2, "D'Essai": 2}, {"(not quoted, 6 characters)": 3, "(not quoted, 3 characters)": 2,
         "(not quoted, 7 characters)": 2}),
        ({"MARTIN": 2, "DUPOND": 1, "ROUX": 1, "LE ROUX": 1}, {"(not quoted, 6 characters)": 3,
         "(not quoted, 4 characters)": 1, "(not quoted, 7 characters)": 1}),
        ({"jean.dupond85": 1, "dupond85": 1, "75011": 1, "ROUX85": 1}, {"(not quoted, 13 characters)": 1,
         "(not quoted, 8 characters)": 1, "(not quoted, 5 characters)": 1, "(not quoted, 6 characters)": 1}),
        (dict.fromkeys(map(str, range(21)), 5), {"(many different)": 105}),
    ],
)  # fmt: skip
def test_a_text_that_may_be_a_name_is_counted_and_not_quoted(counts: dict[str, int], quoted: dict[str, int]) -> None:
    assert quotable(counts, ("portal", "mobile", "third_party")) == quoted


def test_a_small_column_of_names_is_counted_and_not_quoted(session: Session) -> None:
    names = ("Dupond", "Essai", "Dupond", "Martin", "DURAND", "petit")
    rows = [good("claims", n, channel=name) for n, name in enumerate(names, start=1)]
    with pytest.raises(DropRefused) as refusal:
        facts_of(session, "claims", *rows)
    assert "claims.channel are unusable [(not quoted, 6 characters) 4, (not quoted, 5 characters) 2]" in str(
        refusal.value
    )
    assert not any(name in f"{refusal.value} {refusal.value.facts}" for name in names)


@pytest.mark.parametrize("names", [("DUPOND", "Emile"), ("dupond.emile", "MUELLER"), ("MULLER85", "EMILE")])
def test_the_codes_of_a_fraud_teams_export_are_quoted_and_no_name_of_a_member(
    session: Session, names: tuple[str, ...]
) -> None:
    codes = ("FAX", "3RD_PARTY", "VIR", "moblie", "Portail", "GUICHET")
    members = [good("members", family_name="Le Dupond", given_names="Emile"), good("members", 2, family_name="Müller")]
    rows = [good("claims", n, channel=code) for n, code in enumerate((*codes, *names, *names), start=1)]
    rows += [good("claims", n) for n in range(100, 150)]
    facts = facts_of(session, "claims", *rows, members=members)
    assert facts["codes_unlisted"] == {
        "channel": dict.fromkeys(codes, 1)
        | {f"(not quoted, {len(name)} characters)": 2 * sum(len(name) == len(each) for each in names) for name in names}
    }
    assert not any(name in str(session.lake.loads()) for name in names)


def test_a_name_is_known_from_members_of_earlier_drops_and_from_holders(session: Session) -> None:
    facts_of(session, "members", good("members", family_name="Dupond"))
    changes = [good("bank_changes", 5, holder_name="MARTIN ZOE")]
    rows = [good("claims", n, channel="DUPOND" if n < 9 else "MARTIN") for n in range(1, 17)]
    rows += [good("claims", n, channel="GUICHET") for n in range(20, 40)] + [good("claims", n) for n in range(50, 99)]
    facts = facts_of(session, "claims", *rows, day="2024-04-02", members=[good("members", 7)], bank_changes=changes)
    assert "DUPOND" not in str(facts)
    assert "MARTIN" not in str(facts)


def test_the_name_of_somebody_who_is_no_member_is_not_quoted_among_known_codes(session: Session) -> None:
    rows = [good("claims", n) for n in range(1, 50)] + [good("claims", 50, channel="DURANDEAU")]
    facts = facts_of(session, "claims", *rows)
    assert facts["codes_unlisted"] == {"channel": {"(not quoted, 9 characters)": 1}}
    assert facts["codes_not_quoted"] == {"channel": "claims.csv line 51"}
    assert "DURANDEAU" not in str(session.lake.loads())


def test_the_look_at_codes_that_fall_back_says_where_the_first_not_quoted_one_is(session: Session) -> None:
    describe(session, '[claims.values.care_family]\n"*" = "other"\n')
    rows = [good("claims", 1, care_family="KIN"), good("claims", 2, care_family="DURANDEAU")]
    facts_of(session, "claims", *rows)
    looks = "\n".join(looks_of(session))
    assert "(not quoted, 9 characters) 1, KIN 1 (the first not quoted: claims.csv line 3)" in looks
