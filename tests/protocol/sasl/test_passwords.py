"""PLAIN, LOGIN, CRAM-MD5 and EXTERNAL: both roles, both forms of the first message, and what must not log in."""

from __future__ import annotations

import pytest

from posthouse.core import LocalError
from posthouse.protocol.sasl import MECHANISMS, Authenticated, Credentials, Denied, Say, ServerContext, client_exchange
from posthouse.protocol.sasl.mechanisms import server_exchange

from .sasl_play import Store, advance, play

STORE = Store({"u": "p", "任平": "Пароль€", "sp ace": "x y"})
CONTEXT = ServerContext("S", b"d", challenge="<1896.697170952@mx.example.net>")


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("user", list(STORE.passwords))
@pytest.mark.parametrize("initial", [True, False])
def test_both_roles_agree(name: str, user: str, initial: bool) -> None:
    mechanism = MECHANISMS[name]
    client = client_exchange(mechanism, Credentials(user, STORE.passwords[user]), nonce="c")
    played = play(client, lambda first: server_exchange(mechanism, first, CONTEXT), STORE, initial=initial)
    assert played.outcome == Authenticated(user, name)
    assert played.done


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize(("user", "password"), [("u", "q"), ("v", "p"), ("u", "P"), ("u", "p "), ("u", "")])
def test_wrong_ones_get_535(name: str, user: str, password: str) -> None:
    mechanism = MECHANISMS[name]
    client = client_exchange(mechanism, Credentials(user, password), nonce="c")
    outcome = play(client, lambda first: server_exchange(mechanism, first, CONTEXT), STORE).outcome
    assert isinstance(outcome, Denied)
    assert (outcome.reply.code, outcome.reply.enhanced) == (535, "5.7.8")
    assert password not in outcome.reason or not password.strip("pPq ")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\0u\0p", 235),
        (b"u\0u\0p", 235),  # what libcurl and Postfix send
        (b"u\0\0p", 535),  # no name: the first field never stands in for it
        (b"v\0u\0p", 535),
        (b"\0u\0", 535),
        (b"\0\0p", 535),
        (b"", 501),
        (b"u\0p", 501),
        (b"\0u\0p\0", 501),
        (b"\0u\xff\0p", 501),
        (b"\0u\tx\0p", 535),  # a control character never reaches a store
        (b"\0u\n\0p", 535),
        ("\0ｕ\0p".encode(), 235),  # a full-width u is the same letter
    ],
)
def test_plain_messages(message: bytes, code: int) -> None:
    outcome = advance(server_exchange(MECHANISMS["PLAIN"], message, CONTEXT), None, STORE)
    if code == 235:
        assert outcome == Authenticated("u", "PLAIN")
    else:
        assert isinstance(outcome, Denied)
        assert outcome.reply.code == code


def test_the_prompts_of_login_are_those_that_clients_compare() -> None:
    exchange = server_exchange(MECHANISMS["LOGIN"], None, CONTEXT)
    assert advance(exchange, None, STORE) == Say(b"Username:")
    assert advance(exchange, b"u", STORE) == Say(b"Password:")
    assert advance(exchange, b"p", STORE) == Authenticated("u", "LOGIN")


def test_login_with_the_name_in_the_command() -> None:
    exchange = server_exchange(MECHANISMS["LOGIN"], b"u", CONTEXT)
    assert advance(exchange, None, STORE) == Say(b"Password:")
    assert advance(exchange, b"p", STORE) == Authenticated("u", "LOGIN")


def test_a_password_is_one_line_however_long() -> None:
    mechanism = MECHANISMS["PLAIN"]
    first = next(client_exchange(mechanism, Credentials("u" * 80, "p" * 80), nonce="c"))
    assert isinstance(first, Say)
    assert first.data == b"\0" + b"u" * 80 + b"\0" + b"p" * 80


def test_nul_cannot_be_sent_with_plain() -> None:
    with pytest.raises(LocalError, match="NUL"):
        next(client_exchange(MECHANISMS["PLAIN"], Credentials("u", "p\0q"), nonce="c"))


def test_the_example_of_rfc_2195() -> None:
    """The digest of §2 for ``tim`` and the shared secret ``tanstaaftanstaaf``."""
    store = Store({"tim": "tanstaaftanstaaf"})
    challenge = "<1896.697170952@postoffice.reston.mci.net>"
    exchange = server_exchange(MECHANISMS["CRAM-MD5"], None, CONTEXT._replace(challenge=challenge))
    assert advance(exchange, None, store) == Say(challenge.encode())
    answer = b"tim b913a602c7eda7a495b4e6e7334d3890"
    assert advance(exchange, answer, store) == Authenticated("tim", "CRAM-MD5")


@pytest.mark.parametrize("answer", [b"", b"u", b"u abc", b"\xff " + b"0" * 32, b" " + b"0" * 32])
def test_cram_md5_answers_that_cannot_be_read(answer: bytes) -> None:
    exchange = server_exchange(MECHANISMS["CRAM-MD5"], None, CONTEXT)
    advance(exchange, None, STORE)
    outcome = advance(exchange, answer, STORE)
    assert isinstance(outcome, Denied)
    assert outcome.reply.code == 501


def test_an_account_without_a_known_password_does_not_log_in_with_the_empty_one() -> None:
    """CRAM-MD5 of an unknown account is compared with the digest of an empty secret, and must fail all the same."""
    mechanism = MECHANISMS["CRAM-MD5"]
    client = client_exchange(mechanism, Credentials("ghost", ""), nonce="c")
    outcome = play(client, lambda first: server_exchange(mechanism, first, CONTEXT), STORE).outcome
    assert isinstance(outcome, Denied)
    assert outcome.reply.code == 535


@pytest.mark.parametrize(
    ("initial", "identity", "code"),
    [
        (b"", "u", 235),
        (b"u", "u", 235),
        (b"v", "u", 535),
        (b"u", None, 535),  # the client's word never stands in for a certificate
        (b"u", "", 535),
        (b"\xff", "u", 501),
    ],
)
def test_external(initial: bytes, identity: str | None, code: int) -> None:
    context = CONTEXT._replace(identity=identity)
    outcome = advance(server_exchange(MECHANISMS["EXTERNAL"], initial, context), None, STORE)
    assert outcome == Authenticated("u", "EXTERNAL") if code == 235 else isinstance(outcome, Denied)
    assert isinstance(outcome, Authenticated) or outcome is not None
    if isinstance(outcome, Denied):
        assert outcome.reply.code == code


def test_an_empty_initial_response_is_not_an_absent_one() -> None:
    context = CONTEXT._replace(identity="u")
    assert advance(server_exchange(MECHANISMS["EXTERNAL"], b"", context), None, STORE) == Authenticated("u", "EXTERNAL")
    exchange = server_exchange(MECHANISMS["EXTERNAL"], None, context)
    assert advance(exchange, None, STORE) == Say(b"")
    assert advance(exchange, b"", STORE) == Authenticated("u", "EXTERNAL")
