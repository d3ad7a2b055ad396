"""Django's settings. Where things are comes from the environment as for every command; docs/running.md lists it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import dj_database_url
from csp.constants import NONCE, NONE, SELF
from django.contrib.messages import constants as messages
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access.oidc import Provider
from payeewatch.triage.roles import Role

HERE = Path(__file__).resolve().parent
PAYEEWATCH = Settings.load() if os.environ.get("PAYEEWATCH_HOME") else None
for role in PAYEEWATCH.params.triage.totp_roles if PAYEEWATCH else ():
    if role not in Role.values:
        raise SettingsError(f"params.yaml: 'triage.totp_roles' has {role!r}; there are {', '.join(Role.values)}")


def _secret() -> str:
    """Signs sessions: made from the audit key, so that there is no fourth secret to keep."""
    if PAYEEWATCH is None or not PAYEEWATCH.key_file.exists():
        return secrets.token_hex(32)
    return hmac.new(Keys.load(PAYEEWATCH.key_file).audit, b"triage sessions", hashlib.sha256).hexdigest()


def _text_of(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip() if path else ""


SECRET_KEY = _secret()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("PAYEEWATCH_TRIAGE_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [o for o in os.environ.get("PAYEEWATCH_TRIAGE_ORIGINS", "").split(",") if o]
ROOT_URLCONF = "payeewatch.triage.urls"
WSGI_APPLICATION = "payeewatch.triage.wsgi.application"
AUTH_USER_MODEL = "triage.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "payeewatch.triage",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "django_filters",
    "django_htmx",
    "csp",
]
MIDDLEWARE = [
    "payeewatch.triage.server.metrics.RequestTimes",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "payeewatch.triage.middleware.SessionLimits",
    "payeewatch.triage.middleware.UserChoices",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "payeewatch.triage.middleware.OnlyText",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["payeewatch.triage.access.pseudonyms", "payeewatch.triage.language.phrases"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "payeewatch.triage.middleware.page_context",
                "payeewatch.triage.views.queue.badges",
            ],
        },
    }
]

DATABASES = {
    "default": dj_database_url.config(
        default=f"sqlite:///{PAYEEWATCH.folder('triage') / 'triage.sqlite3'}" if PAYEEWATCH else "sqlite://:memory:",
        conn_max_age=60,
    )
}
IS_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
if IS_SQLITE:
    DATABASES["default"]["OPTIONS"] = {
        # FULL: no verdict and no record of the audit log is lost in a power cut; a commit takes about 4 ms longer
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000;",
    }
else:
    # whoever holds a lock for ever would stop all work without a word: this is an error in the server's log
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("options", "-c lock_timeout=60s")

PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "payeewatch.triage.access.passwords.NotGuessable"},
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "payeewatch.triage.access.known_users.KnownUsers"]
LOGIN_URL = LOGOUT_REDIRECT_URL = LOGIN_REDIRECT_URL_FAILURE = "sign-in"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_HANDLER = "payeewatch.triage.access.lock_out.LockOut"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # who only tries on does not keep the user out
AXES_LOCKOUT_CALLABLE = "payeewatch.triage.views.account.locked_out"
AXES_CLIENT_IP_CALLABLE = "payeewatch.triage.access.sessions.address"
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True  # the audit log has it
AXES_NEVER_LOCKOUT_GET = True  # of GETs only single sign-on fails, and the provider counts that
OTP_TOTP_ISSUER = "PayeeWatch"

OIDC = Provider.from_environment(os.environ)
if OIDC:
    AUTHENTICATION_BACKENDS.append("payeewatch.triage.views.oidc.SignOn")
    globals().update(OIDC.settings())

IS_HTTPS = os.environ.get("PAYEEWATCH_TRIAGE_HTTPS", "") == "1"
COOKIE_PREFIX = "__Host-" if IS_HTTPS else ""
SESSION_ENGINE = "payeewatch.triage.access.hashed_sessions"
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_AGE = 3600 * (PAYEEWATCH.params.triage.session_hours if PAYEEWATCH else 10)
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrftoken"
CSRF_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_NAME = f"{COOKIE_PREFIX}language"
STEP_COOKIE_NAME = f"{COOKIE_PREFIX}last-step"  # the last step of the user, while it can be undone
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS else None
SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_REDIRECT_EXEMPT = [
    "^health$",
    "^metrics$",
    "^api/",
]  # asked on the machine itself; refused where a token is sent
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_HTTPS
SILENCED_SYSTEM_CHECKS = ["security.W021"]  # browsers' public list of names is not for an inner one
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "object-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "font-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

WEBHOOK_URL = os.environ.get("PAYEEWATCH_WEBHOOK_URL", "")
WEBHOOK_SECRET_FILE = os.environ.get("PAYEEWATCH_WEBHOOK_SECRET_FILE", "")
MAIL_TO = [each.strip() for each in os.environ.get("PAYEEWATCH_MAIL_TO", "").split(",") if each.strip()]
DEFAULT_FROM_EMAIL = os.environ.get("PAYEEWATCH_MAIL_FROM", "payeewatch@localhost")
EMAIL_HOST = os.environ.get("PAYEEWATCH_SMTP_HOST", "localhost")
EMAIL_PORT = int(os.environ.get("PAYEEWATCH_SMTP_PORT", "25"))
EMAIL_USE_TLS = os.environ.get("PAYEEWATCH_SMTP_TLS", "") == "1"
EMAIL_HOST_USER = os.environ.get("PAYEEWATCH_SMTP_USER", "")
EMAIL_HOST_PASSWORD = _text_of(os.environ.get("PAYEEWATCH_SMTP_PASSWORD_FILE", ""))
EMAIL_TIMEOUT = 10
ADDRESS = os.environ.get("PAYEEWATCH_TRIAGE_URL", "").rstrip("/")  # as people reach it, for links in notices

MESSAGE_TAGS = {messages.INFO: "", messages.SUCCESS: "good", messages.WARNING: "warn", messages.ERROR: "bad"}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("fr", _("French"))]
LOCALE_PATHS = [HERE / "locale"]
FORMAT_MODULE_PATH = ["payeewatch.triage.formats"]
USE_TZ = True
TIME_ZONE = PAYEEWATCH.params.timezone if PAYEEWATCH else "Europe/Paris"
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_ALLOW_ALL_ORIGINS = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
