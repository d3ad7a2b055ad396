"""Django's makemessages, which finds texts under the short names this code gives gettext too."""

from __future__ import annotations

from typing import ClassVar

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    """As Django's, in all else."""

    xgettext_options: ClassVar[list[str]] = [  # type: ignore[misc]  # Django declares no class variable
        *makemessages.Command.xgettext_options,
        "--keyword=say",
        "--keyword=later",
    ]
