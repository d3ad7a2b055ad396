"""An OpenID Connect provider for the tests: django-oauth-toolkit in a project of its own, users in memory.

    python provider.py '{"client_id": ..., "secret": ..., "return_to": ..., "people": {name: {"password", "groups"}}}'

It prints its address, and answers until it is ended.
"""

from __future__ import annotations

import json
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

given = json.loads(sys.argv[1])


class Quiet(WSGIRequestHandler):
    def log_message(self, *words):
        pass


key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
server = make_server("127.0.0.1", 0, None, handler_class=Quiet)
address = f"http://127.0.0.1:{server.server_port}"
settings.configure(
    SECRET_KEY="of the provider in the tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="provider_urls",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    (
                        "django.template.loaders.locmem.Loader",
                        {"login.html": "{% csrf_token %}{{ form }}"},
                    ),
                    "django.template.loaders.app_directories.Loader",
                ]
            },
        }
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    LOGIN_URL="/login",
    USE_TZ=True,
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": key.decode(),
        "OIDC_ISS_ENDPOINT": address,
        "OAUTH2_VALIDATOR_CLASS": "__main__.Claims",
        "PKCE_REQUIRED": True,
        "SCOPES": {"openid": "who you are", "profile": "your name"},
    },
)

import django  # noqa: E402

django.setup()

import types  # noqa: E402

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


class Claims(OAuth2Validator):
    """Says who signed in, and in which groups they are."""

    oidc_claim_scope = None

    def get_additional_claims(self, request):
        name = request.user.username
        return {"preferred_username": name, "groups": given["people"][name]["groups"]}


urls = types.ModuleType("provider_urls")
urls.urlpatterns = [
    path("login", LoginView.as_view(template_name="login.html")),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]
sys.modules["provider_urls"] = urls
call_command("migrate", verbosity=0)
for name, person in given["people"].items():
    get_user_model().objects.create_user(name, password=person["password"])
Application.objects.create(
    client_id=given["client_id"],
    client_secret=given["secret"],
    redirect_uris=given["return_to"],
    client_type=Application.CLIENT_CONFIDENTIAL,
    authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
    algorithm=Application.RS256_ALGORITHM,
    skip_authorization=True,
)
server.set_app(get_wsgi_application())
print(address, flush=True)
server.serve_forever()
