"""A promise is declared once, next to the schema, and says in words what it is."""

from __future__ import annotations

import pytest

from payeewatch.pipeline.home.promises import NULLABLE, Bounds, Promise, promises


def test_a_column_that_is_not_named_is_never_null() -> None:
    declared = promises("things", ["id", "note"], (("id",),), {"note": NULLABLE})
    assert declared.columns == {"id": Promise(), "note": NULLABLE}
    assert not declared.columns["id"].nullable


@pytest.mark.parametrize(("unique", "declarations"), [((("size",),), {}), ((), {"size": NULLABLE})])
def test_a_promise_of_no_column_is_refused(
    unique: tuple[tuple[str, ...], ...], declarations: dict[str, Promise]
) -> None:
    with pytest.raises(ValueError, match="things: has no column size"):
        promises("things", ["id"], unique, declarations)


def test_bounds_say_what_they_are() -> None:
    texts = [str(bounds) for bounds in (Bounds(), Bounds(0), Bounds(0, 1), Bounds(0, 1, is_above_low=True))]
    assert texts == ["finite", "0 or more, and finite", "from 0 to 1", "above 0 and at most 1"]
