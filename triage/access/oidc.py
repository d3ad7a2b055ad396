"""Single sign-on by OpenID Connect, off without an issuer: the insurer's provider, as the environment describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.triage.roles import Role

PREFIX = "PAYEEWATCH_OIDC_"
REQUIRED = ("AUTHORIZE_URL", "TOKEN_URL", "USERINFO_URL", "KEYS_URL", "CLIENT_ID", "SECRET_FILE")


@dataclass(frozen=True)
class Provider:
    """A provider, and how its claims become a user and a role. `roles`: value of the role claim -> role."""

    issuer: str
    authorize_url: str
    token_url: str
    userinfo_url: str
    keys_url: str
    client_id: str
    secret: str = field(repr=False)
    username_claim: str = "preferred_username"
    role_claim: str = ""
    roles: Mapping[str, Role] = field(default_factory=dict)
    may_create: bool = False
    scopes: str = "openid profile"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Provider | None:
        """The provider that PAYEEWATCH_OIDC_* name, or None when there is no issuer.

        Raises:
            SettingsError: one is missing, the secret cannot be read, or a role does not exist.
        """
        values = {name: environ.get(PREFIX + name, "") for name in ("ISSUER", *REQUIRED)}
        if not values["ISSUER"]:
            return None
        for name in REQUIRED:
            if not values[name]:
                raise SettingsError(f"{PREFIX}{name} is not set; with {PREFIX}ISSUER, single sign-on needs it")
        if find_spec("mozilla_django_oidc") is None:
            raise SettingsError(f"{PREFIX}ISSUER is set; single sign-on needs the extra: pip install payeewatch[sso]")
        roles = _roles(environ.get(PREFIX + "ROLES", ""))
        claim, may_create = environ.get(PREFIX + "ROLE_CLAIM", ""), environ.get(PREFIX + "CREATE", "") == "1"
        if bool(claim) != bool(roles):
            raise SettingsError(f"{PREFIX}ROLE_CLAIM and {PREFIX}ROLES go together; one of them is not set")
        if may_create and not claim:
            raise SettingsError(f"{PREFIX}CREATE is 1; users it makes get their role from {PREFIX}ROLE_CLAIM: set it")
        return cls(
            issuer=values["ISSUER"],
            authorize_url=values["AUTHORIZE_URL"],
            token_url=values["TOKEN_URL"],
            userinfo_url=values["USERINFO_URL"],
            keys_url=values["KEYS_URL"],
            client_id=values["CLIENT_ID"],
            secret=_secret(Path(values["SECRET_FILE"])),
            username_claim=environ.get(PREFIX + "USERNAME_CLAIM") or cls.username_claim,
            role_claim=claim,
            roles=roles,
            may_create=may_create,
            scopes=environ.get(PREFIX + "SCOPES") or cls.scopes,
        )

    def settings(self) -> dict[str, object]:
        """Django's settings for the library that implements the protocol."""
        return {
            "OIDC_OP_AUTHORIZATION_ENDPOINT": self.authorize_url,
            "OIDC_OP_TOKEN_ENDPOINT": self.token_url,
            "OIDC_OP_USER_ENDPOINT": self.userinfo_url,
            "OIDC_OP_JWKS_ENDPOINT": self.keys_url,
            "OIDC_RP_CLIENT_ID": self.client_id,
            "OIDC_RP_CLIENT_SECRET": self.secret,
            "OIDC_RP_SCOPES": self.scopes,
            "OIDC_RP_SIGN_ALGO": "RS256",
            "OIDC_USE_PKCE": True,
            "OIDC_TIMEOUT": 10,
            "OIDC_AUTHENTICATION_CALLBACK_URL": "sign-on-return",
        }

    def role_of(self, claims: Mapping[str, object]) -> Role | None:
        """The first role, in the order of `roles`, that the role claim names; the claim is one value or a list."""
        claim = claims.get(self.role_claim) or []
        claim_values = claim if isinstance(claim, list) else [claim]
        return next((role for value, role in self.roles.items() if value in claim_values), None)


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{PREFIX}SECRET_FILE is {path}; it cannot be read ({type(error).__name__})") from None


def _roles(text: str) -> dict[str, Role]:
    roles = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        value, _, role = pair.rpartition("=")
        if not value or role not in Role.values:
            raise SettingsError(
                f"{PREFIX}ROLES has {pair!r}; it must be <value>=<role>,... with {', '.join(Role.values)}"
            )
        roles[value] = Role(role)
    return roles
