"""Targets for logging in and for TLS: SASL messages in both roles, Dovecot's protocol, TLS records in both roles."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

from posthouse.core import PosthouseError, RemoteError, StorageError, TlsFailed
from posthouse.net.certificates import make_self_signed
from posthouse.net.tls_context import client_context, server_context
from posthouse.net.tls_engine import TlsEngine, TlsState
from posthouse.protocol.sasl import (
    MECHANISMS,
    Authenticated,
    ChannelBinding,
    Credentials,
    Denied,
    DeriveKey,
    FindKeys,
    Say,
    ServerContext,
    client_exchange,
    derive_keys,
    server_exchange,
)
from posthouse.service.accounts.dovecot import _Connection

__all__ = ["dovecot", "sasl_client", "sasl_server", "tls"]

_PASSWORD = "pencil of the fuzzer"
_BINDING = ChannelBinding("tls-server-end-point", b"x" * 32)
_NAMES = sorted(MECHANISMS)
_MOST_ITERATIONS = 20_000


def _split(data: bytes) -> tuple[str, list[bytes]]:
    """A mechanism, and the messages that the peer sends: their lengths are octets of the input."""
    name = _NAMES[(data[0] >> 1) % len(_NAMES)] if data else _NAMES[0]
    messages, rest = [], data[1:]
    while rest and len(messages) < 6:
        length = rest[0]
        messages.append(rest[1 : 1 + length])
        rest = rest[1 + length :]
    return name, messages


@functools.lru_cache
def _keys(hash_name: str) -> Any:
    return derive_keys(_PASSWORD, b"0123456789abcdef", 4096, hash_name)


def _stored(question: object) -> Any:
    if isinstance(question, FindKeys):
        return _keys(question.hash_name) if question.user == "ann" else None
    if isinstance(question, DeriveKey):
        return question.compute()
    name = type(question).__name__
    return _PASSWORD if name == "FindSecret" else None if name == "CheckToken" else False


def sasl_server(data: bytes) -> None:
    """What a client says to each mechanism of the server: denied with a reply, never let in, never an exception."""
    name, messages = _split(data)
    context = ServerContext(
        nonce="fuzz", decoy_secret=b"d" * 32, bindings={_BINDING.kind: _BINDING.data}, challenge="<1@mx.test>"
    )
    first = messages.pop(0) if messages and data[0] & 1 else None
    exchange = server_exchange(MECHANISMS[name], first, context)
    answer: Any = None
    for _ in range(20):
        try:
            step = exchange.send(answer)
        except StopIteration as end:
            assert isinstance(end.value, Denied) or (isinstance(end.value, Authenticated) and name == "EXTERNAL")
            assert _PASSWORD not in repr(end.value)
            return
        if isinstance(step, Say):
            if not messages:
                return
            answer = messages.pop(0)
        else:
            answer = _stored(step)
    raise AssertionError(f"{name} does not end")


def sasl_client(data: bytes) -> None:
    """What a server says to each mechanism of the client: an error with a reason, and never the password to a server
    that has not proved to know it, but for the mechanisms that show it."""
    name, messages = _split(data)
    mechanism = MECHANISMS[name]
    credentials = Credentials("ann", _PASSWORD, None)
    if mechanism.needs == "token":
        credentials = Credentials("ann", None, "token-of-ann")
    exchange = client_exchange(mechanism, credentials, nonce="fuzz", binding=_BINDING, host="mx.test", port=587)
    answer: Any = None
    for _ in range(20):
        try:
            step = exchange.send(answer)
        except StopIteration:
            return
        except (RemoteError, PosthouseError) as error:
            assert _PASSWORD not in str(error)
            return
        if isinstance(step, Say):
            assert mechanism.clear or _PASSWORD.encode() not in (step.data or b"")
            if not messages:
                with contextlib.suppress(PosthouseError, StopIteration):
                    exchange.send(None)  # the server reports success now
                return
            answer = messages.pop(0)
        else:
            assert isinstance(step, DeriveKey)
            answer = step.compute() if step.iterations <= _MOST_ITERATIONS else b"x" * 32
    raise AssertionError(f"{name} does not end")


class _Written:
    """A writer that keeps nothing."""

    def write(self, data: bytes) -> None:
        assert data.endswith(b"\n")

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def dovecot(data: bytes) -> None:
    """What an authentication server writes: answers to questions, or a StorageError; never an answer to another's."""

    async def scenario() -> None:
        reader = asyncio.StreamReader(limit=16_384)
        connection = _Connection("/fuzz", reader, _Written())  # type: ignore[arg-type]
        asking = asyncio.gather(
            *(connection.ask(f"PLAIN\tservice=smtp\tresp={number}") for number in range(3)), return_exceptions=True
        )
        await asyncio.sleep(0)
        reader.feed_data(data)
        reader.feed_eof()
        with contextlib.suppress(StorageError, OSError):
            await connection._read()
        for number, found in enumerate(await asking, 1):
            if isinstance(found, BaseException):
                assert isinstance(found, (StorageError, OSError)), found
            else:
                assert found.fields[1] == str(number)

    asyncio.run(asyncio.wait_for(scenario(), 20))


@functools.lru_cache
def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    folder = tempfile.mkdtemp(prefix="posthouse-fuzz-")
    pair, _ = make_self_signed(["localhost"], Path(folder), time.time())
    return client_context(ca=pair.certificate), server_context(pair.certificate)


def tls(data: bytes) -> None:
    """Records of both roles, cut, altered, left out and injected: plaintext as it was said, or an end; never an
    exception but TlsFailed, and no plaintext out of a channel that is not up."""
    client_settings, server_settings = _contexts()
    choices = iter(data)
    client = TlsEngine(client_settings, server_side=False, peer="s", server_name="localhost")
    server = TlsEngine(server_settings, server_side=True, peer="c")
    wires = {server: client.start(), client: server.start()}
    said: dict[TlsEngine, bytes] = {client: b"", server: b""}
    read: dict[TlsEngine, bytes] = {client: b"", server: b""}
    ended: set[TlsEngine] = set()
    for turn in range(60):
        choice = next(choices, 0 if turn < 12 else None)
        if choice is None:
            break
        to, other = (server, client) if turn % 2 == 0 else (client, server)
        wire = wires[to]
        match choice >> 4:
            case 1:  # cut
                wire, wires[to] = wire[: choice & 15], wire[choice & 15 :]
            case 2 if wire:  # altered
                place = (choice * 7) % len(wire)
                wire, wires[to] = wire[:place] + bytes([wire[place] ^ (1 + (choice & 15))]) + wire[place + 1 :], b""
            case 3:  # injected
                wire, wires[to] = bytes(next(choices, 0) for _ in range(choice & 15)) + wire, b""
            case 4:  # left out
                wire, wires[to] = b"", b""
            case 5:  # ended
                if to not in ended:
                    ended.add(to)
                    with contextlib.suppress(TlsFailed):
                        to.receive_eof()
                wires[to] = b""
            case 6:
                wires[other] += to.close()
                wires[to] = b""
            case _:
                wires[to] = b""
        try:
            if to not in ended:
                to.receive(wire)
            read[to] += to.read(1 + (choice & 15) * 50)
        except TlsFailed as error:
            assert str(error)
        wires[other] += to.pending()
        if to.state is TlsState.OPEN:
            text = b"250 %d\r\n" % turn * (1 + (choice & 7))
            said[to] += text
            wires[other] += to.write(text)
        elif to.state in (TlsState.CLOSED, TlsState.HANDSHAKE):
            assert to.write(b"never in clear") == b""
    for to, other in ((server, client), (client, server)):
        assert said[other].startswith(read[to]), "what is read was said, in its order"
        assert to.info is not None or not read[to]
