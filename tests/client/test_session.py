"""The sending session against scripted peers over live sockets: every mix of answers, losses at every place.

Each test runs over both channels, asyncio and blocking.  The peers expect exact octets, so both write the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from posthouse.client import BlockingSession, Session, SessionRefused, Timeouts, connect, open_blocking
from posthouse.core import (
    Address,
    Body,
    Broken,
    Bytes,
    Content,
    Envelope,
    Handover,
    NetworkError,
    Notify,
    OriginalRecipient,
    Outcome,
    Recipient,
    RemoteError,
    Reply,
    Result,
    Ret,
    TimedOut,
    Unreachable,
)
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import Command, Noop, Vrfy

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LETTER = Bytes(b"Subject: hi\r\n\r\n.dots\r\nlast line\r\n")
STUFFED = b"Subject: hi\r\n\r\n..dots\r\nlast line\r\n.\r\n"


def envelope(*recipients: str, **fields: Any) -> Envelope:
    made = tuple(Recipient(Address(*each.split("@"))) for each in recipients or ("renping@sina.com",))
    return Envelope(Address("langrui", "sohu.com"), made, **fields)


class Threaded:
    """A blocking session with the coroutines of ``Session``; each call runs in a thread."""

    def __init__(self, session: BlockingSession) -> None:
        self.session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    async def deliver(self, envelope: Envelope, content: Content) -> tuple[Outcome, ...]:
        return await asyncio.to_thread(self.session.deliver, envelope, content)

    async def command(self, command: Command) -> Reply:
        return await asyncio.to_thread(self.session.command, command)

    async def quit(self) -> None:
        await asyncio.to_thread(self.session.quit)


#: The channel of ``against``; other modules, which need several messages under way at a time, use asyncio only.
channel_kind = ["asyncio"]


@pytest.fixture(autouse=True, params=["asyncio", "blocking"])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    channel_kind[0] = request.param
    yield request.param
    channel_kind[0] = "asyncio"


async def opened(port: int, address: str = "127.0.0.1", **settings: Any) -> Any:
    """A session with the peer at this port."""
    endpoints, names = [Endpoint(address, port)], {"hostname": "client.example", "name": "mx.test", **settings}
    if channel_kind[0] == "blocking":
        return Threaded(await asyncio.to_thread(open_blocking, endpoints, **names))
    return await connect(endpoints, network=SocketNetwork(), clock=SystemClock(), **names)


def against(peer: Peer, use: Callable[[Session], Awaitable[Any]], **settings: Any) -> Any:
    """Run ``use`` on a session with ``peer``; exceptions of the peer (an unexpected command) fail the test.

    That the client ends the connection hard while the peer still reads or writes is no exception of the peer.
    """

    async def main() -> Any:
        failures: list[BaseException] = []

        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    await peer(reader, writer)
            except Exception as error:
                failures.append(error)
            finally:
                writer.close()

        async with asyncio.timeout(30):
            server = await asyncio.start_server(guarded, "127.0.0.1", 0, limit=1 << 26)
            port = server.sockets[0].getsockname()[1]
            settings.setdefault("timeouts", Timeouts(5, 5, 5, 5, 5, 5, 1))
            try:
                session = await opened(port, **settings)
                try:
                    result = await use(session)
                finally:
                    session.abort()
            finally:
                server.close()
                await server.wait_closed()
        assert not failures, failures
        return result

    return asyncio.run(main())


def script(*steps: tuple[bytes, bytes]) -> Peer:
    """A peer that expects exactly these octets and then says these, step by step, and closes."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for expected, said in steps:
            got = await reader.readexactly(len(expected))
            assert got == expected, (got, expected)
            writer.write(said)
            await writer.drain()

    return peer


def hello(*keywords: bytes) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    lines = [b"mx.test", *keywords]
    reply = b"".join(b"250%c%s\r\n" % (b"-" if i < len(lines) else b" ", line) for i, line in enumerate(lines, 1))
    return (b"", b"220 mx.test ESMTP\r\n"), (b"EHLO client.example\r\n", reply)


MAIL = b"MAIL FROM:<langrui@sohu.com>\r\n"
RCPT = b"RCPT TO:<renping@sina.com>\r\n"


def results(outcomes: tuple[Outcome, ...]) -> list[Result]:
    return [outcome.result for outcome in outcomes]


def deliver(env: Envelope, content: Content = LETTER) -> Callable[[Session], Awaitable[tuple[Outcome, ...]]]:
    return lambda session: session.deliver(env, content)


def test_one_command_at_a_time_without_pipelining() -> None:
    peer = script(
        *hello(),
        (MAIL, b"250 ok\r\n"),
        (RCPT, b"250 ok\r\n"),
        (b"DATA\r\n", b"354 x\r\n"),
        (STUFFED, b"250 2.0.0 q1\r\n"),
    )
    (outcome,) = against(peer, deliver(envelope()))
    assert outcome.result is Result.DELIVERED
    assert outcome.reply is not None
    assert outcome.reply.text == "q1"
    assert outcome.peer.startswith("mx.test[127.0.0.1]:")


def test_the_whole_envelope_in_one_write_with_pipelining() -> None:
    peer = script(
        *hello(b"PIPELINING"), (MAIL + RCPT + b"DATA\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n"), (STUFFED, b"250 ok\r\n")
    )
    assert results(against(peer, deliver(envelope()))) == [Result.DELIVERED]


def test_a_short_message_is_one_round_trip_with_chunking() -> None:
    wire = MAIL + RCPT + b"BDAT %d LAST\r\n" % LETTER.size + LETTER.data
    peer = script(*hello(b"PIPELINING", b"CHUNKING"), (wire, b"250 ok\r\n250 ok\r\n250 2.0.0 q\r\n"))
    assert results(against(peer, deliver(envelope()))) == [Result.DELIVERED]


def test_a_long_message_is_cut_in_chunks() -> None:
    content = Bytes(b"x" * 998 + b"\r\n")
    long = Bytes(content.data * 3000)
    first = long.data[: 1 << 20]
    second, third = long.data[1 << 20 : 2 << 20], long.data[2 << 20 :]
    peer = script(
        *hello(b"PIPELINING", b"CHUNKING"),
        (MAIL + RCPT, b"250 ok\r\n250 ok\r\n"),
        (b"BDAT %d\r\n" % len(first) + first, b"250 ok\r\n"),
        (b"BDAT %d\r\n" % len(second) + second, b"250 ok\r\n"),
        (b"BDAT %d LAST\r\n" % len(third) + third, b"250 2.0.0 q\r\n"),
    )
    assert results(against(peer, deliver(envelope(), long))) == [Result.DELIVERED]


def test_a_refused_chunk_decides() -> None:
    long = Bytes(b"x" * (3 << 20))
    peer = script(
        *hello(b"CHUNKING"),
        (MAIL, b"250 ok\r\n"),
        (RCPT, b"250 ok\r\n"),
        (b"BDAT %d\r\n" % (1 << 20) + long.data[: 1 << 20], b"552 5.2.2 full\r\n"),
    )
    (outcome,) = against(peer, deliver(envelope(), long))
    assert outcome.result is Result.FAILED
    assert outcome.reply.enhanced == "5.2.2"


THREE = envelope("a@sina.com", "b@sina.com", "c@sina.com")
THREE_GROUP = MAIL + b"".join(b"RCPT TO:<%c@sina.com>\r\n" % c for c in b"abc") + b"DATA\r\n"


@pytest.mark.parametrize(
    ("replies", "content", "final", "expected"),
    [
        (b"250 x\r\n250 x\r\n550 x\r\n450 x\r\n354 x\r\n", STUFFED, b"250 x\r\n", "delivered failed deferred"),
        (b"250 x\r\n250 x\r\n250 x\r\n250 x\r\n354 x\r\n", STUFFED, b"554 x\r\n", "failed failed failed"),
        (b"250 x\r\n250 x\r\n250 x\r\n550 x\r\n354 x\r\n", STUFFED, b"451 x\r\n", "deferred deferred failed"),
        (b"250 x\r\n250 x\r\n250 x\r\n550 x\r\n354 x\r\n", STUFFED, b"421 x\r\n", "deferred deferred failed"),
        (b"250 x\r\n550 x\r\n550 x\r\n450 x\r\n554 x\r\n", b"", b"", "failed failed deferred"),
        (b"250 x\r\n550 x\r\n550 x\r\n450 x\r\n354 x\r\n", b".\r\n", b"554 x\r\n", "failed failed deferred"),
        (b"550 x\r\n503 x\r\n503 x\r\n503 x\r\n503 x\r\n", b"", b"", "failed failed failed"),
        (b"451 x\r\n503 x\r\n503 x\r\n503 x\r\n503 x\r\n", b"", b"", "deferred deferred deferred"),
        (b"250 x\r\n250 x\r\n250 x\r\n250 x\r\n451 x\r\n", b"", b"", "deferred deferred deferred"),
        (b"250 x\r\n251 x\r\n551 x\r\n252 x\r\n354 x\r\n", STUFFED, b"250 x\r\n", "delivered failed delivered"),
        (b"250 x\r\n250 x\r\n421 bye\r\n", b"", b"", "deferred deferred deferred"),
        (b"421 bye\r\n", b"", b"", "deferred deferred deferred"),
    ],
)
def test_every_mix_of_answers(replies: bytes, content: bytes, final: bytes, expected: str) -> None:
    peer = script(*hello(b"PIPELINING"), (THREE_GROUP, replies), (content, final))
    assert " ".join(results(against(peer, deliver(THREE)))) == expected


@pytest.mark.parametrize(
    ("keywords", "steps", "expected"),
    [
        ((), [], "deferred"),
        ((), [(MAIL, b"250 x\r\n")], "deferred"),
        ((), [(MAIL, b"250 x\r\n"), (RCPT, b"250 x\r\n"), (b"DATA\r\n", b"")], "deferred"),
        ((), [(MAIL, b"250 x\r\n"), (RCPT, b"250 x\r\n"), (b"DATA\r\n", b"354 x\r\n"), (STUFFED, b"")], "ambiguous"),
        ((), [(MAIL, b"250 x\r\n"), (RCPT, b"250 x\r\n"), (b"DATA\r\n", b"354 x\r\n"), (STUFFED, b"25")], "ambiguous"),
        ((b"PIPELINING",), [(MAIL + RCPT + b"DATA\r\n", b"250 x\r\n250 x\r\n354 x\r\n"), (STUFFED, b"")], "ambiguous"),
        ((b"PIPELINING",), [(MAIL + RCPT + b"DATA\r\n", b"250 x\r\n550 x\r\n")], "failed"),
        ((b"PIPELINING", b"CHUNKING"), [(MAIL, b"")], "ambiguous"),
        ((b"PIPELINING", b"CHUNKING"), [(MAIL, b"250 x\r\n550 x\r\n")], "failed"),
        ((b"PIPELINING", b"CHUNKING"), [(MAIL, b"550 x\r\n")], "failed"),
        ((b"PIPELINING",), [(MAIL + RCPT + b"DATA\r\n", b"250 x\r\n250 x\r\n250 what?\r\n")], "deferred"),
    ],
)
def test_losses_are_told_apart(keywords: tuple[bytes, ...], steps: list[tuple[bytes, bytes]], expected: str) -> None:
    (outcome,) = against(script(*hello(*keywords), *steps), deliver(envelope()))
    assert outcome.result == expected
    assert outcome.reason


def test_an_early_refusal_of_content_is_heard() -> None:
    big = Bytes((b"x" * 998 + b"\r\n") * 40_000)

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(*hello(), (MAIL, b"250 x\r\n"), (RCPT, b"250 x\r\n"), (b"DATA\r\n", b"354 x\r\n"))(reader, writer)
        await reader.readexactly(100_000)
        writer.write(b"552 5.3.4 enough\r\n")
        await writer.drain()
        await reader.read()

    (outcome,) = against(peer, deliver(envelope(), big))
    assert outcome.result is Result.FAILED
    assert outcome.reply.enhanced == "5.3.4"


def test_silence_times_out_and_says_where() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(*hello(), (MAIL, b"250 x\r\n"))(reader, writer)
        await reader.read()

    (outcome,) = against(mute, deliver(envelope()), timeouts=Timeouts(5, 5, 0.1, 5, 5, 5, 1))
    assert outcome.result is Result.DEFERRED
    assert "RCPT" in outcome.reason


def test_recipients_beyond_what_the_peer_takes_go_in_further_transactions() -> None:
    def rcpt(c: str) -> bytes:
        return f"RCPT TO:<{c}@sina.com>\r\n".encode()

    limits = script(
        *hello(b"PIPELINING", b"LIMITS RCPTMAX=2"),
        (MAIL + rcpt("a") + rcpt("b") + b"DATA\r\n", b"250 x\r\n250 x\r\n250 x\r\n354 x\r\n"),
        (STUFFED, b"250 x\r\n"),
        (MAIL + rcpt("c") + b"DATA\r\n", b"250 x\r\n250 x\r\n354 x\r\n"),
        (STUFFED, b"250 x\r\n"),
    )
    assert results(against(limits, deliver(THREE))) == [Result.DELIVERED] * 3
    reported = script(
        *hello(b"PIPELINING"),
        (THREE_GROUP, b"250 x\r\n250 x\r\n452 4.5.3 enough\r\n452 4.5.3 enough\r\n354 x\r\n"),
        (STUFFED, b"250 x\r\n"),
        (MAIL + rcpt("b") + b"DATA\r\n", b"250 x\r\n250 x\r\n354 x\r\n"),  # as many as it took before
        (STUFFED, b"250 x\r\n"),
        (MAIL + rcpt("c") + b"DATA\r\n", b"250 x\r\n550 x\r\n554 x\r\n"),
    )
    assert results(against(reported, deliver(THREE))) == [Result.DELIVERED, Result.DELIVERED, Result.FAILED]


def test_parameters_only_where_the_peer_knows_them() -> None:
    asked = envelope(body=Body.EIGHTBITMIME, ret=Ret.HDRS, envid="x=1", size=99)
    asked = asked._replace(recipients=(Recipient(Address("renping", "sina.com"), Notify.SUCCESS | Notify.FAILURE),))
    full = b"MAIL FROM:<langrui@sohu.com> SIZE=%d BODY=8BITMIME RET=HDRS ENVID=x+3D1\r\n" % LETTER.size
    peer = script(
        *hello(b"SIZE 100000", b"8BITMIME", b"DSN"),
        (full, b"250 x\r\n"),
        (b"RCPT TO:<renping@sina.com> NOTIFY=SUCCESS,FAILURE\r\n", b"550 x\r\n"),
    )
    assert results(against(peer, deliver(asked))) == [Result.FAILED]
    plain = asked._replace(body=Body.SEVENBIT)
    bare = script(*hello(), (MAIL, b"250 x\r\n"), (RCPT, b"550 x\r\n"))
    assert results(against(bare, deliver(plain))) == [Result.FAILED]


def test_an_original_recipient_that_cannot_be_written_is_left_out() -> None:
    """A receiver may take one of 107 Chinese characters (RFC 6533 §3); in 7 bits they are over 500 (RFC 3461 §4.2)."""
    person = Address("renping", "sina.com")
    reported = OriginalRecipient("utf-8", "任@x.test")
    asked = envelope()._replace(recipients=(Recipient(person, None, reported),))
    with_it = RCPT.replace(b"\r\n", b" ORCPT=utf-8;\\x{4EFB}@x.test\r\n")
    start = (*hello(b"DSN"), (MAIL, b"250 ok\r\n"))
    assert results(against(script(*start, (with_it, b"550 x\r\n")), deliver(asked))) == [Result.FAILED]
    long = asked._replace(recipients=(Recipient(person, None, reported._replace(address="任" * 100 + "@x.test")),))
    assert results(against(script(*start, (RCPT, b"550 x\r\n")), deliver(long))) == [Result.FAILED]


def test_who_reports_success_after_a_delivery() -> None:
    """RFC 3461 §5.2: a peer with DSN was asked to; one without was not; LMTP without it has delivered."""
    rest = ((RCPT, b"250 ok\r\n"), (b"DATA\r\n", b"354 x\r\n"), (STUFFED, b"250 2.0.0 q1\r\n"))
    (taken,) = against(script(*hello(b"DSN"), (MAIL, b"250 ok\r\n"), *rest), deliver(envelope()))
    assert taken.handover is Handover.TAKEN
    (relayed,) = against(script(*hello(), (MAIL, b"250 ok\r\n"), *rest), deliver(envelope()))
    assert relayed.handover is Handover.RELAYED
    greeting, (_, capabilities) = hello()
    lhlo = (greeting, (b"LHLO client.example\r\n", capabilities), (MAIL, b"250 ok\r\n"), *rest)
    (final,) = against(script(*lhlo), deliver(envelope()), lmtp=True)
    assert final.handover is Handover.FINAL


def test_a_report_is_not_lost_where_the_peer_has_no_requiretls() -> None:
    """RFC 8689 §5; any other message that asks for it is not sent there."""
    report = envelope(require_tls=True)._replace(sender=None)
    peer = script(*hello(), (b"MAIL FROM:<>\r\n", b"250 ok\r\n"), (RCPT, b"550 x\r\n"))
    (outcome,) = against(peer, deliver(report))
    assert outcome.reply.code == 550
    peer = script(*hello(b"REQUIRETLS"), (b"MAIL FROM:<>\r\n", b"250 ok\r\n"), (RCPT, b"550 x\r\n"))
    (outcome,) = against(peer, deliver(report))  # in clear the offer counts for nothing (RFC 8689 §2)
    assert outcome.reply.code == 550


@pytest.mark.parametrize(
    ("env", "keywords", "enhanced"),
    [
        (envelope(), (b"SIZE 10",), "5.3.4"),
        (envelope("任平@sina.com"), (), "5.6.7"),
        (envelope(smtputf8=True), (b"8BITMIME",), "5.6.7"),
        (envelope(body=Body.EIGHTBITMIME), (), "5.6.3"),
        (envelope(body=Body.BINARYMIME), (b"BINARYMIME",), "5.6.1"),
        (envelope(require_tls=True), (), "5.7.30"),
    ],
)
def test_what_the_peer_cannot_take_is_not_sent(env: Envelope, keywords: tuple[bytes, ...], enhanced: str) -> None:
    (outcome,) = against(script(*hello(*keywords)), deliver(env))
    assert outcome.result is Result.FAILED
    assert outcome.reply.enhanced == enhanced


def test_a_u_label_domain_goes_out_as_a_labels() -> None:
    peer = script(*hello(), (MAIL, b"250 x\r\n"), (b"RCPT TO:<renping@xn--efvx5o.com>\r\n", b"550 x\r\n"))
    assert results(against(peer, deliver(envelope("renping@新浪.com")))) == [Result.FAILED]
    utf8 = script(
        *hello(b"8BITMIME", b"SMTPUTF8"),
        (b"MAIL FROM:<langrui@sohu.com> SMTPUTF8\r\n", b"250 x\r\n"),
        ("RCPT TO:<任平@xn--efvx5o.com>\r\n".encode(), b"550 x\r\n"),
    )
    assert results(against(utf8, deliver(envelope("任平@新浪.com")))) == [Result.FAILED]


def test_a_lone_line_end_is_never_sent_by_data() -> None:
    peer = script(*hello(), (MAIL, b"250 x\r\n"), (RCPT, b"250 x\r\n"), (b"DATA\r\n", b"354 x\r\n"))
    (outcome,) = against(peer, deliver(envelope(), Bytes(b"a\r\n.\nMAIL FROM:<x@y>\r\n")))
    assert outcome.result is Result.FAILED
    assert outcome.reply.enhanced == "5.6.0"


def test_several_messages_on_one_session_and_rset_after_a_refusal() -> None:
    peer = script(
        *hello(b"PIPELINING"),
        (MAIL + RCPT + b"DATA\r\n", b"250 x\r\n550 x\r\n554 x\r\n"),
        (b"RSET\r\n" + MAIL + RCPT + b"DATA\r\n", b"250 x\r\n250 x\r\n250 x\r\n354 x\r\n"),
        (STUFFED, b"250 x\r\n"),
        (b"QUIT\r\n", b"221 x\r\n"),
    )

    async def use(session: Session) -> list[Result]:
        got = results(await session.deliver(envelope(), LETTER))
        assert session.usable
        got += results(await session.deliver(envelope(), LETTER))
        assert session.usable
        await session.quit()
        assert not session.usable
        return got

    assert against(peer, use) == [Result.FAILED, Result.DELIVERED]


def test_lmtp_gives_each_recipient_its_own_end() -> None:
    steps = hello(b"PIPELINING", b"CHUNKING")
    lhlo = (b"LHLO client.example\r\n", steps[1][1])
    peer = script(
        steps[0],
        lhlo,
        (THREE_GROUP[:-6], b"250 x\r\n250 x\r\n550 x\r\n250 x\r\n"),
        (b"BDAT %d LAST\r\n" % LETTER.size + LETTER.data, b"250 x\r\n452 4.2.2 full\r\n"),
    )
    got = against(peer, deliver(THREE), lmtp=True)
    assert results(got) == [Result.DELIVERED, Result.FAILED, Result.DEFERRED]
    data = script(
        steps[0],
        (lhlo[0], b"250-x\r\n250 PIPELINING\r\n"),
        (THREE_GROUP, b"250 x\r\n250 x\r\n550 x\r\n250 x\r\n354 x\r\n"),
        (STUFFED, b"250 x\r\n"),
    )
    got = against(data, deliver(THREE), lmtp=True)
    assert results(got) == [Result.DELIVERED, Result.FAILED, Result.AMBIGUOUS]


def test_lmtp_content_for_nobody_is_not_begun() -> None:
    """354 without an accepted recipient: no reply to the dot is owed, so it is not waited for."""
    steps = hello(b"PIPELINING")
    lhlo = (b"LHLO client.example\r\n", b"250-x\r\n250 PIPELINING\r\n")
    peer = script(steps[0], lhlo, (MAIL + RCPT + b"DATA\r\n", b"250 x\r\n550 5.1.1 x\r\n354 x\r\n"))

    async def use(session: Session) -> list[Result]:
        got = results(await session.deliver(envelope(), LETTER))
        assert not session.usable
        return got

    assert against(peer, use, lmtp=True) == [Result.FAILED]


# -- opening ---------------------------------------------------------------------------------------------------


def test_helo_where_ehlo_is_refused() -> None:
    ehlo, helo = (b"EHLO client.example\r\n", b"500 what?\r\n"), (b"HELO client.example\r\n", b"250 hi\r\n")
    peer = script((b"", b"220 old\r\n"), ehlo, helo)

    async def use(session: Session) -> bool:
        return session.capabilities.has("PIPELINING") or not session.usable

    assert against(peer, use) is False


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([(b"", b"554 no mail here\r\n"), (b"QUIT\r\n", b"221 bye\r\n")], SessionRefused),
        ([(b"", b"421 busy\r\n")], SessionRefused),
        ([(b"", b"220 x\r\n"), (b"EHLO client.example\r\n", b"421 busy\r\n")], SessionRefused),
        ([(b"", b"")], Broken),
        ([(b"", b"HTTP/1.1 400 Bad Request\r\n")], RemoteError),
        ([(b"", b"220 x\r\n"), (b"EHLO client.example\r\n", b"250-x\r\n251 y\r\n")], RemoteError),
    ],
)
def test_sessions_that_do_not_open(steps: list[tuple[bytes, bytes]], error: type[Exception]) -> None:
    async def use(session: Session) -> None:
        raise AssertionError("it opened")

    with pytest.raises(error) as caught:
        against(script(*steps), use)
    if isinstance(caught.value, SessionRefused):
        assert caught.value.reply.code in (421, 554)


def test_no_greeting_and_no_listener() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def use(session: Session) -> None:
        raise AssertionError("it opened")

    with pytest.raises(TimedOut):
        against(mute, use, timeouts=Timeouts(5, 0.1, 5, 5, 5, 5, 1))

    async def nobody() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        with pytest.raises(Unreachable):
            await opened(port)

    asyncio.run(nobody())


def test_single_commands() -> None:
    peer = script(*hello(), (b"NOOP\r\n", b"250 ok\r\n"), (b"VRFY renping\r\n", b"252 perhaps\r\n"))

    async def use(session: Session) -> list[int]:
        codes = [(await session.command(Noop())).code, (await session.command(Vrfy("renping"))).code]
        with pytest.raises(NetworkError):
            await session.command(Noop())
        return codes

    assert against(peer, use) == [250, 252]


def test_the_transcript_tells_the_dialogue_without_the_content() -> None:
    reported: list[tuple[str, str]] = []
    peer = script(
        *hello(b"PIPELINING"), (MAIL + RCPT + b"DATA\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n"), (STUFFED, b"250 ok\r\n")
    )
    against(peer, deliver(envelope()), transcript=lambda who, line: reported.append((who, line)))
    assert [who for who, _ in reported] == list("RSRRSSSRRRSSR")
    assert ("S", "MAIL FROM:<langrui@sohu.com>") in reported
    assert not any("last line" in line for _, line in reported)
