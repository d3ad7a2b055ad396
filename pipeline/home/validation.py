"""Check files that people write against a model: one sentence says which value is wrong and what it must be."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from payeewatch.pipeline.home.errors import PayeeWatchError, SettingsError

# no other installed package takes part in the checks; looking for such packages also takes 8 ms at every start
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


LONGEST_QUOTE = 40


class Section(BaseModel):
    """Names and values of a file. A field's description is how an error words what the value must be."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
    no_section: ClassVar[str] = "must be a mapping of names to values"
    no_entry: ClassVar[str] = "is not a parameter; known here"
    wrong_type: ClassVar[str] = "is {!r}"


class Wrong(ValueError):
    """An error with its own sentence, about a field or an entry `inside` it."""

    def __init__(self, sentence: str, *inside: str) -> None:
        super().__init__(sentence)
        self.inside = inside


Model = TypeVar("Model", bound=Section)


def is_known(look_up: Callable[[str], object]) -> AfterValidator:
    """The check that a text is a name which `look_up` finds."""

    def check(name: str) -> str:
        try:
            look_up(name)
        except (LookupError, OSError) as error:
            raise ValueError from error
        return name

    return AfterValidator(check)


Zone = Annotated[str, is_known(ZoneInfo), Field(description="an IANA zone name")]


def read(
    path: Path, form: str, parse: Callable[[str], Any], refusal: type[PayeeWatchError] = SettingsError, where: str = ""
) -> Any:
    """What a file contains; `where` is its name in errors.

    Raises:
        refusal: no file, or not one of that form.
    """
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise refusal(f"{where or path}: does not exist") from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise refusal(f"{where or path}: cannot be read as {form} ({type(error).__name__})") from None


def validate(
    model: type[Model],
    raw: object,
    where: str | Callable[[Sequence[str]], str],
    refusal: type[PayeeWatchError],
    within: str = "",
    context: object = None,
) -> Model:
    """A section as its model. `within` is its name in the file; `context` is what the model's validators ask for.

    `where` names the file, or the place in it of an entry whose names it gets, outermost first.

    Raises:
        refusal: the first error, in a sentence that begins with `where`.
    """
    try:
        return model.model_validate(raw, context=context)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    names = [within] if within else []
    sentence = _sentence(model, raw, problem, names)
    raise refusal(f"{where if isinstance(where, str) else where(names)}: {sentence}")


def _sentence(model: type[Section], value: Any, problem: Any, names: list[str]) -> str:
    field, outside = None, len(names)
    for name in problem["loc"]:
        if field:
            break  # an entry of a list or mapping: the error shows the whole
        names.append(str(name))
        if name not in model.model_fields:
            return f"'{'.'.join(names)}' {model.no_entry}: {', '.join(model.model_fields)}"
        field, value = model.model_fields[name], value.get(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            model, field = field.annotation, None
    own = problem.get("ctx", {}).get("error")
    if isinstance(own, Wrong):
        entries = problem["loc"][len(names) - outside :]
        names.extend([*(name for name in entries if isinstance(name, str)), *own.inside])
        return f"'{'.'.join(names)}' {own}"
    if not field:
        return f"'{'.'.join(names) or 'the file'}' {model.no_section}"
    is_wrong_type = problem["type"].endswith(("_type", "too_short", "missing"))
    quote = value[:LONGEST_QUOTE] if isinstance(value, str) else value
    what = "text" if problem["type"] == "string_type" and problem["input"] is value else field.description
    return f"'{'.'.join(names)}' {(model.wrong_type if is_wrong_type else 'is {!r}').format(quote)}; it must be {what}"
