"""The receiving session over live sockets: every verdict, waiting answers, time-outs, draining, hostile clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest

from posthouse.core import LocalError, Reply, Verdict
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import Event, Limits, Mail, Offer, Pause
from posthouse.server import Answer, Server, ServerTimeouts
from posthouse.server import session as session_module

from .session_harness import CountingStream, Policy


class Client:
    """A raw client: bytes out, reply codes in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self) -> str:
        lines = []
        while True:
            line = (await self.reader.readline()).decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def code(self) -> int:
        return int((await self.reply())[:3] or 0)

    async def say(self, line: bytes) -> int:
        self.send(line + b"\r\n")
        return await self.code()

    async def codes(self, count: int) -> list[int]:
        return [await self.code() for _ in range(count)]

    async def rest(self) -> bytes:
        return await self.reader.read()


def talk(
    policy: Policy,
    dialogue: Callable[[Client, Server], Awaitable[Any]],
    *,
    errors: list[BaseException] | None = None,
    **settings: Any,
) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            caught: list[BaseException] = [] if errors is None else errors
            server = Server(
                policy,
                network=SocketNetwork(),
                clock=SystemClock(),
                hostname="test",
                lmtp=policy.lmtp,
                on_error=caught.append,
                **settings,
            )
            where = await server.listen(Endpoint("127.0.0.1", 0))
            reader, writer = await asyncio.open_connection(where.host, where.port)
            try:
                await dialogue(Client(reader, writer), server)
            finally:
                writer.close()
                await server.drain(0.2)
            assert server.sessions == 0
            if errors is None:
                assert caught == []

    asyncio.run(main())


@pytest.fixture(params=[False, True], ids=["at once", "awaited"])
def policy(request: pytest.FixtureRequest) -> Policy:
    return Policy(slow=request.param)


MAIL = b"MAIL FROM:<>"
LETTER = b"Subject: hi\r\n\r\n..dots\r\n"


def test_a_policy_sees_who_was_accepted_before(policy: Policy) -> None:
    policy.no["x@b.test"] = Verdict(Reply(550, "5.1.1", "no"))

    async def dialogue(client: Client, server: Server) -> None:
        assert await client.code() == 220
        assert await client.say(b"EHLO c") == 250
        for _ in range(2):
            client.send(b"MAIL FROM:<>\r\nRCPT TO:<a@a.test>\r\nRCPT TO:<x@b.test>\r\nRCPT TO:<c@c.test>\r\nRSET\r\n")
            assert await client.codes(5) == [250, 250, 550, 250, 250]
        assert policy.before == [[], ["a@a.test"], ["a@a.test"]] * 2

    talk(policy, dialogue)


def test_the_tutorial_by_hand(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        assert await client.code() == 220
        assert await client.say(b"HELLO sohu.com") == 250
        assert await client.say(b"MAIL FROM:<langrui@sohu.com>") == 250
        assert await client.say(b"RCPT TO:<renping@sina.com>") == 250
        assert await client.say(b"DATA") == 354
        client.send(LETTER)
        assert await client.say(b".") == 250
        assert await client.say(b"QUIT") == 221
        assert await client.rest() == b""
        ((envelope, data),) = policy.taken
        assert str(envelope.sender) == "langrui@sohu.com"
        assert [str(r.address) for r in envelope.recipients] == ["renping@sina.com"]
        assert data == b"Subject: hi\r\n\r\n.dots\r\n"

    talk(policy, dialogue)
    assert policy.ended == 1


def test_a_whole_session_in_one_segment(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        client.send(
            b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<no@d.example>\r\nDATA\r\n"
            + LETTER
            + b".\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 5\r\nab\r\nBDAT 2 LAST\r\n\r\nQUIT\r\n".replace(
                b"BDAT 5\r\nab\r\n", b"BDAT 4\r\nab\r\n"
            )
        )
        assert await client.codes(12) == [220, 250, 250, 250, 550, 354, 250, 250, 250, 250, 250, 221]
        assert [data for _, data in policy.taken] == [LETTER.replace(b"..", b"."), b"ab\r\n\r\n"]

    policy.no["no@d.example"] = Verdict(Reply(550, "5.1.1", "unknown"))
    talk(policy, dialogue)


def test_a_client_that_half_closes_still_hears_its_answers(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        client.send(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nx\r\n.\r\n")
        client.writer.write_eof()
        assert await client.codes(6) == [220, 250, 250, 250, 354, 250]
        assert await client.rest() == b""
        assert len(policy.taken) == 1

    talk(policy, dialogue)


def test_ehlo_tells_what_is_offered(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        await client.code()
        client.send(b"EHLO x\r\n")
        lines = (await client.reply()).split("\n")
        words = {line[4:].split()[0] for line in lines[1:]}
        assert words == {
            "PIPELINING",
            "SIZE",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "BINARYMIME",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "LIMITS",
            "HELP",
        }
        client.send(b"HELO x\r\n")
        assert await client.reply() == "250 test"

    talk(policy, dialogue)


@pytest.mark.parametrize("greeting", [b"EHLO x", b"HELO x"])
@pytest.mark.parametrize("code", [250, 550])
def test_a_reply_to_a_greeting_has_no_enhanced_code(policy: Policy, greeting: bytes, code: int) -> None:
    """RFC 2034 §4: in EHLO's extension lines the code would stand where the keyword is expected."""
    policy.no["greet"] = Verdict(Reply(code, f"{code // 100}.7.1", "words"))

    async def dialogue(client: Client, server: Server) -> None:
        await client.code()
        client.send(greeting + b"\r\n")
        first, *others = [line[4:] for line in (await client.reply()).split("\n")]
        assert first == "words"
        assert tuple(others) == (server.settings.offer.keywords() if (greeting[:1], code) == (b"E", 250) else ())

    talk(policy, dialogue)


@pytest.mark.parametrize(
    ("offer", "why"),
    [
        (Offer(auth=("PLAIN",)), "^AUTH and STARTTLS are offered by giving the server a protection"),
        (Offer(starttls=True), "^AUTH and STARTTLS are offered by giving the server a protection"),
        (Offer(requiretls=True), "^REQUIRETLS cannot be offered"),
    ],
)
def test_what_the_server_cannot_do_cannot_be_offered(offer: Offer, why: str) -> None:
    with pytest.raises(LocalError, match=why):
        Server(Policy(), network=SocketNetwork(), clock=SystemClock(), hostname="test", offer=offer)


def test_every_event_of_the_engine_has_a_handler() -> None:
    handled = {*session_module._IN_TRANSACTION, *session_module._IN_SESSION}
    assert handled == set(get_args(Event)) - {Pause}


@pytest.mark.parametrize(
    ("what", "reply", "script", "codes"),
    [
        ("greet", Reply(550, "5.7.1", "no"), [b"EHLO x", b"MAIL FROM:<>"], [550, 503]),
        ("mail", Reply(552, "5.3.4", "big"), [b"HELO x", b"MAIL FROM:<>", b"RCPT TO:<a@b>"], [250, 552, 503]),
        ("a@b", Reply(451, "4.3.0", "no"), [b"HELO x", MAIL, b"RCPT TO:<a@b>", b"DATA"], [250, 250, 451, 554]),
        ("vrfy", Reply(553, "5.1.4", "several"), [b"VRFY x"], [553]),
        ("expn", Reply(250, "2.1.5", "a\nb"), [b"EXPN x"], [250]),
        ("help", Reply(504, "5.5.4", "?"), [b"HELP me"], [504]),
    ],
)
def test_verdicts_are_said(policy: Policy, what: str, reply: Reply, script: list[bytes], codes: list[int]) -> None:
    policy.no[what] = Verdict(reply)

    async def dialogue(client: Client, server: Server) -> None:
        await client.code()
        assert [await client.say(line) for line in script] == codes

    talk(policy, dialogue)


@pytest.mark.parametrize("code", [421, 554])
def test_an_unwelcome_peer(policy: Policy, code: int) -> None:
    policy.no["connect"] = Verdict(Reply(code, "", "go away"))

    async def dialogue(client: Client, server: Server) -> None:
        assert await client.code() == code
        if code == 554:
            assert await client.say(b"EHLO x") == 503
            assert await client.say(b"QUIT") == 221
        assert await client.rest() == b""

    talk(policy, dialogue)


def test_content_can_be_refused_before_and_after(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        await client.code()
        assert await client.say(b"EHLO x") == 250
        policy.no["intake"] = Verdict(Reply(452, "4.3.1", "full"))
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
        assert await client.codes(3) == [250, 250, 452]
        client.send(b"BDAT 4\r\nab\r\nBDAT 0 LAST\r\nMAIL FROM:<>\r\n")
        assert await client.codes(3) == [452, 503, 250]
        del policy.no["intake"]
        client.send(b"RCPT TO:<a@b.example>\r\nDATA\r\n")
        assert await client.codes(2) == [250, 354]
        policy.fail_commit = True
        assert await client.say(b"x\r\n.") == 451
        assert await client.say(b"NOOP") == 250

    errors: list[BaseException] = []
    talk(policy, dialogue, errors=errors)
    assert [str(error) for error in errors] == ["disk on fire"]


def test_lmtp_answers_for_each_recipient() -> None:
    policy = Policy(lmtp=True)
    policy.no["b@d.example"] = Verdict(Reply(550, "5.1.1", "unknown"))

    async def dialogue(client: Client, server: Server) -> None:
        await client.code()
        client.send(b"LHLO x\r\nMAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%c@d.example>\r\n" % c for c in b"abc"))
        assert await client.codes(5) == [250, 250, 250, 550, 250]
        assert await client.say(b"DATA") == 354
        client.send(b"x\r\n.\r\nEHLO x\r\n")
        assert await client.codes(3) == [250, 250, 500]

    talk(policy, dialogue)


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\r\n.\r\r\n"])
def test_smuggling_ends_with_a_refusal_and_a_closed_connection(policy: Policy, end: bytes) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
        assert await client.codes(5) == [220, 250, 250, 250, 354]
        client.send(b"a" + end + b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nb\r\n.\r\n")
        assert await client.code() == 554
        assert await client.rest() == b""
        assert policy.taken == []
        assert policy.aborted == 1

    talk(policy, dialogue)


def test_a_refusal_survives_a_client_that_keeps_sending(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
        await client.codes(5)
        client.send(b"bare\nlf\r\n" + (b"x" * 998 + b"\r\n") * 3000)
        assert await client.code() == 554

    talk(policy, dialogue)


def test_limits_of_the_dialogue(policy: Policy) -> None:
    async def recipients(client: Client, server: Server) -> None:
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<a@b.example>\r\n" * 3)
        assert await client.codes(6) == [220, 250, 250, 250, 250, 452]

    async def errors(client: Client, server: Server) -> None:
        client.send(b"FOO\r\n" * 5)
        assert await client.codes(5) == [220, 500, 500, 500, 421]
        assert await client.rest() == b""

    async def idle(client: Client, server: Server) -> None:
        client.send(b"NOOP\r\n" * 9)
        assert await client.codes(7) == [220, 250, 250, 250, 250, 250, 421]

    async def transactions(client: Client, server: Server) -> None:
        client.send(b"HELO x\r\n" + b"MAIL FROM:<>\r\nRSET\r\n" * 2)
        assert await client.codes(5) == [220, 250, 250, 250, 421]

    talk(policy, recipients, limits=Limits(recipients=2))
    talk(policy, errors, limits=Limits(errors=2))
    talk(policy, idle, limits=Limits(idle_commands=4))
    talk(policy, transactions, limits=Limits(transactions=1))


@pytest.mark.parametrize("lines", [b"", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nhalf"])
def test_silence_ends_with_421(policy: Policy, lines: bytes) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        client.send(lines)
        got = await client.rest()
        assert b"421 4.4.2" in got.splitlines()[-1]
        assert policy.taken == []

    talk(policy, dialogue, timeouts=ServerTimeouts(command=0.2, content=0.2))


def test_content_that_trickles_for_ever_is_ended(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
        await client.codes(5)

        async def trickle() -> None:
            while True:
                client.send(b"x")
                await asyncio.sleep(0.01)

        trickling = asyncio.ensure_future(trickle())
        try:
            assert await client.code() == 421
        finally:
            trickling.cancel()

    talk(policy, dialogue, timeouts=ServerTimeouts(command=0.4, content=0.4, transfer=0.3))


def test_a_vanished_client_leaves_nothing(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nhalf a letter")
        await client.codes(5)
        client.writer.transport.abort()
        while server.sessions:
            await asyncio.sleep(0)
        assert policy.aborted == 1
        assert policy.taken == []

    talk(policy, dialogue)


def test_drain_lets_a_transaction_finish_and_says_421_to_the_rest(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
        assert await client.codes(5) == [220, 250, 250, 250, 354]
        draining = asyncio.ensure_future(server.drain(10))
        await asyncio.sleep(0)
        client.send(b"x\r\n.\r\n")
        assert await client.codes(2) == [250, 421]
        await draining
        assert len(policy.taken) == 1

    talk(policy, dialogue)


def test_drain_ends_those_that_do_not_finish(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\n")
        assert await client.codes(3) == [220, 250, 250]
        await server.drain(0.1)
        assert await client.code() == 421
        assert await client.rest() == b""

    talk(policy, dialogue)


def test_a_client_that_does_not_read_is_not_answered_into_memory(policy: Policy) -> None:
    async def dialogue(client: Client, server: Server) -> None:
        await client.code()
        sent = 0
        with pytest.raises(TimeoutError):  # noqa: PT012 - the loop ends when the server stops reading
            async with asyncio.timeout(1.0):
                while sent < 64_000_000:
                    client.send(b"HELP\r\n" * 10_000)
                    sent += 60_000
                    await client.writer.drain()
        assert sent < 64_000_000
        client.writer.transport.abort()

    talk(policy, dialogue, limits=Limits(idle_commands=100_000_000))


def test_a_policy_that_raises_costs_one_451() -> None:
    class Broken(Policy):
        def mail(self, mail: Mail) -> Answer:
            async def fail() -> Verdict:
                raise RuntimeError("bug")

            return fail()

    errors: list[BaseException] = []

    async def dialogue(client: Client, server: Server) -> None:
        await client.code()
        assert await client.say(b"HELO x") == 250
        client.send(b"MAIL FROM:<>\r\n")
        reply = await client.reply()
        assert reply.startswith("451 4.3.0")
        assert "bug" not in reply

    talk(Broken(), dialogue, errors=errors)
    assert [str(error) for error in errors] == ["bug"]


@pytest.mark.parametrize("early", [b"", b"NOOP\r\n", b"QUIT\r\n"])
def test_a_waiting_session_stops_reading_when_octets_arrive(early: bytes) -> None:
    async def main() -> None:
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        class Slow(Policy):
            def mail(self, mail: Mail) -> Answer:
                return verdict

        server = Server(Slow(), network=SocketNetwork(), clock=SystemClock(), hostname="test")
        session, stream = server.session(), CountingStream()
        session.connected(stream)
        session.data_received(b"HELO x\r\n")
        session.data_received(b"MAIL FROM:<>\r\n")
        before = len(stream.written)
        if early:
            session.data_received(early)
            session.data_received(b"NOOP\r\n")  # a loop may have read it already
        assert len(stream.written) == before
        assert stream.calls.count("pause") == (1 if early else 0)
        verdict.set_result(Verdict(Reply(250, "2.1.0", "late")))
        await asyncio.sleep(0)
        codes = [line[:3] for line in stream.written[before:].splitlines()]
        assert codes == {b"": [b"250"], b"NOOP\r\n": [b"250"] * 3, b"QUIT\r\n": [b"250", b"221"]}[early]
        assert stream.calls.count("resume") == stream.calls.count("pause")
        session.disconnected(None)
        await server.drain(0.0)

    asyncio.run(main())
