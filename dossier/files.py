"""The files of a dossier: pages and PDFs in both languages, the public page, the data, and the rows to fill in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from payeewatch.dossier.answers import blank, read_answers
from payeewatch.dossier.build import asked_for
from payeewatch.dossier.criteria import page_content
from payeewatch.dossier.page import criteria_page, dossier_page
from payeewatch.dossier.pdf import dossier_pdf
from payeewatch.dossier.reading import Reading, weights_in_use
from payeewatch.dossier.statements import LANGUAGES, Dossier
from payeewatch.pipeline.home.errors import InputMissing, InputRefused
from payeewatch.pipeline.home.files import json_text, replace_whole, write_text

DATA = "dossier.json"


def write(home: Reading, dossier: Dossier, folder: Path) -> list[Path]:
    """Write every file into a folder, whole or not at all; the same home and day give the same bytes."""
    known = asked_for()
    answers = read_answers(home.settings, known)
    params, weights = home.settings.params, weights_in_use(home)
    is_automatic, has_sample = params.holds.automatic, params.flag.audit_share > 0
    content = page_content(answers, dossier.insurer, weights, is_automatic=is_automatic, has_sample=has_sample)
    texts = {
        DATA: json_text(plain(dossier)),
        "to-fill-in.yaml": blank({k: v for k, v in known.items() if k not in answers}),
    }
    for language in LANGUAGES:
        texts[f"dossier-{language}.html"] = dossier_page(dossier, language)
        texts[f"criteria-{language}.html"] = criteria_page(content, language)
    paths = []
    for name, text in texts.items():
        paths.append(folder / name)
        write_text(paths[-1], text)
    for language in LANGUAGES:
        paths.append(folder / f"dossier-{language}.pdf")
        pdf = dossier_pdf(dossier, language)
        replace_whole(paths[-1], lambda temporary, pdf=pdf: temporary.write_bytes(pdf))  # type: ignore[misc]
    return paths


def plain(dossier: Dossier) -> dict[str, Any]:
    """The dossier as data; questions name the statements that answer them."""
    questions = [
        asdict(each) | {"answers": [answer.key for answer in each.answers], "is_answered": each.is_answered}
        for each in dossier.questions
    ]
    raw: dict[str, Any] = json.loads(json_text(asdict(dossier) | {"questions": questions}))
    return raw


def stale(written: Path, dossier: Dossier) -> Iterator[str]:
    """The keys of the written statements that the home does not bear out any more: changed, gone or new.

    Raises:
        InputMissing: no dossier was written there.
        InputRefused: it cannot be read, or is of another day.
    """
    path = written / DATA
    if not path.exists():
        raise InputMissing(f"{path}: there is no dossier to check; make it first, without --check")
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        old = _by_key(before)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRefused(f"{path}: cannot be read ({type(error).__name__}); make the dossier again") from error
    if before.get("as_of") != str(dossier.as_of):
        raise InputRefused(f"{path}: is as of {before.get('as_of')}; check it with --as-of {before.get('as_of')}")
    new = _by_key(plain(dossier))
    yield from (key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key))


def _by_key(raw: Mapping[str, Any]) -> dict[str, Any]:
    statements = {each["key"]: each for part in raw["parts"] for each in part["statements"]}
    questions = {f"question {each['number']}": each for each in raw["questions"]}
    return statements | questions
