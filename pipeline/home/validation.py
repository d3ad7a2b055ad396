"""Check files that people write against a model: one sentence says which value is wrong and what it must be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from payeewatch.pipeline.home.errors import PayeeWatchError, SettingsError
from payeewatch.pipeline.home.shown import printable

# no other installed package takes part in the checks; looking for such packages also takes 8 ms at every start
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


LONGEST_QUOTE = 40
MOST_BYTES = 1_000_000
"""Of a file that people write."""
MOST_NODES, DEEPEST = 20_000, 40
"""Of a YAML file, with each alias counted as all that it stands for: a few hundred bytes may stand for gigabytes."""


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
    place = where or printable(str(path))
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait for whoever writes into it
            raise refusal(f"{place}: is a folder, a pipe or a device and no file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise refusal(f"{place}: is larger than such a file can be ({MOST_BYTES:,} bytes)")
        return parse(content.decode("utf-8-sig").replace("\r\n", "\n"))
    except FileNotFoundError:
        raise refusal(f"{place}: does not exist") from None
    except PayeeWatchError:
        raise
    except Exception as error:  # a tag such as !!float before a word makes the parser of YAML raise nearly anything
        raise refusal(f"{place}: cannot be read as {form} ({type(error).__name__})") from None


def yaml_of(text: str) -> Any:
    """What a YAML text contains.

    Raises:
        ValueError: it has too many entries, each alias counted as all that it stands for, or they are nested too deep.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _refuse_bombs(yaml.parse(text, Loader=loader))
    return yaml.load(text, Loader=loader)  # nosec B506  # a safe loader, both of them


def _refuse_bombs(events: Iterable[yaml.Event]) -> None:
    sizes: dict[str, int] = {}
    anchors: list[str | None] = []
    begins: list[int] = []
    nodes = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor or "", MOST_NODES)  # of one that is still open: it would contain itself
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            sizes[event.anchor or ""] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            nodes += 1
            anchors.append(event.anchor)
            begins.append(nodes)
        elif isinstance(event, yaml.CollectionEndEvent):
            sizes[anchors.pop() or ""] = nodes - begins.pop() + 1
        if nodes > MOST_NODES or len(begins) > DEEPEST:
            raise ValueError(f"more than {MOST_NODES} entries, or nested deeper than {DEEPEST}")


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
