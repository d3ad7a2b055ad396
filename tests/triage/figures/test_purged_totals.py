"""What is kept of purged flags describes no one flag."""

from __future__ import annotations

from decimal import Decimal

import pytest

from payeewatch.triage.figures import purged_totals
from payeewatch.triage.models import Flag, Tally


@pytest.mark.parametrize(("amount", "rounded"), [("1840", 2000), ("14.99", 10), ("7.20", 7), ("96000.50", 100000)])
def test_released_euros_are_kept_to_one_digit(amount: str, rounded: int) -> None:
    assert purged_totals.one_digit(Decimal(amount)) == rounded


def test_a_count_has_one_property_and_goes_up(first: Flag) -> None:
    purged_totals.keep([first])
    purged_totals.keep([first])
    assert set(Tally.objects.values_list("flags", flat=True)) == {2}
    assert purged_totals.counts_of(Tally.Of.CAME) == [(first.first_flagged_on, first.queue, "", 2)]
    assert {row.period.day for row in Tally.objects.exclude(of=Tally.Of.CAME)} == {1}
    assert not {first.pk, first.change_id, first.payee_id, first.account} & {
        text for row in Tally.objects.values_list("value", "verdict", "of") for text in row
    }
