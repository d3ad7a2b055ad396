"""`import payeewatch`: the lines of docs/python.md run on a home, and know what its commands know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import payeewatch
from payeewatch.features import FEATURES
from payeewatch.pipeline.changes.measure import IDENTITY
from payeewatch.pipeline.home.errors import InputMissing
from payeewatch.reading import Home as Reader
from tests.conftest import HISTORY, NIGHTS, Home, copy_of
from tests.inbox import good, put_drop

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
FIVE_LINES, CONTRIBUTIONS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def names(published: Home) -> Iterator[dict[str, Any]]:
    """What the code of the page leaves behind."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAYEEWATCH_HOME", str(published.path))
        patch.setenv("PAYEEWATCH_KEY_FILE", str(published.key_file))
        exec(FIVE_LINES + CONTRIBUTIONS, names)
    yield names
    names["home"].close()


@pytest.fixture
def home(names: dict[str, Any]) -> Reader:
    reader: Reader = names["home"]
    return reader


def read(home: Home) -> Reader:
    """A home as a data scientist opens it, with its key file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAYEEWATCH_KEY_FILE", str(home.key_file))
        return payeewatch.open_home(home.path)


def test_five_lines_give_frame_labels_model_and_scores() -> None:
    code = [line for line in FIVE_LINES.splitlines() if line and not line.startswith("import")]
    assert [line.partition(" = ")[0] for line in code] == ["home", "frame", "labels", "model", "scores"]


def test_the_frame_is_what_training_learns_from(names: dict[str, Any], published: Home, tmp_path: Path) -> None:
    frame = names["frame"]
    assert list(frame) == [*IDENTITY, *FEATURES]
    home = copy_of(published, tmp_path)
    home.done("measure", "--as-of", str(HISTORY), "--out", str(tmp_path / "measured.parquet"))
    pd.testing.assert_frame_equal(frame, pd.read_parquet(tmp_path / "measured.parquet"))


def test_tonights_frame_has_the_scores_that_the_night_published(names: dict[str, Any], home: Reader) -> None:
    published = home.published("scores", first=home.last_night).set_index("change_id")
    scores = names["model"].score(names["tonight"]).set_index("change_id")
    assert home.last_night == NIGHTS[-1]
    assert len(published) == len(scores)
    assert scores["score"].equals(published["score"].reindex(scores.index))
    assert home.model(1).facts == home.model("1").facts == names["model"].facts


def test_contributions_add_up_to_the_scores(names: dict[str, Any]) -> None:
    added = names["added"].sum(axis=1)
    assert np.allclose(added, names["scores"]["score"])
    assert np.all(np.diff(added) < 1e-9)  # the highest score first


def test_a_frame_names_nobody(names: dict[str, Any]) -> None:
    texts = names["frame"].select_dtypes(["object", "string", "str"])
    assert set(texts) == {"change_id", "payee_id", "party", "channel"}
    assert not texts.stack().astype(str).str.contains(r"\bFR\d\d|^[12]\d{12}").any()


def test_labels_are_those_known_by_the_day(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    change = pd.read_parquet(home.path / "flags" / f"{NIGHTS[-1]}.parquet")["change_id"].iloc[0]
    day = NIGHTS[-1] + timedelta(days=1)
    put_drop(home.path, str(day), outcomes=[good("outcomes", change_id=change, decided_at=f"{day}T10:00:00")])
    home.done("ingest", "--until", str(day))
    with read(home) as reader:
        assert reader.labels(day)[change] == "benign"
        assert change not in reader.labels(str(NIGHTS[-1]))


def test_a_model_trained_in_memory_has_the_features_and_leaves_out_what_labels_call_fraud(
    names: dict[str, Any], home: Reader
) -> None:
    labels = {str(names["frame"]["change_id"].iloc[0]): "confirmed_fraud"}
    model = home.train(names["frame"], labels, features=["name_check_doubt", "bank_surprise"])
    assert {each["name"] for each in model.features} == {"bank_surprise", "name_check_doubt"}
    assert model.facts["left_out"] == 1
    assert model.facts["trained_as_of"] == str(HISTORY)


def test_a_folder_without_a_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="there is no home with a lake here"):
        payeewatch.open_home(tmp_path / "nothing")


def test_a_home_without_nights_says_so(trained: Home) -> None:
    with read(trained) as reader, pytest.raises(InputMissing, match="no night was published in"):
        reader.published("flags")
    with read(trained) as reader, pytest.raises(InputMissing, match="no night was published in"):
        reader.open_changes()


def test_there_is_nothing_else_in_the_package() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = payeewatch.nothing
