"""The application as a WSGI server calls it."""

from __future__ import annotations

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payeewatch.triage.settings")
application = get_wsgi_application()
gc.freeze()  # what is there now stays: it need not be looked through again and again, nor copied by each worker
