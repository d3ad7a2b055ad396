"""Who may do what. Routes and actions name their roles; nothing else decides."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    """What a user is here for. A user has one role."""

    REVIEWER = "reviewer", _("Reviewer")
    SENIOR = "senior", _("Senior reviewer")
    SCIENTIST = "scientist", _("Data scientist")
    AUDITOR = "auditor", _("Auditor")
    ADMINISTRATOR = "administrator", _("Administrator")


REVIEWERS = frozenset({Role.REVIEWER, Role.SENIOR})
"""Who works flags."""
SENIORS = frozenset({Role.SENIOR})
READERS = frozenset({Role.REVIEWER, Role.SENIOR, Role.SCIENTIST, Role.AUDITOR})
"""Who sees flags; a data scientist sees pseudonyms only."""
NAMED_READERS = READERS - {Role.SCIENTIST}
"""Who sees the insurer's internal numbers, notes and attachments."""
MEASURERS = frozenset({Role.SCIENTIST, Role.SENIOR})
"""Who reads which reasons mislead."""
PROPOSERS = frozenset({Role.SCIENTIST})
"""Who proposes a version of the model as the champion."""
DECIDERS = frozenset({Role.SENIOR, Role.ADMINISTRATOR})
"""Who approves or refuses what somebody else proposed."""
MODEL_READERS = PROPOSERS | DECIDERS | {Role.AUDITOR}
AUDITORS = frozenset({Role.AUDITOR})
ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})
GUARDED = SENIORS | ADMINISTRATORS
"""Who is a second pair of eyes: such a user is made, or given a way in, by two administrators together."""
EVERYBODY = frozenset(Role)
"""Everybody who has signed in."""
ANYBODY: frozenset[Role] = frozenset()
"""No sign-in asked."""
