"""A digest of the code that each reproduced stage uses, for DVC: `python -m payeewatch.evaluation.code --out FOLDER`.

A stage depends on its digest in place of folders. So an edit of code that it does not use does not run it again, nor
does an edit of comments, docstrings or layout. The code of a stage is what its first modules import by name, and what
that imports, wherever in a file; and the data files beside it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click

from payeewatch.pipeline.home.files import write_text

PACKAGE = Path(__file__).resolve().parent.parent
"""The repository, whose folders are the rooms of the package; or the package where it is installed."""
NAME = "payeewatch."

STAGES = {
    "ingest": ("pipeline.ingest.ingest", "pipeline.breaches.lists"),
    "link": ("pipeline.breaches.match", "pipeline.changes.derive"),
    "measure": ("pipeline.changes.measure", "pipeline.store.lake_cache", "features.engines.plan"),
    "train": ("pipeline.training.fit", "pipeline.training.saved_model", "pipeline.store.as_of"),
    "evaluate": ("evaluation.evaluate", "simulator.insurer"),
    "metrics": ("evaluation.metrics",),
    "weights": ("evaluation.weights", "simulator.insurer"),
}
"""Stage -> the modules whose functions make its results, without the command around them."""
MADE_BY = {"weights": "pipeline/detector/data"}
"""Stage -> the data that it makes, and so does not depend on."""


def digest_of(stage: str, root: Path = PACKAGE) -> str:
    """The digest of the code and data of a stage."""
    digest = hashlib.sha256()
    modules = used(stage, root)
    for path in modules:
        digest.update(f"{path.relative_to(root)}\n{_parsed(path.read_text(encoding='utf-8'))[1]}\n".encode())
    for path in _data(stage, modules, root):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def used(stage: str, root: Path = PACKAGE) -> list[Path]:
    """The files of the modules that a stage uses."""
    found: set[Path] = set()
    waiting = list(STAGES[stage])
    while waiting:
        path = _file(waiting.pop(), root)
        if path and path not in found:
            found.add(path)
            waiting += _parsed(path.read_text(encoding="utf-8"))[0]
    return sorted(found)


def _file(name: str, root: Path) -> Path | None:
    """The file of a module, by its name below the package."""
    below = root.joinpath(*name.split("."))
    return next((path for path in (below.with_suffix(".py"), below / "__init__.py") if path.is_file()), None)


@cache
def _parsed(text: str) -> tuple[tuple[str, ...], str]:
    """The names below the package that a file imports, modules and what may be one; and its code without words."""
    names: list[str] = []
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(NAME):
            module = node.module.removeprefix("payeewatch").lstrip(".")
            names += [module] if module else []
            names += [f"{module}.{alias.name}".lstrip(".") for alias in node.names]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_words(each)]
    return tuple(names), ast.unparse(tree)


def _is_words(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _data(stage: str, modules: list[Path], root: Path) -> Iterator[Path]:
    """Data files in the folders of the modules, such as SQL."""
    for folder in sorted({path.parent / "data" for path in modules}):
        if folder.is_dir() and str(folder.relative_to(root)) != MADE_BY.get(stage):
            yield from sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder: one file for each stage.")
def main(out: Path) -> None:
    """Write the digest of each stage's code."""
    for stage in STAGES:
        write_text(out / f"{stage}.txt", f"{digest_of(stage)}\n")


if __name__ == "__main__":
    main()
