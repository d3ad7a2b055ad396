"""The whole yardstick on one tiny insurer, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from payeewatch import simulator
from payeewatch.evaluation.foreign import main, measure
from payeewatch.evaluation.foreign import report as report_of
from payeewatch.evaluation.yardstick import nights
from payeewatch.evaluation.yardstick.drawn import END, SIMULATED, write_truth
from payeewatch.evaluation.yardstick.insurer import DRAWN, FOREIGN, GIVEN, Insurer
from payeewatch.evaluation.yardstick.nights import CONTROLS_RUN, PRODUCT
from payeewatch.pipeline.detector.evidence import shipped

NIGHTS = 4
REFERENCES = (
    "insurer,control,nights,k,ap,precision,recall,recall_se,euros,before,cases\n"
    "tiny,scorecard,all,5,0.2,0.3,0.4,0.1,0.5,0.6,9\n"
    "other,scorecard,all,5,0.9,0.9,0.9,0.1,0.9,0.9,9\n"
)


def write_insurer(folder: Path) -> None:
    """An insurer of our simulator in the form of the yardstick, with a smaller model than usual."""
    simulator.simulate(
        folder, members=700, days=300, end=END, seed=1, truth=folder / SIMULATED, drops=NIGHTS, form="parquet"
    )
    write_truth(folder, END - timedelta(days=NIGHTS - 1), END)
    shutil.rmtree(folder / SIMULATED)
    (folder / "params.yaml").write_text("train: {trees: 20, reference_min: 20, ages_days: [0, 7]}\n")


def ask(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--out", str(folder / "out")])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result, set[str]]:
    """One insurer run as a foreign one: its folder, the answer, and the files that the product was given."""
    folder = tmp_path_factory.mktemp("yardstick")
    write_insurer(folder / "tiny")
    (folder / "references.csv").write_text(REFERENCES)
    given: set[str] = set()
    publish = nights.publish

    def watched(home: Path, first: date, last: date) -> None:
        given.update(str(path.relative_to(home)) for path in home.rglob("*"))
        publish(home, first, last)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nights, "publish", watched)
        return folder, ask(folder, str(folder / "tiny")), given


@pytest.fixture(scope="module")
def report(asked: tuple[Path, Result, set[str]]) -> dict[str, Any]:
    assert asked[1].exit_code == 0, asked[1].output
    facts: dict[str, Any] = json.loads((asked[0] / "out" / "yardstick.json").read_text(encoding="utf-8"))
    return facts


def test_the_product_is_given_no_truth(asked: tuple[Path, Result, set[str]]) -> None:
    assert any(name.startswith("inbox/") for name in asked[2])
    assert {name.split("/")[0] for name in asked[2]} <= set(GIVEN)
    assert not [name for name in asked[2] if "truth" in name or "drawn" in name]


def test_one_command_makes_the_whole_table(asked: tuple[Path, Result, set[str]], report: dict[str, Any]) -> None:
    assert "Foreign insurers: means, all nights" in asked[1].output
    part = report["origins"]["foreign"]
    detectors = {row["detector"] for row in part["figures"]}
    assert detectors == {PRODUCT, *CONTROLS_RUN, "reference: scorecard"}
    assert {row["control"] for row in part["differences"]} == detectors - {PRODUCT}
    (facts,) = part["insurers"]
    assert facts["dishonest"] == 4
    assert facts["flags_a_night"] > 0
    assert facts["honest_changes"] > 0


def test_references_are_the_figures_of_the_file(report: dict[str, Any]) -> None:
    rows = [row for row in report["origins"]["foreign"]["figures"] if row["detector"] == "reference: scorecard"]
    assert {(row["reviews"], row["measure"]): row["figure"] for row in rows} == {
        (None, "ap"): 0.2, (5, "precision"): 0.3, (5, "recall"): 0.4, (5, "euros"): 0.5, (5, "before"): 0.6,
    }  # fmt: skip


def test_the_page_stands_alone_and_names_no_folder_of_this_machine(asked: tuple[Path, Result, set[str]]) -> None:
    html = (asked[0] / "out" / "yardstick.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|@import", html)
    assert str(asked[0]) not in html


def test_only_published_nights_and_ranks_are_kept(asked: tuple[Path, Result, set[str]]) -> None:
    kept = {path.name for path in (asked[0] / "out" / "nights" / "tiny").iterdir()}
    assert kept == {"flags", "scores", "controls.parquet", "keys.json", "nights.json"}


def test_what_stands_is_not_run_again_and_gives_the_same_tables(
    asked: tuple[Path, Result, set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("run again")

    monkeypatch.setattr(nights, "publish", refused)
    shutil.copytree(asked[0] / "out", tmp_path / "out")
    again = ask(tmp_path, str(asked[0] / "tiny"))
    assert again.output.splitlines()[:-2] == asked[1].output.splitlines()[:-2]
    monkeypatch.setattr(nights, "code_digest", lambda: "another")
    assert isinstance(ask(tmp_path, str(asked[0] / "tiny")).exception, AssertionError)


def test_drawn_insurers_stand_apart_and_their_controls_beside_the_foreign_ones(
    asked: tuple[Path, Result, set[str]],
) -> None:
    both = [measure(Insurer(asked[0] / "tiny", origin), asked[0] / "out" / "nights") for origin in (FOREIGN, DRAWN)]
    facts = report_of(both, "both")
    assert list(facts["origins"]) == [FOREIGN, DRAWN]
    assert [(row["control"], row["difference"], row["is_like"]) for row in facts["likeness"]] == [
        (name, 0, True) for name in CONTROLS_RUN
    ]
    assert facts["same_order"]


def test_insurers_that_the_weights_know_are_refused(tmp_path: Path) -> None:
    answer = ask(tmp_path, "--drawn", "2", "--seed", str(shipped().record["first"]))
    assert answer.exit_code == 1
    assert "weights were learned from" in answer.output
    assert not (tmp_path / "out").exists()


def test_nothing_to_measure_and_two_insurers_of_one_name_are_usage_errors(tmp_path: Path) -> None:
    folders = [tmp_path / name / "one" for name in "ab"]
    for folder in folders:
        folder.mkdir(parents=True)
    assert ask(tmp_path).exit_code == 2
    assert ask(tmp_path, *map(str, folders)).exit_code == 2


def test_a_folder_without_a_truth_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "one" / "inbox").mkdir(parents=True)
    answer = ask(tmp_path, str(tmp_path / "one"))
    assert answer.exit_code == 1
    assert "world.json: there is no such file" in answer.output
