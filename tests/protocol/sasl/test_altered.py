"""Exchanges in which one message of either side is altered on its way: no login, and no client that trusts the server.

A state machine of two roles: each plays right, and what lies between them changes one message anywhere.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import PosthouseError
from posthouse.protocol.sasl import (
    MECHANISMS,
    Authenticated,
    ChannelBinding,
    Credentials,
    Say,
    ServerContext,
    client_exchange,
    server_exchange,
)

from .sasl_play import Store, advance

USER, PASSWORD = "ann", "pencil,=\u00e9"
STORE = Store(MappingProxyType({USER: PASSWORD, "bob": "crayon"}))
BINDING = ChannelBinding("tls-server-end-point", b"b" * 32)
PROVING = ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "CRAM-MD5"]


@st.composite
def alterations(draw: st.DrawFn) -> Any:
    """A function that alters octets."""
    place, kind, piece = draw(st.integers(0, 300)), draw(st.integers(0, 4)), draw(st.binary(min_size=1, max_size=6))

    def alter(message: bytes) -> bytes:
        at = place % (len(message) + 1)
        match kind:
            case 0:
                return message[:at]
            case 1:
                return message[:at] + piece + message[at:]
            case 2:
                return message[:at] + piece + message[at + len(piece) :]
            case 3:
                return message[:at] + message[at + 1 :]
            case _:
                return piece

    return alter


def exchange(name: str, number: int, alter: Any) -> tuple[bool, bool, bool]:
    """Whether a message was altered, whether the server let the client in, and whether the client took its word.

    ``number`` counts the messages of both sides, from 0; what the client says when all is proved is not among them.
    """
    mechanism = MECHANISMS[name]
    client = client_exchange(mechanism, Credentials(USER, PASSWORD), nonce="fyko+d2lbbFgONRv9qkxdawL", binding=BINDING)
    context = ServerContext(
        nonce="3rfcNHYJY1ZVvWVs7j",
        decoy_secret=b"d" * 32,
        bindings={BINDING.kind: BINDING.data},
        offered=PROVING if mechanism.bound else [name],
        challenge="<1896.697170952@mx.test>",
    )
    altered, sent = False, 0

    def carried(message: bytes) -> bytes:
        nonlocal altered, sent
        sent += 1
        if sent - 1 != number:
            return message
        changed: bytes = alter(message)
        altered = changed != message
        return changed

    try:
        said = advance(client, None, STORE)
        assert isinstance(said, Say)
        initial = None if said.data is None else carried(said.data)
        server = server_exchange(mechanism, initial, context)
        answer = advance(server, None, STORE)
        for _ in range(6):
            if not isinstance(answer, Say):
                break
            said = advance(client, carried(answer.data or b""), STORE)
            answer = advance(server, carried((said.data or b"") if isinstance(said, Say) else b""), STORE)
    except PosthouseError:
        return altered, False, False
    let_in = isinstance(answer, Authenticated)
    if let_in:
        assert isinstance(answer, Authenticated)
        assert answer.user == USER
    try:
        advance(client, None, STORE)  # the server reports success
    except (PosthouseError, StopIteration):
        return altered, let_in, False
    return altered, let_in, True


@given(st.sampled_from(PROVING), st.integers(0, 3), alterations())
def test_an_altered_message_lets_nobody_in(name: str, number: int, alter: Any) -> None:
    altered, let_in, trusted = exchange(name, number, alter)
    if altered:
        assert not (let_in and trusted), "one of the two has to notice"
    else:
        assert let_in


@given(st.sampled_from(PROVING))
def test_an_exchange_that_nobody_alters_succeeds(name: str) -> None:
    assert exchange(name, 99, bytes) == (False, True, True)
