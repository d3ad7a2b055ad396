"""Every source exists in the home and holds what is stated, and numbers agree with those of another road."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from payeewatch.commands.keys import rotate_keys
from payeewatch.dossier import words
from payeewatch.dossier.build import asked_for, build
from payeewatch.dossier.criteria import columns_read
from payeewatch.dossier.facts.categories import INPUTS, every_column
from payeewatch.dossier.facts.model import NO_GATE, change_facts
from payeewatch.dossier.facts.records import STORES, exit_codes, in_both, incident_facts
from payeewatch.dossier.facts.retention import constants
from payeewatch.dossier.reading import Reading, short
from payeewatch.dossier.statements import Dossier, Kind, State, Statement
from payeewatch.evaluation.fairness.groups import AGES, ATTRIBUTES, FEWEST, TOGETHER, UNKNOWN
from payeewatch.features.registry import FEATURES
from payeewatch.pipeline.detector import promotions
from payeewatch.pipeline.detector.reasons import MOST_REASONS, MOST_REASSURING
from payeewatch.pipeline.feeds.measures import Measured
from payeewatch.pipeline.feeds.usual import FEW
from payeewatch.pipeline.feeds.watch import Watch
from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.home.retention_periods import Clock
from payeewatch.pipeline.home.scrub import OF_FLAGS, WITHDRAWN
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, FOLDERS, Params, Settings
from payeewatch.pipeline.home.vault import ABROAD, IN_FRANCE
from payeewatch.pipeline.home.wording import MESSAGES
from payeewatch.pipeline.ingest.seal import MEMBER_ORIGINALS
from payeewatch.pipeline.privacy.subject_access import UNLISTED_ROWS
from payeewatch.pipeline.store.lake import Lake
from payeewatch.pipeline.tables import BANKS, DROP_TABLES, KNOWN_AT, LAKE_STAMPS, LAKE_TABLES
from payeewatch.triage.exchange.ending_soon import RENEWALS
from payeewatch.triage.roles import ANYBODY, REVIEWERS, Role
from payeewatch.triage.urls import ROUTES
from tests.conftest import NIGHTS, ROOT, Home

DAY = NIGHTS[-1]
FILES = ("params.yaml", "profile.toml", "dossier-answers.yaml", "models.json")
"""What lies beside the folders of a home."""


@pytest.fixture(scope="module")
def home(published: Home) -> Reading:
    return Reading(Settings.load(published.path, {"PAYEEWATCH_KEY_FILE": str(published.key_file)}), DAY)


@pytest.fixture(scope="module")
def made(home: Reading) -> Dossier:
    return build(home)


def text(made: Dossier, key: str) -> str:
    return next(each for each in made.statements if each.key == key).text["en"]


def numbers(text: str) -> list[str]:
    return re.findall(r"\d[\d,.]*\d|\d", text)


def rows(made: Dossier, key: str) -> list[list[str]]:
    statement = next(each for each in made.statements if each.key == key)
    return [[cell["en"] for cell in row] for row in statement.rows]


def rows_of(path: Path) -> int:
    return int(pq.read_table(path).num_rows)


def digest_of(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()


def loads(folder: Path) -> list[dict[str, Any]]:
    """The records of loads up to the day, from their files."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "lake" / "loads").iterdir())]
    return [each for each in found if max(each["day"], each["known_on"]) <= str(DAY)]


def database(folder: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / "mlflow" / "mlflow.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# what bears a statement out


def wrong_sources(home: Reading, folder: Path, statement: Statement) -> Iterator[str]:
    """The sources of a statement that are not there, or are not what its digest says."""
    for source in statement.sources:
        name = f"{statement.number} {source.name}"
        if source.kind in (Kind.RUN, Kind.FILE) and source.digest:
            first, _, last = source.name.partition(" … ")
            paths = [folder / first, *([folder / "runs" / last] if last else [])]
            if not all(path.exists() for path in paths) or (
                not last and not digest_of(paths[0]).startswith(source.digest)
            ):
                yield name
        elif source.kind == Kind.SETTING and source.digest != short(repr(home.params.get(source.name, KeyError))):
            yield name
        elif source.kind == Kind.LIST:
            record = folder / "lake" / "loads" / f"{int(source.name.split()[-1]):08d}.json"
            if not json.loads(record.read_text(encoding="utf-8"))["fingerprint"].startswith(source.digest):
                yield name
        elif source.kind == Kind.LAKE and source.name.startswith("lake/loads"):
            first_load, last_load = map(int, re.findall(r"\d+", source.name))
            if (first_load, last_load) != (loads(folder)[0]["sequence"], loads(folder)[-1]["sequence"]):
                yield name
        elif source.kind == Kind.MODEL and (match := re.search(r"version (\d+)", source.name)):
            if (int(match[1]),) not in database(folder, "SELECT version FROM model_versions"):
                yield name
        else:
            is_answer, is_code = source.kind == Kind.ANSWER, source.kind == Kind.CODE
            if is_answer and source.name.split(", ")[1] not in asked_for():
                yield name
            if is_code and not (ROOT / source.name).exists():
                yield name


def test_every_source_is_in_the_home_and_has_its_digest(made: Dossier, home: Reading, published: Home) -> None:
    assert [wrong for each in made.statements for wrong in wrong_sources(home, published.path, each)] == []
    kinds = Counter(source.kind for each in made.statements for source in each.sources)
    assert {Kind.RUN, Kind.SETTING, Kind.LIST, Kind.LAKE, Kind.MODEL, Kind.ANSWER, Kind.CODE} <= kinds.keys()


def test_every_setting_that_a_statement_names_has_its_value_there(made: Dossier, home: Reading) -> None:
    for each in made.statements:
        said = each.text["en"] + " ".join(cell["en"] for row in each.rows for cell in row)
        for source in each.sources:
            if source.kind != Kind.SETTING or (each.key, source.name) == ("retention.clocks", "fairness.birth_abroad"):
                continue
            value = home.params[source.name]
            forms = {words.word(value, "en"), str(value)}
            if isinstance(value, float):
                forms.add(words.word(words.Percent(value), "en"))
            assert any(form in said for form in forms), (each.number, source.name)


def test_a_statement_about_the_home_says_its_subject_when_there_is_nothing(made: Dossier) -> None:
    absent = [each for each in made.statements if each.state == State.NOT_THERE]
    texts = Counter(each.text[language] for each in absent for language in ("en", "fr"))
    assert [said for said, many in texts.items() if many > 1] == []
    assert [
        each.number for each in absent if re.match(r"(Not measured|Nothing|No night|There is)", each.text["en"])
    ] == []


def test_a_number_of_a_statement_named_in_a_text_is_the_one_meant(made: Dossier) -> None:
    by_number = {each.number: each.key for each in made.statements}
    meant = {
        "1.3": "model.not_for", "1.13": "model.workload", "1.14": "model.warnings", "4.3": "register.purposes",
        "4.5": "register.data", "4.11": "register.feed_limit", "5.8": "oversight.second_looks",
        "2.3": "data.verdicts", "2.4": "data.loads", "3.3": "assessment.scale", "11.3": "changes.by_two",
        "13.6": "rights.erasure", "13.8": "rights.reopened", "2.8": "data.feed_watch", "8.15": "security.anchors",
        "5.11": "oversight.automatic", "5.12": "oversight.two_people", "5.16": "oversight.reveals",
        "6.1": "retention.clocks", "6.4": "retention.proof_person", "6.9": "retention.remains",
        "6.12": "retention.adopted", "6.13": "retention.backups", "6.14": "retention.waiting", "7.1": "lists.lists",
        "2.9": "data.late_data", "7.10": "lists.refused", "8.20": "security.network",
        "10.5": "incidents.warnings",
        "8.5": "security.reveal", "8.9": "security.household", "8.13": "security.sessions",
        "8.24": "security.tokens_in_force",
        "8.25": "security.users", "8.26": "security.machine",
        "8.27": "security.holders", "9.7": "fairness.banks", "11.1": "changes.history",
        "11.2": "changes.versions",
        "11.7": "changes.settings", "11.8": "changes.since_training", "12.1": "assets.software",
        "1.12": "model.precision", "3.13": "assessment.risk_hold", "5.4": "oversight.overruled",
        "5.9": "oversight.holds", "5.13": "oversight.stop", "10.2": "incidents.missing",
        "10.14": "incidents.accepted_rows", "13.7": "rights.human", "2.1": "data.learned_from",
        "1.16": "model.reproducible", "12.2": "assets.stores",
    }  # fmt: skip
    assert {number: by_number[number] for number in meant} == meant
    folder = ROOT / "dossier" / "texts"
    everything = " ".join(path.read_text(encoding="utf-8") for path in folder.iterdir())
    assert {*re.findall(r"(?<![\d.])[1-9]\d?\.\d+\b", everything)} == meant.keys()


def test_how_many_reasons_and_renewals_a_text_says_are_those_of_the_code(made: Dossier) -> None:
    assert (MOST_REASONS, MOST_REASSURING, RENEWALS) == (5, 3, 2)
    assert "up to five reasons" in text(made, "model.reasons")
    for key in ("model.reasons", "assessment.risk_hold"):
        assert "up to three facts that suggest an honest change, where there are any" in text(made, key)
    for key in ("assessment.risk_hold", "oversight.two_people"):
        assert "its hold is renewed twice" in text(made, key)
    for key in ("oversight.stop", "rights.human"):
        assert "after two renewals" in text(made, key)


def test_every_clock_of_a_purge_has_its_words() -> None:
    code = (ROOT / "pipeline" / "privacy" / "purge.py").read_text(encoding="utf-8")
    counted = set(re.findall(r'counts\.add\("(\w+)"', code)) | {str(clock) for clock in Clock}
    assert set(words.texts("purged")) - {"outcomes"} == counted - {"outcomes"}


def test_no_text_is_cut_at_a_comma_that_nobody_quoted() -> None:
    def cut(content: Any, path: str) -> Iterator[str]:
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            if value is None:
                yield f"{path}: {key}"
            elif not isinstance(value, str | int | bool):
                yield from cut(value, f"{path}.{key}")

    folder = ROOT / "dossier" / "texts"
    assert [found for path in sorted(folder.iterdir()) for found in cut(words.texts(path.stem), path.stem)] == []


# numbers, by another road than the dossier's code


def test_numbers_of_the_last_night_are_those_of_its_files(made: Dossier, published: Home) -> None:
    flags = pq.read_table(published.path / "flags" / f"{DAY}.parquet").to_pylist()
    queues = Counter(row["queue"] for row in flags)
    scored = pq.read_table(published.path / "scores" / f"{DAY}.parquet").num_rows
    run = json.loads((published.path / "runs" / f"{DAY}.json").read_text(encoding="utf-8"))
    new = sum(row["first_flagged_on"] == DAY for row in flags)
    expected = [scored, len(flags), new, queues["hold"], queues["review"], queues["audit"], run["capacity"]]
    assert numbers(text(made, "model.workload")) == [f"{each:,}" for each in expected]
    oldest = min(row["first_flagged_on"] for row in flags)
    assert f"still has {len(flags)} when" in text(made, "retention.waiting")
    assert words.word(oldest, "en") in text(made, "retention.waiting")
    drawn = sum(row["queue"] == "audit" and row["first_flagged_on"] == DAY for row in flags)
    assert numbers(text(made, "fairness.sample"))[:2] == [str(queues["audit"]), str(drawn)]


def test_members_and_lists_are_counted_from_the_bare_files(made: Dossier, published: Home) -> None:
    files = str(published.path / "lake" / "members" / "*" / "*.parquet")
    last = f"""FROM read_parquet('{files}') WHERE known_at <= TIMESTAMP '{DAY} 23:59:59'
               QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY known_at DESC, version DESC) = 1"""
    with duckdb.connect() as con:
        ((members, insured),) = con.execute(
            f"""SELECT count(*), count(*) FILTER (died_on IS NULL AND (left_on IS NULL OR left_on > DATE '{DAY}'))
                FROM (SELECT member_id, died_on, left_on {last})"""
        ).fetchall()
    lists = [row for row in rows(made, "lists.lists") if row[-1] == "in force"]
    scored = pq.read_table(published.path / "scores" / f"{DAY}.parquet").num_rows
    expected = [insured, scored, members, 0, len(lists)]
    assert numbers(text(made, "assessment.scale")) == [f"{each:,}" for each in expected]
    for row in lists:
        (path,) = (published.path / "breaches" / row[0]).glob("people.csv*")
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:  # type: ignore[operator]
            assert f"{sum(1 for _ in csv.DictReader(file)):,}" == row[6]
    folders = [each for each in (published.path / "quarantine").iterdir() if each.name <= str(DAY)]
    refused = [each / "people.parquet" for each in folders if (each / "people.parquet").exists()]
    assert sum(int(row[2]) for row in rows(made, "lists.refused")) == sum(map(rows_of, refused)) > 0
    (of,) = {row[2] for row in rows(made, "lists.coverage")}
    assert of == f"{insured:,}"


def test_rows_of_drops_are_those_of_the_records(made: Dossier, published: Home) -> None:
    drops = [each for each in loads(published.path) if each["kind"] == "drop"]
    inbox = [path for path in (published.path / "inbox").iterdir() if path.name <= str(DAY)]
    assert numbers(text(made, "data.loads"))[1] == str(len(drops)) == str(len(inbox))
    accepted = {row[0]: row[2] for row in rows(made, "data.loads")}
    assert len(accepted) == len({table for each in drops for table in each["facts"]["tables"]})
    for table, said in accepted.items():
        tables = [each["facts"]["tables"].get(table, {}) for each in drops]
        assert said == f"{sum(each.get('rows_accepted', 0) for each in tables):,}"


def test_what_is_said_of_the_model_is_what_the_store_of_models_has(made: Dossier, published: Home) -> None:
    metrics = dict(database(published.path, "SELECT key, value FROM latest_metrics"))
    tags = dict(database(published.path, "SELECT key, value FROM model_version_tags"))
    assert f"learned from {metrics['changes']:,.0f} past changes" in text(made, "data.learned_from")
    assert f"record {tags['lake_sequence']}, digest {tags['lake_fingerprint'][:12]}" in text(made, "data.learned_from")
    said = text(made, "data.learned_from")
    assert f"compare with {metrics['references']:.0f} of them" in said
    assert f"because they score above 0: {metrics['doubtful']:.0f} (" in said
    assert tags["code_version"] in text(made, "model.in_use")
    assert f"latest {metrics['calibration.checked']:.0f} reference changes" in text(made, "model.calibration")
    assert len(rows(made, "changes.versions")) == len(database(published.path, "SELECT version FROM model_versions"))


def test_nights_settings_and_decisions_are_counted_from_their_files(made: Dossier, published: Home) -> None:
    nights = [path for path in (published.path / "runs").glob("????-??-??.json") if path.stem <= str(DAY)]
    assert numbers(text(made, "incidents.nights"))[0] == str(len(nights))
    logged = dict(database(published.path, "SELECT key, value FROM params"))
    assert numbers(text(made, "changes.since_training"))[-1] == "0"
    assert logged["retention.qualify_days"] in text(made, "register.limits")
    assert numbers(text(made, "changes.history")) == ["0", "1"]  # made champion when the tests ran, after the day


def test_a_limit_for_one_table_that_was_set_since_the_training_is_told(home: Reading) -> None:
    params = home.settings.params
    ingest = params.ingest.model_copy(update={"tolerance_overrides": {"claims": 0.1}})
    later = Reading(replace(home.settings, params=params.model_copy(update={"ingest": ingest})), DAY)
    told = change_facts(later)["since_training"]
    assert told
    assert told.rows == (("ingest.tolerance_overrides.claims", 0.1, None),)
    assert "ingest.tolerance_overrides" in words.texts("data")["statements"]["bad_rows"]["en"]


def test_what_keys_refused_rows_and_a_spark_make_of_general_sentences_is_said(made: Dossier) -> None:
    """Each of them is a case that the sentence would otherwise deny."""
    code = {
        path: (ROOT / path).read_text(encoding="utf-8")
        for path in ("pipeline/breaches/rejected_people.py", "pipeline/changes/engines.py", "pipeline/privacy/erase.py")
    }
    assert "seal(con, " in code["pipeline/breaches/rejected_people.py"]  # the whole row, whoever is in it
    assert "ids & _text_values" in code["pipeline/privacy/erase.py"]  # by number: a row of a list has none
    for key in ("lists.people", "retention.proof_person", "retention.proof_lists"):
        assert "refused" in text(made, key)
    assert "that was refused: it is sealed whole" in text(made, "assessment.national_id")
    assert "PAYEEWATCH_SPARK_REMOTE" in code["pipeline/changes/engines.py"]
    assert "PAYEEWATCH_SPARK_REMOTE" in text(made, "security.network")
    assert all("Spark that measures" in text(made, key) for key in ("register.network", "assets.dependencies"))
    assert "pyspark" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "Spark that measures (8.20) are not among them" in text(made, "assets.locked")
    assert "--tokens" in {option for each in rotate_keys.params for option in each.opts}
    assert "(payeewatch rotate-keys --tokens)" in text(made, "security.rotation")
    assert "new keys of persons" in text(made, "data.loads")
    promotions_code = (ROOT / "pipeline/detector/promotions.py").read_text(encoding="utf-8")
    assert "by_two" not in promotions_code[promotions_code.index("def roll_back") :]
    assert "A return to an earlier champion" in text(made, "changes.by_two")
    assert all("birth_rank" in LAKE_TABLES[table].columns for table in ("members", "people"))
    assert words.texts("columns")["forms"]["birth"]["en"].startswith("the rank as sent")
    assert KNOWN_AT.name in text(made, "data.columns_read")
    assert "when a model was trained are neither learned from" in text(made, "data.unlabelled")


def test_what_is_said_of_reading_erasing_and_reopening_has_its_limits(made: Dossier) -> None:
    """Each has an exception in the code or in another page, which a general sentence would hide."""
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    assert "files attached to *other* flags is not searched" in page
    assert "kept with other flags, are not searched" in text(made, "retention.proof_person")
    assert "with somebody else's flag" in text(made, "rights.erasure")
    assert '"triage/holds in force"' in (ROOT / "triage" / "records" / "erasure.py").read_text(encoding="utf-8")
    assert "Holds on these payments end with the flags" in text(made, "rights.erasure")
    assert "it goes with the policyholder only" in text(made, "rights.erasure")
    queue = (ROOT / "triage" / "views" / "queue.py").read_text(encoding="utf-8")
    assert "audit.record" not in queue  # a list has no record
    assert "who reads a list of flags is not" in text(made, "assessment.risk_insider")
    assert "also to those deleted since. Who read a list or an export" in text(made, "rights.access")
    assert "as long as it is kept" in text(made, "rights.reopened")
    assert "a purge or an erasure takes rows out" in text(made, "changes.back")
    assert "on flags that are kept" in text(made, "rights.explanation")  # of the others the letter says: none
    assert "or of the machine's account" in text(made, "changes.by_two")  # who types a name is not known
    access = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
    assert "until its last day there; also one that was deleted" in access
    assert "until its last day there or until an operator accepts the row" in text(made, "security.rows")
    assert "a token of the API has a *seal*" in " ".join(access.split())
    assert "nobody can do anything to the flag" in access
    assert "nobody acts on a flag that was changed" in text(made, "security.rows")
    assert "With single sign-on, roles and passwords are those of the identity service" in text(
        made, "security.administrators"
    )
    assert "the first one that is not" in text(made, "lists.known")
    assert "the national id of the holder of the rights" in words.texts("columns")["forms"]["identity"]["en"]
    assert "holder_national_id" not in MEMBER_ORIGINALS
    assert "(column hold_until), which the payment system must read" in text(made, "assets.failure")
    assert (ROOT / "deploy" / "systemd" / "payeewatch-night@.timer").exists()
    assert "stops the timer of the nights" in text(made, "oversight.stop")
    assert "what nights propose where the insurer sets it" in text(made, "assessment.operations")
    assert 'audit.record(None, "api_flag"' in (ROOT / "triage" / "views" / "api.py").read_text(encoding="utf-8")
    assert "of other systems that read with a token" in words.texts("oversight")["statements"]["roles"]["en"]
    assert "NATIONAL_ID" in (ROOT / "triage" / "views" / "reveal.py").read_text(encoding="utf-8")
    assert "an account, a name or a national id" in words.texts("oversight")["statements"]["reveals"]["en"]
    assert "the reviewers' database by the next purge" in text(made, "retention.interrupted")
    assert any("Any other verdict in the data store" in row[0] for row in rows(made, "retention.clocks"))
    assert "the verdict on its change; and in the files of nights" in text(made, "retention.remains")
    assert "calendar) does not close" in text(made, "incidents.accepted")
    assert "failed night up to the day of this dossier is" in text(made, "incidents.failed")
    assert "when this is made" in text(made, "assessment.scale")  # an erasure after the day is not in it
    for used in ("providers", "payments", "membership", "further households", "relatives", "blocked"):
        assert used in text(made, "assessment.necessary")


def test_what_one_path_or_one_case_breaks_is_not_said_in_general(made: Dossier) -> None:
    code = {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in ("pipeline/privacy/redact.py", "pipeline/backup/backup.py", "payeewatch/commands/model.py")
    }
    assert "_mentions(pq.read_table(path), removal)" in code["pipeline/privacy/redact.py"]  # Parquet is packed
    assert "reports/backtest-" in text(made, "retention.proof_person")
    assert [row for row in rows(made, "retention.clocks") if "reports/backtest-" in row[0]]
    assert not [said for said, _ in UNLISTED_ROWS if "replay" in said]
    assert "It does not name the files of a replay" in text(made, "rights.access")
    assert "is not an empty folder" in code["pipeline/backup/backup.py"]
    assert "A backup that was killed is made anew" in text(made, "security.interrupted")
    assert '"--host", "127.0.0.1"' in code["payeewatch/commands/model.py"]
    assert "payeewatch mlflow, on the machine itself alone" in text(made, "security.network")
    assert "no champion before the present one" in Path(promotions.__file__).read_text(encoding="utf-8")
    assert "the first one cannot" in text(made, "changes.back")
    assert {Role.REVIEWER, Role.SENIOR} == REVIEWERS
    opened = {each.name for each in ROUTES if each.roles is ANYBODY and not each.name.startswith("api-")}
    assert opened - {"sign-on", "sign-on-return"} == {"sign-in", "language", "health", "metrics"}  # those: if set
    assert "Open without signing in: the sign-in and its language, /health" in text(made, "security.roles")
    assert "to a reviewer or senior reviewer" in text(made, "security.reveal")
    assert "can rewrite the audit log" in (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert "part 8 says to whom it would not" in text(made, "assessment.risk_insider")
    assert "has the key file and can write the database" in text(made, "security.audit")
    assert "label" in LAKE_TABLES["reference_accounts"].columns
    assert "a label of a reference account may name" in text(made, "security.leaks")
    locked = re.findall(r"^(\S+?)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert not {"pip", "uv"} & set(locked)
    assert "but for pip, setuptools and uv" in text(made, "assets.locked")


def test_a_table_of_few_rows_is_not_said_to_be_missed_at_once(made: Dossier) -> None:
    weeks = [(DAY - timedelta(weeks=many), Measured(rows=FEW - 1)) for many in range(8, 0, -1)]
    absent = Watch(DROP_TABLES["bank_changes"], DAY, Measured(), (), Params.read(DEFAULT_PARAMS))
    absent.__dict__["drops"] = weeks
    assert [*absent.stops()] == []
    assert "One that has few rows is told of only once" in text(made, "data.feed_watch")


def test_what_stays_when_a_flag_goes_is_said(made: Dossier, published: Home) -> None:
    remains, clocks = text(made, "retention.remains"), [row[0] for row in rows(made, "retention.clocks")]
    assert {"outcomes", "scores"} & OF_FLAGS == set()  # their rows are not deleted with the flag
    assert WITHDRAWN in remains
    assert "its change's scores stay, without the flag's number" in MESSAGES["kept_nights"]
    assert all(f"(folder {each})" in remains for each in ("outcomes", "scores"))
    assert "but for what 6.9 says" in text(made, "retention.proof_flags")
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in (published.path / "runs").glob("????-??-??.json")]
    named = {name for run in runs for each in run["unscored_changes"] for name in each}
    assert named >= {"change_id", "payee_id"}
    assert [each for each in clocks if "whose row was refused, with their payee" in each]
    unlisted = " ".join(said for said, _ in UNLISTED_ROWS)
    assert "its number and its payee's, in the records" in unlisted
    for kind in ("Keyed hashes", "originals", "The evidence", "case files", "files", "backups"):
        assert kind.lower().removeprefix("the ") in text(made, "rights.access").lower()
        assert kind in unlisted or kind.capitalize() in unlisted


def test_parts_and_the_start_are_the_score_and_a_training_has_its_own_number(made: Dossier, published: Home) -> None:
    code = (ROOT / "pipeline" / "detector" / "model.py").read_text(encoding="utf-8")
    assert ".assign(base=base)" in code
    assert "of all features and a start" in text(made, "model.reasons")
    assert "run_id" in pq.read_schema(published.path / "scores" / f"{DAY}.parquet").names
    assert "the run of its training, which gets another number each time" in text(made, "model.reproducible")


def test_an_erasure_is_not_said_to_touch_the_insurers_own_files(made: Dossier) -> None:
    code = (ROOT / "payeewatch" / "commands" / "people.py").read_text(encoding="utf-8")
    own = re.search(r"(\w+)/, (\w+)/ and (\w+)/ are the insurer's own", code)
    assert own
    for key in ("retention.proof_person", "rights.erasure"):
        assert f"folders {own[1]}, {own[2]} and {own[3]}) are not touched" in text(made, key)


# what is generated cannot forget anything


def test_every_feature_that_reads_a_country_or_a_bank_is_named(made: Dossier) -> None:
    told = [row[0] for row in rows(made, "fairness.banks")]
    reads = {name for name, columns in columns_read().items() if any("bank" in c or "country" in c for c in columns)}
    assert reads >= {"is_online_bank", "is_in_another_country", "country_surprise"}
    assert reads <= {*told} == {name for name, each in FEATURES.items() if each.family == "bank"}
    either = words.texts("criteria")["counts"]["either"]["en"]
    both_ways = {row[0] for row in rows(made, "fairness.banks") if either in str(row[2])}
    own_points = {row[0]: row[3] for row in rows(made, "fairness.banks")}
    assert (own_points["bank_surprise"], own_points["country_surprise"]) == ("yes", "no")
    assert "bank_wave" in both_ways  # as the weights have it, not as the registry
    criteria = words.texts("criteria")["criteria"]
    assert "another country" in criteria["bank"]["en"]
    assert "online bank" in criteria["rare_bank"]["en"]


def test_what_a_purge_counts_of_any_clock_is_not_said_to_be_of_one() -> None:
    code = (ROOT / "pipeline" / "privacy" / "purge.py").read_text(encoding="utf-8")
    assert "flags = frozenset(expired_flags) | find_expired_flags(" in code  # both kinds go under one name
    assert "by any of these clocks" in words.texts("purged")["flags"]["en"]


def test_every_column_is_in_one_category_with_a_reason() -> None:
    entries = words.texts("columns")["categories"]
    named = Counter((table, name) for entry in entries for table, names in entry["columns"].items() for name in names)
    assert {*named} == every_column()
    assert set(named.values()) == {1}
    assert all(entry["why"]["en"] and entry["why"]["fr"] for entry in entries)


def test_what_the_store_keeps_under_another_name_is_told(made: Dossier) -> None:
    kept = {(name, column) for name, table in LAKE_TABLES.items() for column in table.columns}
    rest = {column for name, column in kept if (name, column) not in every_column()}
    assert rest >= {*LAKE_STAMPS, "account", "cents"}
    assert {each for each in rest - {*LAKE_STAMPS} if not each.endswith(("account", "cents"))} == set()
    assert all(each in text(made, "register.data") for each in (*LAKE_STAMPS, "end in account", "end in cents"))


def test_records_of_rewritten_files_are_counted_beside_the_loads(
    home: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = DAY + timedelta(days=1)
    days = (DAY, DAY, later)
    records = [SimpleNamespace(load=replace(home.loads[-1], kind="replaced", day=day, known_on=day)) for day in days]
    monkeypatch.setattr(Lake, "records", lambda self: [*records, SimpleNamespace(load=home.loads[-1])])
    assert replace(home).replaced == 2


def test_a_change_that_is_refused_again_is_one_change(home: Reading) -> None:
    refused = [
        {"change_id": name, "rules": [rule]} for name, rule in (("X1", "a"), ("X1", "b"), (None, "b"), (None, "b"))
    ]
    changed = replace(home)
    drop = next(load for load in home.loads if load.kind == "drop")
    vars(changed)["loads"] = [replace(drop, facts={"unscored_changes": [each]}) for each in refused]
    fact = incident_facts(changed)["unscored"]
    assert fact
    assert (fact.values["many"], fact.rows) == (3, (("b", 3),))


def test_a_night_without_its_drop_is_told_though_the_drop_came_late(home: Reading) -> None:
    changed = replace(home)
    vars(changed)["runs"] = {night: run | ({"drops": []} if night == DAY else {}) for night, run in home.runs.items()}
    assert DAY in {load.day for load in home.loads if load.kind == "drop"}
    fact = incident_facts(changed)["accepted"]
    assert fact
    assert [row[0] for row in fact.rows] == [DAY]
    assert incident_facts(home)["accepted"] is None


def test_a_night_whose_model_knew_more_is_told_and_its_model_described(home: Reading) -> None:
    changed, after = replace(home), DAY + timedelta(days=1)
    model = home.runs[DAY]["model"] | {"known_until": str(after)}
    vars(changed)["runs"] = home.runs | {DAY: home.runs[DAY] | {"model": model}}
    fact = incident_facts(changed)["accepted"]
    assert fact
    assert [row[0] for row in fact.rows] == [DAY]
    assert f"{after.day} " in fact.rows[0][1]["en"]
    years_before = replace(home, as_of=DAY - timedelta(days=3650))
    vars(years_before)["runs"] = home.runs
    assert years_before.versions == []
    assert years_before.version
    assert years_before.version == home.version


def test_a_warning_names_what_is_measured_and_no_name_of_the_code() -> None:
    coded = {"code": "features_without_difference", "params": {"features": "is_blocked_account, bank_surprise"}}
    said = in_both("", coded)
    assert re.findall(r"[a-z]+_[a-z_]+", said["en"] + said["fr"]) == []
    assert FEATURES["is_blocked_account"].sentence.rstrip(".") in said["en"]
    assert "\u00a0; «\u00a0" in words.cells(said)["fr"]


def test_a_promotion_for_which_nobody_was_asked_why_says_so(made: Dossier) -> None:
    assert [row[7] for row in rows(made, "changes.history")] == ["train --promote; no reason was asked"]


def test_a_version_that_no_gate_looked_at_is_marked(home: Reading) -> None:
    first = home.records[0]
    second = replace(first, before="1", to="2", why="better")
    records = [first, second, replace(second, comparison="run"), replace(second, override="late"),
               replace(second, kind=promotions.Kind.ROLLBACK)]  # fmt: skip
    changed = replace(home)
    vars(changed)["records"] = records
    fact = change_facts(changed)["history"]
    assert fact
    assert [row[8] for row in fact.rows] == ["", NO_GATE, "", "late", ""]
    code = (ROOT / "docs" / "retraining.md").read_text(encoding="utf-8")
    assert "`train --promote` asks no gate" in code
    assert "No gate is asked by payeewatch train --promote" in words.texts("changes")["statements"]["gate"]["en"]
    compare = (ROOT / "evaluation" / "compare.py").read_text(encoding="utf-8")
    assert 'honest = ~verdicts.set_index("change_id")["verdict"].isin(FRAUD_VERDICTS)' in compare
    assert "of the changes that nobody judged fraud" in words.texts("changes")["statements"]["gate"]["en"]


def test_no_feature_reads_what_a_category_says_that_none_reads() -> None:
    read = set().union(*columns_read().values())
    entries = [each for each in words.texts("columns")["categories"] if "no feature reads it" in each["why"]["en"]]
    inside = {
        INPUTS[table].column(name).lake_name if name in {each.name for each in INPUTS[table].columns} else name
        for entry in entries for table, names in entry["columns"].items() for name in names
    }  # fmt: skip
    assert inside >= {"sex", "department", "guarantee_level", "broker_id", "employer_id"}
    assert (inside | {"ip_country", "network", "specialty"}) & read == set()


USES = ("features", "evaluation", "triage", *(f"pipeline/{name}" for name in (
    "breaches", "changes", "detector", "night", "report", "store", "training")))  # fmt: skip
"""Where a column is put to use; elsewhere it is read, checked, kept, told to its person and erased."""


def test_every_column_that_nothing_uses_is_asked_about(made: Dossier) -> None:
    files = [path for folder in USES for path in (ROOT / folder).rglob("*.py") if "subject_access" not in path.name]
    used = {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    kept = {(name, column.lake_name) for name, table in DROP_TABLES.items() for column in table.columns}
    identities = {"holder_name", "postal_code"}  # of these the data store makes others
    unused = {column for _, column in kept if column not in used} - identities
    asked = text(made, "register.unread")
    in_words = {
        "contract_id": "number of the contract", "guarantee_level": "guarantee level", "broker_id": "broker",
        "employer_id": "employer", "finess": "finess", "rpps": "rpps", "closed_on": "closing",
        "invoice_hash": "hash of the invoice",
    }  # fmt: skip
    assert unused == {*in_words, "opened_on"}  # the opening says since when a row of a first drop counts
    features = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "features").glob("*.py"))
    read = {name: {*re.findall(rf"\b(?:{name})\.(\w+)", features)} for name in ("claim", "event")}
    for table, name, more in (
        ("claims", "claim", {"channel": "channel, billed amount", "billed_cents": "billed amount"}),
        ("account_events", "event", {"channel": "channel, who, device, country", "actor_id": "who, device",
                                     "device_token": "device", "ip_country": "country", "network": "network"}),
    ):  # fmt: skip
        others = {column for of, column in kept if of == table} - {*in_words, "payee_type"}
        assert {each for each in others - read[name] if not each.endswith("_id") or each == "actor_id"} == more.keys()
        assert [words for words in more.values() if words not in asked] == []
    assert [words for words in (*in_words.values(), "specialty", "network", "channel") if words not in asked] == []
    told = {name: entry["why"]["en"] for entry in words.texts("columns")["categories"]
            for names in entry["columns"].values() for name in names}  # fmt: skip
    assert [
        name for name in unused - {"opened_on"} if not re.search("nothing uses|no feature reads it", told[name])
    ] == []


def test_every_clock_of_the_settings_and_the_code_is_told(home: Reading) -> None:
    entries = words.texts("clocks")
    days = {entry["days"] for entry in entries if "days" in entry}
    assert {name for name in home.params if name.startswith("retention.")} <= days
    assert constants().keys() <= days <= {*home.params, *constants()}
    code = (ROOT / "pipeline/privacy/purge.py").read_text(encoding="utf-8")
    database_code = (ROOT / "triage/records/erasure.py").read_text(encoding="utf-8")
    counted = {*re.findall(r'counts\.add\(\s*"(\w+)"', code)}
    counted |= {*re.findall(r'counts\["(\w+)"\]', database_code)}
    clocks = {
        *re.findall(r'^    \w+ = "(\w+)"', (ROOT / "pipeline/home/retention_periods.py").read_text(), re.MULTILINE)
    }
    assert len(counted) > 8
    assert counted | clocks == {name for entry in entries for name in entry.get("purge", ())}


def test_every_setting_that_is_yes_or_no_is_among_what_the_insurer_turns_on(home: Reading) -> None:
    switches = words.texts("switches")
    assert {name for name, value in home.params.items() if isinstance(value, bool)} <= switches.keys()
    assert switches.keys() <= home.params.keys()


def test_exit_codes_and_folders_are_those_of_the_code() -> None:
    texts = words.texts("exit_codes")
    assert [*texts] == exit_codes()
    classes: list[type[PayeeWatchError]] = [PayeeWatchError, *PayeeWatchError.__subclasses__()]
    meanings = {each.exit_code: each.meaning for each in classes}
    assert {code: entry["en"] for code, entry in texts.items() if code in meanings} == {
        code: meanings[code] for code in texts if code in meanings
    }
    assert sorted(name for each in STORES for name in each[0].split(", ")) == sorted([*FOLDERS, *FILES])


def test_every_group_of_fairness_has_a_french_name() -> None:
    grown = ("one adult", "two adults", "more adults")
    names = {
        UNKNOWN, TOGETHER, "women", "men", "mainland France", "overseas", "France", "other", "none", "protected adult",
        ABROAD, IN_FRANCE, *(name for _, name in AGES), *BANKS.column("kind").values,
        *grown, *(f"{each} with children" for each in grown),
    }  # fmt: skip
    texts = words.texts("groups")
    assert texts["groups"].keys() == names
    assert {name: each["en"] for name, each in texts["attributes"].items()} == ATTRIBUTES
    assert f"fewer than {FEWEST} changes" in words.texts("fairness")["statements"]["measured"]["en"]
