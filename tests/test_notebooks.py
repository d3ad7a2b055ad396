"""Notebooks run from top to bottom on a home with published nights, and are kept without their outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import Home

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_headless(path: Path, trained: Home, published: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYEEWATCH_HOME", str(published.path))
    monkeypatch.setenv("PAYEEWATCH_KEY_FILE", str(published.key_file))
    monkeypatch.setenv("TRUTH", str(trained.path.parent / "truth"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
    answers = [cell for cell in book.cells if cell.cell_type == "code" and cell.outputs]
    assert len(answers) >= 8


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_there_is_a_notebook_to_explore_with() -> None:
    assert [path.stem for path in NOTEBOOKS if path.stem == "explore"]
