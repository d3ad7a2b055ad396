"""The application as Django knows it: once it is ready, every action is registered."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig

ACTION_MODULES = ("actions", "verdicts", "holds", "approvals", "cases")
"""In the order in which their actions are offered."""


class Triage(AppConfig):
    """Reviewers' work."""

    name = "payeewatch.triage"
    verbose_name = "PayeeWatch"

    def ready(self) -> None:
        """Register the actions, and have deleted rows and sessions listed, and odd values seen."""
        import_module("django.db.backends.sqlite3.base")  # sets converters of its own
        import_module("payeewatch.triage.stored_forms").read_strictly()
        import_module("payeewatch.triage.seals").watch_deletions()
        import_module("payeewatch.triage.access.sessions")  # hears of every sign-in from here on
        for module in ACTION_MODULES:
            import_module(f"payeewatch.triage.work.{module}")
