"""The definition of a feature as a short digest: equal as long as its number is measured in the same way.

It covers the formula, the numbers that it is made of and the source, but neither sentences nor comments. A later
version of narwhals may write formulas down otherwise; then models must be trained again, although nothing else changed.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from textwrap import dedent
from types import FunctionType
from typing import Any, Protocol

import narwhals as nw

from payeewatch.features.formulas import Formula, Row
from payeewatch.features.sources import Relation, Source, Stream

DIGEST_BYTES = 8
MEASURING, COMPUTING = "payeewatch.features.", "payeewatch.features.engines."
"""Where functions decide what is measured, and where they only say how."""


class Defined(Protocol):
    """The properties of a feature that decide what its number is; payeewatch.features.registry.Feature has them."""

    @property
    def formula(self) -> Formula: ...
    @property
    def source(self) -> Source: ...
    @property
    def asks(self) -> frozenset[str]: ...
    @property
    def unit(self) -> str: ...
    @property
    def missing(self) -> str: ...
    @property
    def is_member_only(self) -> bool: ...


def definition(feature: Defined, defined: Mapping[str, Defined]) -> str:
    """The digest of a feature's definition; `defined` are all features and parts by name."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in _parts(feature, defined):
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()


def _parts(feature: Defined, defined: Mapping[str, Defined]) -> Iterator[str]:
    """All that the number depends on, as text, in one order."""
    yield f"{feature.unit}, members only {feature.is_member_only}"
    for name, each in sorted(_with_parts(feature, defined).items()):
        yield f"{name}: {each.formula!r} of {_source(each.source)}, missing {each.missing}"


def _with_parts(feature: Defined, defined: Mapping[str, Defined]) -> dict[str, Defined]:
    """The feature, without a name, and all that its formula uses, by name."""
    parts = {"": feature}
    following = [feature]
    while following:
        names = [name for name in following.pop().asks if name in defined and name not in parts]
        parts |= {name: defined[name] for name in names}
        following += [defined[name] for name in names]
    return parts


@cache
def _source(source: Source) -> str:
    if isinstance(source, Stream):
        return f"events by {source.key}, not its own {source.own}: {_function(source.events)}"
    if not isinstance(source, Relation):
        return "the change"
    columns = source.columns(Row(source.prefix), Row())
    through = _source(source.through) if source.through else "the spine"
    rows = _function(source.rows) if source.rows else source.table
    return (
        f"{rows} where {source.on} = {source.to} of {through}, happened {source.happened}, known at {source.at}, "
        f"with {columns!r}"
    )


def _function(function: Callable[..., Any]) -> str:
    """The code of a function and of those that it calls, without comments and docstrings."""
    texts: dict[str, str] = {}
    _collect(function, texts)
    return "\n".join(texts.values())


def _collect(function: Callable[..., Any], texts: dict[str, str]) -> None:
    key = f"{function.__module__}.{function.__qualname__}"
    if key in texts or not isinstance(function, FunctionType):
        return
    tree = _code(function)
    texts[key] = ast.unparse(tree)
    outer = inspect.getclosurevars(function).nonlocals
    for name in sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}):
        value = outer.get(name, function.__globals__.get(name))
        module = getattr(value, "__module__", "") or ""
        if isinstance(value, int | float | str | nw.Expr):
            texts[f"{key}, {name}"] = f"{name} = {value!r}"
        elif module.startswith(MEASURING) and not module.startswith(COMPUTING) and callable(value):
            _collect(value, texts)


def _code(function: FunctionType) -> ast.Module:
    tree = ast.parse(dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
