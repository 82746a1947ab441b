"""The beginning of a session: the pause before the greeting, the way of a connection to its session, slow content."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from posthouse.core import PosthouseError, Reply, Verdict
from posthouse.net import Endpoint, SocketNetwork
from posthouse.server import Server, ServerTimeouts
from posthouse.server.settings import Proxies
from posthouse.testing import ManualClock

from .session_harness import CountingStream, Policy
from .test_limits import EHLO, MAIL, RCPT, Case, run

PAUSE = {"greeting_pause": 5.0}


def lines(case: Case) -> list[bytes]:
    return case.stream.written.splitlines()


def test_the_greeting_waits_for_the_pause() -> None:
    async def scenario(case: Case) -> None:
        await case.clock.advance(4.9)
        assert lines(case) == []
        await case.clock.advance(0.2)
        assert lines(case) == [b"220 test ESMTP"]
        assert (await case.say(EHLO))[0].startswith(b"250-")

    run(scenario, **PAUSE)


@pytest.mark.parametrize("early", [EHLO, b"E", EHLO + MAIL + RCPT, b"\x00"])
def test_a_client_that_speaks_before_the_greeting_is_refused(early: bytes) -> None:
    async def scenario(case: Case) -> None:
        await case.clock.advance(1.0)
        case.session.data_received(early)
        await case.clock.advance(5.0)
        assert lines(case) == [b"554 5.5.1 You spoke before the greeting. Closing connection"]
        assert case.ended
        assert [what for what, _ in case.policy.refusals] == ["connect"]
        assert case.policy.taken == []

    run(scenario, **PAUSE)


def test_a_client_that_speaks_while_we_are_late_is_served() -> None:
    async def scenario(case: Case) -> None:
        await case.clock.settle()  # the pause has begun
        case.clock._now += 6.0  # this process was busy, and the timer has not fired
        case.session.data_received(EHLO)
        await case.clock.advance(0.1)
        assert lines(case)[0] == b"220 test ESMTP"
        assert lines(case)[1].startswith(b"250-")

    run(scenario, **PAUSE)


def test_a_client_that_is_not_welcome_does_not_wait() -> None:
    policy = Policy()
    policy.no["connect"] = Verdict(Reply(421, "4.7.0", "too many"))

    async def scenario(case: Case) -> None:
        await case.clock.settle()
        assert lines(case) == [b"421 4.7.0 too many"]
        assert case.ended

    run(scenario, policy, **PAUSE)


def test_a_client_that_leaves_in_the_pause_is_counted_out() -> None:
    async def scenario(case: Case) -> None:
        await case.clock.advance(1.0)
        case.session.disconnected(None)
        await case.clock.advance(5.0)
        assert lines(case) == []
        assert (case.policy.ended, case.server.sessions) == (1, 0)

    run(scenario, **PAUSE)


@pytest.mark.parametrize("slow", [False, True])
def test_without_a_pause_a_client_may_speak_at_once(slow: bool) -> None:
    async def scenario(case: Case) -> None:
        case.session.data_received(EHLO)
        await case.clock.settle()
        assert lines(case)[0] == b"220 test ESMTP"
        assert lines(case)[1].startswith(b"250-")

    run(scenario, Policy(slow=slow))


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_content_of_an_octet_each_10_s_is_too_slow(how: str) -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL + RCPT)
        await case.say(b"DATA\r\n" if how == "DATA" else b"BDAT 100000 LAST\r\n")
        for _ in range(40):
            if case.ended:
                break
            await case.say(b"x", 10.0)
        assert case.last == b"421 4.4.2 The message came too slowly; closing connection"
        assert 60 <= case.clock.monotonic() <= 90

    run(scenario, timeouts=ServerTimeouts(least_rate=1_000.0, slow_start=60.0))


def test_content_at_the_least_speed_may_go_on_until_the_total_time_is_over() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL + RCPT + b"DATA\r\n")
        while not case.ended:
            await case.say(b"x" * 10_000, 10.0)
        assert 600 <= case.clock.monotonic() <= 620
        assert case.last.startswith(b"421 4.4.2 ")

    run(scenario, timeouts=ServerTimeouts(least_rate=1_000.0, slow_start=60.0, transfer=600.0))


def test_content_of_any_speed_is_taken_where_there_is_no_least_speed() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL + RCPT + b"DATA\r\n")
        for _ in range(100):
            await case.say(b"x", 10.0)
        assert (await case.say(b"\r\n.\r\n"))[0].startswith(b"250")

    run(scenario, timeouts=ServerTimeouts(least_rate=0.0))


# -- the way to a session ----------------------------------------------------------------------------------------------


class Stream(CountingStream):
    """A recording stream that takes another handler."""

    def __init__(self) -> None:
        super().__init__()
        self.handler: Any = None

    def set_handler(self, handler: object) -> None:
        self.handler = handler


class Hall:
    """A server that knows a proxy, and what it told of connections that came to no session."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.policy = Policy()
        self.refused: list[str] = []
        proxies = Proxies(lambda host: host == "192.0.2.1", lambda host: False, lambda host: False, 3.0)
        self.server = Server(
            self.policy,
            network=SocketNetwork(),
            clock=self.clock,
            hostname="test",
            proxies=proxies,
            on_refused=self.told,
        )

    def told(self, peer: Endpoint, error: PosthouseError) -> None:
        self.refused.append(f"{peer.host}: {error}")

    def connect(self, host: str = "192.0.2.1") -> Stream:
        stream = Stream()
        stream.peer = Endpoint(host, 40_000)
        stream.handler = self.server.session()
        stream.handler.connected(stream)
        return stream


def hall(scenario: Callable[[Hall], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            made = Hall()
            await scenario(made)
            await made.server.drain(0.0)

    asyncio.run(main())


def test_nothing_is_said_to_a_proxy_before_its_header() -> None:
    async def scenario(made: Hall) -> None:
        stream = made.connect()
        assert (stream.written, made.server.sessions) == (b"", 0)
        header = b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 25\r\n"
        for start in range(len(header)):
            assert stream.written == b""
            stream.handler.data_received(header[start : start + 1])
        assert stream.written == b"220 test ESMTP\r\n"
        assert made.policy.peer == ("2001:db8::7", 5000, "2001:db8::1", 25)
        stream.handler.data_received(b"QUIT\r\n")
        assert stream.written.endswith(b"221 2.0.0 test closing connection\r\n")
        stream.handler.disconnected(None)
        assert made.refused == []

    hall(scenario)


def test_another_peer_is_greeted_at_once() -> None:
    async def scenario(made: Hall) -> None:
        stream = made.connect("192.0.2.9")
        assert stream.written == b"220 test ESMTP\r\n"
        stream.handler.data_received(b"PROXY UNKNOWN\r\n")
        assert stream.written.splitlines()[-1].startswith(b"500 5.5.2")
        stream.handler.disconnected(None)

    hall(scenario)


def test_the_header_has_a_time_of_its_own() -> None:
    async def scenario(made: Hall) -> None:
        stream = made.connect()
        await made.clock.advance(2.0)
        stream.handler.data_received(b"PROXY TCP4 192.0.2.7")
        await made.clock.advance(2.0)
        assert stream.calls == ["close"]
        assert made.refused == ["192.0.2.1: no complete PROXY header came in time"]
        stream.handler.disconnected(None)
        assert made.clock.waiting == 0

    hall(scenario)


def test_of_too_many_connections_without_a_header_the_oldest_is_cut() -> None:
    async def scenario(made: Hall) -> None:
        streams = [made.connect() for _ in range(1_001)]
        assert [stream.calls for stream in streams[:2]] == [["abort"], []]
        made.server.close()
        assert all(stream.calls == ["abort"] for stream in streams)

    hall(scenario)
