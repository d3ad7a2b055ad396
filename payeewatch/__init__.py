"""PayeeWatch. In Python, `payeewatch.open_home()` gives a home's frames, labels, models and scores: docs/python.md.

Nothing heavy is imported before it is asked for, so that the command answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payeewatch.reading import Home as Home
    from payeewatch.reading import open_home as open_home

__all__ = ["Home", "open_home"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from payeewatch import reading

        return getattr(reading, name)
    raise AttributeError(f"module 'payeewatch' has no attribute {name!r}")
