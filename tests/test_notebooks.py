"""Notebooks run from top to bottom as `make notebook` starts them: in their own folder, one home named by one variable.

One kernel runs them all, each in a namespace of its own: most of the time is importing.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.conftest import Home

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
FEW_TREES = "train: {trees: 40}\n"


def started_with(home: str) -> dict[str, str]:
    """The variables that `make notebook` gives to Jupyter."""
    command = ["make", "--dry-run", "--no-print-directory", "notebook", f"PAYEEWATCH_HOME={home}"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in planned.replace("\\\n", " ").splitlines() if "jupyter lab" in line]
    return dict(word.split("=", 1) for word in shlex.split(line) if re.match(r"[A-Z_]+=", word))


@pytest.fixture(scope="module")
def executed(trained: Home, published: Home, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[NotebookNode]]:
    """Notebook -> its cells with what they answered."""
    params = tmp_path_factory.mktemp("notebooks") / "params.yaml"
    params.write_text(FEW_TREES)
    books = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
    cells = []
    for book in books.values():
        cells += [*book.cells, nbformat.v4.new_code_cell("%reset -f")]
    everything = nbformat.v4.new_notebook(cells=cells)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in started_with(str(published.path)).items():
            patch.setenv(name, value)
        patch.setenv("PAYEEWATCH_KEY_FILE", str(published.key_file))
        patch.setenv("PAYEEWATCH_PARAMS", str(params))
        patch.setenv("TRUTH", str(trained.path.parent / "truth"))
        client = NotebookClient(
            everything, timeout=120, kernel_name="python3", resources={"metadata": {"path": FOLDER}}
        )
        client.execute()
    return {name: book.cells for name, book in books.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_shows_something(name: str, executed: dict[str, list[NotebookNode]]) -> None:
    outputs = [output for cell in executed[name] if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert sum("text/html" in output.get("data", {}) or output.output_type == "stream" for output in outputs) >= 3
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_one_variable_names_the_home_wherever_jupyter_starts_a_notebook() -> None:
    own, demo = started_with("somewhere/else"), started_with("")
    assert own == {"PAYEEWATCH_HOME": str(ROOT / "somewhere" / "else")}
    assert demo["PAYEEWATCH_HOME"] == str(ROOT / "demo")
    assert all(Path(value).is_absolute() for value in demo.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_says_how_it_is_started_and_closes_its_home(path: Path) -> None:
    first, *_, last = nbformat.read(path, as_version=4).cells
    assert "`make notebook`" in first.source
    assert "home.close()" in last.source


def test_the_page_names_every_notebook() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8").partition("## Notebooks")[2]
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == NAMES
