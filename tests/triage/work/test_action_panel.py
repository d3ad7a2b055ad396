"""The right pane."""

from __future__ import annotations

import re
from uuid import uuid4

from django.template.loader import render_to_string
from django.test import Client

from payeewatch.triage.models import Flag, Step, User
from payeewatch.triage.work import action_panel
from tests.test_docs import first_cells, section
from tests.triage.conftest import do, signed_in


def names(flag: Flag, person: User) -> set[str]:
    return {action.name for group in action_panel.right_pane(flag, person)["groups"] for action, _form in group.actions}


def send(client: Client, flag: Flag, action: str, **data: str):
    form = {"step": str(uuid4()), "version": str(flag.version), **data}
    return client.post(f"/flags/{flag.flag_id}/do/{action}", form)


def test_it_offers_what_the_role_may_do_and_undo_only_on_the_toast(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    assert "approve" in names(first, cast["senior"])
    assert "approve" not in names(first, cast["second"])
    assert names(first, cast["auditor"]) == set()
    assert "undo" not in names(first, cast["reviewer"])


def test_a_second_look_is_blind(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none", note="Nobody answered.")
    Flag.objects.filter(pk=first.pk).update(needs_second_look=True)
    page = signed_in(cast["second"]).get(f"/flags/{first.flag_id}").content.decode()
    assert "Nobody answered." not in page
    assert ">Inconclusive</span>" not in page
    assert "How unusual" not in page
    assert "Nobody answered." in signed_in(cast["reviewer"]).get(f"/flags/{first.flag_id}").content.decode()


def test_history_tells_decisions_notes_and_returns(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check", note="New phone.")
    do(cast["senior"], first, "return_proposal", because="Call first.")
    (returned, proposed) = action_panel.history(first)
    assert (returned.what, returned.by) == ("Return", cast["senior"])
    assert proposed.text == "New phone."
    assert "Account takeover" in proposed.more
    assert "Call first." in proposed.more


def test_what_was_undone_is_no_history(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    do(cast["reviewer"], first, "undo")
    assert action_panel.history(first) == []


def test_after_a_step_the_page_offers_to_undo_it(cast: dict[str, User], first: Flag) -> None:
    client = signed_in(cast["reviewer"])
    answer = send(client, first, "inconclusive", evidence_kind="none")
    assert answer["Location"] == f"/flags/{first.flag_id}"
    assert client.get(answer["Location"]).context["undo"]["flag_id"] == first.flag_id
    assert signed_in(cast["reviewer"]).get(answer["Location"]).context["undo"] is None


def test_a_form_that_is_refused_comes_back_as_it_was_sent(cast: dict[str, User], first: Flag) -> None:
    answer = send(signed_in(cast["reviewer"]), first, "benign", reason="B99", evidence_kind="document")
    assert answer.status_code == 409
    assert "Say in a note" in answer.content.decode()
    assert 'value="B99" id="benign-reason_13" required checked' in answer.content.decode().replace(
        'required=""', "required"
    )
    assert not Step.objects.exists()


def test_what_somebody_wrote_is_not_lost_when_another_was_faster(cast: dict[str, User], first: Flag) -> None:
    version = first.version
    do(cast["second"], first, "inconclusive", evidence_kind="none")
    first.version = version
    answer = send(signed_in(cast["reviewer"]), first, "benign", reason="B01", evidence_kind="none", note="I called.")
    assert answer.status_code == 409
    assert "I called." in answer.content.decode()


def test_the_page_for_reviewers_tells_every_key(cast: dict[str, User], first: Flag) -> None:
    dialog = render_to_string("triage/_keys.html", {"can_work": True, "keys": action_panel.keys()})
    page = section("docs/reviewing.md", "By keyboard alone")
    assert first_cells(page) == set(re.findall(r"<kbd>(.+?)</kbd>", dialog))
