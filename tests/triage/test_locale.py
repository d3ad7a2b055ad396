"""The French catalogue is whole, says what the sources say, and leaves no English on a page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.test import Client

from payeewatch.triage.management.commands import makemessages
from payeewatch.triage.models import Flag, User
from payeewatch.triage.roles import Role
from payeewatch.triage.urls import ROUTES
from tests.triage.conftest import signed_in

ROOT = Path(__file__).resolve().parents[2]
FRENCH = "locale/fr/LC_MESSAGES/django.po"
CATALOGUE = ROOT / "triage" / FRENCH
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
    """The catalogue as it becomes when the texts are collected from the sources anew."""
    copy = tmp_path_factory.mktemp("sources") / "triage"
    shutil.copytree(ROOT / "triage", copy, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(copy.parent), str(ROOT)]),
        "PAYEEWATCH_HOME": str(copy.parent),
        "DJANGO_SETTINGS_MODULE": "payeewatch.triage.settings",
    }
    command = [sys.executable, "-m", "django", "makemessages", "--locale", "fr", "--no-location"]
    subprocess.run(command, cwd=copy, env=environ, check=True, capture_output=True)
    return copy / FRENCH


@needs_gettext
@pytest.mark.parametrize("lacking", ["--untranslated", "--only-fuzzy", "--only-obsolete"])
def test_every_text_of_the_sources_and_no_other_is_translated(renewed: Path, lacking: str) -> None:
    assert gnu("msgattrib", lacking, renewed) == ""


@needs_gettext
def test_translations_keep_their_placeholders(renewed: Path, tmp_path: Path) -> None:
    gnu("msgfmt", "--check-format", "--output-file", tmp_path / "french.mo", renewed)


@needs_gettext
def test_the_compiled_catalogue_is_current(tmp_path: Path) -> None:
    gnu("msgfmt", "--output-file", tmp_path / "french.mo", CATALOGUE)
    compiled, committed = (
        GNUTranslations(path.open("rb")) for path in (tmp_path / "french.mo", CATALOGUE.with_suffix(".mo"))
    )
    assert compiled._catalog == committed._catalog  # type: ignore[attr-defined]  # bytes differ between gettexts


def test_texts_are_found_under_every_name_gettext_has_here() -> None:
    named = re.compile(r"\bgettext\w* as (\w+)")
    sources = (ROOT / "triage").rglob("*.py")
    names = {name for path in sources for name in named.findall(path.read_text(encoding="utf-8"))}
    assert {f"--keyword={name}" for name in names - {"_"}} <= set(makemessages.Command.xgettext_options)


def english(client: Client, path: str) -> set[str]:
    """English words on a page, beside codes and the names of people."""
    answer = client.get(path)
    assert answer.status_code in (200, 302), path  # elsewhere, where it has nothing to show
    if answer.streaming:
        return set()
    return {found.lower() for found in ENGLISH.findall(UNSPOKEN.sub(" ", answer.text))}


def test_no_french_page_speaks_english(cast: dict[str, User], first: Flag) -> None:
    User.objects.update(language="fr")
    left = {}
    for route in ROUTES:
        if "GET" not in route.methods or "<" in route.path or route.path.startswith(UNTRANSLATED):
            continue
        who = next((cast[role] for role in map(str, Role) if role in route.roles), None)
        client = signed_in(who) if who else Client(headers={"Accept-Language": "fr"})
        left[route.path] = english(client, f"/{route.path}")
    for flag in Flag.objects.all():
        left[flag.flag_id] = english(signed_in(cast["second"]), f"/flags/{flag.flag_id}")
    assert {path: words for path, words in left.items() if words} == {}
