"""The commands of the reviewers' application. Django is imported when one runs, so that --help answers at once."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, command
from payeewatch.pipeline.home.errors import AuditBroken, SettingsError, StoreError

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings

SHOWN_FINDINGS = 5
LONGEST_REASON = 200


def start(settings: Settings) -> None:
    """Prepare Django for a home: every command here calls it first. A new or older database is migrated.

    Raises:
        SettingsError: there is no such home, or no key file for it, or one that does not fit it.
        StoreError: the database cannot be reached or written.
    """
    from payeewatch.pipeline.home.keys import Keys
    from payeewatch.pipeline.home.settings import PRIVATE_MODE

    if not settings.home.is_dir():
        raise SettingsError(f"{settings.home}: there is no such folder; make it with: payeewatch init")
    keys = Keys.load(settings.key_file)
    if os.access(settings.folder("lake"), os.X_OK):  # the application may run as a user who may not read the lake
        keys.check(settings.folder("lake"), note=False)
    os.environ["PAYEEWATCH_HOME"] = str(settings.home)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payeewatch.triage.settings")
    import django
    from django.db import DatabaseError, connection

    try:
        settings.folder("triage").mkdir(mode=PRIVATE_MODE, exist_ok=True)
        with suppress(PermissionError):
            settings.folder("triage").chmod(PRIVATE_MODE)
        django.setup()
        from payeewatch.triage.records.migrating import migrate
        from payeewatch.triage.records.rows_of_others import list_every_row

        connection.ensure_connection()
        migrate()
        list_every_row()
    except (OSError, DatabaseError) as error:
        where = connection.settings_dict
        raise StoreError(
            f"the {connection.vendor} database {where['HOST']} {where['NAME']} cannot be reached or written "
            f"({type(error).__name__}); check DATABASE_URL, the server and the permissions"
        ) from error


@command("triage")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes that answer.")
def triage(settings: Settings, host: str, port: int, workers: int) -> Answer:
    """Serve the reviewers' application until stopped; nights are published as they appear.

    Example: payeewatch triage --port 8000
    """
    start(settings)
    from payeewatch.triage.exchange.notices import channels
    from payeewatch.triage.server.serve import serve

    channels()  # refuses addresses that cannot be used
    serve(host, port, workers)
    return {"stopped": f"{host}:{port}"}, ["stopped"]


@command("triage-user")
@click.argument("name")
@click.option("--role", required=True, help="reviewer, senior, scientist, auditor or administrator.")
@click.option("--also", multiple=True, metavar="NAME=ROLE", help="One more user; may be given several times.")
@click.option("--lasting", is_flag=True, help="The password need not be changed at the first sign-in: for a demo.")
def triage_user(settings: Settings, name: str, role: str, also: tuple[str, ...], lasting: bool) -> Answer:
    """Make a user of the reviewers' application, such as its first administrator, and print a password for them.

    A user who exists gets the role and a new password, and is unlocked: for an administrator who cannot get in.

    Example: payeewatch triage-user administrator --role administrator
    """
    start(settings)
    from django.db import transaction

    users = [(name, role), *((user, user_role) for user, _, user_role in (each.partition("=") for each in also))]
    with transaction.atomic():
        results = [_create_or_readmit(user, user_role, lasting) for user, user_role in users]
    answer = results[0] | ({"also": results[1:]} if also else {})
    return answer, [
        f"{each['name']} ({each['role']}) {'made' if each['made'] else 'admitted again'}; "
        f"password, shown this once: {each['password']}"
        for each in results
    ]


def _create_or_readmit(name: str, role: str, lasting: bool) -> dict[str, Any]:
    """Create one user, or admit them again; their first password is only in the answer.

    Raises:
        click.UsageError: there is no such role, or the name is not valid.
    """
    from axes.utils import reset
    from django.core.exceptions import ValidationError

    from payeewatch.triage.access.passwords import give_password
    from payeewatch.triage.models import User
    from payeewatch.triage.records import audit
    from payeewatch.triage.roles import Role

    if role not in Role.values:
        raise click.UsageError(f"--role {role}: there is no such role; there are {', '.join(Role.values)}")
    user = User.objects.filter(username=name).first() or User(username=name)
    is_new = user.pk is None
    user.take_over()
    user.role, user.is_active = role, True
    password = give_password(user)
    user.must_change_password = not lasting
    try:
        user.full_clean()
    except ValidationError as error:
        raise click.UsageError(f"{name!r}: {' '.join(error.messages)}") from error
    user.save()
    reset(username=name)
    audit.record(None, "make_user" if is_new else "readmit_user", name=name, role=role)
    return {"name": name, "role": role, "password": password, "made": is_new}


@command("triage-token")
@click.argument("name")
@click.option("--scopes", default="", help="What it may do: flags, runs, health, tokens; several with commas.")
@click.option("--revoke", is_flag=True, help="Instead: the system's token opens nothing from now on.")
def triage_token(settings: Settings, name: str, scopes: str, revoke: bool) -> Answer:
    """Make a token with which another system uses the API or reads the metrics, and print it. It replaces an older one.

    Example: payeewatch triage-token payments --scopes flags,runs
    """
    start(settings)
    from payeewatch.triage.access import api_tokens
    from payeewatch.triage.identifying import looks_identifying

    if revoke:
        if not api_tokens.revoke(name):
            raise click.UsageError(f"{name}: there is no such token")
        return {"name": name, "revoked": True}, [f"{name} opens nothing from now on"]
    if looks_identifying(name):
        raise click.UsageError("a system's name is in the audit log for good: take one without so many digits")
    chosen_scopes = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    if not chosen_scopes or set(chosen_scopes) - set(api_tokens.SCOPES):
        raise click.UsageError(f"--scopes {scopes!r}: name some of {', '.join(api_tokens.SCOPES)}")
    token = api_tokens.make(name, chosen_scopes)
    return {"name": name, "scopes": chosen_scopes, "token": token}, [
        f"{name} ({', '.join(chosen_scopes)}); shown this once: {token}"
    ]


@command("holds")
@click.option("--on", type=DAY, metavar="D", help="The day, such as 2024-12-31; the insurer's own today if not given.")
def holds(settings: Settings, on: date | None) -> Answer:
    """Print what people hold on a day, in the form of holds/current.csv, which says it of now.

    Example: payeewatch holds --on 2024-12-31
    """
    start(settings)
    from payeewatch.pipeline.home.hold_files import holds_text
    from payeewatch.triage import clock
    from payeewatch.triage.exchange.current_holds import first_day, holds_on

    day = on or clock.today()
    if day < first_day():
        raise click.UsageError(
            f"--on {day}: decisions of days before {first_day()} are purged; name that day or a later one"
        )
    rows = holds_on(day)
    return {"on": day, "holds": [asdict(row) for row in rows]}, holds_text(rows).splitlines()


@command("audit")
@click.argument("what", type=click.Choice(["verify", "accept-break", "accept-rows"]))
@click.option("--noted", default="", metavar="HEAD", help="The head an earlier check printed: is it still in the log?")
@click.option("--reason", default="", metavar="TEXT", help="Of accept-...: why; it stays in the log for good.")
def audit(settings: Settings, what: str, noted: str, reason: str) -> Answer:
    """Walk the whole audit log: was anything edited, added, deleted or cut off? Prints its head, to be noted elsewhere.

    `accept-break` records that you know why the end of the log did not fit its head, such as a restored backup. Until
    then `verify` ends with 16 and the health page answers 503. `accept-rows` does the same for rows of users, decisions
    and holds that the application did not write or delete: they count as they are from then on.

    Example: payeewatch audit verify
    """
    if noted and not re.fullmatch("[0-9]+:[0-9a-f]{64}", noted):
        raise click.UsageError("--noted must be a head that an earlier check printed: <number>:<64 hexadecimal digits>")
    if (what != "verify") != bool(reason):
        raise click.UsageError("accept-break and accept-rows need --reason TEXT, and verify takes none")
    start(settings)
    return _verify(noted) if what == "verify" else _accept(what, reason)


def _accept(what: str, reason: str) -> Answer:
    """Accept the open breaks of the audit log, or the rows that the application did not write.

    Raises:
        click.UsageError: there is nothing to accept, or the reason is too long or looks like somebody's number.
    """
    from payeewatch.triage.identifying import looks_identifying
    from payeewatch.triage.records.audit import accept_breaks
    from payeewatch.triage.records.rows_of_others import accept_rows

    if len(reason) > LONGEST_REASON or looks_identifying(reason):
        raise click.UsageError(
            f"--reason is in the audit log for good: at most {LONGEST_REASON} characters, without an account or a "
            "national id"
        )
    if what == "accept-rows":
        rows = accept_rows(reason)
        if not rows:
            raise click.UsageError("every row of users, decisions and holds is as the application left it")
        return {"accepted": rows, "reason": reason}, [f"accepted: {', '.join(rows)}"]
    breaks = accept_breaks(reason)
    if not breaks:
        raise click.UsageError("the audit log has no open break; payeewatch audit verify says what is wrong with it")
    numbers = ", ".join(map(str, breaks))
    return {"accepted": breaks, "reason": reason}, [f"accepted: the break named by record {numbers}"]


def _verify(noted: str) -> Answer:
    """Check the whole chain.

    Raises:
        AuditBroken: something is wrong with it.
    """
    from payeewatch.triage.records.audit import verify

    check = verify(noted)
    accepted = [f"record {each.number}: {each.what}" for each in check.accepted]
    if check.findings:
        shown = check.findings[:SHOWN_FINDINGS]
        findings = "; ".join(f"record {each.number}: {each.what}" if each.number else each.what for each in shown)
        raise AuditBroken(f"{len(check.findings)} findings in {check.records} records: {findings}")
    lines = [f"up to record {check.records}, all are as they were written", f"head {check.head}"]
    return {"records": check.records, "head": check.head, "accepted_breaks": accepted}, [
        *lines,
        *(f"accepted break: {each}" for each in accepted),
    ]
