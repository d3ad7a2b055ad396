"""The process that answers requests: gunicorn, which reads no code from the folder that it is started in.

By itself it runs `gunicorn.conf.py` of that folder, and looks there first for whatever is imported. Whoever may write
there, such as into /tmp, could then read the keys.
"""

from __future__ import annotations

from gunicorn.app.wsgiapp import WSGIApplication


class WebProcess(WSGIApplication):
    """gunicorn with the settings of its command line alone."""

    def chdir(self) -> None:
        """Stay in the folder, because paths of the environment may be relative to it; do not import from it."""

    def load_config_from_file(self, filename: str) -> None:
        """Read no file of settings."""


if __name__ == "__main__":
    WebProcess("%(prog)s [OPTIONS] APP").run()
