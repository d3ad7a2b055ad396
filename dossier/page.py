"""The dossier and the public page as HTML: whole pages that load nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from payeewatch.dossier import words
from payeewatch.dossier.statements import Both, Dossier, Source

if TYPE_CHECKING:
    from jinja2 import Environment


NUMBER = re.compile(r"\d[\d,.]*(?:\xa0%)?")
NUMBER_OR_DASH = re.compile(rf"{NUMBER.pattern}|{words.NOTHING}")


@cache
def environment() -> Environment:
    """The templates, with the look of every page of the product."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    folders = ("payeewatch.dossier", "payeewatch.pipeline.report")
    return Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def label(name: str, language: str) -> str:
    """A word of the frame around the statements."""
    return words.both(words.texts("labels")[name])[language]


def made_by(dossier: Dossier, language: str) -> str:
    texts = words.both(words.texts("labels")["made"])
    return words.filled(texts, {"product": dossier.product})[language]


def colon(language: str) -> str:
    """A colon as the language sets it."""
    return ":" if language == "en" else f"{words.NO_BREAK}:"


def source_text(source: Source, language: str) -> str:
    """A source as it is printed: what kind, its name, and its digest."""
    kind = words.texts("labels")["kinds"][str(source.kind)][language]
    return f"{kind}{colon(language)} {source.name}{f' [{source.digest}]' if source.digest else ''}"


def number_columns(rows: Sequence[Sequence[Both]]) -> list[bool]:
    """Which columns of a table have numbers only, so that they are set to the right."""
    columns = zip(*([cell["en"] for cell in row] for row in rows), strict=True)
    return [any(map(NUMBER.fullmatch, cells)) and all(map(NUMBER_OR_DASH.fullmatch, cells)) for cells in columns]


def dossier_page(dossier: Dossier, language: str) -> str:
    """The dossier as one page."""
    template = environment().get_template("dossier.html.j2")
    return template.render(
        dossier=dossier,
        language=language,
        as_of=words.word(dossier.as_of, language),
        made=made_by(dossier, language),
        label=lambda name: label(name, language),
        colon=colon(language),
        number_columns=number_columns,
        source_text=lambda source: source_text(source, language),
    )


def criteria_page(content: dict[str, Any], language: str) -> str:
    """The public page of criteria."""
    return environment().get_template("criteria.html.j2").render(**content, language=language)
