"""The page shows every figure and needs nothing but itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from payeewatch.simulator.page import CHARTS


def test_the_page_needs_nothing_else_and_shows_every_figure(tmp_path: Path) -> None:
    out = tmp_path / "world.html"
    command = [sys.executable, "-m", "payeewatch.simulator.page", str(out), "--members", "2000", "--tier", "demo"]
    subprocess.run(command, check=True, cwd=Path(__file__).resolve().parents[2])
    text = out.read_text(encoding="utf-8")
    assert "http" not in text
    assert "<script" not in text
    assert text.count("<h2>") == len(CHARTS)
    assert "Paid for a member in a year" in text
    assert text.count("</tr>") == 14
