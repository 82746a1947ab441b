"""Targets for what a proxy says of its clients: headers of the PROXY protocol, XCLIENT and XFORWARD."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from fuzz.wire import pieces
from posthouse.core import Reply
from posthouse.protocol import Limits, Offer, Pause, Receiver, Refused, State
from posthouse.protocol.parsing import CommandError
from posthouse.protocol.proxies import XCLIENT, XFORWARD, Forwarding, ProxyHeader, ProxyHeaderError, ProxyHeaderReader
from posthouse.protocol.proxies.forwarding import parse_forwarding
from posthouse.server.client_claim import ClientClaim
from posthouse.server.policy import Peer

__all__ = ["forwarding", "proxy_header"]

_LONGEST = 16_384
_OFFER = Offer(xclient=XCLIENT, xforward=XFORWARD)


def proxy_header(data: bytes) -> None:
    """A header: the same however it is cut, followed by exactly what stands behind it; or an error, which comes before
    more is kept than a header may have."""
    whole = _header([data])
    assert _header(pieces(data)) == whole
    assert _header(data[place : place + 1] for place in range(len(data))) == whole
    header, rest, error = whole
    if header is None:
        assert error or len(data) < _LONGEST, "more is kept than a header may have"
        return
    assert not error
    assert data.endswith(rest)
    assert data[: len(data) - len(rest)].startswith((b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"))
    if header.host:
        for host, port in ((header.host, header.port), (header.local_host, header.local_port)):
            address = ipaddress.ip_address(host)
            assert str(address) == host
            assert getattr(address, "ipv4_mapped", None) is None
            assert 0 <= port <= 65_535
    else:
        assert header == ProxyHeader()


def _header(parts: Iterable[bytes]) -> tuple[ProxyHeader | None, bytes, bool]:
    """The header, what stands behind it, and whether there was an error in its place."""
    reader, found, rest = ProxyHeaderReader(), None, b""
    for part in parts:
        if found is not None:
            rest += part
            continue
        try:
            found = reader.receive(part)
        except ProxyHeaderError as error:
            assert str(error)
            return None, b"", True
        rest = reader.rest
    return found, rest, False


def forwarding(data: bytes) -> None:
    """Lines of XCLIENT and XFORWARD: attributes that can be used as they are, or a refusal; never heard where they are
    not offered."""
    claim = ClientClaim(Peer("127.0.0.1", 1), Peer("127.0.0.1", 1))
    for line in data.split(b"\r\n")[:10]:
        assert parse_forwarding(line, Offer()) is None
        try:
            command = parse_forwarding(line, _OFFER)
        except CommandError as refusal:
            assert refusal.reply.code == 501
            assert refusal.reply.text.isprintable()
            continue
        if command is None:
            continue
        assert command.attributes
        for name, value in command.attributes.items():
            assert name in (XCLIENT if command.verb == "XCLIENT" else XFORWARD)
            assert value.isascii()
            assert value.isprintable()
            assert " " not in value
            assert len(value) <= 255
        if command.verb == "XCLIENT":
            claim = claim.said(command.attributes)
            if claim.peer.host != "unknown":
                assert str(ipaddress.ip_address(claim.peer.host)) == claim.peer.host
            assert 0 <= claim.peer.port <= 65_535
            assert claim.by.host == "127.0.0.1"
    _dialogue(data, Offer(), forwards=False)
    _dialogue(data, _OFFER, forwards=True)


def _dialogue(data: bytes, offer: Offer, *, forwards: bool) -> None:
    """The lines in a session: heard between transactions only, and only where they are offered."""
    engine = Receiver(offer, limits=Limits(message=10_000, chunk=10_000))
    engine.send(Reply(220, "", "hello"))
    engine.receive_data(b"EHLO proxy.test\r\n" + data)
    for _ in range(200):
        event = engine.next_event()
        if isinstance(event, Pause):
            return
        if isinstance(event, Forwarding):
            assert forwards
            assert engine.state in (State.GREETED, State.READY)
        if engine.state is State.CONTENT or not isinstance(event, Refused | Forwarding):
            reply = Reply(250, "2.0.0", "ok") if not engine.in_content else None
            if reply is None or type(event).__name__ not in ("Greet", "Rset", "Noop", "Mail", "Rcpt", "Vrfy", "Help"):
                return
            engine.send(reply)
            continue
        engine.send(event.reply if isinstance(event, Refused) else Reply(250, "2.0.0", "ok"))
