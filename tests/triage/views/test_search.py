"""Why a change is not in the queue, on its page."""

from __future__ import annotations

import pandas as pd

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import Flag, Night, User
from tests.triage.conftest import signed_in


def test_a_change_that_was_not_flagged_is_explained(cast: dict[str, User], reviewed: Settings) -> None:
    last = Night.objects.latest("night").night
    scores = pd.read_parquet(reviewed.folder("scores") / f"{last}.parquet")
    missing = scores[scores["why_not"].notna()]["change_id"].iloc[0]
    page = signed_in(cast["reviewer"]).post("/search", {"q": missing}).content.decode()
    assert "It was scored, and is in no queue" in page
    assert missing in page


def test_a_flag_is_found_by_its_change(cast: dict[str, User], first: Flag) -> None:
    page = signed_in(cast["auditor"]).post("/search", {"q": first.change_id}).content.decode()
    assert f"/flags/{first.flag_id}" in page


def test_what_is_unknown_is_said_to_be(cast: dict[str, User]) -> None:
    assert (
        "No change that a night published has this number"
        in signed_in(cast["senior"]).post("/search", {"q": "?"}).content.decode()
    )


def test_what_capacity_left_out_is_listed(cast: dict[str, User]) -> None:
    assert signed_in(cast["reviewer"]).get("/queue/below").status_code == 200
