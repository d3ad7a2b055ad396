"""The catalogue of French texts, brought up to date from all sources: `make words`.

Texts are taken where they are written: in the code and the templates of `triage/`, and in the rest of the code where
the reviewers' application shows the text translated: features' sentences, messages of a night, words of the export.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TRIAGE = Path(__file__).parent / "triage"
FRENCH = "locale/fr/LC_MESSAGES/django.po"
KEYWORDS = ("say", "later")
"""The short names that the code gives gettext; xgettext gets them as keywords."""
COLLECTED = "collected_texts.py"
"""The file in which texts from outside `triage/` are put before xgettext, and no longer than that."""


def texts() -> Iterator[str]:
    """Every text that is written outside `triage/` and shown translated in it."""
    from payeewatch.features import FEATURES
    from payeewatch.pipeline.home import codes, findings, wording
    from payeewatch.pipeline.privacy import subject_access

    yield from (feature.sentence for feature in FEATURES.values())
    for words in (codes.MATCHES, codes.FIELDS, wording.HONEST, wording.MESSAGES):
        yield from words.values()
    yield from findings.TEXTS
    yield from subject_access.texts()


def collect(triage: Path) -> None:
    """Write into the catalogue of that folder what the sources say; translations of unchanged texts stay.

    Raises:
        CommandError: GNU gettext is missing, or a text cannot be read.
    """
    _start()
    from django.core.management import call_command
    from django.core.management.commands import makemessages

    class Collect(makemessages.Command):
        """Django's, which finds texts under this code's names for gettext too."""

        xgettext_options = [*makemessages.Command.xgettext_options, *(f"--keyword={name}" for name in KEYWORDS)]  # noqa: RUF012

    collected, here = triage / COLLECTED, Path.cwd()
    collected.write_text("".join(f"later({text!r})\n" for text in dict.fromkeys(texts())), encoding="utf-8")
    os.chdir(triage)  # where makemessages looks
    try:
        call_command(Collect(), locale=["fr"], no_location=True, no_obsolete=True, verbosity=0)
    finally:
        os.chdir(here)
        collected.unlink()


def untranslated(catalogue: Path) -> list[str]:
    """The texts of a catalogue without a translation, or with one that is only guessed."""
    messages = []
    for kind in ("--untranslated", "--only-fuzzy"):
        result = subprocess.run(["msgattrib", kind, "--no-wrap", catalogue], check=True, capture_output=True, text=True)
        messages += [line for line in result.stdout.splitlines() if line.startswith("msgid ") and line != 'msgid ""']
    return messages


def compile_messages(catalogue: Path) -> None:
    """Compile a catalogue into its folder; placeholders are compared."""
    subprocess.run(["msgfmt", "--check-format", "-o", catalogue.with_suffix(".mo"), catalogue], check=True)


def main() -> int:
    """Collect, say what needs a translation, compile."""
    collect(TRIAGE)
    catalogue = TRIAGE / FRENCH
    compile_messages(catalogue)
    if missing := untranslated(catalogue):
        print(*missing, sep="\n")
        print(f"{catalogue}: translate these texts, take away their `fuzzy`, and run `make words` again")
        return 1
    return 0


def _start() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payeewatch.triage.settings")
    import django

    django.setup()


if __name__ == "__main__":
    sys.exit(main())
