"""What people decided reaches the payment system and the next night."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from payeewatch.pipeline.home.files import write_text
from payeewatch.pipeline.home.hold_files import COLUMNS
from payeewatch.pipeline.home.scrub import Removal, exclusive_lock
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.privacy import redact
from payeewatch.triage import workspace
from payeewatch.triage.access.pseudonyms import pseudonym
from payeewatch.triage.exchange import export_decisions
from payeewatch.triage.exchange.export_decisions import HandOverCounts
from payeewatch.triage.exchange.import_night import publish, unpublished
from payeewatch.triage.models import AuditRecord, Flag, User
from payeewatch.triage.roles import Role
from payeewatch.triage.server import housekeeping
from payeewatch.triage.verdict_codes import Verdict
from tests.conftest import LAST_DROP, Home, copy_of
from tests.triage.conftest import Clock, do, flag_of, user

YES = {"confirm": True}
BENIGN = {"reason": "B01", "evidence_kind": "document"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def verdicts(settings: Settings, day: str = "2024-09-26") -> pd.DataFrame:
    return pd.read_parquet(settings.folder("outcomes") / f"{day}.parquet")


def test_nothing_is_handed_over_that_can_still_be_undone(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    clocked.at += timedelta(seconds=10)
    assert export_decisions.write() == HandOverCounts()
    clocked.at += timedelta(seconds=1)
    assert export_decisions.write() == HandOverCounts(verdicts=1)
    assert export_decisions.write() == HandOverCounts()


def test_a_verdict_is_a_row_of_its_day(cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock) -> None:
    clocked.at = datetime.fromisoformat("2024-09-26T22:30+00:00")  # half past midnight at the insurer's
    other = flag_of("00001234", payee_id=first.payee_id)
    do(cast["reviewer"], first, "duplicate", evidence_kind="none", duplicate_of=other.pk)
    step = first.steps.get()
    clocked.at += timedelta(minutes=1)
    export_decisions.write()
    (row,) = verdicts(reviewed, "2024-09-27").to_dict("records")
    assert row == {
        "outcome_id": f"R-{step.pk}",
        "change_id": first.change_id,
        "decided_at": pd.Timestamp("2024-09-26 22:30"),
        "verdict": "data_error",
        "reason_code": "D02",
        "source": "reviewer",
        "decided_by": pseudonym("reviewer", str(cast["reviewer"].pk)),
    }


def test_a_verdict_says_who_decided_by_a_pseudonym_that_is_the_same_for_all_their_verdicts(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    deciders = ["reviewer", "senior", "reviewer"]
    for number, who in enumerate(deciders):
        do(cast[who], flag_of(f"0000123{number}"), "inconclusive", evidence_kind="none")
    clocked.at += timedelta(minutes=1)
    export_decisions.write()
    decided_by = verdicts(reviewed).sort_values("change_id")["decided_by"].tolist()
    assert decided_by[0] == decided_by[2] != decided_by[1]
    assert not {"reviewer", "senior"} & set(decided_by)


def test_a_proposal_and_what_was_undone_are_no_outcome(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "benign", **BENIGN)
    do(cast["reviewer"], first, "undo")
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="document")
    clocked.at += timedelta(minutes=1)
    assert export_decisions.write() == HandOverCounts()


def test_every_verdict_of_a_change_stays(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    do(cast["reviewer"], first, "benign", **BENIGN)
    do(cast["reviewer"], first, "reopen", note="New facts")
    do(cast["senior"], first, "approve")
    clocked.at += timedelta(minutes=1)
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    clocked.at += timedelta(minutes=1)
    export_decisions.write()
    assert list(verdicts(reviewed)["verdict"]) == ["benign", "inconclusive"]


def test_a_hold_and_its_release_are_told_on_their_days(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    first.holds.all().delete()
    do(cast["reviewer"], first, "hold", **YES)
    clocked.at += timedelta(days=1)
    export_decisions.write()
    holds_file = reviewed.folder("holds") / "2024-09-26-reviewed.csv"
    assert tuple(rows(holds_file)[0]) == COLUMNS
    expected = {**dict.fromkeys(COLUMNS, ""), "payee_id": first.payee_id, "account": first.account,
            "change_id": first.change_id, "hold_until": "2024-10-03", "flag_id": first.flag_id}  # fmt: skip
    assert rows(holds_file) == [expected]
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=5)
    do(cast["reviewer"], first, "release", **YES)
    clocked.at += timedelta(minutes=1)
    assert export_decisions.write() == HandOverCounts(releases=1)
    assert rows(reviewed.folder("releases") / "2024-09-27.csv") == rows(holds_file) == [expected]


def test_a_day_says_of_a_payment_what_came_last(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    first.holds.all().delete()
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=5)
    holds_folder, releases_folder = (reviewed.folder(name) for name in ("holds", "releases"))
    for action, many in (("hold", (1, 0)), ("release", (0, 1)), ("hold", (1, 0))):
        do(cast["reviewer"], first, action, **YES)
        clocked.at += timedelta(minutes=1)
        export_decisions.write()
        files = (holds_folder / "2024-09-26-reviewed.csv", releases_folder / "2024-09-26.csv")
        assert tuple(len(rows(path)) if path.exists() else 0 for path in files) == many


def test_a_hold_that_ended_by_itself_is_no_release(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    """Its own row has the end date; releases are what people decided. The audit log has the end."""
    first.holds.all().delete()
    do(cast["reviewer"], first, "hold", **YES)
    clocked.at += timedelta(minutes=1)
    export_decisions.write()
    clocked.at += timedelta(days=8)
    housekeeping.tidy()
    (row,) = rows(reviewed.folder("holds") / "2024-09-26-reviewed.csv")
    assert row["hold_until"] == "2024-10-03"
    assert not list(reviewed.folder("releases").glob("*.csv"))
    assert AuditRecord.objects.filter(action="hold_ended", flag_id=first.pk).exists()


def test_what_is_in_a_file_stays_when_its_flag_is_gone(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    do(cast["reviewer"], first, "benign", **BENIGN)
    clocked.at += timedelta(minutes=1)
    export_decisions.write()
    first.delete()
    other = Flag.objects.filter(is_current=True).first()
    do(cast["second"], other, "benign", **BENIGN)
    clocked.at += timedelta(minutes=1)
    export_decisions.write()
    assert len(verdicts(reviewed)) == 2


def test_a_purge_and_a_hand_over_of_the_same_day_lose_nothing(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.holds.all().delete()
    do(cast["reviewer"], first, "hold", **YES)
    clocked.at += timedelta(minutes=1)
    assert export_decisions.write().holds == 1
    other = Flag.objects.filter(is_current=True).exclude(pk=first.pk).first()
    other.holds.all().delete()
    do(cast["second"], other, "hold", **YES)
    clocked.at += timedelta(minutes=1)
    has_read, may_write = threading.Event(), threading.Event()

    def slow(path: Path, text: str) -> None:
        has_read.set()
        assert may_write.wait(30)
        write_text(path, text)

    def purge() -> None:
        with exclusive_lock(reviewed):
            redact.withdraw(reviewed, Removal(flags=frozenset({first.pk})), date(2024, 9, 26), dry_run=False)

    monkeypatch.setattr(redact, "write_text", slow)
    purging = threading.Thread(target=purge)
    purging.start()
    assert has_read.wait(30)
    assert export_decisions.write() == HandOverCounts()  # not now
    may_write.set()
    purging.join()
    assert export_decisions.write() == HandOverCounts(holds=1)
    assert {row["flag_id"] for row in rows(reviewed.folder("holds") / "2024-09-26-reviewed.csv")} == {other.pk}


def test_the_lock_of_another_process_is_respected_and_goes_with_it(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    code = f"""
import sys
from pathlib import Path
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.scrub import exclusive_lock
with exclusive_lock(Settings.load(Path({str(tmp_path)!r}), {{}})):
    print("held", flush=True)
    sys.stdin.readline()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with exclusive_lock(settings, wait=False) as is_free:
            assert not is_free
        holder.kill()
        with exclusive_lock(settings) as is_free:
            assert is_free


def test_a_file_that_was_not_marked_is_written_again_to_the_same_bytes(
    cast: dict[str, User], first: Flag, reviewed: Settings, clocked: Clock
) -> None:
    do(cast["reviewer"], first, "benign", **BENIGN)
    clocked.at += timedelta(minutes=1)
    export_decisions.write()
    before = (reviewed.folder("outcomes") / "2024-09-26.parquet").read_bytes()
    first.decisions.update(handed_over_at=None)
    assert export_decisions.write().verdicts == 1
    assert (reviewed.folder("outcomes") / "2024-09-26.parquet").read_bytes() == before


def test_a_verdict_is_told_as_the_input_lists_it() -> None:
    from payeewatch.pipeline.tables import VERDICTS

    assert {export_decisions._outcome_verdict(each) for each in Verdict} == set(VERDICTS)


@pytest.mark.django_db
def test_a_decided_change_leaves_the_queue_of_the_next_night(
    published: Home, tmp_path: Path, settings, clocked: Clock
) -> None:
    own = copy_of(published, tmp_path)
    settings.PAYEEWATCH = Settings.load(own.path, {"PAYEEWATCH_KEY_FILE": str(own.key_file)})
    workspace._keys.cache_clear()
    for night in unpublished(settings.PAYEEWATCH):
        publish(settings.PAYEEWATCH, night)
    flag = Flag.objects.filter(is_current=True, queue="review").first()
    do(user(Role.REVIEWER), flag, "benign", **BENIGN)
    clocked.at += timedelta(minutes=1)
    assert export_decisions.write().verdicts == 1
    night = date(2024, 9, 26)
    assert night <= LAST_DROP
    own.done("night", str(night))
    scores = pd.read_parquet(settings.PAYEEWATCH.folder("scores") / f"{night}.parquet").set_index("change_id")
    assert scores.loc[flag.change_id, "why_not"] == "decided, and no new evidence since"
    publish(settings.PAYEEWATCH, night)
    flag.refresh_from_db()
    assert (flag.is_current, flag.state) == (False, "closed")


@pytest.fixture
def blocked(house: Settings, clocked: Clock) -> Flag:
    """A flag whose account is blocked by a confirmed fraud, in a home without nights."""
    reviewer, senior, flag = user(Role.REVIEWER), user(Role.SENIOR), flag_of("00001234")
    do(reviewer, flag, "hold", **YES)
    clocked.at += timedelta(minutes=1)
    export_decisions.write()
    do(reviewer, flag, "confirmed_fraud", reason="F02", evidence_kind="bank_check")
    do(senior, flag, "approve")
    clocked.at += timedelta(days=1)
    export_decisions.write()
    return flag


def test_a_hold_without_end_is_written_again_on_the_day_of_its_approval(blocked: Flag, house: Settings) -> None:
    (row,) = rows(house.folder("holds") / "2024-09-26-reviewed.csv")
    assert (row["hold_until"], row["flag_id"]) == ("", blocked.flag_id)


def test_an_account_put_right_is_a_row_of_its_day_and_a_release(blocked: Flag, house: Settings, clocked: Clock) -> None:
    do(User.objects.get(role=Role.REVIEWER), blocked, "put_right", **YES)
    assert export_decisions.write() == HandOverCounts()
    clocked.at += timedelta(minutes=1)
    assert export_decisions.write() == HandOverCounts(releases=1, put_right=1)
    path = house.folder("outcomes") / "2024-09-27-put-right.csv"
    assert path.read_text() == (
        "change_id,payee_id,account,put_right_at\n"
        f"{blocked.change_id},{blocked.payee_id},{blocked.account},2024-09-27T07:01:00+00:00\n"
    )
    (release,) = rows(house.folder("releases") / "2024-09-27.csv")
    assert (release["payment_id"], release["hold_until"]) == ("", "")
    before = path.read_bytes()
    blocked.decisions.update(handed_over_at=None)
    assert export_decisions.write().put_right == 1
    assert path.read_bytes() == before


def test_an_account_put_right_that_was_undone_is_in_no_file(blocked: Flag, house: Settings, clocked: Clock) -> None:
    do(User.objects.get(role=Role.REVIEWER), blocked, "put_right", **YES)
    do(User.objects.get(role=Role.REVIEWER), blocked, "undo")
    clocked.at += timedelta(minutes=1)
    assert export_decisions.write() == HandOverCounts()


def test_a_proposal_that_nobody_approved_in_time_is_no_outcome(house: Settings, clocked: Clock) -> None:
    do(user(Role.REVIEWER), flag_of("00001234"), "confirmed_fraud", reason="F01", evidence_kind="document")
    clocked.at += timedelta(days=200)
    assert housekeeping.tidy().expired == 1
    clocked.at += timedelta(days=1)
    assert housekeeping.tidy().handed_over == HandOverCounts()
