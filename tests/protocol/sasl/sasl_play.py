"""Both generators of one exchange, played against each other, with the store's answers from a table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from posthouse.protocol.sasl import (
    Authenticated,
    CheckPassword,
    CheckToken,
    Denied,
    DeriveKey,
    Exchange,
    FindKeys,
    FindSecret,
    Question,
    Say,
    derive_keys,
)

SALT = bytes(range(16))


class Store(NamedTuple):
    """Accounts with their passwords, and tokens with their owners."""

    passwords: Mapping[str, str] = MappingProxyType({})
    tokens: Mapping[str, str] = MappingProxyType({})

    def answer(self, question: Question) -> Any:
        if isinstance(question, DeriveKey):
            return question.compute()
        if isinstance(question, CheckPassword):
            return self.passwords.get(question.user) == question.password
        if isinstance(question, FindKeys):
            password = self.passwords.get(question.user)
            return None if password is None else derive_keys(password, SALT, 4096, question.hash_name)
        if isinstance(question, FindSecret):
            return self.passwords.get(question.user)
        assert isinstance(question, CheckToken)
        return self.tokens.get(question.token)


class Played(NamedTuple):
    """``outcome`` of the server; ``said``: all octets of both, in order; ``done``: the client has ended as well."""

    outcome: Authenticated | Denied
    said: list[bytes | None]
    done: bool


def advance(exchange: Exchange, answer: Any, store: Store) -> Say | Authenticated | Denied | None:
    """The next octets to send, or the outcome: questions on the way are answered from the store."""
    try:
        step = exchange.send(answer)
        while not isinstance(step, Say):
            step = exchange.send(store.answer(step))
    except StopIteration as end:
        outcome: Authenticated | Denied | None = end.value
        return outcome
    return step


def play(client: Exchange, serve: Any, store: Store, *, initial: bool = True) -> Played:
    """Play ``client`` against ``serve(initial response)``.

    ``initial``: send the client's first message with the command; else wait for the server's empty challenge.
    """
    said: list[bytes | None] = []
    first = advance(client, None, store)
    assert isinstance(first, Say)
    early = first.data if initial else None
    server: Exchange = serve(early)
    step = advance(server, None, store)
    waiting = None if early is not None or first.data is None else first.data
    if early is not None:
        said.append(early)
    for _ in range(8):
        if not isinstance(step, Say):
            assert step is not None
            return Played(step, said, advance(client, None, store) is None)
        said.append(step.data)
        assert step.data is not None, "a server's challenge has octets, even if there are none"
        if waiting is not None:
            assert step.data == b""
            response, waiting = waiting, None
        else:
            answer = advance(client, step.data, store)
            assert isinstance(answer, Say)
            assert answer.data is not None
            response = answer.data
        said.append(response)
        step = advance(server, response, store)
    raise AssertionError("the exchange does not end")
