"""OAUTHBEARER and XOAUTH2: forms that are easily taken for each other, and the refusal in two steps."""

from __future__ import annotations

import pytest

from posthouse.core import LocalError
from posthouse.protocol.sasl import (
    MECHANISMS,
    Authenticated,
    Credentials,
    Denied,
    Say,
    ServerContext,
    client_exchange,
    read_token_error,
    server_exchange,
)

from .sasl_play import Store, advance, play

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
STORE = Store(tokens={TOKEN: "u@x.test"})
CONTEXT = ServerContext("S", b"d")


def test_the_form_of_oauthbearer() -> None:
    exchange = client_exchange(
        MECHANISMS["OAUTHBEARER"], Credentials("u@x.test", token=TOKEN), nonce="", host="mx.x.test", port=587
    )
    expected = f"n,a=u@x.test,\x01host=mx.x.test\x01port=587\x01auth=Bearer {TOKEN}\x01\x01"
    assert next(exchange) == Say(expected.encode())


def test_the_form_of_xoauth2() -> None:
    exchange = client_exchange(MECHANISMS["XOAUTH2"], Credentials("u@x.test", token=TOKEN), nonce="")
    assert next(exchange) == Say(f"user=u@x.test\x01auth=Bearer {TOKEN}\x01\x01".encode())


@pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("initial", [True, False])
def test_both_roles_agree(name: str, initial: bool) -> None:
    mechanism = MECHANISMS[name]
    client = client_exchange(mechanism, Credentials("u@x.test", token=TOKEN), nonce="", host="h", port=25)
    played = play(client, lambda first: server_exchange(mechanism, first, CONTEXT), STORE, initial=initial)
    assert played.outcome == Authenticated("u@x.test", name)
    assert played.done


@pytest.mark.parametrize(("name", "dummy"), [("OAUTHBEARER", b"\x01"), ("XOAUTH2", b"")])
@pytest.mark.parametrize(("user", "token"), [("u@x.test", "other"), ("v@x.test", TOKEN)])
def test_a_refusal_has_its_reason_in_a_challenge(name: str, dummy: bytes, user: str, token: str) -> None:
    mechanism = MECHANISMS[name]
    client = client_exchange(mechanism, Credentials(user, token=token), nonce="")
    played = play(client, lambda first: server_exchange(mechanism, first, CONTEXT), STORE)
    assert isinstance(played.outcome, Denied)
    assert played.outcome.reply.code == 535
    assert played.said[-1] == dummy
    assert played.said[-2] is not None
    assert b'"status"' in played.said[-2]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n,,\x01\x01",
        b"n,a=u@x.test,\x01auth=Bearer \x01\x01",
        b"n,a=u@x.test,\x01auth=Basic abc\x01\x01",
        b"n,a=u@x.test,\x01auth=Bearer abc\x01",
        b"n,a=u@x.test,\x01auth=Bearer abc\x01auth=Bearer abc\x01\x01",
        b"n,a=u@x.test,\x01auth=Bearer a b\x01\x01",
        b"p=tls-exporter,,\x01auth=Bearer abc\x01\x01",
        b"user=u@x.test\x01auth=Bearer abc\x01\x01",  # XOAUTH2's form
        b"n,a=\xff,\x01auth=Bearer abc\x01\x01",
    ],
)
def test_oauthbearer_messages_that_cannot_be_read(message: bytes) -> None:
    outcome = advance(server_exchange(MECHANISMS["OAUTHBEARER"], message, CONTEXT), None, STORE)
    assert isinstance(outcome, Denied)
    assert outcome.reply.code == 501


@pytest.mark.parametrize("message", [b"", b"user=\x01auth=Bearer abc\x01\x01", b"n,a=u,\x01auth=Bearer abc\x01\x01"])
def test_xoauth2_messages_that_cannot_be_read(message: bytes) -> None:
    outcome = advance(server_exchange(MECHANISMS["XOAUTH2"], message, CONTEXT), None, STORE)
    assert isinstance(outcome, Denied)
    assert outcome.reply.code == 501


def test_a_token_that_breaks_the_line_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(LocalError, match="bearer token"):
        next(client_exchange(MECHANISMS["XOAUTH2"], Credentials("u", token="a\x01b"), nonce=""))


@pytest.mark.parametrize(
    ("challenge", "text"),
    [
        (
            b'{"status":"401","schemes":"bearer","scope":"https://mail.x.test/"}',
            "status 401, scope https://mail.x.test/",
        ),
        (b'{"status":"invalid_token"}', "status invalid_token"),
        (b"[1]", ""),
        (b"nonsense", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (b'{"status":"a\\u0007b"}', "status ab"),
    ],
)
def test_the_reason_in_a_challenge(challenge: bytes, text: str) -> None:
    assert read_token_error(challenge) == text
