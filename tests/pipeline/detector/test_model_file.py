"""Model files: exact, without code, and readable when an earlier version wrote them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import skops.io

from payeewatch.pipeline.detector import model_file

PACKED = {
    "text": "é",
    "numbers": [0.1 + 0.2, float("inf"), 3, None, True],
    "nested": {"array": np.array([0.1, np.nan, -0.0]), "whole": np.array([[1, 2]], dtype=np.int64), "empty": {}},
}


def same(one: dict[str, object]) -> None:
    assert one["text"] == "é"
    assert one["numbers"] == PACKED["numbers"]
    nested, ours = one["nested"], PACKED["nested"]
    assert isinstance(nested, dict)
    assert isinstance(ours, dict)
    assert nested["array"].tobytes() == ours["array"].tobytes()
    assert (nested["whole"].dtype, nested["whole"].tolist(), nested["empty"]) == (np.dtype("int64"), [[1, 2]], {})


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    model_file.write(PACKED, tmp_path / model_file.NAME)
    same(model_file.read(tmp_path / model_file.NAME))


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    skops.io.dump(PACKED, tmp_path / model_file.EARLIER_NAME)
    same(model_file.read(tmp_path / model_file.EARLIER_NAME))


def test_reading_a_model_imports_neither_scikit_learn_nor_scipy(tmp_path: Path) -> None:
    path = tmp_path / model_file.NAME
    model_file.write(PACKED, path)
    code = (
        "import sys; from pathlib import Path; from payeewatch.pipeline.detector import model_file;"
        f"model_file.read(Path({str(path)!r})); print({{'sklearn', 'scipy', 'skops'}} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"
