"""A lock is read whole: every package, its hashes, and who asks for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from payeewatch.lock import packages

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_no_package_no_hash_and_no_version_of_a_lock_is_missed(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    locked = packages(ROOT / name)
    assert len(locked) == len(re.findall(r"^\S+==", text, re.MULTILINE))
    assert sum(len(package.hashes) for package in locked) == text.count("--hash=sha256:")
    assert all(f"{package.name}=={package.version} \\" in text for package in locked)


def test_who_asks_for_a_package_is_read_in_both_ways_of_writing_it(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    hashed = " \\\n    --hash=sha256:" + "a" * 64
    lock.write_text(
        f"one==1.0{hashed}\n    # via payeewatch (pyproject.toml)\n"
        f"two==2.0.post1 ; sys_platform == 'win32'{hashed}\n"
        "    # via\n    #   -c requirements.lock\n    #   one\n    #   x\n"
    )
    one, two = packages(lock)
    assert (one.name, one.version, one.parents) == ("one", "1.0", ("payeewatch",))
    assert (two.version, two.parents, two.hashes) == ("2.0.post1", ("one", "x"), ("a" * 64,))
