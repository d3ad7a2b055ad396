"""While it is judged, the audit sample looks like the flags to review, wherever people or systems look."""

from __future__ import annotations

import pytest

from payeewatch.triage.access import api_tokens
from payeewatch.triage.exchange.audit_sample import places
from payeewatch.triage.models import Flag
from payeewatch.triage.roles import Role
from tests.triage.conftest import flag_of, signed_in, user


@pytest.fixture
def sampled(house: object) -> Flag:
    """One flag of the audit sample between two to review."""
    flag_of("01", queue="review", rank=1)
    flag_of("03", queue="review", rank=3)
    return flag_of("02", queue="audit", rank=9, place=2, headline_reason="Drawn.")


def night_of(hold: int, review: int, audit: int) -> list[dict[str, object]]:
    queues = ["hold"] * hold + ["review"] * review + ["audit"] * audit
    return [{"flag_id": f"F-{rank:016x}", "queue": queue, "rank": rank} for rank, queue in enumerate(queues, 1)]


def test_the_sample_is_mixed_with_the_flags_to_review(house: object) -> None:
    rows = night_of(3, 60, 20)
    place_of = places(rows)
    assert sorted(place_of.values()) == list(range(1, 84))
    assert [place_of[str(row["flag_id"])] for row in rows[:3]] == [1, 2, 3]
    review = [place_of[str(row["flag_id"])] for row in rows[3:63]]
    assert review == sorted(review)
    sample = sorted(place_of[str(row["flag_id"])] for row in rows[63:])
    assert sample[0] < 25  # spread over the whole list
    assert sample[-1] > 60
    assert places(rows) == place_of


def test_a_night_without_flags_to_review_has_places_too(house: object) -> None:
    assert sorted(places(night_of(0, 0, 4)).values()) == [1, 2, 3, 4]


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
