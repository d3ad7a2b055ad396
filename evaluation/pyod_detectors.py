"""PyOD's detectors by the name of their class, such as ECOD: for `payeewatch evaluate --detector`."""

from __future__ import annotations

import ast
import inspect
import io
import pkgutil
from contextlib import redirect_stdout
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeGuard

from payeewatch.pipeline.home.errors import SettingsError

PACKAGE = "pyod.models"
OTHER_DATA = ("pyg_", "ts_")
"""How modules begin whose detectors learn from graphs or series, and not from rows of features."""


def detector_class(name: str) -> Any:
    """The class of a detector by its name, or by its path below `pyod.models`.

    Raises:
        SettingsError: PyOD has no such detector, another package is needed for it, or it needs more than rows.
    """
    known = known_detectors()
    short = name.rpartition(".")[2]
    if short not in known or name not in (short, f"{PACKAGE}.{known[short]}.{short}"):
        near = get_close_matches(short.upper(), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SettingsError(f"--detector {name}: PyOD has no such detector; {hint}known: {', '.join(sorted(known))}")
    try:
        with redirect_stdout(io.StringIO()):  # PyOD prints what to install
            found = getattr(import_module(f"{PACKAGE}.{known[short]}"), short)
    except ImportError as error:
        raise SettingsError(
            f"--detector {name}: it needs {error.name or 'another package'}, which is not installed; install it, or "
            "name another detector"
        ) from error
    if needed := _needed(found):
        raise SettingsError(
            f"--detector {name}: it needs {', '.join(needed)}, and a control learns from rows alone; name another one"
        )
    return found


def new_detector(name: str, seed: int) -> Any:
    """A detector of a class with its defaults; the seed is given to those that draw by chance."""
    found = detector_class(name)
    return found(random_state=seed) if "random_state" in inspect.signature(found).parameters else found()


@cache
def known_detectors() -> dict[str, str]:
    """Class -> module below `pyod.models` of all detectors of rows, from PyOD's files: some import whole frameworks."""
    import pyod.models

    found: dict[str, str] = {}
    for module in pkgutil.iter_modules(pyod.models.__path__):
        if not module.name.startswith(OTHER_DATA):
            tree = ast.parse((Path(pyod.models.__path__[0]) / f"{module.name}.py").read_text(encoding="utf-8"))
            found |= {node.name: module.name for node in tree.body if _is_detector(node)}
    return found


def _is_detector(node: ast.stmt) -> TypeGuard[ast.ClassDef]:
    if not isinstance(node, ast.ClassDef) or node.name.startswith(("Base", "_")):
        return False
    return any(isinstance(base, ast.Name) and base.id.startswith("Base") for base in node.bases)


def _needed(found: Any) -> list[str]:
    """What must be given to make or fit a detector beside the rows."""
    nameless = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    made, fitted = (inspect.signature(each).parameters.values() for each in (found, found.fit))
    required = [each.name for each in made if each.default is each.empty and each.kind not in nameless]
    required += [each.name for each in list(fitted)[2:] if each.default is each.empty and each.kind not in nameless]
    return ["labels" if each == "y" else each for each in required]
