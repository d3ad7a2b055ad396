"""What keeps slow, idle and greedy clients from stopping the server; test_serve.py runs the server with it."""

from __future__ import annotations

import io
import socket
from types import SimpleNamespace

import pytest

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.server import worker
from payeewatch.triage.server.worker import MOST_OF_AN_ADDRESS, Deadlines, Readers, TooLarge, body_of


def test_a_client_that_sends_too_slowly_is_cut_off_and_another_is_not() -> None:
    deadlines, (slow, far), (other, other_far) = Deadlines(), socket.socketpair(), socket.socketpair()
    with slow, far, other, other_far:
        far.send(b"GET / HTTP")
        deadlines.set(slow, 0)
        deadlines.set(other, 1000)
        deadlines.sweep()
        assert (slow.recv(100), slow.recv(100)) == (b"GET / HTTP", b"")
        other_far.send(b"x")
        assert other.recv(1) == b"x"
        deadlines.set(other, 0)
        deadlines.drop(other)
        deadlines.sweep()
        other_far.send(b"y")
        assert other.recv(1) == b"y"


def test_one_address_has_some_of_the_threads_at_most(settings) -> None:
    readers = Readers()
    assert all(readers.enter("10.0.0.1") for _ in range(MOST_OF_AN_ADDRESS))
    assert not readers.enter("10.0.0.1")
    assert readers.enter("10.0.0.2")
    readers.leave("10.0.0.1")
    assert readers.enter("10.0.0.1")
    settings.IS_HTTPS = True  # all come from the proxy
    assert readers.enter("10.0.0.1")


def test_a_body_is_read_whole_before_the_application_sees_it(house: Settings) -> None:
    content = b"x" * (3 * worker.IN_MEMORY)
    request = SimpleNamespace(headers=[("CONTENT-LENGTH", str(len(content)))], body=io.BytesIO(content))
    assert body_of(request).read() == content


@pytest.mark.parametrize("headers", [[("CONTENT-LENGTH", str(10**9))], []])
def test_a_body_larger_than_any_form_is_refused(house: Settings, headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "OTHER_FIELDS", -house.params.triage.attachment_mb * 1024 * 1024 + 10)
    request = SimpleNamespace(headers=headers, body=io.BytesIO(b"x" * 11))
    with pytest.raises(TooLarge):
        body_of(request)
