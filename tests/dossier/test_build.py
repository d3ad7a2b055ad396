"""Every statement has its source and none is stale, and the first page says what the home does not bear out."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pypdf
import pytest

from payeewatch.dossier import words
from payeewatch.dossier.answers import blank
from payeewatch.dossier.build import FACTS, asked_for, build
from payeewatch.dossier.facts.records import _changes_of_members
from payeewatch.dossier.files import plain, stale, write
from payeewatch.dossier.findings import COUNTED_BEFORE
from payeewatch.dossier.page import number_columns
from payeewatch.dossier.reading import Reading, Review
from payeewatch.dossier.statements import LANGUAGES, Dossier, Kind, State
from payeewatch.pipeline.home.contents import write_hashed
from payeewatch.pipeline.home.errors import InputMissing, InputRefused, SettingsError
from payeewatch.pipeline.home.files import json_text, write_json
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.store.tombstones import ERASURE
from payeewatch.triage.figures.oversight import Oversight
from tests.canaries import assert_absent, identities
from tests.conftest import NIGHTS, ROOT, Home

DAY = NIGHTS[-1]
RATE = {"hits": 2, "n": 100, "share": 0.02, "low": 0.01, "high": 0.04}
NO_VERDICT = {"hits": 0, "n": 100, "share": 0.0, "low": 0.0, "high": 0.04}
FAIRNESS = {
    "first": "2024-09-23",
    "last": "2024-09-25",
    "version": "",
    "groups": [
        {"attribute": attribute, "name": name, "flagged": RATE, "held": {"share": None}, "false_flags": NO_VERDICT}
        for attribute, name in (("sex", "women"), ("sex", "men"), ("protection", "small groups together"))
    ],
}


def reading(home: Home, **fields: object) -> Reading:
    settings = Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})
    return replace(Reading(settings, DAY), **fields)  # type: ignore[arg-type]


def linked(home: Home, folder: Path, *own: str) -> Home:
    """A home of links to another's folders, with copies of those that a test writes to."""
    path = folder / "home"
    path.mkdir()
    for each in home.path.iterdir():
        if each.name in own:
            shutil.copytree(each, path / each.name)
        else:
            (path / each.name).symlink_to(each)
    return Home(path, home.key_file)


def codes(dossier: Dossier) -> list[str]:
    return [each.code for each in dossier.findings]


@pytest.fixture(scope="module")
def made(published: Home) -> Dossier:
    return build(reading(published))


def test_every_statement_names_what_bears_it_out(made: Dossier) -> None:
    assert [each.key for each in made.statements if not each.sources] == []
    assert {each.number for each in made.statements} >= {"1.1", "13.1"}


def test_every_test_and_file_that_a_statement_names_is_there(made: Dossier) -> None:
    named = {source for each in made.statements for source in each.sources}
    files = {source.name for source in named if source.kind == Kind.CODE}
    tests: dict[str, set[str]] = {}
    for source in named:
        if source.kind == Kind.TEST:
            path, _, function = source.name.partition("::")
            tests.setdefault(path, set()).add(f"def {function}(")
    assert [name for name in sorted({*files, *tests}) if not (ROOT / name).exists()] == []
    for path, functions in tests.items():
        source_text = (ROOT / path).read_text(encoding="utf-8")
        assert [each for each in functions if each not in source_text] == [], path


def test_every_part_of_the_issue_is_there_and_nothing_is_said_of_a_home_without_reviewers(made: Dossier) -> None:
    assert [part.key for part in made.parts] == [*FACTS]
    states = {each.key: each.state for each in made.statements}
    assert states["oversight.overruled"] == states["oversight.log"] == State.NOT_THERE
    assert states["incidents.missing"] == State.STATED
    assert states["fairness.measured"] == State.NOT_THERE
    assert {"no_log", "no_fairness", "no_purge", "open_rows", "unanswered", "unread"} <= {*codes(made)}


def test_figures_are_those_of_the_home(made: Dossier, published: Home) -> None:
    run = json.loads((published.path / "runs" / f"{DAY}.json").read_text(encoding="utf-8"))
    texts = {each.key: each for each in made.statements}
    assert f"scored {run['scored']} open changes" in texts["model.workload"].text["en"]
    assert len(texts["lists.lists"].rows) == len(run["lists"])
    assert (
        texts["model.in_use"]
        .text["fr"]
        .startswith("La dernière nuit jusqu’au jour de ce dossier a utilisé la version 1.")
    )
    assert texts["changes.history"].rows[0][4]["en"] == "1"


def test_texts_are_in_both_languages_with_the_same_values_and_accuse_nobody() -> None:
    for name in FACTS:
        for key, entry in words.texts(name)["statements"].items():
            for text in filter(None, (entry, entry.get("absent"), entry.get("none"))):
                assert words.placeholders({"en": text["en"], "fr": ""}) == words.placeholders(
                    {"en": "", "fr": text["fr"]}
                ), key
    everything = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "dossier" / "texts").iterdir())
    assert re.findall(r"\b(?:fraudsters?|guilty|suspects?|fraudeurs?|coupables?)\b", everything, re.IGNORECASE) == []
    assert {len(entry["columns"]["en"]) - len(entry["columns"]["fr"]) for name in FACTS
            for entry in words.texts(name)["statements"].values() if "columns" in entry} == {0}  # fmt: skip


def test_the_same_day_gives_the_same_bytes_and_a_later_night_changes_none(published: Home, tmp_path: Path) -> None:
    home = reading(published, as_of=NIGHTS[1])
    first, again = tmp_path / "first", tmp_path / "again"
    paths = write(home, build(home), first)
    earlier = linked(published, tmp_path, "runs")
    (earlier.path / "runs" / f"{NIGHTS[2]}.json").unlink()
    without = reading(earlier, as_of=NIGHTS[1])
    write(without, build(without), again)
    assert {path.name for path in paths} == {
        "dossier.json", "to-fill-in.yaml", "dossier-en.html", "dossier-fr.html", "dossier-en.pdf", "dossier-fr.pdf",
        "criteria-en.html", "criteria-fr.html",
    }  # fmt: skip
    pdf = pypdf.PdfReader(first / "dossier-fr.pdf")
    assert "Ce que ce dossier ne peut pas étayer" in pdf.pages[0].extract_text()
    assert pdf.root_object["/MarkInfo"]["/Marked"]  # for screen readers
    assert [path.name for path in paths if path.read_bytes() != (again / path.name).read_bytes()] == []


def test_no_identity_and_no_number_of_the_feed_is_in_it(made: Dossier, published: Home, tmp_path: Path) -> None:
    (tmp_path / "dossier.json").write_text(json_text(plain(made)), encoding="utf-8")  # every page is made from it
    flags = pq.read_table(published.path / "flags" / f"{DAY}.parquet").to_pylist()
    numbers = {row[name] for row in flags for name in ("member_id", "payee_id", "change_id", "account", "flag_id")}
    people = identities(published.path / "inbox", published.path / "breaches", most=1_000)
    assert_absent(tmp_path, [*people, *filter(None, numbers)])


def test_a_missing_a_failed_and_an_altered_night_are_said_on_the_first_page(published: Home, tmp_path: Path) -> None:
    home = linked(published, tmp_path, "runs")
    (home.path / "runs" / f"{NIGHTS[1]}.json").rename(home.path / "runs" / f"{NIGHTS[1]}.failed.json")
    run = home.path / "runs" / f"{NIGHTS[0]}.json"
    run.write_text(run.read_text(encoding="utf-8").replace('"scored"', '"scored" '), encoding="utf-8")
    made = build(reading(home))
    assert codes(made)[:3] == ["missing_nights", "failed_nights", "altered_runs"]
    assert all(each.is_bad for each in made.findings[:3])
    assert (
        next(each for each in made.statements if each.key == "incidents.altered").rows[0][0]["en"]
        == f"runs/{NIGHTS[0]}.json"
    )


def test_what_the_watch_of_the_last_night_found_is_stated(published: Home, tmp_path: Path) -> None:
    home = linked(published, tmp_path, "runs")
    path = home.path / "runs" / f"{DAY}.json"
    drift = {"reference": "1", "keys": ["member announced/bank_surprise"], "false_alarms_a_year": 2}
    drift |= {"pools": {"member announced": {"changes": 18, "nights": 8}}}
    write_hashed(path, json.loads(path.read_text(encoding="utf-8")) | {"drift": drift})
    statement = next(each for each in build(reading(home)).statements if each.key == "model.drift")
    assert (
        "(expected a year: at most 2). Compared so far: announced changes of members 18 (nights: 8)."
        in (statement.text["en"])
    )
    assert statement.text["en"].endswith("unlike the training: 1.")
    assert statement.rows[0][0]["fr"] == "member announced/bank_surprise"


def test_the_coverage_of_a_night_stays_what_it_was_when_rows_of_its_scores_go(
    made: Dossier, published: Home, tmp_path: Path
) -> None:
    def coverage(dossier: Dossier) -> list[list[str]]:
        return [[cell["en"] for cell in row] for each in dossier.statements if each.key == "lists.coverage"
                for row in each.rows]  # fmt: skip

    home = linked(published, tmp_path, "scores")
    path = home.path / "scores" / f"{DAY}.parquet"
    scores = pq.read_table(path)
    members = scores.column("member_id").is_valid().to_pylist()
    gone = members.index(True)  # as an erasure of its member does
    pq.write_table(scores.filter([place != gone for place in range(len(members))]), path)
    assert coverage(build(reading(home))) == coverage(made)
    pq.write_table(scores.slice(0, 1), path)
    assert coverage(build(reading(home))) == coverage(made)
    several_fit = {"scored": scores.num_rows, "lists": [{"changes_exposed_share": 0.5}]}
    assert _changes_of_members(reading(home), several_fit, DAY) is None  # not known any more, and not made up


def test_what_was_counted_before_an_erasure_is_named(made: Dossier, published: Home) -> None:
    assert "erased_since" not in codes(made)
    home = reading(published)
    vars(home)["loads"] = [*home.loads, replace(home.loads[-1], kind=ERASURE)]
    dossier = build(home)
    numbers = {each.number for each in dossier.statements if each.key in COUNTED_BEFORE}
    assert len(numbers) == len(COUNTED_BEFORE)
    assert {"assessment.scale", "lists.coverage", "model.workload", "fairness.measured"} <= COUNTED_BEFORE
    assert {"rights.used", "lists.lists"} <= COUNTED_BEFORE  # a person's own requests, and rows of a list
    said = next(each.text["en"] for each in dossier.findings if each.code == "erased_since")
    assert numbers == {*re.findall(r"\d+\.\d+", said)}
    scale = next(each for each in dossier.statements if each.key == "assessment.scale")
    assert "without persons erased up to the day: 1)" in scale.text["en"]


def test_a_broken_audit_log_is_said_first(published: Home) -> None:
    counts = Oversight(last_record=9, last_mac="ab" * 32, nights=3, flags=7)
    counts.verdicts.update(benign=6, confirmed_fraud=2)
    made = build(reading(published, review=Review(counts, ["record 3: was changed or put in"])))
    assert codes(made)[0] == "broken_log"
    assert "record 3" in made.findings[0].text["fr"]
    texts = {each.key: each.text["en"] for each in made.statements}
    assert "6 of 8 judged flags of nights to be honest changes: 75\u00a0%" in texts["oversight.overruled"]
    assert "no_log" not in codes(made)
    assert [each.key for each in made.statements if each.text["en"].endswith(":") and not each.rows] == []


def test_a_statement_that_no_longer_holds_is_found(published: Home, tmp_path: Path) -> None:
    home = linked(published, tmp_path, "runs", "reports")
    out = tmp_path / "out"
    with pytest.raises(InputMissing, match="no dossier to check"):
        [*stale(out, build(reading(home)))]
    write_json(out / "dossier.json", plain(build(reading(home))))
    assert [*stale(out, build(reading(home)))] == []
    gone = "gone as of D:\n  flags          flags         1,230\ndue in D:\n  flags          flags             9\n"
    (home.path / "reports" / f"purge-{DAY}.txt").write_text(gone + gone.replace("1,230", "    4"))  # twice as of a day
    assert [*stale(out, build(reading(home)))] == ["question 18", "retention.purges"]
    purges = next(each for each in build(reading(home)).statements if each.key == "retention.purges")
    assert purges.rows[0][1]["en"].endswith("(flags 1,234)")
    with pytest.raises(InputRefused, match="check it with --as-of"):
        [*stale(out, build(reading(home, as_of=NIGHTS[0])))]


def test_measurements_are_read_and_old_ones_are_said_to_be(published: Home, tmp_path: Path) -> None:
    home = linked(published, tmp_path, "reports")
    for name, content in (("fairness", FAIRNESS), ("fairness-2", FAIRNESS | {"version": "2", "groups": []})):
        write_json(home.path / "reports" / name / "fairness.json", content)
    made = build(reading(home))
    rates = next(each for each in made.statements if each.key == "fairness.measured")
    shown, _ = rates.rows  # no share of honest flags: nobody judged; and nothing of what has one group only
    cells = [cell["fr"] for cell in shown]
    assert cells == ["sexe", "femmes", "signalés", "100", "2", "2\u00a0%", "1\u00a0%", "4\u00a0%", "non"]
    assert "rien n’est comparable\u00a0: protection juridique (petits groupes réunis)." in rates.text["fr"]
    assert "no_fairness" not in codes(made)
    later = build(reading(home, as_of=datetime(2025, 2, 1, tzinfo=UTC).date()))
    assert {"old_fairness", "old_model", "missing_nights"} <= {*codes(later)}


ANSWERS = """
register.officer: {en: The office, fr: Le bureau, by: counsel, date: 2024-09-01}
law.rights.rectification: read by counsel
"""


def test_the_insurers_file_fills_rows_in_for_good(published: Home, tmp_path: Path) -> None:
    home = linked(published, tmp_path)
    path = home.path / "dossier-answers.yaml"
    path.write_text(ANSWERS)
    made = build(reading(home))
    officer = next(each for each in made.statements if each.key == "register.officer")
    assert (officer.state, officer.answer) == (State.FILLED, {"en": "The office", "fr": "Le bureau"})
    assert "counsel, 2024-09-01" in officer.sources[0].name
    question = next(each for each in made.questions if each.key == "law.rights.rectification")
    assert question.was_read
    assert question.law["fr"] == "read by counsel"
    path.write_text(blank(asked_for()))  # as it is handed out, it answers nothing and is no error
    assert len(build(reading(home)).gaps) == len([key for key in asked_for() if not key.startswith("law.")])
    wrong_files = {
        "nobody.asks: x": "nobody asks for 'nobody.asks'",
        "[": "cannot be read",
        "a": "one answer",
        "register.officer: {by: me}": "must be a text",
    }
    for wrong, why in wrong_files.items():
        path.write_text(wrong)
        with pytest.raises(SettingsError, match=why):
            build(reading(home))


def test_unanswered_questions_are_parted_by_who_can_answer_them(made: Dossier) -> None:
    states = [
        {answer.state for answer in each.answers} | ({State.NOT_THERE} if each.lacks else set())
        for each in made.questions
    ]
    law = sum(each == {State.STATED} and not asked.was_read for each, asked in zip(states, made.questions, strict=True))
    alone = sum(each == {State.OPEN} for each in states)
    missing = sum(State.NOT_THERE in each for each in states)
    partly = sum(State.OPEN in each and State.STATED in each and State.NOT_THERE not in each for each in states)
    text = next(each.text["en"] for each in made.findings if each.code == "unanswered")
    assert min(law, alone, missing, partly) > 0
    said = re.findall(r"(?:fills in|knows|answer|measured): (\d+) \(", text)
    assert [*map(int, said)] == [law, partly, alone, missing]
    whole = sum(each == {State.STATED} and asked.was_read for each, asked in zip(states, made.questions, strict=True))
    assert f": {law + partly + alone + missing} of {len(states)}." in text
    assert law + partly + alone + missing + whole == len(states)


def test_a_column_of_numbers_is_set_to_the_right(made: Dossier) -> None:
    tables = {each.key: number_columns(each.rows) for each in made.statements if each.rows}
    assert tables["data.loads"] == [False, *[True] * 7]
    assert tables["lists.coverage"][1:] == [True] * 6
    assert not any(tables["register.data"])


AS_WRITTEN = {"lists.lists", "changes.history", "register.data", "data.columns_read"}
"""Statements whose table has titles as notified, reasons as given, and names of columns."""


def test_no_sentence_of_the_french_dossier_is_the_english_one(made: Dossier) -> None:
    texts = [each.text for each in made.statements]
    cells = [cell for each in made.statements if each.key not in AS_WRITTEN for row in each.rows for cell in row]
    rest = [
        made.made_from,
        *(each.text for each in (*made.findings, *made.questions)),
        *(each.law for each in made.questions),
    ]
    sentences = [
        each for each in (*texts, *cells, *rest) if len(re.findall(r"(?<![\w.])[A-Za-z]{2,}(?![\w.])", each["en"])) > 2
    ]
    names = re.compile(r"payeewatch .*|[a-z]+(?:, [a-z]+)+")  # commands, and folders of a home
    assert [each["fr"] for each in sentences if each["fr"] == each["en"] and not names.fullmatch(each["en"])] == []
    assert len(sentences) > 300


def test_what_looks_like_somebodys_number_is_left_out() -> None:
    assert words.word(words.free_text("because of FR7630006000011234567890189"), "en").startswith("[left out")
    assert words.free_text("finds more, same workload") == "finds more, same workload"


def test_values_are_worded_in_each_language() -> None:
    day = datetime(2024, 10, 1, tzinfo=UTC).date()
    assert [words.word(day, each) for each in LANGUAGES] == ["1 October 2024", "1er octobre 2024"]
    assert [words.word(12345.5, each) for each in LANGUAGES] == ["12,345.5", "12\u00a0345,5"]
    assert [words.word([], each) for each in LANGUAGES] == ["none", "aucun"]


def test_the_command_writes_checks_and_says_what_is_open(
    published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    words_of_command = ["dossier", "--as-of", str(DAY), "--out", str(tmp_path)]
    answer = json.loads(published.done(*words_of_command, "--json").stdout)
    assert answer["answered"] < answer["questions"]
    assert "register.officer" in answer["open"]
    data = tmp_path / "dossier.json"
    assert json.loads(data.read_text(encoding="utf-8")) == plain(build(reading(published)))
    data.write_text(data.read_text(encoding="utf-8").replace("584", "585").replace("Nights published", "Nights made"))
    assert published.run(*words_of_command, "--check").exit_code == 12
