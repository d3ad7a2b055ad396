"""A person, and a list, are gone from every file of the home, whatever happened to them before."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payeewatch.commands.people import INPUT_STAYS
from payeewatch.pipeline.home import files
from payeewatch.pipeline.home import keys as tokens
from payeewatch.pipeline.home.published import SCORES_SCHEMA
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.tabular import write_parquet
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.privacy import data_subject, subject_access
from payeewatch.pipeline.store.tombstones import UNFINISHED_ERASURE
from tests.canaries import assert_absent, occurrences
from tests.conftest import NIGHTS, Home, copy_of
from tests.lake_rows import KEYS
from tests.traceable_person import MEMBER, REVIEW, SCREEN_TEXTS, VERIFY, shell
from tests.triage.commands.test_review import runs

UNTIL = "2024-09-26"
TODAY = {"PAYEEWATCH_NOW": f"{UNTIL}T07:00"}
WORK = ("lake", "vault", "mlflow", "quarantine", "flags", "scores", "shadow", "evidence", "runs", "reports", "holds",
        "releases", "outcomes", "triage")  # fmt: skip
"""All below the home but what is the insurer's own."""


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home's own database, also where the tests run on another."""
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture(scope="module")
def reviewed_person(planted: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Nights over a home in which one flagged member has unmistakable numbers, worked on by a reviewer."""
    home = copy_of(planted, tmp_path_factory.mktemp("forgotten"))
    shell(home, code=REVIEW)
    return home


def numbers(home: Home) -> list[str]:
    """Everything that names the person: numbers of the feed, account tokens that are theirs alone, keys."""
    with opened(settings_of(home), writing=False) as session:
        from payeewatch.pipeline.privacy.erase import _own_accounts

        subject = data_subject.find(session, MEMBER)
        accounts = _own_accounts(session, subject)
    keys = [str(key) for name in ("person_key", "id_key", "name_key") for key in subject.keys[name]]
    return [*subject.names - set(subject.ids["flag"]), *accounts, *keys]


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


def places(home: Home, values: list[str]) -> set[str]:
    return {where.split("/")[0] for where, _ in occurrences(home.path, values) if where.split("/")[0] in WORK}


def test_a_person_is_erased_from_every_file(reviewed_person: Home, tmp_path: Path) -> None:
    home = copy_of(reviewed_person, tmp_path)
    names = numbers(home)
    assert places(home, names) >= {"lake", "flags", "scores", "evidence", "reports", "vault", "triage"}

    purge = ("purge", "--until", UNTIL, "--member", MEMBER)
    answers = runs(home, (*purge, "--dry-run"), purge, purge, **TODAY)
    assert [code for code, _ in answers] == [0, 0, 0]
    dry, result, again = (answer for _, answer in answers)
    assert dry["purged"] == result["purged"]
    assert result["purged"]["person"]["triage/flags"] == 1
    for folder in WORK:
        assert_absent(home.path / folder, names)
    assert INPUT_STAYS in result["notes"]
    verification = shell(home, code=VERIFY).stdout
    assert verification.startswith("[[], []] ['change', 'flag', 'member', 'payee']")
    assert "Called [erased] about [erased]." in verification
    assert not (home.path / "lake" / UNFINISHED_ERASURE).exists()
    assert again["purged"] == {"person": {}}


def test_nights_go_on_without_the_person_whatever_is_sent_again(reviewed_person: Home, tmp_path: Path) -> None:
    home = copy_of(reviewed_person, tmp_path, without=["triage"])
    names = numbers(home)
    flags = pq.read_table(home.path / "flags" / f"{NIGHTS[-1]}.parquet")
    home.done("purge", "--until", UNTIL, "--member", MEMBER)
    shutil.copytree(home.path / "inbox" / "2024-09-21", home.path / "inbox" / "again")
    shutil.rmtree(home.path / "inbox" / "2024-09-26")
    (home.path / "inbox" / "again").rename(home.path / "inbox" / "2024-09-26")  # the whole history comes again
    people = next(home.path.glob("breaches/*/people.csv"))
    people.write_text(people.read_text() + "\n")  # and a list, as a new version
    home.done("night", "2024-09-26")
    for folder in ("lake", "flags", "scores", "evidence", "reports", "vault", "runs", "holds", "quarantine"):
        assert_absent(home.path / folder, names)
    assert pq.read_table(home.path / "flags" / "2024-09-26.parquet").num_rows > flags.num_rows / 2
    for _ in range(2):  # it says so until the next purge
        assert "something was purged or erased from this night" in home.done("night", str(NIGHTS[-1])).output
    assert_absent(home.path / "flags", names)
    assert json.loads((home.path / "runs" / f"{NIGHTS[-1]}.json").read_text())["purges"]


@pytest.mark.parametrize("writes", [2, 10, 21])
def test_an_erasure_cut_short_anywhere_is_finished_by_the_next_command(
    reviewed_person: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    home = copy_of(reviewed_person, tmp_path, without=["inbox", "mlflow", "triage"])
    names = numbers(home)
    remaining_writes = [writes]

    def killed(folder: Path) -> None:
        remaining_writes[0] -= 1
        if remaining_writes[0] == 0:
            raise SystemExit(137)

    monkeypatch.setattr(files, "_sync_folder", killed)
    assert home.run("purge", "--until", UNTIL, "--member", MEMBER).exit_code == 137
    monkeypatch.undo()
    assert (home.path / "lake" / UNFINISHED_ERASURE).exists()
    home.done("link")  # any command that writes takes it up
    home.done("purge", "--until", UNTIL)
    for folder in ("lake", "flags", "scores", "evidence", "reports", "vault", "runs", "holds"):
        assert_absent(home.path / folder, names)


KILLED = """
import os, sys
from pathlib import Path
from payeewatch.__main__ import main
real, remaining = Path.replace, [{at}]
def replace(path, target):
    remaining[0] -= 1
    if remaining[0] < 0:
        os._exit(0)
    return real(path, target)
Path.replace = replace
sys.argv[1:] = {words!r}
main()
"""
AGAIN = """
from click.testing import CliRunner
from payeewatch.__main__ import main
assert CliRunner().invoke(main, {words!r}).exit_code == 0
"""
AFTERWARDS = """
from payeewatch.pipeline.home.settings import Settings
from payeewatch.commands.review import start
settings = Settings.load()
start(settings)
from payeewatch.triage.exchange.import_night import publish_all, unpublished
from payeewatch.triage.models import AuditRecord
last = AuditRecord.objects.count()
publish_all(settings)
print(sorted(set(AuditRecord.objects.filter(number__gt=last).values_list("action", flat=True))), unpublished(settings))
"""


def test_a_purge_that_is_killed_beside_the_application_is_no_new_evidence(
    reviewed_person: Home, tmp_path: Path
) -> None:
    home = copy_of(reviewed_person, tmp_path, without=["inbox", "mlflow"])
    words, names = ["purge", "--until", UNTIL, "--member", MEMBER], numbers(home)
    shell(home, code=AFTERWARDS + KILLED.format(at=40, words=words))
    assert (home.path / "releases" / ".purging.json").exists()
    assert shell(home, code=AFTERWARDS).stdout.startswith("[] ")
    assert shell(home, code=AGAIN.format(words=words) + AFTERWARDS).stdout == "[] []\n"
    assert not (home.path / "releases" / ".purging.json").exists()
    assert_absent(home.path / "triage", names)  # what was cut short is finished in the reviewers' database too


def test_a_purged_list_is_gone_but_for_its_name(reviewed_person: Home, tmp_path: Path) -> None:
    home = copy_of(reviewed_person, tmp_path, without=["inbox"])
    with opened(settings_of(home), writing=False) as session:
        rows = session.con.execute(
            f"SELECT breach_id, person_key FROM ({session.lake.scan('people')}) ANTI JOIN"
            f" ({session.lake.scan('members')}) USING (person_key) WHERE person_key IS NOT NULL"
        ).fetchall()
        list_sizes = session.con.execute(
            f"SELECT breach_id, count(*) FROM ({session.lake.scan('exposures')}) GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()
    list_id = list_sizes[0][0]
    keys = [str(key) for breach_id, key in rows if breach_id == list_id][:50]
    others = {str(key) for breach_id, key in rows if breach_id != list_id}
    keys = [key for key in keys if key not in others]
    manifest = home.path / "breaches" / list_id / "manifest.yaml"
    manifest.write_text(re.sub("purge_on:.*", f"purge_on: {UNTIL}", manifest.read_text()))

    (_, result), (_, second) = runs(home, ("purge", "--until", UNTIL), ("purge", "--until", UNTIL), **TODAY)
    assert result["purged"]["lists"].keys() >= {"lake/people files", "lake/exposures", "flags", "scores", "evidence"}
    assert result["purged"]["lists"]["triage/evidence"]
    assert keys
    assert_absent(home.path / "lake", keys)
    for folder in ("flags", "scores", "evidence"):
        assert_absent(home.path / folder, [list_id])
    assert list_id not in shell(home, code=SCREEN_TEXTS).stdout
    with opened(settings_of(home), writing=False) as session:
        assert session.con.execute(
            f"SELECT count(*) FROM ({session.lake.scan('exposures')}) WHERE breach_id = '{list_id}'"
        ).fetchall() == [(0,)]
    assert second["purged"] == {}


def test_an_access_export_tells_everything_and_leaves_a_record(reviewed_person: Home, tmp_path: Path) -> None:
    home = copy_of(reviewed_person, tmp_path, without=["inbox", "mlflow"])
    out = tmp_path / "export"
    answer = json.loads(
        shell(home, "person", MEMBER, "--right", "access", "--out", str(out), "--with-originals", "--json").stdout
    )
    export = json.loads((out / "access.json").read_text(encoding="utf-8"))
    titles = {section["title"]: section["rows"] for section in export["sections"]}
    assert titles.keys() >= {"Membership", "Claims", "Breach lists", "Flags of each night", "Decisions", "Who looked"}
    assert all(section["kept"] for section in export["sections"])
    assert len(titles["Membership"]) == answer["sections"]["Membership"] >= 1
    assert titles["Who looked"][0]["Role"] == "Reviewer"
    assert titles["Also kept, and not listed here"]
    assert {row["Kind"] for row in titles["Originals"]} >= {"Family name", "Given names", "account"}
    assert not any("{" in row["Original"] for row in titles["Originals"])
    assert "reviewer" not in json.dumps([row.get("By") for row in titles["Decisions"]]).replace("Reviewer", "")
    page = (out / "access.html").read_text(encoding="utf-8")
    assert MEMBER in page
    assert "<script" not in page
    assert (out / "access.json").stat().st_mode & 0o077 == 0
    code = "from payeewatch.pipeline.home.settings import Settings\n"
    code += "from payeewatch.commands.review import start\nstart(Settings.load())\n"
    code += "from payeewatch.triage.models import AuditRecord\nlast = AuditRecord.objects.order_by('-number').first()\n"
    code += "print(last.action, last.details)"
    audited = shell(home, code=code).stdout
    assert audited.startswith("right_of_access")
    assert "'with_originals': True" in audited
    assert MEMBER not in audited


def test_an_export_is_written_in_french_for_who_asked(reviewed_person: Home, tmp_path: Path) -> None:
    home = copy_of(reviewed_person, tmp_path, without=["inbox", "mlflow"])
    words = ("person", MEMBER, "--right", "access", "--language")
    runs(home, *((*words, language, "--out", str(tmp_path / language)) for language in ("en", "fr")), **TODAY)
    exports = {one: json.loads((tmp_path / one / "access.json").read_text(encoding="utf-8")) for one in ("en", "fr")}
    english, french = (exports[one]["sections"] for one in ("en", "fr"))
    assert [len(section["rows"]) for section in english][:9] == [len(section["rows"]) for section in french][:9]
    untranslated = {
        text
        for one, other in zip(english, french, strict=True)
        for name in ("title", "what", "source", "kept")
        for text in (one[name],)
        if text == other[name]
    } | {
        name
        for one, other in zip(english, french, strict=True)
        for name in set().union(*(row.keys() for row in one["rows"]))
        & set().union(*(row.keys() for row in other["rows"]))
    }
    assert untranslated <= {"Notes", "Note", "Source", "Verdict"}
    page = (tmp_path / "fr" / "access.html").read_text(encoding="utf-8")
    assert '<html lang="fr">' in page
    assert "Source\N{NO-BREAK SPACE}: " in page
    assert "Europe/Paris" in exports["fr"]["times"]
    rows = [(sections["title"], row) for sections in french for row in sections["rows"]]
    assert {title for title, _ in rows} >= {"Paiements bloqués", "Décisions", "Qui a consulté", "Scores de chaque nuit"}
    cells = [(name, str(text)) for title, row in rows if title not in WRITTEN for name, text in row.items()]
    assert [cell for cell in cells if NO_WORDS.search(cell[1]) and cell[0] not in WRITTEN] == []
    same = {
        (name, str(text))
        for one, other in zip(english, french, strict=True)
        if other["title"] not in WRITTEN
        for row, translated in zip(one["rows"], other["rows"], strict=True)
        for (name, text), in_english in zip(translated.items(), row.values(), strict=True)
        if text == in_english and not re.search(r"\d|^[A-Z]{2}$", str(text))  # a number, a country
    }
    assert {text for name, text in same if name not in WRITTEN} <= {"Verdict", "consultation", "transport"}


WRITTEN = ("Notes", "Note", "Fichiers", "Liste")
"""Sections and lines in which somebody's own words stand, in any language."""
NO_WORDS = re.compile(r"\bNone\b|\bnan\b|[A-Za-z]_[a-z]|\d[.,]\d{3,}|\b[0-9a-f]{32}\b|\bUTC\b|\btable\b")
"""What no person can read: nothing, a code, a number with all its digits, a token."""


def test_an_explanation_is_a_letter_without_numbers_and_leaves_a_record(reviewed_person: Home, tmp_path: Path) -> None:
    home = copy_of(reviewed_person, tmp_path, without=["inbox", "mlflow"])
    out = tmp_path / "letter"
    words = ["person", MEMBER, "--right", "explanation", "--language", "fr", "--identity-confirmed", "--out", str(out)]
    answer = json.loads(shell(home, *words, "--json").stdout)
    assert (answer["cases"], answer["identity_confirmed"]) == (1, True)
    page = (out / "explanation.html").read_text(encoding="utf-8")
    assert "Tous les paiements suivants vers le compte de ce changement sont bloqués depuis le 26 septembre" in page
    assert "Aucun paiement n’a" not in page
    assert_absent(out, numbers(home))
    assert shell(home, code=RIGHTS).stdout == "['right_of_explanation']\n"


RIGHTS = """
from payeewatch.pipeline.home.settings import Settings
from payeewatch.commands.review import start
start(Settings.load())
from payeewatch.triage.models import AuditRecord
print([each.action for each in AuditRecord.objects.filter(action__startswith="right_of_")])
"""
BROKEN = """
from pathlib import Path
from payeewatch.pipeline.home.settings import Settings
from payeewatch.commands.review import start
start(Settings.load())
from payeewatch.triage.models import AuditRecord
AuditRecord.objects.filter(number=2).update(user="somebody else")
from click.testing import CliRunner
from payeewatch.__main__ import main
result = CliRunner().invoke(main, ["dossier", "--as-of", "2024-09-25", "--out", "OUT"])
print(result.exit_code, result.output)
"""


def test_a_dossier_over_a_broken_audit_log_says_so_first(reviewed_person: Home, tmp_path: Path) -> None:
    home = copy_of(reviewed_person, tmp_path, without=["inbox"])
    printed = shell(home, code=BROKEN.replace("OUT", str(tmp_path / "out"))).stdout
    assert printed.startswith("16 ")
    assert "WRONG     The audit log is not as it was written. Findings: 1; the first: record 2" in printed
    content = json.loads((tmp_path / "out" / "dossier.json").read_text(encoding="utf-8"))
    assert content["findings"][0]["code"] == "broken_log"
    assert_absent(tmp_path / "out", numbers(home))


def test_an_objection_puts_open_flags_before_a_senior(reviewed_person: Home, tmp_path: Path) -> None:
    home = copy_of(reviewed_person, tmp_path, without=["inbox", "mlflow"])
    answer = json.loads(
        shell(home, "person", MEMBER, "--right", "objection", "--out", str(tmp_path / "out"), "--json").stdout
    )
    assert answer["escalated"] == 1
    export = json.loads((tmp_path / "out" / "objection.json").read_text(encoding="utf-8"))
    assert export["what_it_means"] == subject_access.MEANS[subject_access.Right.OBJECTION]
    assert "Originals" not in {section["title"] for section in export["sections"]}


def test_scores_of_nights_in_shadow_are_in_the_export(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    row = {"change_id": "C1", "member_id": "M1", "night": NIGHTS[0], "p_value": 0.2, "why_not": None}
    other = row | {"change_id": "C2", "member_id": None}
    for folder, p_value in (("scores", 0.2), ("shadow/2", 0.1)):
        path = settings.home / folder / f"{NIGHTS[0]}.parquet"
        write_parquet(path, pa.Table.from_pylist([row | {"p_value": p_value}, other], schema=SCORES_SCHEMA))
    person = data_subject.Person("M1", {"change": ["C1"]})
    rows = subject_access._published(settings, "scores", person)
    assert [each[subject_access.words_of("p_value")] for each in rows] == [0.2, 0.1]


def test_an_export_inside_the_home_and_an_unknown_member_are_refused(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path, without=["inbox", "mlflow"])
    inside = home.run("person", "00000001", "--right", "access", "--out", str(home.path / "reports" / "x"))
    assert inside.exit_code == 10
    assert home.run("purge", "--until", UNTIL, "--member", "NOBODY").exit_code == 0


def test_the_tombstone_in_sql_is_the_one_in_python(tmp_path: Path) -> None:
    with duckdb.connect() as con:
        tokens.register(con, KEYS)
        tombstone = con.execute("SELECT tombstone('member', 'M1')").fetchall()[0][0]
    assert tombstone == tokens.tombstone_of(KEYS, "member", "M1")


def test_a_purge_without_breaches_is_accepted_with_a_reason_that_its_report_keeps(
    published: Home, tmp_path: Path
) -> None:
    home = copy_of(published, tmp_path)
    shutil.rmtree(home.path / "breaches")
    refused = home.run("purge", "--until", UNTIL)
    assert refused.exit_code == 11
    assert f"--accept {UNTIL}:REASON" in refused.stderr
    assert home.run("purge", "--until", UNTIL, "--accept", "2024-09-25:another day").exit_code == 11
    done = json.loads(home.run("purge", "--until", UNTIL, "--accept", f"{UNTIL}:the share is moved", "--json").stdout)
    assert "lists" not in done["purged"]
    assert any("stay in force: the share is moved" in note for note in done["notes"])
    assert home.run("purge", "--until", UNTIL, "--accept", f"{UNTIL}:and again").exit_code == 0
    report = (home.path / "reports" / f"purge-{UNTIL}.txt").read_text()
    assert report.count("gone as of") == 2  # what went first is not forgotten
    assert report.index("the share is moved") < report.index("and again")
