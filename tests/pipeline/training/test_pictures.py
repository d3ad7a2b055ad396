"""The pictures of a training: their numbers are the model's, and they name no change."""

from __future__ import annotations

import re

from payeewatch.pipeline.training import pictures
from payeewatch.pipeline.training.saved_model import sizes
from tests.measured import measured, small_model


def test_the_page_has_scores_calibration_and_features_and_no_change() -> None:
    model, frame = small_model(), measured(300)
    page = pictures.pictures(model, frame)
    counted = re.search(r"<title>Rows by score</title><desc>(.*?)</desc>", page)
    assert counted
    assert sum(int(each.rsplit(": ", 1)[1].replace(",", "")) for each in counted[1].split("; ")) == len(frame)
    assert "p &lt;= 0.05" in page
    for feature in sizes(model, frame)["feature"].head(pictures.MOST_FEATURES):
        assert feature in page
    assert not set(frame["change_id"]) & set(re.findall(r"[\w-]+", page))
    assert "http" not in page.replace("http-equiv", "")


def test_a_large_frame_is_drawn_from_few_rows_of_every_age() -> None:
    model, frame = small_model(), measured(900)
    assert len(frame) > pictures.MOST_ROWS
    page = pictures.pictures(model, frame)
    assert f"Over {pictures.MOST_ROWS:,} of the rows" in page
    assert page == pictures.pictures(model, frame)
