"""Nights brought before reviewers."""

from __future__ import annotations

import pandas as pd

from pipeline.settings import Settings
from triage.models import Evidence, Flag, Hold, Night
from triage.publish import publish, unpublished


def test_every_flag_of_the_last_night_is_there_with_its_evidence(reviewed: Settings) -> None:
    last = Night.objects.latest("night")
    flags = pd.read_parquet(reviewed.folder("flags") / f"{last.night}.parquet")
    assert set(Flag.objects.filter(is_current=True).values_list("flag_id", flat=True)) == set(flags["flag_id"])
    for flag in Flag.objects.all():
        assert flag.evidence.filter(digest=flag.evidence_digest).exists()


def test_publishing_again_changes_nothing(reviewed: Settings) -> None:
    before = (Flag.objects.count(), Evidence.objects.count(), Hold.objects.count())
    assert unpublished(reviewed) == []
    assert publish(reviewed, Night.objects.latest("night").night).again
    assert (Flag.objects.count(), Evidence.objects.count(), Hold.objects.count()) == before
