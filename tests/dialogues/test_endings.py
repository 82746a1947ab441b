"""The end of content over a real socket: CRLF.CRLF and nothing else (RFC 5321 §4.1.1.4, §2.3.8; DESIGN §2.6).

The tests try every sequence that a lenient reader might take for the end: a dot between any two of CRLF, LF, CR and
CRCRLF, in the middle of the content and at its start, cut in two at every boundary.  Commands follow it, which must
never be executed if it is not the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from posthouse.net import Endpoint, SocketNetwork
from posthouse.net.socket_listener import SocketListener
from posthouse.net.stream import Handler, HandlerFactory, Stream
from posthouse.service import Daemon
from posthouse.service.config_file import parse

LINE_ENDS: Final = {"CRLF": b"\r\n", "LF": b"\n", "CR": b"\r", "CRCRLF": b"\r\r\n"}
ENDINGS: Final = {
    f"{a}.{b}": before + b"." + after for a, before in LINE_ENDS.items() for b, after in LINE_ENDS.items()
}
SMUGGLED: Final = b"MAIL FROM:<evil@sohu.com>\r\nRCPT TO:<renping@sina.com>\r\nQUIT\r\n"
CONFIG: Final = """
hostname = "mx.example.org"
data_dir = "{}"
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "sina.com"
mailboxes = ["renping"]
deliver = "discard"
"""


class CountingHandler:
    """A handler between the network and another handler, which counts the octets."""

    def __init__(self, handler: Handler, network: CountingNetwork) -> None:
        self._handler = handler
        self._network = network

    def connected(self, stream: Stream) -> None:
        self._handler.connected(stream)

    def data_received(self, data: bytes) -> None:
        self._handler.data_received(data)
        self._network.count(len(data))

    def eof_received(self) -> None:
        self._handler.eof_received()

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def disconnected(self, error: Exception | None) -> None:
        self._handler.disconnected(error)


class CountingNetwork(SocketNetwork):
    """Real sockets, and a way to wait until octets have arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.octets = 0
        self._wanted = 0
        self._there = asyncio.Event()

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, **rest: Any) -> SocketListener:
        return await super().listen(endpoint, lambda: CountingHandler(factory(), self), **rest)

    def count(self, octets: int) -> None:
        self.octets += octets
        if self.octets >= self._wanted:
            self._there.set()

    async def arrived(self, total: int) -> None:
        """Wait until so many octets have been read since the network was made."""
        self._wanted = total
        self._there.clear()
        if self.octets < total:
            await self._there.wait()


class Outcome:
    """The replies of one session after its content."""

    def __init__(self, heard: bytes, stored: int) -> None:
        self.codes = [line[:3] for line in heard.decode().splitlines()]
        self.heard = heard
        self.stored = stored


async def send(daemon: Daemon, network: CountingNetwork, accepted: list[str], pieces: list[bytes]) -> Outcome:
    """Run one session; each piece of its content is read before the next is sent."""
    before = len(accepted)
    endpoint = daemon.endpoints["mx"]
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    try:
        await reader.readline()
        for line in (b"HELO sohu.com", b"MAIL FROM:<langrui@sohu.com>", b"RCPT TO:<renping@sina.com>", b"DATA"):
            writer.write(line + b"\r\n")
            assert (await reader.readline())[:1] in (b"2", b"3")
        for number, piece in enumerate(pieces, 1):
            total = network.octets + len(piece)
            writer.write(piece)
            if number < len(pieces):
                await network.arrived(total)
        heard = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    return Outcome(heard, len(accepted) - before)


def with_a_daemon(
    tmp_path: Path, scenario: Callable[[Callable[[list[bytes]], Awaitable[Outcome]]], Awaitable[None]]
) -> None:
    """Run ``scenario`` with a function that sends content to a daemon in pieces."""

    async def main() -> None:
        accepted: list[str] = []

        def log(event: str, /, **fields: Any) -> None:
            if event == "accepted":
                accepted.append(fields["id"])

        async with asyncio.timeout(30):
            network = CountingNetwork()
            daemon = Daemon(parse(CONFIG.format(tmp_path)), log=log, network=network)
            await daemon.start()
            try:
                await scenario(lambda pieces: send(daemon, network, accepted, pieces))
            finally:
                await daemon.drain(5)

    asyncio.run(main())


def test_the_sixteen_hold_the_ten_and_one_of_them_is_right() -> None:
    assert len(set(ENDINGS.values())) == 16
    assert [name for name, ending in ENDINGS.items() if ending == b"\r\n.\r\n"] == ["CRLF.CRLF"]


@pytest.mark.parametrize("before", [b"Subject: x\r\n\r\nfirst", b""], ids=["in the middle", "at the start"])
@pytest.mark.parametrize("name", ENDINGS)
def test_only_crlf_dot_crlf_ends_the_content(name: str, before: bytes, tmp_path: Path) -> None:
    ending = ENDINGS[name]
    whole = before + ending + SMUGGLED
    cuts = range(len(before), len(before) + len(ending) + 2)

    async def scenario(send: Callable[[list[bytes]], Awaitable[Outcome]]) -> None:
        for pieces in ([whole], *([whole[:cut], whole[cut:]] for cut in cuts if cut)):
            outcome = await send(pieces)
            if name == "CRLF.CRLF":
                assert outcome.codes == ["250", "250", "250", "221"], (pieces, outcome.heard)
                assert outcome.stored == 1
            else:
                assert outcome.codes == ["554"], (pieces, outcome.heard)
                assert outcome.heard.startswith(b"554 5.5.2 ")
                assert outcome.stored == 0

    with_a_daemon(tmp_path, scenario)


@pytest.mark.parametrize("name", ENDINGS)
def test_the_same_octet_by_octet(name: str, tmp_path: Path) -> None:
    octets = b"first" + ENDINGS[name]
    pieces = [octets[at : at + 1] for at in range(len(octets))]

    async def scenario(send: Callable[[list[bytes]], Awaitable[Outcome]]) -> None:
        if name == "CRLF.CRLF":
            assert (await send([*pieces, SMUGGLED])).codes == ["250", "250", "250", "221"]
            return
        # After the first wrong octet the daemon reads no more, so no piece behind it is waited for.
        wrong = min(at for at in range(len(octets)) if _is_wrong(octets[: at + 1] + SMUGGLED[:1]))
        outcome = await send([*pieces[:wrong], octets[wrong:] + SMUGGLED])
        assert outcome.codes == ["554"]
        assert outcome.stored == 0

    with_a_daemon(tmp_path, scenario)


def _is_wrong(octets: bytes) -> bool:
    """True if there is a bare CR or LF in these octets."""
    rest = octets.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest
