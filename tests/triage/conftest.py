"""A database with three published nights and a fixed cast: one user per role, a second reviewer, and a relative."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from django.apps import apps
from django.contrib.auth.hashers import Argon2PasswordHasher, make_password
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client

from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import clock, listing, workspace
from payeewatch.triage.exchange.import_night import publish, unpublished
from payeewatch.triage.models import Evidence, Flag, Night, User
from payeewatch.triage.records import audit
from payeewatch.triage.roles import Role
from payeewatch.triage.work import workflow
from tests.conftest import NIGHTS, Home, copy_of

MORNING = datetime.fromisoformat("2024-09-26T07:00+00:00")
"""The morning after the last of the three nights."""
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session", autouse=True)
def quick_hasher() -> None:
    """Argon2 as ever, with less of the memory and time that make it slow on purpose."""
    Argon2PasswordHasher.time_cost, Argon2PasswordHasher.memory_cost, Argon2PasswordHasher.parallelism = 1, 64, 1


@dataclass
class Clock:
    """A clock that tests set."""

    at: datetime = MORNING

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The application's clock, at eight in the morning after the last night; set `.at` to move it."""
    ticking = Clock()
    monkeypatch.setattr(clock, "now", ticking)
    return ticking


@pytest.fixture(scope="session")
def nights_home(published: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The published home without its drops: what reviewers' tests copy."""
    return copy_of(published, tmp_path_factory.mktemp("triage"), without=["inbox", "breaches", "mlflow"])


@dataclass
class Imported:
    """What publishing the three nights leaves: a home, and rows, none before a test has done it."""

    folder: Path
    home: Home
    rows: list[Model] = field(default_factory=list)

    def keep(self, home: Home) -> None:
        audit._write_head(audit.End())  # as a test leaves it that is rolled back, whichever kind of test comes first
        self.home = copy_of(home, self.folder)
        self.rows = [row for model in _models() for row in model._base_manager.all()]

    def put(self) -> None:
        """Write the rows as they were read; numbers that the database gives go on behind them."""
        with transaction.atomic(), connection.cursor() as cursor:
            for model in _models():
                model._base_manager.bulk_create([row for row in self.rows if type(row) is model])
            for sql in connection.ops.sequence_reset_sql(no_style(), _models()):
                cursor.execute(sql)


def _models() -> list[type[Model]]:
    return list(apps.get_app_config("triage").get_models())


@pytest.fixture(scope="session")
def imported(nights_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return Imported(tmp_path_factory.mktemp("imported"), nights_home)


@pytest.fixture
def reviewed(imported: Imported, tmp_path: Path, settings: Any, db: None, clocked: Clock) -> Iterator[Settings]:
    """A home of the test's own, with its three nights published into the test's database."""
    own = copy_of(imported.home, tmp_path, without=["lake"])
    environ = {"PAYEEWATCH_KEY_FILE": str(own.key_file)}
    settings.PAYEEWATCH = Settings.load(own.path, environ)
    workspace._keys.cache_clear()
    if imported.rows:
        imported.put()
    else:
        for night in unpublished(settings.PAYEEWATCH):
            publish(settings.PAYEEWATCH, night)
        imported.keep(own)
    yield settings.PAYEEWATCH
    workspace._keys.cache_clear()


@pytest.fixture
def house(tmp_path: Path, settings: Any, db: None, clocked: Clock) -> Iterator[Settings]:
    """A home with keys and no nights: for what is not about real flags, and ready at once."""
    key_file = tmp_path / "keys.json"
    Keys.create(key_file)
    settings.PAYEEWATCH = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(key_file)})
    workspace._keys.cache_clear()
    yield settings.PAYEEWATCH
    workspace._keys.cache_clear()


@dataclass(frozen=True)
class Answer:
    """A change that no night flagged, and the file with which the pipeline answered a request for it."""

    row: dict[str, Any]  # as the last night scored it
    file: Path

    def put(self, settings: Settings) -> None:
        """Do in a home what the pipeline does: the file is there, then the request is gone."""
        name = by_hand.name_of(workspace.keys(), self.row["change_id"])
        path = by_hand.answer_path(settings, name)
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(self.file, path)
        by_hand.request_path(settings, name).unlink(missing_ok=True)


@pytest.fixture(scope="session")
def by_hand_answer(published: Home, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """What the real command answers about a member's change that was not flagged."""
    own = copy_of(published, tmp_path_factory.mktemp("by-hand"))
    scores = pq.read_table(own.path / "scores" / f"{NIGHTS[-1]}.parquet").to_pylist()
    flagged = {row["member_id"] for row in scores if row["flag_id"]}
    row = next(row for row in scores if row["why_not"] and row["household_id"] and row["member_id"] not in flagged)
    own.done("evidence", row["change_id"])
    (file,) = (own.path / "evidence" / "by-hand").glob("*.parquet")
    return Answer(row, file)


def flag_of(member_id: str, **fields: Any) -> Flag:
    """A flag about a member, made without a night's files."""
    last, _ = Night.objects.get_or_create(
        night=MORNING.date(),
        defaults={
            "digest": "",
            "published_at": MORNING,
            "run": {"model": {"name": "payeewatch", "version": "1"}, "tables": {}},
        },
    )
    defaults = {
        "flag_id": f"F-{int(member_id):016x}",
        "change_id": f"X{member_id}",
        "derived": False,
        "member_id": member_id,
        "household_id": f"H{member_id}",
        "payee_id": f"P{member_id}",
        "payee_type": "member",
        "account": "0123456789abcdef0123456789abcdef",
        "account_hint": "FR · 99003 Crédit des Rives · …5977",
        "queue": "hold",
        "rank": 1,
        "score": 4.0,
        "p_value": 0.001,
        "amount_at_risk": 100,
        "amount_paid": 0,
        "first_flagged_on": MORNING.date(),
        "night": last,
        "ring": f"F-{int(member_id):016x}",
        "opened_at": MORNING,
    }
    defaults |= {"place": fields.get("rank", 1)} | fields
    flag = Flag.objects.create(**defaults)
    lists = ("timeline", "neighbours", "benign_checks", "reasons", "reassuring", "exposures")
    body = {**{name: [] for name in lists}, "before": None, "after": None}
    Evidence.objects.create(flag=flag, night=last.night, digest="", body=body)
    return flag


def take_apart() -> None:
    """Put every flag into a ring of its own."""
    for flag in Flag.objects.all():
        flag.ring, flag.ring_size = flag.pk, 1
        flag.save(update_fields=["ring", "ring_size"])


def user(role: Role, name: str = "", **fields: Any) -> User:
    """A user of a role, named after it."""
    return User.objects.create(username=name or str(role), password=_hashed(), role=role, **fields)


@cache
def _hashed() -> str:
    return make_password(PASSWORD)  # slow on purpose: once is enough


@pytest.fixture
def kept_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read of the log is kept, as a served process does; within a test's transaction it would not be."""
    outside = {"in_atomic_block": False, "run_on_commit": property(lambda self: connection.run_on_commit)}
    monkeypatch.setattr(listing, "connection", type("Outside", (), outside)())
    monkeypatch.setattr(listing, "_memory", listing._Memory())


@pytest.fixture
def cast(reviewed: Settings) -> dict[str, User]:
    """Everybody: one of each role, `second` who reviews too, and `relative` of the first flag's household."""
    people = {str(role): user(role) for role in Role}
    people["second"] = user(Role.REVIEWER, "second")
    insured = Flag.objects.filter(household_id__isnull=False).order_by("rank").first()
    assert insured
    people["relative"] = user(Role.REVIEWER, "relative", household_id=insured.household_id)
    return people


@pytest.fixture
def first(cast: dict[str, User]) -> Flag:
    """The first flag that is about a member: the relative's household."""
    flag = Flag.objects.filter(household_id=cast["relative"].household_id, is_current=True).order_by("rank").first()
    assert flag
    return flag


def signed_in(person: User) -> Client:
    """A browser without JavaScript, signed in."""
    client = Client()
    client.force_login(person, backend="payeewatch.triage.access.known_users.KnownUsers")
    return client


def do(person: User, flag: Flag, action: str, **data: Any) -> workflow.ActionResult:
    """Do an action as the form of the flag's page sends it; the flag is read again first."""
    flag.refresh_from_db()
    result = workflow.perform(action, person, flag.flag_id, uuid4(), flag.version, data)
    assert listing.waiting() == {}  # the action's own record lists what it wrote
    return result


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payeewatch.triage.settings")
