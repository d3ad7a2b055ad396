"""The French catalogue is whole, says what the sources say, and leaves no English on a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.test import Client

from payeewatch import catalogue
from payeewatch.triage.language import frozen_english
from payeewatch.triage.models import Flag, User
from payeewatch.triage.roles import Role
from payeewatch.triage.urls import ROUTES
from tests.triage.conftest import signed_in

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "triage" / catalogue.FRENCH
TO_DO = "run `make words`, translate what it lists, and commit both files (CONTRIBUTING.md, Translate)"
ENGLISH = re.compile(
    r"\b(the|of|and|with|is|are|was|from|since|before|after|until|ago|days?|today|tonight|flags?|flagged|queue|payee|"
    r"member|account|change|changes|night|hold|held|release|released|unusual|undo|take|next|save|search|sign|shown)\b",
    re.IGNORECASE,
)
UNTRANSLATED = ("api", "audit", "health", "metrics")
"""For machines, or shown by the codes that are stored."""
UNSPOKEN = re.compile(r"<(script|style|code)\b.*?</\1>|<svg\b[^>]*>|<[^>]*>", re.DOTALL)

needs_gettext = pytest.mark.skipif(not shutil.which("xgettext"), reason="no xgettext: apt-get install gettext")


def gnu(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogue as it becomes when the texts are collected from the sources now."""
    copy = tmp_path_factory.mktemp("sources") / "triage"
    shutil.copytree(ROOT / "triage", copy, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    catalogue.collect(copy)
    return copy / catalogue.FRENCH


@needs_gettext
def test_every_text_of_the_sources_is_translated(renewed: Path) -> None:
    assert catalogue.untranslated(renewed) == [], TO_DO


@needs_gettext
def test_the_catalogue_has_the_texts_of_the_sources_and_no_other(renewed: Path) -> None:
    assert msgids(renewed) == msgids(CATALOGUE), TO_DO
    assert gnu("msgattrib", "--only-obsolete", CATALOGUE) == "", TO_DO


def msgids(path: Path) -> set[str]:
    messages = gnu("msgattrib", "--no-wrap", "--no-obsolete", path)
    return set(re.findall(r'^msgid ".+"$', messages, re.MULTILINE))


@needs_gettext
def test_a_sentence_of_a_registry_is_collected_and_called_for(
    renewed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "texts", lambda: ["A feature that somebody added."])
    copy = tmp_path / "triage"
    shutil.copytree(renewed.parents[3], copy)
    catalogue.collect(copy)
    assert catalogue.untranslated(copy / catalogue.FRENCH) == ['msgid "A feature that somebody added."']
    assert not (copy / catalogue.COLLECTED).exists()


@needs_gettext
def test_translations_keep_their_placeholders(renewed: Path, tmp_path: Path) -> None:
    gnu("msgfmt", "--check-format", "--output-file", tmp_path / "french.mo", renewed)


@needs_gettext
def test_the_compiled_catalogue_is_current(tmp_path: Path) -> None:
    gnu("msgfmt", "--output-file", tmp_path / "french.mo", CATALOGUE)
    compiled, committed = (
        GNUTranslations(path.open("rb")) for path in (tmp_path / "french.mo", CATALOGUE.with_suffix(".mo"))
    )
    assert compiled._catalog == committed._catalog, TO_DO  # type: ignore[attr-defined]  # bytes differ between gettexts


def test_texts_are_found_under_every_name_gettext_has_here() -> None:
    named = re.compile(r"\bgettext\w* as (\w+)")
    sources = (ROOT / "triage").rglob("*.py")
    names = {name for path in sources for name in named.findall(path.read_text(encoding="utf-8"))}
    assert names - {"_"} <= set(catalogue.KEYWORDS)


def english(client: Client, path: str) -> set[str]:
    """English words on a page, beside codes and the names of people."""
    answer = client.get(path)
    assert answer.status_code in (200, 302), path  # elsewhere, where it has nothing to show
    if answer.streaming:
        return set()
    return {word.lower() for word in ENGLISH.findall(UNSPOKEN.sub(" ", answer.text))}


@pytest.fixture
def nothing_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """For nights made now: no English sentence is read in order to translate it."""

    def refuse(*values: object) -> None:
        raise AssertionError(f"an English sentence was read back: {values}")

    monkeypatch.setattr(frozen_english, "reason", refuse)
    monkeypatch.setattr(frozen_english, "message", refuse)


@pytest.mark.usefixtures("nothing_read_back")
def test_no_french_page_speaks_english(cast: dict[str, User], first: Flag) -> None:
    User.objects.update(language="fr")
    english_words = {}
    for route in ROUTES:
        if "GET" not in route.methods or "<" in route.path or route.path.startswith(UNTRANSLATED):
            continue
        who = next((cast[role] for role in map(str, Role) if role in route.roles), None)
        client = signed_in(who) if who else Client(headers={"Accept-Language": "fr"})
        english_words[route.path] = english(client, f"/{route.path}")
    for flag in Flag.objects.all():
        english_words[flag.flag_id] = english(signed_in(cast["second"]), f"/flags/{flag.flag_id}")
    assert {path: words for path, words in english_words.items() if words} == {}
