"""What the insurer and its counsel fill in for good: `dossier-answers.yaml` of the home."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from payeewatch.dossier.statements import LANGUAGES, Both
from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.settings import Settings

FILE = "dossier-answers.yaml"
FIELDS = frozenset({*LANGUAGES, "by", "date"})


@dataclass(frozen=True)
class Answer:
    """One answer, who gave it (a function) and on what day; both may be empty."""

    text: Both
    by: str = ""
    date: str = ""


def answers_path(settings: Settings) -> Path:
    return settings.home / FILE


def read_answers(settings: Settings, known: Collection[str]) -> dict[str, Answer]:
    """Key -> answer. An answer is a text, or has `en` and `fr`; one language stands for both if the other is absent.

    Raises:
        SettingsError: the file cannot be read, names a key that nobody asks for, or an answer has no text.
    """
    path = answers_path(settings)
    if not path.exists():
        return {}
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{FILE}: cannot be read as YAML ({type(error).__name__}); correct it") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{FILE}: must have one answer per key, such as register.officer: TEXT")
    unknown = sorted(str(key) for key in raw if key not in known)
    if unknown:
        raise SettingsError(f"{FILE}: nobody asks for {unknown[0][:60]!r}; the dossier's open rows name the keys")
    return {key: _answer(key, value) for key, value in raw.items() if value not in (None, "")}


def _answer(key: str, value: Any) -> Answer:
    if isinstance(value, str):
        return Answer(dict.fromkeys(LANGUAGES, value.strip()))
    texts = {name: str(value[name]).strip() for name in LANGUAGES if isinstance(value, Mapping) and value.get(name)}
    if not texts or set(value) - FIELDS:
        raise SettingsError(f"{FILE}: {key!r} must be a text, or have en, fr, by and date")
    only = next(iter(texts.values()))
    return Answer(
        {name: texts.get(name, only) for name in LANGUAGES}, str(value.get("by") or ""), str(value.get("date") or "")
    )


def blank(keys: Mapping[str, Both]) -> str:
    """A file of answers to begin with: every key, with what is asked for in comments."""
    lines = ["# Answers of the insurer and its counsel. An empty answer counts as open."]
    for key, asked in keys.items():
        lines += ["", f"# {asked['en']}", f"# {asked['fr']}", f"{key}:"]
    return "\n".join(lines) + "\n"
