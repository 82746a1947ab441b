"""DNS server on loopback, with UDP and TCP on one port, for tests of the real DNS code.

``DnsServer`` answers from a ``Zone`` as an authoritative server does, encoded by dnspython, and fails on demand.  An
answer larger than the client's UDP size is truncated, and the client asks again over TCP (RFC 7766).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Self, cast

from posthouse.core import Kind, Question, SettingError, Status
from posthouse.net.stream import Endpoint
from posthouse.testing.static_resolver import Zone, look_up

if TYPE_CHECKING:
    import dns.message
    import dns.name
    import dns.rrset

__all__ = ["DnsServer"]

_PORT_TRIES = 20


class DnsServer:
    """An asynchronous context manager; ``endpoint`` is the address of the running server.

    ``failing``: names answered with SERVFAIL.  ``mute``: names that get no answer at all.  ``truncated``: names whose
    UDP answers are always cut short.  ``bare_aliases``: a CNAME is sent without what it leads to.  The sets may be
    changed at any time.  ``ttl`` is that of all records, ``negative_ttl`` the SOA's minimum (RFC 2308).
    ``authentic`` sets the AD flag.  ``asked`` counts questions by transport and question:
    ``asked["udp", Question(...)]``.
    """

    def __init__(
        self,
        zone: Zone,
        *,
        failing: Iterable[str] = (),
        mute: Iterable[str] = (),
        truncated: Iterable[str] = (),
        bare_aliases: bool = False,
        authentic: bool = False,
        ttl: int = 300,
        negative_ttl: int = 60,
    ) -> None:
        self.zone = {name.lower().removesuffix("."): dict(records) for name, records in zone.items()}
        self.failing = set(failing)
        self.mute = set(mute)
        self.truncated = set(truncated)
        self.bare_aliases = bare_aliases
        self.authentic = authentic
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.asked: Counter[tuple[str, Question]] = Counter()
        self.endpoint = Endpoint("127.0.0.1")
        self._open = contextlib.AsyncExitStack()
        self._serving: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(_PORT_TRIES):
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            try:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=("127.0.0.1", port)
                )
            except OSError:  # another program has this port over UDP
                server.close()
                continue
            self._open.callback(transport.close)
            self._open.callback(server.close)
            self.endpoint = Endpoint("127.0.0.1", port)
            return self
        raise SettingError("found no port that is free over UDP and TCP", where="127.0.0.1", remedy="try again")

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        """The answer to one query message, or None for no answer."""
        import dns.exception
        import dns.flags
        import dns.message
        import dns.rcode

        try:
            query = dns.message.from_wire(wire)
            asked = query.question[0]
            kind = Kind(asked.rdtype.name)
        except (dns.exception.DNSException, IndexError, ValueError):
            return None
        question = Question(asked.name.to_text(omit_final_dot=True).lower(), kind)
        self.asked[transport, question] += 1
        status, names, records = look_up(self.zone, question)
        if not self.mute.isdisjoint(names):
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if self.authentic:
            response.flags |= dns.flags.AD
        if status is Status.FAILED or not self.failing.isdisjoint(names):
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(response, question, status, names, records)
        return self._fit(response, query, question, transport)

    def _fill(
        self,
        response: dns.message.Message,
        question: Question,
        status: Status,
        names: list[str],
        records: tuple[str, ...],
    ) -> None:
        import dns.rcode

        for alias, target in itertools.pairwise(names):
            response.answer.append(_rrset(alias, self.ttl, Kind.CNAME, [target]))
            if self.bare_aliases:
                return
        if status is Status.OK:
            response.answer.append(_rrset(names[-1], self.ttl, question.kind, records))
            return
        if status is Status.NXDOMAIN:
            response.set_rcode(dns.rcode.NXDOMAIN)
        soa = f". nobody.invalid. 1 3600 600 86400 {self.negative_ttl}"
        response.authority.append(_rrset("", 3600, "SOA", [soa]))

    def _fit(
        self, response: dns.message.Message, query: dns.message.Message, question: Question, transport: str
    ) -> bytes:
        """The encoded answer; over UDP no larger than the client can take (RFC 6891 §6.2.3)."""
        import dns.flags

        wire = response.to_wire(max_size=65_535)
        room = query.payload if query.edns >= 0 else 512
        if transport == "udp" and (len(wire) > room or question.name in self.truncated):
            response.answer.clear()
            response.authority.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        return wire

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection: messages with their length in front (RFC 1035 §4.2.2)."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                wire = self.answer(await reader.readexactly(length), "tcp")
                if wire is not None:
                    writer.write(len(wire).to_bytes(2, "big") + wire)
                    await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client or the server has ended
        finally:
            self._serving.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP side."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        wire = self._server.answer(data, "udp")
        if wire is not None:
            self._transport.sendto(wire, addr)


def _strings(text: str) -> Iterator[str]:
    """A TXT record's text as character-strings of at most 255 octets (RFC 1035 §3.3), in presentation form."""
    octets = text.encode()
    for start in range(0, max(len(octets), 1), 255):
        yield '"' + "".join(f"\\{octet:03d}" for octet in octets[start : start + 255]) + '"'


def _rrset(name: str, ttl: int, kind: str, records: Iterable[str]) -> dns.rrset.RRset:
    import dns.rrset

    match kind:
        case Kind.TXT:
            texts = [" ".join(_strings(record)) for record in records]
        case Kind.MX | Kind.CNAME | Kind.PTR | Kind.SRV:
            texts = [record if record.endswith(".") else f"{record}." for record in records]
        case _:
            texts = list(records)
    return dns.rrset.from_text_list(f"{name}.", ttl, "IN", kind, texts)
