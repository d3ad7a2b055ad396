"""Single sign-on, tried against a real provider on loopback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.test import Client
from django.urls import path

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.triage import urls
from payeewatch.triage.access.oidc import Provider
from payeewatch.triage.access.route import guard
from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.roles import Role
from payeewatch.triage.views import oidc
from tests.triage.conftest import signed_in, user

PROVIDER = Path(__file__).parents[1] / "oidc_provider" / "provider.py"
PEOPLE = {
    "reviewer": {"password": "of the provider", "groups": ["staff", "fraud-team"]},
    "newcomer": {"password": "of the provider", "groups": ["fraud-lead"]},
    "outsider": {"password": "of the provider", "groups": ["staff"]},
}
urlpatterns = [*urls.urlpatterns, *(path(each.path, guard(each), name=each.name) for each in oidc.ROUTES)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A provider that runs."""
    config = {
        "client_id": "payeewatch", "secret": "a secret between the two", "people": PEOPLE,
        "return_to": "http://testserver/sign-on/return",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, str(PROVIDER), json.dumps(config)], stdout=subprocess.PIPE, text=True
    ) as provider:
        yield provider.stdout.readline().strip()
        provider.terminate()


@pytest.fixture
def sso(house, settings, address: str, monkeypatch: pytest.MonkeyPatch):
    """The application with single sign-on; call it to change what the environment says."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settings.ROOT_URLCONF = __name__
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, "payeewatch.triage.views.oidc.SignOn"]
    provider = Provider(
        issuer=address,
        authorize_url=f"{address}/o/authorize/",
        token_url=f"{address}/o/token/",
        userinfo_url=f"{address}/o/userinfo/",
        keys_url=f"{address}/o/.well-known/jwks.json",
        client_id="payeewatch",
        secret="a secret between the two",
    )

    def change(**fields: object) -> None:
        settings.OIDC = replace(provider, **fields)
        for name, value in settings.OIDC.settings().items():
            setattr(settings, name, value)

    change()
    return change


def at_provider(url: str, name: str) -> str:
    """Sign in there as a browser does. Returns the address it leads back to."""
    browser = requests.Session()
    browser.trust_env = False
    page = browser.get(url)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text).group(1)
    form_data = {"username": name, "password": PEOPLE[name]["password"], "csrfmiddlewaretoken": token}
    answer = browser.post(page.url, form_data, allow_redirects=False)
    while not answer.headers["Location"].startswith("http://testserver/"):
        answer = browser.get(requests.compat.urljoin(answer.url, answer.headers["Location"]), allow_redirects=False)
    return answer.headers["Location"]


def sign_on(name: str, client: Client | None = None, alter=lambda url: url, back=lambda url: url) -> Client:
    client = client or Client()
    url = client.get("/sign-on")["Location"]
    client.get(back(at_provider(alter(url), name)))
    return client


def is_in(client: Client) -> bool:
    return client.get("/preferences").status_code == 200


def other(name: str):
    """Another value in place of an address's own."""
    return lambda url: re.sub(rf"([?&]{name}=)[^&]+", rf"\1{'x' * 43}", url)


def test_somebody_known_signs_in_and_is_bound_to_the_providers_subject(sso) -> None:
    user(Role.REVIEWER)
    client = sign_on("reviewer")
    assert is_in(client)
    assert User.objects.get().subject
    assert list(AuditRecord.objects.order_by("number").values_list("user", "action")) == [
        ("", "bind_user"),
        ("reviewer", "sign_in"),
    ]


def test_the_request_carries_state_nonce_and_a_hashed_proof_key(sso) -> None:
    params = parse_qs(urlsplit(Client().get("/sign-on")["Location"]).query)
    assert {"state", "nonce", "code_challenge"} <= set(params)
    assert params["code_challenge_method"] == ["S256"]


@pytest.mark.parametrize("name", ["nonce", "code_challenge"])
def test_an_answer_to_another_request_is_refused(sso, name: str) -> None:
    user(Role.REVIEWER)
    assert not is_in(sign_on("reviewer", alter=other(name)))
    assert AuditRecord.objects.latest("number").action == "sign_on_refused"


@pytest.mark.parametrize("name", ["state", "code"])
def test_an_answer_with_another_state_or_code_is_refused(sso, name: str) -> None:
    user(Role.REVIEWER)
    assert not is_in(sign_on("reviewer", back=other(name)))


def test_an_answer_is_good_once_and_in_one_browser(sso) -> None:
    user(Role.REVIEWER)
    first = Client()
    back = at_provider(first.get("/sign-on")["Location"], "reviewer")
    stranger = Client()
    stranger.get("/sign-on")
    stranger.get(back)
    assert not is_in(stranger)
    first.get(back)
    first.post("/sign-out")
    first.get(back)
    assert not is_in(first)


@pytest.mark.parametrize("field", ["issuer", "client_id"])
def test_a_token_of_another_issuer_or_for_somebody_else_is_refused(sso, settings, field: str) -> None:
    user(Role.REVIEWER)
    settings.OIDC = replace(settings.OIDC, **{field: "http://127.0.0.1:1"})
    assert not is_in(sign_on("reviewer"))


def test_a_wrong_secret_is_refused(sso) -> None:
    user(Role.REVIEWER)
    sso(secret="not it")
    assert not is_in(sign_on("reviewer"))


def test_a_provider_out_of_reach_is_reported_plainly(sso) -> None:
    user(Role.REVIEWER)
    sso(token_url="http://127.0.0.1:1/o/token/")
    client = sign_on("reviewer")
    assert "Single sign-on did not let you in" in client.get("/sign-in").text


def test_somebody_unknown_is_refused_and_not_made(sso) -> None:
    assert not is_in(sign_on("reviewer"))
    assert not User.objects.exists()


def test_somebody_withdrawn_is_refused(sso) -> None:
    user(Role.REVIEWER, is_active=False)
    assert not is_in(sign_on("reviewer"))


def test_somebody_else_who_took_over_the_name_is_refused(sso) -> None:
    user(Role.REVIEWER, subject="another subject")
    assert not is_in(sign_on("reviewer"))


def test_groups_become_roles(sso) -> None:
    user(Role.AUDITOR, "reviewer")
    sso(role_claim="groups", roles={"fraud-lead": Role.SENIOR, "fraud-team": Role.REVIEWER})
    assert is_in(sign_on("reviewer"))
    assert User.objects.get().role == Role.REVIEWER
    assert AuditRecord.objects.get(action="change_user").details["was"] == "auditor"


def test_somebody_in_none_of_the_groups_is_refused(sso) -> None:
    user(Role.REVIEWER, "outsider")
    sso(role_claim="groups", roles={"fraud-team": Role.REVIEWER})
    assert not is_in(sign_on("outsider"))


def test_somebody_new_is_made_where_that_is_allowed(sso) -> None:
    sso(role_claim="groups", roles={"fraud-lead": Role.SENIOR}, may_create=True)
    assert is_in(sign_on("newcomer"))
    newcomer = User.objects.get()
    assert (newcomer.username, newcomer.role, newcomer.has_usable_password()) == ("newcomer", "senior", False)
    assert not is_in(sign_on("outsider"))


def test_many_refusals_lock_nobody_out(sso) -> None:
    for _ in range(7):
        assert not is_in(sign_on("reviewer"))
    user(Role.REVIEWER)
    assert is_in(sign_on("reviewer"))


def test_the_sign_in_page_offers_it_only_where_it_is_on(sso, settings) -> None:
    assert "/sign-on" in Client().get("/sign-in").text
    settings.OIDC = None
    assert "/sign-on" not in Client().get("/sign-in").text


def test_a_password_form_cannot_smuggle_an_answer_in(sso) -> None:
    user(Role.REVIEWER)
    client = Client()
    back = at_provider(client.get("/sign-on")["Location"], "reviewer")
    query = urlsplit(back).query
    client.post(f"/sign-in?{query}", {"username": "reviewer", "password": "not it"})
    assert not is_in(client)
    assert is_in(signed_in(User.objects.get()))


NAMED = {
    "PAYEEWATCH_OIDC_ISSUER": "https://id.example.org",
    "PAYEEWATCH_OIDC_AUTHORIZE_URL": "https://id.example.org/authorize",
    "PAYEEWATCH_OIDC_TOKEN_URL": "https://id.example.org/token",
    "PAYEEWATCH_OIDC_USERINFO_URL": "https://id.example.org/userinfo",
    "PAYEEWATCH_OIDC_KEYS_URL": "https://id.example.org/keys",
    "PAYEEWATCH_OIDC_CLIENT_ID": "payeewatch",
    "PAYEEWATCH_OIDC_SECRET_FILE": "secret",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secret").write_text("a secret\n")
    return NAMED | {"PAYEEWATCH_OIDC_SECRET_FILE": str(tmp_path / "secret")}


def test_without_an_issuer_it_is_off() -> None:
    assert Provider.from_environment({}) is None


def test_the_secret_comes_from_its_file_and_is_not_shown(environment: dict[str, str]) -> None:
    provider = Provider.from_environment(
        environment | {"PAYEEWATCH_OIDC_ROLE_CLAIM": "g", "PAYEEWATCH_OIDC_ROLES": "a=b=senior, c=auditor"}
    )
    assert provider.secret == "a secret"
    assert "a secret" not in repr(provider)
    assert provider.roles == {"a=b": Role.SENIOR, "c": Role.AUDITOR}
    assert provider.role_of({"g": "c"}) == Role.AUDITOR
    assert provider.role_of({}) is None


@pytest.mark.parametrize("name", [name for name in NAMED if not name.endswith("ISSUER")])
def test_what_is_missing_is_named(environment: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Provider.from_environment({key: value for key, value in environment.items() if key != name})


@pytest.mark.parametrize(
    "wrong",
    [
        {"SECRET_FILE": "/nowhere/secret"},
        {"ROLES": "team=boss", "ROLE_CLAIM": "g"},
        {"ROLES": "team=senior"},
        {"ROLE_CLAIM": "g"},
        {"CREATE": "1"},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(environment: dict[str, str], wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="PAYEEWATCH_OIDC_"):
        Provider.from_environment(environment | {f"PAYEEWATCH_OIDC_{name}": value for name, value in wrong.items()})
