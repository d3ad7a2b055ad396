"""What the application stores: nights and their flags as published, and what people did about them.

Internal numbers (member, household, payee) are exactly those of the feed; accounts are keyed tokens with a hint.
Originals are only in the vault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from payeewatch.triage.frozen import FrozenRows
from payeewatch.triage.identifying import looks_identifying, looks_like
from payeewatch.triage.language import phrases
from payeewatch.triage.roles import Role
from payeewatch.triage.seals import Sealed, SealedRows
from payeewatch.triage.verdict_codes import ALL_REASONS, Confidence, EvidenceKind, Verdict

LONGEST_ID = 1000
"""The longest of the insurer's own numbers, as the data contract has it."""


class Users(UserManager.from_queryset(SealedRows)):  # type: ignore[misc]
    """Django's own users, in rows with seals."""

    use_in_migrations = False


class User(Sealed, AbstractUser):
    """Somebody who signs in. `member_id` and `household_id` are the user's own numbers, if the user is insured here."""

    SEALED = (
        "username", "password", "role", "is_active", "is_superuser", "member_id", "household_id", "subject",
        "must_change_password", "sessions_ended",
    )  # fmt: skip

    class Theme(models.TextChoices):
        AUTO = "auto", _("As the device")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    role = models.CharField(_("role"), max_length=20, choices=Role, default=Role.REVIEWER)
    language = models.CharField(
        _("language"), max_length=2, choices=[("en", "English"), ("fr", "Français")], default="en"
    )
    theme = models.CharField(_("theme"), max_length=5, choices=Theme, default=Theme.AUTO)
    member_id = models.CharField(_("own member number"), max_length=LONGEST_ID, blank=True)
    household_id = models.CharField(_("own household number"), max_length=LONGEST_ID, blank=True)
    must_change_password = models.BooleanField(default=False)
    subject = models.CharField(max_length=255, blank=True)  # the user's id at the single sign-on, once it was used
    sessions_ended = models.IntegerField(default=0)  # raised to end all sessions of the user

    objects: ClassVar[Any] = Users()

    is_settled = False  # whether this request passed all checks before the menu; `access/route.py` sets it
    is_verified: Callable[[], bool]  # by the second factor; django_otp's middleware sets it

    def __str__(self) -> str:
        return self.username

    def clean(self) -> None:
        """Refuse a name that looks like an identity, as the log stores names for ever, or like another user's."""
        super().clean()
        if looks_identifying(self.username):
            raise ValidationError({"username": _("This looks like an account or a national id. Take another name.")})
        others = User.objects.exclude(pk=self.pk).values_list("username", flat=True)
        if self.pk is None and looks_like(self.username) in {looks_like(other) for other in others}:
            raise ValidationError({"username": _("Another user's name looks the same. Take another name.")})

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """A session is valid for one password and one role, until it is ended. Django compares this on each request."""
        bound_to = f"{self.password}|{self.role}|{self.sessions_ended}"
        return salted_hmac("triage.User.session", bound_to, secret=secret, algorithm="sha256").hexdigest()


class AccessChange(Sealed):
    """What an administrator asked for about a senior reviewer or an administrator, until another one confirms it."""

    SEALED = ("person_id", "what", "role", "by_id", "at")

    class What(models.TextChoices):
        MAKE = "make-user", _("Make the user")
        ROLE = "change-role", _("Give this role")
        ADMIT = "admit-user", _("Give access again")
        PASSWORD = "new-password", _("Give a new password")
        FACTOR = "reset-second-factor", _("Reset the second factor")

    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="access_changes")
    what = models.CharField(max_length=30, choices=What)
    role = models.CharField(max_length=20, choices=Role, blank=True)  # of a change of the role
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "what"], name="one_access_change")]  # noqa: RUF012


class Night(Sealed):
    """A night as published. `digest` is of the files it was read from: the same files are not read again."""

    SEALED = ("night", "digest", "published_at")

    night = models.DateField(primary_key=True)
    digest = models.CharField(max_length=64)
    published_at = models.DateTimeField()
    run = models.JSONField()  # runs/<night>.json


class Flag(Sealed):
    """A change that people must review: what the last night published about it, and the state of the work."""

    SEALED = (
        "flag_id", "change_id", "derived", "member_id", "household_id", "payee_id", "payee_type", "account",
        "account_hint", "account_before", "actor_id", "queue", "origin", "rank", "score", "p_value",
        "p_value_uncorrected", "amount_at_risk", "amount_paid", "first_payment_on", "first_flagged_on", "night_id",
        "is_current", "model", "model_version", "run_id", "headline", "headline_reason", "breach_ids", "ring",
        "ring_size", "ring_by_hand", "place", "is_rarity_shown", "evidence_digest", "facts_digest", "frozen_digest",
        "state", "claimed_by_id", "claimed_until", "assigned_to_id", "snoozed_until", "snoozed_p_value",
        "snoozed_at_risk", "woken_by", "is_escalated", "opened_at", "closed_at", "verdict", "duplicate_of_id",
        "needs_second_look", "version",
    )  # fmt: skip

    is_without_own = False  # not stored: `hide` of `access/household.py` sets it for the user of a page
    # not stored: what a row of the queue shows in addition; `as_row` of `views/queue.py` sets it
    is_blind: bool
    is_done: bool
    is_soon: bool
    holder: User | None
    euros: str
    whose: str
    leaves: str
    age: str
    why: str
    chips: list[tuple[str, str]]

    class State(models.TextChoices):
        NEW = "new", _("New")
        SNOOZED = "snoozed", _("Snoozed")
        AWAITING_MEMBER = "awaiting_member", _("Awaiting the member")
        AWAITING_BANK = "awaiting_bank", _("Awaiting the bank")
        SUPPRESSED = "suppressed", _("Suppressed")
        PROPOSED = "proposed", _("To approve")
        RETURNED = "returned", _("Returned")
        REOPENED = "reopened", _("Reopened")
        CLOSED = "closed", _("Closed")
        EXPIRED = "expired", _("Expired")

    class Queue(models.TextChoices):
        HOLD = "hold", _("Hold")
        REVIEW = "review", _("Review")
        AUDIT = "audit", _("Audit sample")

    class Origin(models.TextChoices):
        NIGHT = "night", _("A night")
        BY_HAND = "by_hand", _("By hand")

    class WokenBy(models.TextChoices):
        NEW_EVIDENCE = "new_evidence", _("New evidence")
        MORE_UNUSUAL = "more_unusual", _("More unusual than before")
        MORE_AT_RISK = "more_at_risk", _("More money at risk than before")
        DATE_CAME = "date_came", _("The date came")

    flag_id = models.CharField(primary_key=True, max_length=40)
    change_id = models.CharField(max_length=LONGEST_ID, db_index=True)
    derived = models.BooleanField()
    member_id = models.CharField(max_length=LONGEST_ID, null=True, db_index=True)
    household_id = models.CharField(max_length=LONGEST_ID, null=True)
    payee_id = models.CharField(max_length=LONGEST_ID, db_index=True)
    payee_type = models.CharField(max_length=20)
    account = models.CharField(max_length=100, db_index=True)
    account_hint = models.CharField(max_length=200)
    account_before = models.CharField(max_length=100, blank=True, db_index=True)  # empty: a first account
    actor_id = models.CharField(max_length=LONGEST_ID, blank=True, db_index=True)  # who entered the change, if known
    queue = models.CharField(max_length=10, choices=Queue)
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.NIGHT)  # who opened it first; it stays
    rank = models.IntegerField()
    score = models.FloatField()
    p_value = models.FloatField()
    p_value_uncorrected = models.FloatField(null=True)  # without what the model learned from verdicts
    amount_at_risk = models.DecimalField(max_digits=18, decimal_places=2)
    amount_paid = models.DecimalField(max_digits=18, decimal_places=2)
    first_payment_on = models.DateField(null=True)
    first_flagged_on = models.DateField()
    night = models.ForeignKey(Night, on_delete=models.PROTECT)  # the last night that had the flag
    is_current = models.BooleanField(default=True)  # in the queue of the last night, or opened by hand
    model = models.CharField(max_length=100)
    model_version = models.CharField(max_length=50)
    run_id = models.CharField(max_length=64)
    headline = models.JSONField(default=dict)  # the strongest reason as published
    headline_reason = models.TextField(blank=True)  # its sentence
    breach_ids = models.JSONField(default=list)  # ids of the breach lists that the member is on
    ring = models.CharField(max_length=40, db_index=True)  # of the flags tied together: the smallest flag_id
    ring_size = models.IntegerField(default=1)
    ring_by_hand = models.CharField(max_length=40, blank=True)  # the flag whose ring people put it into; itself: alone
    place = models.IntegerField(default=0)  # on the lists: like `rank`, but the audit sample is mixed with review
    is_rarity_shown = models.BooleanField(default=False)  # while open; of enough others it is not, to hide the sample
    evidence_digest = models.CharField(max_length=64)  # of all that is shown
    facts_digest = models.CharField(max_length=64)  # of what happened only: when it changes, there is new evidence
    frozen_digest = models.CharField(max_length=64, blank=True)  # of all rows of its evidence: `frozen.py`

    state = models.CharField(max_length=20, choices=State, default=State.NEW, db_index=True)
    claimed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="claimed")
    claimed_until = models.DateTimeField(null=True)
    assigned_to = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="assigned")
    snoozed_until = models.DateField(null=True)  # or suppressed until
    snoozed_p_value = models.FloatField(null=True)  # when snoozed until more unusual: a smaller p-value wakes it
    snoozed_at_risk = models.DecimalField(max_digits=18, decimal_places=2, null=True)
    woken_by = models.CharField(max_length=20, blank=True, choices=WokenBy)  # why it came back
    is_escalated = models.BooleanField(default=False)
    opened_at = models.DateTimeField()  # when it was first published here
    closed_at = models.DateTimeField(null=True)
    verdict = models.CharField(max_length=20, blank=True, choices=Verdict)
    duplicate_of = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="duplicates", db_index=False
    )
    needs_second_look = models.BooleanField(default=False)
    version = models.IntegerField(default=1)  # counts every change that anybody makes

    is_waiting = models.GeneratedField(  # for a day or an approval: those come last on the lists
        expression=models.Case(
            models.When(state__in=(State.PROPOSED, State.SNOOZED, State.SUPPRESSED), then=True),
            default=False,
        ),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    in_work = models.GeneratedField(  # open; and of the last night, or work on it has begun
        expression=models.Case(
            models.When(state__in=(State.CLOSED, State.EXPIRED), then=False),
            models.When(is_current=False, state=State.NEW, then=False),
            default=True,
        ),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    class Meta:
        indexes = [  # noqa: RUF012
            models.Index(
                fields=["is_waiting", "place", "flag_id"], condition=models.Q(in_work=True), name="flag_in_work"
            ),
            models.Index(fields=["first_payment_on"], condition=models.Q(is_current=True), name="flag_current"),
            models.Index(fields=["state", "closed_at"], name="flag_closed"),
            models.Index(fields=["queue", "state"], name="flag_queue"),
            models.Index(fields=["first_flagged_on", "queue", "state", "verdict"], name="flag_flagged_on"),
            models.Index(fields=["state"], condition=models.Q(needs_second_look=True), name="flag_second_look"),
            models.Index(
                fields=["duplicate_of"], condition=models.Q(duplicate_of__isnull=False), name="flag_duplicate"
            ),
        ]
        constraints = [  # noqa: RUF012
            models.CheckConstraint(
                name="claim_is_whole",
                condition=models.Q(claimed_by__isnull=False, claimed_until__isnull=False)
                | models.Q(claimed_by__isnull=True),
            )
        ]

    @property
    def is_rarity_hidden(self) -> bool:
        """Whether its rarity is not shown, because it would tell the audit sample from the flags to review."""
        return self.queue != Flag.Queue.HOLD and not self.is_rarity_shown and self.state in OPEN

    @property
    def first_reason(self) -> str:
        """The strongest reason, in the user's language."""
        return phrases.finding(self.headline or {"sentence": self.headline_reason})


OPEN = frozenset(Flag.State) - {Flag.State.CLOSED, Flag.State.EXPIRED}


WORKABLE = OPEN - {Flag.State.PROPOSED}
"""A proposal waits for its approver; nobody else works on it."""


class Evidence(models.Model):
    """What reviewers saw of a flag, frozen: one row each time a night's evidence differs from the last.

    `body` has timeline, before, after, neighbours, benign_checks, reasons, reassuring, exposures as published.
    """

    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="evidence")
    night = models.DateField()
    digest = models.CharField(max_length=64)
    body = models.JSONField()
    body_digest = models.CharField(max_length=64, blank=True, editable=False)  # of the body as it is stored

    objects: ClassVar[Any] = FrozenRows.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flag", "night", "digest"], name="evidence_once")]  # noqa: RUF012
        indexes = [  # noqa: RUF012  # all but the body
            models.Index(fields=["flag", "night", "id", "digest", "body_digest"], name="evidence_frozen")
        ]


class CaseRequest(Sealed):
    """Somebody asked to open a case by hand: a change whose evidence the pipeline must freeze first."""

    SEALED = ("change_id", "member_id", "household_id", "payee_id", "by_id", "at", "reason", "state", "why", "flag_id")

    class State(models.TextChoices):
        WAITING = "waiting"
        OPENED = "opened"
        REFUSED = "refused"

    class Why(models.TextChoices):
        UNKNOWN = "unknown"
        NOT_MEASURED = "not_measured"
        DAMAGED = "damaged"

    change_id = models.CharField(max_length=LONGEST_ID, db_index=True)
    member_id = models.CharField(max_length=LONGEST_ID, null=True)
    household_id = models.CharField(max_length=LONGEST_ID, null=True)
    payee_id = models.CharField(max_length=LONGEST_ID)
    by = models.ForeignKey(User, on_delete=models.PROTECT)
    at = models.DateTimeField()
    reason = models.TextField(blank=True)  # until it is the flag's first note
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    why = models.CharField(max_length=20, blank=True, choices=Why)  # of a refusal
    tries = models.IntegerField(default=0)  # how often its answer was damaged
    last_exit = models.IntegerField(null=True)  # the exit code of the process that last tried to answer, if not 0
    flag = models.ForeignKey(Flag, null=True, on_delete=models.CASCADE, related_name="case_requests")

    class Meta:
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(
                fields=["change_id", "by"], condition=models.Q(state="waiting"), name="one_request_waits"
            )
        ]


class Step(Sealed):
    """One thing a person did to a flag. A form contains the id of its step, so that a form sent twice acts once.

    `before` has the earlier values of the flag's fields, for undo.
    """

    SEALED = ("step_id", "flag_id", "user_id", "action", "at", "before", "version_after", "undone_at")

    step_id = models.UUIDField(primary_key=True)
    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="steps")
    user = models.ForeignKey(User, on_delete=models.PROTECT)
    action = models.CharField(max_length=20)
    at = models.DateTimeField()
    before = models.JSONField()
    version_after = models.IntegerField()
    undone_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["at"], name="step_at")]  # noqa: RUF012


class Decision(Sealed):
    """What somebody decided about a flag. If it needs an approval, it is pending until somebody else approves it."""

    SEALED = (
        "flag_id", "step_id", "kind", "state", "by_id", "at", "change_id", "facts_digest", "verdict", "reason_code",
        "until", "approver_id", "decided_at", "evidence_digest", "evidence_kind", "confidence", "duplicate_of_id",
        "loss_paid", "loss_prevented", "loss_recovered", "note", "returned_because", "handed_over_at",
    )  # fmt: skip

    class Kind(models.TextChoices):
        VERDICT = "verdict", _("Verdict")
        RELEASE = "release", _("Release of a hold")
        EXTEND = "extend", _("Longer hold")
        SUPPRESS = "suppress", _("Suppression")
        REOPEN = "reopen", _("Reopening")
        PUT_RIGHT = "put_right", _("Account put right")
        SECOND_LOOK = "second_look", _("Second look")

    class State(models.TextChoices):
        PENDING = "pending", _("To approve")
        IN_FORCE = "in_force", _("In force")
        RETURNED = "returned", _("Returned")
        VOID = "void", _("Void: the evidence changed")
        UNDONE = "undone", _("Undone")
        REPLACED = "replaced", _("Replaced by a later one")

    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="decisions")
    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="decisions")
    kind = models.CharField(max_length=20, choices=Kind)
    state = models.CharField(max_length=10, choices=State)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="decisions")
    at = models.DateTimeField()
    change_id = models.CharField(max_length=LONGEST_ID)  # at that time: an announced one may replace a derived one
    evidence_digest = models.CharField(max_length=64)  # of what the person saw
    facts_digest = models.CharField(max_length=64)  # when this changes, the decision becomes void
    verdict = models.CharField(max_length=20, blank=True, choices=Verdict)
    reason_code = models.CharField(max_length=10, blank=True, choices=ALL_REASONS)
    evidence_kind = models.CharField(max_length=30, blank=True, choices=EvidenceKind)
    confidence = models.SmallIntegerField(null=True, choices=Confidence)
    duplicate_of = models.ForeignKey(Flag, null=True, on_delete=models.SET_NULL, related_name="+")
    loss_paid = models.DecimalField(max_digits=18, decimal_places=2, null=True)  # of fraud and of a stopped attempt
    loss_prevented = models.DecimalField(max_digits=18, decimal_places=2, null=True)
    loss_recovered = models.DecimalField(max_digits=18, decimal_places=2, null=True)
    until = models.DateField(null=True)  # of a suppression or a longer hold
    note = models.TextField(blank=True)
    approver = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="approvals")
    decided_at = models.DateTimeField(null=True)  # when it came into force, was returned or became void
    returned_because = models.TextField(blank=True)
    handed_over_at = models.DateTimeField(null=True)  # when it was written into outcomes/

    class Meta:
        indexes = [  # noqa: RUF012
            models.Index(fields=["state", "kind"], name="decision_state"),
            models.Index(
                fields=["decided_at"], condition=models.Q(handed_over_at__isnull=True), name="decision_to_hand_over"
            ),
        ]


class Hold(Sealed):
    """A hold of one payment; if `payment_id` is empty, of all later payments of the payee to the account."""

    SEALED = (
        "flag_id", "payment_id", "payee_id", "account", "change_id", "old_change_id", "amount", "hold_until", "state",
        "by_id", "at", "is_extended", "renewals", "handed_over_at",
    )  # fmt: skip

    class State(models.TextChoices):
        PROPOSED = "proposed", _("Proposed by the night")
        HELD = "held", _("Held")
        RELEASED = "released", _("Released")
        EXPIRED = "expired", _("Expired")

    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="holds")
    payment_id = models.CharField(max_length=LONGEST_ID, blank=True)
    payee_id = models.CharField(max_length=LONGEST_ID)
    account = models.CharField(max_length=100)
    change_id = models.CharField(max_length=LONGEST_ID)
    old_change_id = models.CharField(max_length=LONGEST_ID, blank=True)
    amount = models.DecimalField(max_digits=18, decimal_places=2, null=True)
    hold_until = models.DateField(null=True)  # its last day; none while it stands behind a confirmed fraud
    state = models.CharField(max_length=10, choices=State)
    by = models.ForeignKey(User, null=True, on_delete=models.PROTECT)
    at = models.DateTimeField()
    is_extended = models.BooleanField(default=False)
    renewals = models.SmallIntegerField(default=0)  # how often it was renewed while a fraud waited for approval
    handed_over_at = models.DateTimeField(null=True)  # when it was written, as it stands, into holds/ or releases/

    class Meta:
        ordering = ("pk",)
        constraints = [models.UniqueConstraint(fields=["flag", "payment_id"], name="one_hold_a_payment")]  # noqa: RUF012
        indexes = [  # noqa: RUF012
            models.Index(fields=["state", "hold_until"], name="hold_end"),
            models.Index(fields=["at"], condition=models.Q(handed_over_at__isnull=True), name="hold_to_hand_over"),
        ]


class Note(Sealed):
    """Something a reviewer wrote down about a flag."""

    SEALED = ("flag_id", "step_id", "by_id", "at", "text")

    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="notes")
    step = models.ForeignKey(Step, on_delete=models.CASCADE, null=True, related_name="notes")  # undone with it
    by = models.ForeignKey(User, on_delete=models.PROTECT)
    at = models.DateTimeField()
    text = models.TextField()


class MisleadingReason(models.Model):
    """That a reason of a flag misleads, as a reviewer told the data scientists: once per reason and reviewer."""

    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="misleading_reasons")
    feature = models.CharField(max_length=100)
    by = models.ForeignKey(User, on_delete=models.PROTECT)
    at = models.DateTimeField()
    text = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flag", "feature", "by"], name="misleads_once")]  # noqa: RUF012


class Attachment(Sealed):
    """A file about a flag, in triage/attachments of the home, under a random name; always sent as a download."""

    SEALED = ("flag_id", "by_id", "at", "name", "stored_as", "content_type", "size", "digest")

    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="attachments")
    by = models.ForeignKey(User, on_delete=models.PROTECT)
    at = models.DateTimeField()
    name = models.CharField(max_length=200)
    stored_as = models.CharField(max_length=64)
    content_type = models.CharField(max_length=100)
    size = models.BigIntegerField()
    digest = models.CharField(max_length=64)


class CaseFile(models.Model):
    """A flag's case file as PDF, locked after the flag was closed: the hash of its bytes is also in the audit log."""

    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="case_files")
    at = models.DateTimeField()
    by = models.ForeignKey(User, on_delete=models.PROTECT)
    stored_as = models.CharField(max_length=150)
    digest = models.CharField(max_length=64)


LONGEST_QUERY = 1000


class SavedFilter(models.Model):
    """A user's own filter of the queue."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="filters")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=LONGEST_QUERY)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="one_filter_a_name")]  # noqa: RUF012


class AuditRecord(models.Model):
    """One link of the audit log: who saw or did what. Rows are only added, by `records/audit.py`."""

    # not stored: what the log's page shows in addition; `audit_log` of `views/audit.py` sets it
    words: str
    note: Note | None

    number = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    user = models.CharField(max_length=150)  # the name at that time; a user may be deleted, the log stays
    role = models.CharField(max_length=20)
    action = models.CharField(max_length=40)
    flag_id = models.CharField(max_length=40, blank=True, db_index=True)
    details = models.JSONField(default=dict)
    rows = models.JSONField(null=True)  # the rows written with it: name -> mark, null if deleted (`listing.py`)
    mac = models.CharField(max_length=64)

    class Meta:
        indexes = [  # noqa: RUF012
            models.Index(fields=["user", "number"], name="audit_by_user"),
            models.Index(fields=["action", "number"], name="audit_by_action"),
            models.Index(fields=["at"], name="audit_by_day"),
            models.Index(fields=["number"], condition=models.Q(rows__isnull=False), name="audit_with_rows"),
        ]


class Tombstone(models.Model):
    """That something was purged: a keyed hash of what it was, so that it can be recognised but not read back."""

    token = models.CharField(max_length=64, primary_key=True)
    kind = models.CharField(max_length=20)
    purged_on = models.DateField()
    clock = models.CharField(max_length=40)  # which retention clock ended


class Tally(models.Model):
    """What remains of purged flags: counts per month or day, each by one coarse property.

    A row describes no single flag. `payeewatch.triage.figures.purged_totals` makes and reads them.
    """

    class Of(models.TextChoices):
        QUEUE = "queue", _("Queue")
        AMOUNT = "amount", _("Amount at risk")  # the number of digits of the whole euros
        HOURS = "hours", _("Time to verdict")  # at most so many
        SECOND = "second", _("Second look")  # what it found
        RELEASED = "released", _("Released")  # its `flags` are euros, rounded to one digit per flag
        CAME = "came", _("Flags in")  # by day and queue
        WENT = "went", _("Flags out")  # by day and verdict

    period = models.DateField()  # first day of the month in which they were first flagged; for CAME and WENT the day
    of = models.CharField(max_length=10, choices=Of)
    value = models.CharField(max_length=20, blank=True)
    verdict = models.CharField(max_length=20, blank=True)  # empty: nobody judged in time
    flags = models.IntegerField()

    class Meta:
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(fields=["period", "of", "value", "verdict"], name="one_tally_a_property")
        ]


class Notice(Sealed):
    """A notice on its way to a webhook or by mail, one per channel, tried until it is delivered.

    It tells of a night, of its warnings, of holds that were renewed or ended while a fraud waited for approval, or of
    holds and suppressions that end soon: `night` is then the day of that.
    """

    SEALED = ("channel", "kind", "night", "body", "made_at", "delivered_at")

    class Channel(models.TextChoices):
        WEBHOOK = "webhook", _("Webhook")
        MAIL = "mail", _("Mail")

    class Kind(models.TextChoices):
        NIGHT = "night"
        FAILED = "failed_night"
        LATE = "late_night"
        NOT_IMPORTED = "night_not_imported"
        LOOKS = "night_looks"
        HOLDS_RENEWED = "holds_renewed"
        HOLDS_ENDED = "holds_ended"
        HOLDS_ENDING = "holds_ending"
        SUPPRESSIONS_ENDING = "suppressions_ending"

    channel = models.CharField(max_length=10, choices=Channel)
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.NIGHT)
    night = models.DateField()
    body = models.JSONField()
    made_at = models.DateTimeField()
    tries = models.IntegerField(default=0)
    next_try_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(
                fields=["channel", "kind", "night"],
                condition=~models.Q(kind__startswith="holds_"),  # of holds, several may be sent on one day
                name="one_notice_of_a_kind",
            )
        ]


class ApiToken(Sealed):
    """A system that may read. The token itself is shown once, when it is made; only its keyed hash is stored."""

    SEALED = ("name", "digest", "scopes", "made_at", "revoked_at")

    name = models.CharField(max_length=60, unique=True)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField()
    made_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    minute = models.DateTimeField(null=True)  # the minute of the last request
    used = models.IntegerField(default=0)  # how many requests there were in that minute


def is_own_household(flag: Any, user: User) -> bool:
    """Whether a flag (or a scored change) is about the user or the user's household: nobody reviews those."""
    own_member = bool(user.member_id) and user.member_id == flag.member_id
    return own_member or (bool(user.household_id) and user.household_id == flag.household_id)
