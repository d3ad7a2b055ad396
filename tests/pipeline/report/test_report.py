"""The night's report: everything a reviewer needs, nothing that runs, nothing that accuses."""

from __future__ import annotations

import cProfile
import pstats
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pandas as pd
import pyarrow as pa
import pytest

from payeewatch.pipeline.home.wording import HONEST, sentence
from payeewatch.pipeline.night.benign_checks import CHECKS
from payeewatch.pipeline.report.report import MOST_LISTED, report, usual, volumes

NIGHT = date(2024, 9, 17)


def reason(feature, value, usually, sentence):
    return {"feature": feature, "value": value, "usual": usually, "sentence": sentence, "value_number": 1.0}


REASONS = [
    reason("days_to_first_claim", "3 days", "41 days", "Days to the first claim: 3 days (usually 41 days)."),
    reason("amount_since_change_30d", "1,840.00 EUR", "", "Reimbursed to the new account in 30 days: 1,840.00 EUR."),
    reason("is_member_dead", "yes", "no", "The member is known to have died (usually not)."),
]


def flag(rank=1, queue="review", **changed):
    fields = {
        "night": NIGHT,
        "first_flagged_on": NIGHT,
        "flag_id": f"F-{rank:016x}",
        "change_id": f"C-{rank:05d}",
        "derived": False,
        "member_id": f"M-{rank:05d}",
        "household_id": f"H-{rank:05d}",
        "payee_id": f"P-{rank:05d}",
        "payee_type": "member",
        "account": "0" * 32,
        "account_hint": "FR · 99001 · …1741",
        "queue": queue,
        "rank": rank,
        "score": 4.0,
        "p_value": 0.0004 * rank,
        "amount_at_risk": Decimal("1840.00"),
        "amount_paid": Decimal("0.00"),
        "first_payment_on": NIGHT + timedelta(days=3),
        "reasons": REASONS,
        "reassuring": [reason("name_check_match", "yes", "", "The account holder's name was checked and fits.")],
        "exposures": [],
        "model": "payeewatch",
        "model_version": "3",
        "run_id": "a" * 32,
    }
    return fields | changed


def evidence_of(rank=1):
    return {
        "flag_id": f"F-{rank:016x}",
        "timeline": [
            {"at": datetime(2024, 9, 14, 9, 30), "kind": "change_requested", "amount": None, "ids": ["C-00001"]},
            {"at": datetime(2024, 9, 16, 8, 0), "kind": "claim", "amount": Decimal("1840.00"), "ids": ["K-1"]},
        ],
    }


def run_of(night=NIGHT, **changed):
    fields = {
        "night": str(night),
        "state": "published",
        "seconds": {"ingest": 0.8, "measure": 1.2, "score": 0.4},
        "tables": {
            "claims": {
                "rows_read": 810, "rows_accepted": 806, "rows_rejected": 3, "duplicates": 1,
                "cells_nulled": 2, "cells_unknown": 0, "warnings": {"member_unknown": 4},
            }
        },
        "euros": {
            "claims_in_cents": 4_000_000, "payable_to_changed_accounts_cents": 250_000,
            "out_of_scope_cents": 3_700_000, "rejected_cents": 50_000, "unreadable_rows": 2,
        },
        "drops": [str(night)],
        "changes": {"open": 400, "new": 12, "derived": 3},
        "flagged": {"hold": 1, "review": 2, "audit": 1, "new": 4},
    }  # fmt: skip
    return fields | changed


def history(nights=20, claims=800):
    """Working nights before NIGHT, a few claims apart."""
    runs = []
    for back in range(nights, 0, -1):
        run = run_of(NIGHT - timedelta(days=back))
        run["tables"] = {"claims": {"rows_accepted": claims + back % 7}}
        runs.append(run)
    return runs


def page(flags, scores=None, evidence=None, run=None, past=()):
    scores = scores if scores is not None else pd.DataFrame({"p_value": [0.5], "why_not": ["below_the_cut"]})
    return report(NIGHT, pd.DataFrame(flags), scores, pd.DataFrame(evidence or []), run or run_of(), past)


def text(html):
    """What a person reads: no tags, no style."""
    body = re.sub(r"<style>.*?</style>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_a_flag_shows_each_reason_once_with_its_value_and_the_usual_one():
    page_text = text(page([flag()]))
    assert "Days to the first claim 3 days usually 41 days" in page_text
    assert (
        "Reimbursed to the new account in 30 days 1,840.00 EUR The member is known to have died yes usually no"
        in page_text
    )
    assert "The account holder's name was checked and fits." in page_text.replace("&#39;", "'")


def test_a_p_value_is_said_as_one_in_so_many():
    assert "About 1 in 2,500 comparable honest changes" in text(page([flag(p_value=0.0004)]))


def test_an_exposed_member_is_called_a_victim_and_weak_matches_are_called_uncertain():
    exposure = {"breach_id": "TPO-1", "known_at": date(2024, 2, 7), "fields": ["national_id"]}
    page_text = text(page([flag(exposures=[exposure | {"match_quality": "probable"}])]))
    assert "this member is a victim of a breach" in page_text
    assert "On list TPO-1, known since 7 Feb 2024; exposed: national id; matched on names and birth date" in page_text
    assert "so uncertain" in page_text


def test_flags_come_in_rank_order_whatever_their_row_order():
    page_text = page([flag(3), flag(1, "hold"), flag(2, "audit")])
    places = [page_text.index(f'href="#flag-{rank}"') for rank in (1, 2, 3)]
    assert places == sorted(places)


def test_an_earlier_flag_says_since_when():
    assert "since 10 Sep 2024" in text(page([flag(first_flagged_on=date(2024, 9, 10))]))


def test_the_evidence_of_a_flag_is_on_its_card():
    page_text = text(page([flag()], evidence=[evidence_of()]))
    assert "2 dated facts around the change" in page_text
    assert "14 Sep 2024 09:30 change requested" in page_text


def test_a_long_timeline_shows_its_end_and_says_how_long_it_is():
    facts = [{"at": datetime(2024, 8, day), "kind": f"kind_{day}", "amount": None, "ids": []} for day in range(1, 31)]
    page_text = text(page([flag()], evidence=[evidence_of() | {"timeline": facts}]))
    assert "The last 14 of 30 dated facts around the change" in page_text
    assert "kind 30" in page_text
    assert "kind 16" not in page_text


def test_the_card_says_what_the_account_was_who_shares_it_and_what_was_checked():
    evidence = evidence_of() | {
        "before": {"hint": "FR · 99003 · …8841", "since": date(2019, 3, 2)},
        "neighbours": [
            {"payee_id": "P-8", "relation": "same_account", "flag_id": "F-8"},
            {"payee_id": "P-8", "relation": "device", "flag_id": "F-8"},
            {"payee_id": "P-9", "relation": "account", "flag_id": None},
        ],
        "benign_checks": [
            {"check": "bank_wave", "result": "no", "sentence": "1 change from this bank."},
            {"check": "life_event", "result": "yes", "sentence": "Somebody joined within 60 days."},
            {"check": "institution", "result": "no", "sentence": "Not on the list."},
            {"check": "return_driven", "result": "unknown", "sentence": "Payments are not in the feed."},
        ],
    }
    page_text = text(page([flag()], evidence=[evidence]))
    assert "before: FR · 99003 · …8841, since 2 Mar 2019" in page_text
    assert "2 other payees tied to it by account, device; 1 of them flagged." in page_text
    assert "What was checked Somebody joined within 60 days." in page_text
    assert "Looked for and not found: a wave between the two banks, a known institution." in page_text
    assert "Cannot be known: a payment that came back." in page_text


def test_every_honest_explanation_that_is_looked_for_has_a_name():
    assert set(HONEST) == {check.__name__.removeprefix("_") for check in CHECKS}


def test_a_payment_that_has_left_is_not_a_next_payment():
    page_text = text(page([flag(first_payment_on=NIGHT - timedelta(days=400))]))
    assert "no payment planned" in page_text
    assert "first paid on" in page_text


def test_holds_new_flags_and_the_first_others_have_a_card_and_a_readable_queue_is_all_in_the_table():
    old = NIGHT - timedelta(days=3)
    rows = [flag(rank, first_flagged_on=old) for rank in range(1, 61)] + [
        flag(61, "hold", first_flagged_on=old),
        flag(62),
    ]
    html = page(rows)
    cards = [int(rank) for rank in re.findall(r'id="flag-(\d+)"', html)]
    assert sorted(cards) == [*range(1, 39), 61, 62]
    assert html.count('<th scope="row" class="id">P-') == 62
    assert "40 in all" in text(html)


def test_a_queue_too_long_to_read_is_listed_in_part_and_says_where_the_rest_is():
    rows = [flag(rank, first_flagged_on=NIGHT - timedelta(days=3)) for rank in range(1, 551)] + [flag(551, "hold")]
    html = page(rows)
    assert html.count('<th scope="row" class="id">P-') == MOST_LISTED + 1
    assert f"first others, 501 in all, the rest are in flags/{NIGHT}.csv" in text(html)


@pytest.mark.parametrize("empty", [pd.DataFrame(), None])
def test_a_quiet_night_says_so(empty):
    page_text = text(report(NIGHT, empty, None, empty, run_of(), []))
    assert "A quiet night" in page_text


def test_a_home_without_planned_payments_is_told_that_nothing_can_be_held():
    states = [sentence("feed_without_usual", table="claims"), sentence("no_planned_payments", drops=31)]
    page_text = text(page([flag()], run=run_of(states=states, state_codes=[each.coded for each in states])))
    assert "so the hold queue stays empty" in page_text
    assert "too few drops" not in page_text
    assert "hold queue stays empty" not in text(page([flag()]))


def test_a_run_without_any_fact_still_makes_a_page():
    assert "PayeeWatch" in report(NIGHT, None, None, None, {}, [{}])


def test_pandas_and_arrow_tables_make_the_same_page():
    rows = [flag(1, "hold", first_payment_on=None), flag(2, exposures=[])]
    scores = {"p_value": [0.5, 0.001], "why_not": ["below_the_cut", None]}
    in_pandas = report(NIGHT, pd.DataFrame(rows), pd.DataFrame(scores), pd.DataFrame([evidence_of()]), run_of(), [])
    in_arrow = report(
        NIGHT, pa.Table.from_pylist(rows), pa.table(scores), pa.Table.from_pylist([evidence_of()]), run_of(), []
    )
    assert in_pandas == in_arrow


def test_the_same_night_gives_the_same_bytes():
    rows = [flag(1), flag(2)]
    assert page(rows, past=history()) == page(rows, past=history())


HOSTILE = "\"><script>alert(1)</script>=cmd|' /C calc'!A0"


def test_hostile_text_is_shown_and_never_runs():
    bad = [reason(HOSTILE, HOSTILE, HOSTILE, HOSTILE)]
    exposure = {"breach_id": HOSTILE, "known_at": None, "fields": [HOSTILE], "match_quality": HOSTILE}
    columns = ("flag_id", "change_id", "member_id", "household_id", "payee_id", "payee_type", "account_hint")
    rows = [flag(reasons=bad, reassuring=bad, exposures=[exposure], **dict.fromkeys(columns, HOSTILE))]
    fact = {"at": datetime(2024, 9, 1), "kind": HOSTILE, "amount": None, "ids": [HOSTILE]}
    run = run_of(
        state=HOSTILE,
        warnings=[HOSTILE],
        tables={HOSTILE: {"rows_read": 1, "warnings": {HOSTILE: 1}}},
        seconds={HOSTILE: 1.0},
        lists=[{"breach_id": HOSTILE, "title": HOSTILE, "sentence": HOSTILE, "exposed_share": 0.5}],
        unscored_changes=[{"payee_id": HOSTILE, "planned_cents": 1}],
        assumed_known={HOSTILE: 1},
        versions={HOSTILE: HOSTILE},
        model={"name": HOSTILE, "version": HOSTILE, "run_id": HOSTILE, "trained_as_of": "2024-09-01"},
    )
    scores = pd.DataFrame({"p_value": [0.5], "why_not": [HOSTILE]})
    evidence = {
        "flag_id": HOSTILE,
        "timeline": [fact],
        "before": {"hint": HOSTILE, "since": None},
        "neighbours": [{"payee_id": HOSTILE, "relation": HOSTILE, "flag_id": HOSTILE}],
        "benign_checks": [{"check": HOSTILE, "result": HOSTILE, "sentence": HOSTILE}],
    }
    html = page(rows, scores, [evidence], run)
    assert Tags(html).names.isdisjoint({"script", "iframe", "object", "embed", "img", "form", "link"})
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 20


def test_the_page_is_self_contained():
    html = page([flag()], past=history())
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert not re.search(r"url\(|@import|\bsrc=|\bon\w+=", html)
    assert "default-src 'none'" in html


def test_words_that_accuse_are_never_shown():
    html = page([flag(1, "hold"), flag(2), flag(3, "audit")], evidence=[evidence_of()], past=history()).lower()
    assert not re.search(r"fraudster|guilty|suspect", html)
    assert "an unusual change is not an accusation, and an exposed member is a victim." in html


def test_every_tag_closes_every_id_is_unique_and_every_link_arrives():
    tags = Tags(page([flag(1, "hold"), flag(2), flag(3, "audit")], evidence=[evidence_of()], past=history()))
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    assert {link for link in tags.links if link.startswith("#")} <= {f"#{name}" for name in tags.ids}
    assert "2024-09-17-quality.html" in tags.links


def test_every_picture_is_told_in_words_and_every_table_names_its_columns():
    html = page([flag()], past=history())
    assert html.count("<svg") == html.count("<title>") - 1 == html.count("<desc>")
    assert "<th>" not in html
    assert len(re.findall("<table", html)) == len(re.findall("<thead", html))


@pytest.mark.parametrize(
    ("tonight", "says", "tone"),
    [
        (803, "usually 800 to 806", "good"),
        (809, "above the usual (usually 800 to 806)", ""),
        (2_000, "well above the usual (usually 800 to 806)", "warn"),
        (0, "well below the usual (usually 800 to 806)", "warn"),
    ],
)
def test_a_volume_is_held_against_its_usual_range(tonight, says, tone):
    claims = volumes(NIGHT, run_of(tables={"claims": {"rows_accepted": tonight}}), history())[0]
    assert (claims.says, claims.tone) == (says, tone)


def test_a_sunday_is_not_compared_with_working_days():
    sunday = date(2024, 9, 15)
    past = [run_of(sunday - timedelta(days=back)) for back in range(40, 0, -1)]
    for run in past:
        weekend = date.fromisoformat(run["night"]).weekday() >= 5
        run["tables"] = {"claims": {"rows_accepted": 90 if weekend else 800}}
    claims = volumes(sunday, run_of(tables={"claims": {"rows_accepted": 90}}), past)[0]
    assert claims.tone == "good"


@pytest.mark.parametrize("drops", [["2024-09-01", "2024-09-02"], [{"day": "2024-09-01", "mode": "first"}]])
def test_nights_that_loaded_history_do_not_set_the_usual(drops):
    past = [run_of(NIGHT - timedelta(days=back), drops=drops) for back in range(9, 0, -1)]
    assert volumes(NIGHT, run_of(), past)[0].says == "too few earlier nights to say what is usual"


def test_the_usual_range_leaves_out_the_lowest_and_the_highest_tenth():
    band = usual([*range(1, 10), 10_000])
    assert (band.low, band.middle, band.high) == (1, 6, 10_000)
    band = usual([0, *range(100, 119), 10_000])
    assert (band.low, band.high) == (101, 117)


def test_euros_that_do_not_add_up_are_named():
    euros = run_of()["euros"] | {"claims_in_cents": 4_000_150}
    assert "adds up to the cent" in text(page([flag()]))
    assert "1.50 EUR unaccounted for" in text(page([flag()], run=run_of(euros=euros)))


def test_rows_that_do_not_add_up_are_named():
    tables = {"claims": {"rows_read": 10, "rows_accepted": 8, "rows_rejected": 1}}
    assert '<span class="chip bad">no</span>' in page([flag()], run=run_of(tables=tables))


def test_unscored_changes_name_the_payee_and_the_euros():
    page_text = text(page([flag()], run=run_of(unscored_changes=[{"payee_id": "P-77", "planned_cents": 31_250}])))
    assert "1 change could not be scored" in page_text
    assert "P-77 312.50 EUR" in page_text


def test_a_list_that_cannot_discriminate_says_its_sentence():
    sentence = "Nearly all members are on this list: being on it cannot tell one change from another."
    lists = [{"breach_id": "TPO-1", "people": 9_000, "exposed_share": 0.99, "lift": 1.0, "sentence": sentence}]
    assert sentence in text(page([flag()], run=run_of(lists=lists)))


def test_the_histogram_counts_every_scored_change_once():
    p_values = [0.9] * 700 + [0.2] * 240 + [0.02] * 50 + [0.0008] * 9 + [0.0000001]
    html = page([flag(p_value=0.0008)], pd.DataFrame({"p_value": p_values, "why_not": [None] * 1000}))
    description = re.search(r"Open changes by how seldom.*?</desc>", html, re.DOTALL).group()
    assert sum(int(n) for n in re.findall(r": (\d+), \d+ of them", description.split("<desc>")[1])) == 1000
    assert "tonight&#39;s cut: 1 in 1,200" in html


def calls_of(queued):
    """Function calls that a night's report of so many flags takes: unlike seconds, the same on every machine."""
    flags = pd.DataFrame([flag(rank) for rank in range(1, queued + 1)])
    evidence = pd.DataFrame([evidence_of(rank) for rank in range(1, queued + 1)])
    scores = pd.DataFrame({"p_value": [(i + 1) / 20_001 for i in range(20_000)], "why_not": ["below_the_cut"] * 20_000})
    report(NIGHT, flags, scores, evidence, run_of(), history())  # what is compiled or looked up only once
    profile = cProfile.Profile()
    profile.runcall(report, NIGHT, flags, scores, evidence, run_of(), history())
    return pstats.Stats(profile).total_calls


def test_a_flag_takes_a_report_little_work_however_many_there_are():
    few, more, most = (calls_of(queued) for queued in (25, 50, 100))
    assert most - more < 2.2 * (more - few)
    assert most - few < 75 * 2_000  # a look at every score for each flag is 20,000


class Tags(HTMLParser):
    """What the page is made of."""

    VOID = frozenset({"meta", "br", "rect", "line", "circle", "path"})

    def __init__(self, html):
        super().__init__()
        self.names, self.ids, self.links, self.open = set(), [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
