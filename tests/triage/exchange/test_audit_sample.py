"""While it is judged, the audit sample looks like the flags to review, wherever people or systems look."""

from __future__ import annotations

from datetime import timedelta

import pytest

from payeewatch.triage.access import api_tokens
from payeewatch.triage.exchange.audit_sample import COVER, places, show_rarities
from payeewatch.triage.models import Flag
from payeewatch.triage.roles import Role
from tests.triage.conftest import flag_of, signed_in, user


@pytest.fixture
def sampled(house: object) -> Flag:
    """One flag of the audit sample between two to review."""
    flag_of("01", queue="review", rank=1)
    flag_of("03", queue="review", rank=3)
    return flag_of("02", queue="audit", rank=9, place=2, headline_reason="Drawn.")


QUEUES = {"h": "hold", "r": "review", "a": "audit"}


def night_of(queues: str) -> list[dict[str, object]]:
    """A night's flags by rank, one letter a flag."""
    return [{"flag_id": f"F-{rank:016x}", "queue": QUEUES[q], "rank": rank} for rank, q in enumerate(queues, 1)]


def silent(flags: list[Flag]) -> str:
    """The queues of the flags whose rarity is not shown, by rank."""
    return "".join(flag.queue[0] for flag in flags if flag.is_rarity_hidden)


def ranked(queues: str, **fields: object) -> list[Flag]:
    """Flags that no database has, the rarest first."""
    rows = enumerate(queues, 1)
    return [Flag(flag_id=str(n), queue=QUEUES[q], p_value=n / 100, state="new", **fields) for n, q in rows]


def test_hold_and_review_keep_the_order_of_the_night_and_the_sample_is_mixed_in(house: object) -> None:
    rows = night_of("rhrrhh" + "r" * 57 + "h" + "a" * 20)
    place_of = places(rows)
    assert sorted(place_of.values()) == list(range(1, 85))
    ranked = [place_of[str(row["flag_id"])] for row in rows if row["queue"] != "audit"]
    assert ranked == sorted(ranked)
    sample = sorted(place_of[str(row["flag_id"])] for row in rows if row["queue"] == "audit")
    assert sample[0] < 25  # spread over the whole list
    assert sample[-1] > 60
    assert places(rows) == place_of


def test_the_sample_stands_where_flags_to_review_stand_and_not_where_holds_do(house: object) -> None:
    rows = night_of("h" * 40 + "r" * 20 + "a" * 20)
    place_of = places(rows)
    sample = [place_of[str(row["flag_id"])] for row in rows if row["queue"] == "audit"]
    assert sum(place < 41 for place in sample) <= 2  # among the first half of the list, as seldom as flags to review


def test_a_night_without_flags_to_review_has_places_too(house: object) -> None:
    assert sorted(places(night_of("aaaa")).values()) == [1, 2, 3, 4]
    assert sorted(places(night_of("hhaa")).values()) == [1, 2, 3, 4]


@pytest.mark.parametrize("path", ["/", "/?queue=review", "/queue/lists", "/flags/{flag}", "/rings/{flag}"])
def test_no_page_tells_the_sample_while_it_is_judged(sampled: Flag, path: str) -> None:
    page = signed_in(user(Role.REVIEWER)).get(path.format(flag=sampled.pk)).text
    assert sampled.pk in page or path == "/queue/lists"
    page = page.replace("Audit sample, judged", "").replace("of=audit_sample", "")
    assert not [word for word in ("chip-audit", "Audit sample") if word in page]


def test_its_rarity_is_told_once_it_is_closed(sampled: Flag) -> None:
    client = signed_in(user(Role.REVIEWER))
    assert client.get(f"/flags/{sampled.pk}").context["centre"]["strip"]["rarity"] == "rarity is told once it is closed"
    Flag.objects.filter(pk=sampled.pk).update(state="closed", verdict="benign")
    assert "Of 1,000 honest changes" in client.get(f"/flags/{sampled.pk}").context["centre"]["strip"]["rarity"]


def test_of_the_flags_without_rarity_at_most_one_in_three_is_of_the_sample() -> None:
    flags = ranked("hrrrrrrrarra")
    show_rarities(flags)
    assert silent(flags) == "rrarra"
    assert silent(flags).count("r") >= COVER * silent(flags).count("a")


def test_a_night_with_too_few_flags_to_review_shows_no_rarity_but_that_of_holds() -> None:
    flags = ranked("hrrra")
    show_rarities(flags)
    assert silent(flags) == "rra"
    few = ranked("hra")
    show_rarities(few)
    assert silent(few) == "ra"


def test_a_flag_whose_rarity_was_shown_hides_no_sample_later() -> None:
    flags = ranked("rrrra")
    show_rarities(flags)
    assert silent(flags) == "rra"
    for flag in flags[:2]:
        flag.p_value = 0.9  # it looks more ordinary tonight
    later = [*flags, *ranked("rra", is_rarity_shown=False)]
    show_rarities(later)
    assert silent(later) == "rrarra"
    assert flags[0].is_rarity_shown


def test_closed_flags_hide_no_sample() -> None:
    flags = ranked("rrrra")
    for flag in flags[2:4]:
        flag.state = "closed"
    show_rarities(flags)
    assert silent(flags) == "rra"


MEASURES = {"points": 1.4, "place_without": 212}


def test_neither_weights_nor_places_nor_history_tell_the_rarity_of_an_open_flag(sampled: Flag) -> None:
    reason = {
        "feature": "amount_since_change", "value": "", "usual": "", "sentence": "", "value_number": 300.0,
        "usual_number": 20.0, "unit": "EUR", "fact": "Paid.",
    }  # fmt: skip
    row = sampled.evidence.get()
    row.body |= {"reasons": [reason | MEASURES], "reassuring": [reason | {"points": -0.7}], "p_value": 0.4}
    row.save()
    older = {**row.body, "p_value": 0.01}
    sampled.evidence.create(night=row.night - timedelta(days=1), digest="older", body=older)
    client = signed_in(user(Role.REVIEWER))
    tells = ("×4.1", "÷2", "place 212", "Rarity went")
    page = client.get(f"/flags/{sampled.pk}").text
    assert not [words for words in tells if words in page]
    Flag.objects.filter(pk=sampled.pk).update(is_rarity_shown=True)
    page = client.get(f"/flags/{sampled.pk}").text
    assert [words for words in tells if words in page] == list(tells)


def test_a_row_does_not_say_that_a_flag_has_no_reason(house: object) -> None:
    flag_of("01", queue="audit", account_before="old")
    flag_of("02", queue="audit", place=2)
    flag_of("03", queue="audit", place=3, derived=True)
    page = signed_in(user(Role.REVIEWER)).get("/")
    assert "No single measure" not in page.text
    assert [row.why for row in page.context["page"]] == [
        "A change of account", "A first account", "Account first seen, announced by nobody",
    ]  # fmt: skip


def test_it_stands_among_the_others_on_the_list(sampled: Flag) -> None:
    page = signed_in(user(Role.REVIEWER)).get("/").context["page"]
    assert [(flag.rank, flag.queue) for flag in page] == [(1, "review"), (2, "review"), (3, "review")]


def test_it_is_a_list_of_its_own_once_it_is_judged(sampled: Flag) -> None:
    client = signed_in(user(Role.REVIEWER))
    assert list(client.get("/?of=audit_sample").context["page"]) == []
    Flag.objects.filter(pk=sampled.pk).update(state="closed", verdict="benign")
    (row,) = client.get("/?of=audit_sample").context["page"]
    assert (row.pk, row.queue) == (sampled.pk, "audit")


def test_the_api_tells_neither_queue_nor_measure_of_it(sampled: Flag, client) -> None:
    headers = {"Authorization": f"Bearer {api_tokens.make('payments', ['flags'])}"}
    rows = {row["flag_id"]: row for row in client.get("/api/v1/flags?queue=review", headers=headers).json()["results"]}
    assert len(rows) == 3
    assert {(row["queue"], row["score"], row["p_value"]) for row in rows.values()} == {("review", None, None)}
    assert rows[sampled.pk]["rank"] == 2
    assert client.get("/api/v1/flags?queue=audit", headers=headers).json()["results"] == []
    Flag.objects.filter(pk=sampled.pk).update(state="closed")
    (row,) = client.get("/api/v1/flags?queue=audit", headers=headers).json()["results"]
    assert (row["queue"], row["p_value"]) == ("audit", 0.001)


def test_exports_tell_it_no_more_than_pages(sampled: Flag) -> None:
    answer = signed_in(user(Role.REVIEWER)).get("/export/flags.csv")
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    assert sampled.pk in text
    assert "audit" not in text.lower()
    assert "0.001" not in text


def test_the_teams_page_counts_it_among_the_flags_to_review(sampled: Flag) -> None:
    context = signed_in(user(Role.REVIEWER)).get("/team").context
    assert [(row["queue"], row["all"]) for row in context["work"]] == [("review", 3)]
    assert [str(label) for _colour, label in context["queues"]] == ["Hold", "Review"]
