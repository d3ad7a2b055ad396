"""Language and colours as the user chose them."""

from __future__ import annotations

from django.test import Client

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import User
from payeewatch.triage.roles import Role
from tests.triage.conftest import signed_in, user


def test_choices_are_kept_with_the_user(house: Settings) -> None:
    client = signed_in(user(Role.REVIEWER))
    client.post("/preferences", {"language": "fr", "theme": "dark"})
    page = signed_in(User.objects.get()).get("/preferences").text
    assert 'lang="fr" data-theme="dark"' in page


def test_a_choice_that_is_none_is_refused(house: Settings) -> None:
    client = signed_in(user(Role.REVIEWER))
    assert client.post("/preferences", {"language": "tlh", "theme": "dark"}).status_code == 200
    assert User.objects.get().theme == "auto"


def test_before_sign_in_the_browser_says_the_language(house: Settings) -> None:
    assert '<html lang="fr"' in Client().get("/sign-in", headers={"Accept-Language": "fr-BE,fr;q=0.9"}).text
    assert '<html lang="en"' in Client().get("/sign-in", headers={"Accept-Language": "de"}).text


def test_a_language_chosen_before_sign_in_is_remembered(house: Settings) -> None:
    client = Client()
    assert 'name="language" value="fr" lang="fr">Français' in client.get("/sign-in").text
    assert client.post("/language", {"language": "fr", "next": "/sign-in?next=/x"})["Location"] == "/sign-in?next=/x"
    assert '<html lang="fr"' in client.get("/sign-in", headers={"Accept-Language": "en"}).text
    assert client.cookies["language"]["httponly"]


def test_a_choice_leads_to_no_other_site(house: Settings) -> None:
    assert Client().post("/language", {"language": "fr", "next": "https://example.org/"})["Location"] == "/sign-in"
    client = signed_in(user(Role.REVIEWER))
    answer = client.post("/preferences", {"language": "fr", "theme": "auto", "next": "//example.org/"})
    assert answer["Location"] == "/preferences"
