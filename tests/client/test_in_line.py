"""Messages given to a session while others are under way: they stand in line, and with PIPELINING the next envelope
leaves with the content before it.  Whatever happens to one must not be told of another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from posthouse.client import Session, Timeouts
from posthouse.core import Address, Body, Bytes, Content, Envelope, LocalError, Outcome, Recipient, StorageError
from posthouse.protocol import Noop

from .test_session import LETTER, MAIL, RCPT, STUFFED, against, envelope, hello, script

GROUP = MAIL + RCPT + b"DATA\r\n"
TAKEN = b"250 x\r\n250 x\r\n354 x\r\n"
GREETED = hello(b"PIPELINING")


def message(number: int) -> Bytes:
    return Bytes(b"Subject: %d\r\n\r\n" % number)


def wire(number: int) -> bytes:
    return message(number).data + b".\r\n"


def all_of(*contents: Content) -> Callable[[Session], Awaitable[list[tuple[Outcome, ...]]]]:
    async def use(session: Session) -> list[tuple[Outcome, ...]]:
        return await asyncio.gather(*(session.deliver(envelope(), content) for content in contents))

    return use


def ends(reported: list[tuple[Outcome, ...]]) -> str:
    return " ".join(outcome.result for outcomes in reported for outcome in outcomes)


def codes(reported: list[tuple[Outcome, ...]]) -> list[int]:
    return [outcome.reply.code if outcome.reply else 0 for outcomes in reported for outcome in outcomes]


def test_the_next_envelope_leaves_with_the_content_before_it() -> None:
    """Each group is one write of ours; the peer answers nothing of it before it has read all."""
    peer = script(
        *GREETED,
        (GROUP, TAKEN),
        (wire(1) + GROUP, b"250 first\r\n" + TAKEN),
        (wire(2) + GROUP, b"250 second\r\n" + TAKEN),
        (wire(3), b"250 third\r\n"),
        (b"QUIT\r\n", b"221 x\r\n"),
    )

    async def use(session: Session) -> list[str]:
        reported = await all_of(message(1), message(2), message(3))(session)
        assert session.messages == 3
        assert session.usable
        await session.quit()
        return [outcome.reply.text for outcomes in reported for outcome in outcomes if outcome.reply]

    assert against(peer, use) == ["first", "second", "third"]


def test_one_that_comes_while_the_last_reply_is_awaited_begins_at_once() -> None:
    peer = script(*GREETED, (GROUP, TAKEN), (wire(1), b""), (GROUP, b"250 first\r\n" + TAKEN), (wire(2), b"250 x\r\n"))

    async def use(session: Session) -> str:
        first = asyncio.create_task(session.deliver(envelope(), message(1)))
        while not session.sender.may_pipeline or not session.sender.outstanding:
            await asyncio.sleep(0)
        return ends([await session.deliver(envelope(), message(2)), await first])

    assert against(peer, use) == "delivered delivered"


def test_without_pipelining_nothing_is_sent_behind_the_dot() -> None:
    one = ((MAIL, b"250 x\r\n"), (RCPT, b"250 x\r\n"), (b"DATA\r\n", b"354 x\r\n"))

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(*hello(), *one, (wire(1), b""))(reader, writer)
        with pytest.raises(TimeoutError):  # this peer is quick: what is sent would be here
            await asyncio.wait_for(reader.read(1), 0.05)
        writer.write(b"250 x\r\n")
        await script(*one, (wire(2), b"250 x\r\n"))(reader, writer)

    assert ends(against(peer, all_of(message(1), message(2)))) == "delivered delivered"


@pytest.mark.parametrize(
    ("steps", "expected", "replies"),
    [
        # the message before is refused: the next one has its own answers
        ([(wire(1) + GROUP, b"554 no\r\n" + TAKEN), (wire(2), b"250 x\r\n")], "failed delivered", [554, 250]),
        ([(wire(1) + GROUP, b"451 no\r\n" + TAKEN), (wire(2), b"554 x\r\n")], "deferred failed", [451, 554]),
        ([(wire(1) + GROUP, b"250 x\r\n550 x\r\n503 x\r\n503 x\r\n")], "delivered failed", [250, 550]),
        ([(wire(1) + GROUP, b"250 x\r\n250 x\r\n450 x\r\n554 x\r\n")], "delivered deferred", [250, 450]),
        # the connection is lost: only the one whose dot was sent is in doubt
        ([(wire(1) + GROUP, b"")], "ambiguous deferred", [0, 0]),
        ([(wire(1) + GROUP, b"25")], "ambiguous deferred", [0, 0]),
        ([(wire(1) + GROUP, b"250 x\r\n250 x\r\n250 x\r\n")], "delivered deferred", [250, 0]),
        ([(wire(1) + GROUP, b"250 x\r\n" + TAKEN), (wire(2), b"")], "delivered ambiguous", [250, 0]),
        ([(wire(1) + GROUP, b"554 x\r\n")], "failed deferred", [554, 0]),
        # the peer takes its leave: to the first, to the second, to both in one breath
        ([(wire(1) + GROUP, b"421 bye\r\n")], "deferred deferred", [421, 0]),
        ([(wire(1) + GROUP, b"250 x\r\n421 bye\r\n")], "delivered deferred", [250, 421]),
        ([(wire(1) + GROUP, b"250 x\r\n250 x\r\n421 bye\r\n")], "delivered deferred", [250, 421]),
        ([(wire(1) + GROUP, b"250 x\r\n" + TAKEN + b"552 no more\r\n")], "delivered failed", [250, 552]),
        # what nobody may say ends the channel for both
        ([(wire(1) + GROUP, b"250 x\r\n354 what?\r\n")], "delivered deferred", [250, 0]),
        ([(wire(1) + GROUP, b"HTTP/1.1\r\n")], "ambiguous deferred", [0, 0]),
    ],
)
def test_each_has_its_own_end(steps: list[tuple[bytes, bytes]], expected: str, replies: list[int]) -> None:
    reported = against(script(*GREETED, (GROUP, TAKEN), *steps), all_of(message(1), message(2)))
    assert ends(reported) == expected
    assert codes(reported) == replies


def test_a_refused_envelope_is_reset_before_the_next() -> None:
    refused = (GROUP, b"250 x\r\n550 x\r\n554 x\r\n")
    peer = script(*GREETED, refused, (b"RSET\r\n" + GROUP, b"250 x\r\n" + TAKEN), (wire(2), b"250 x\r\n"))
    assert ends(against(peer, all_of(message(1), message(2)))) == "failed delivered"


def chunk(number: int) -> bytes:
    data = message(number).data
    return MAIL + RCPT + b"BDAT %d LAST\r\n" % len(data) + data


RESET = b"RSET\r\n"
CHUNKING = hello(b"PIPELINING", b"CHUNKING")


def test_with_chunking_two_whole_messages_are_under_way() -> None:
    ok = b"250 x\r\n250 x\r\n250 x\r\n"
    three = all_of(message(1), message(2), message(3))
    peer = script(
        *CHUNKING, (chunk(1) + RESET + chunk(2), ok), (RESET + chunk(3), b"250 x\r\n" + ok + b"250 x\r\n" + ok)
    )
    assert ends(against(peer, three)) == "delivered delivered delivered"
    peer = script(*CHUNKING, (chunk(1) + RESET + chunk(2), ok), (RESET + chunk(3), b"250 x\r\n250 x\r\n550 x\r\n"))
    assert ends(against(peer, three)) == "delivered failed ambiguous"


def cautiously(*contents: Content) -> Callable[[Session], Awaitable[list[tuple[Outcome, ...]]]]:
    """Each message waits for the replies to its envelope, as those of the library do."""

    async def use(session: Session) -> list[tuple[Outcome, ...]]:
        reported = []
        for content in contents:
            session.cautious = True
            reported.append(asyncio.ensure_future(session.deliver(envelope(), content)))
            await asyncio.sleep(0)  # it begins
        return await asyncio.gather(*reported)

    return use


def test_content_that_waits_for_its_envelope_goes_by_data_and_needs_no_reset() -> None:
    one, two = (Bytes(message(number).data, True) for number in (1, 2))
    peer = script(*CHUNKING, (GROUP, TAKEN), (wire(1) + GROUP, b"250 x\r\n" + TAKEN), (wire(2), b"250 x\r\n"))
    assert ends(against(peer, cautiously(one, two))) == "delivered delivered"


def test_each_of_several_in_line_waits_for_its_envelope() -> None:
    """Also the third, which stands in line while the second waits."""

    def last(number: int) -> bytes:
        data = message(number).data
        return b"BDAT %d LAST\r\n" % len(data) + data

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ok = b"250 x\r\n" * 2
        await script(*CHUNKING, (MAIL + RCPT, ok), (last(1) + RESET + MAIL + RCPT, ok + ok))(reader, writer)
        await script((last(2) + RESET + MAIL + RCPT, b""))(reader, writer)
        with pytest.raises(TimeoutError):  # this peer is quick: what is sent would be here
            await asyncio.wait_for(reader.read(1), 0.05)
        writer.write(ok + ok)
        await script((last(3), b"250 x\r\n"))(reader, writer)

    assert ends(against(peer, cautiously(message(1), message(2), message(3)))) == "delivered delivered delivered"


@pytest.mark.parametrize("data", [b"Subject: 1\r\n\r\nbare\n", b"x" * 78 + b"\r\n" * 40_000])
def test_it_goes_by_chunks_if_its_line_ends_are_unknown_or_it_is_long(data: bytes) -> None:
    content = Bytes(data, len(data) > 100)
    last = b"BDAT %d LAST\r\n" % len(data) + data
    peer = script(*CHUNKING, (MAIL + RCPT, b"250 x\r\n250 x\r\n"), (last, b"250 x\r\n"))
    assert ends(against(peer, cautiously(content))) == "delivered"


def test_binary_content_goes_by_chunks() -> None:
    data = b"Subject: 1\r\n\r\n\0\r\n"
    last = b"BDAT %d LAST\r\n" % len(data) + data
    mail = MAIL.replace(b"\r\n", b" BODY=BINARYMIME\r\n")
    steps = hello(b"PIPELINING", b"CHUNKING", b"BINARYMIME", b"8BITMIME")
    peer = script(*steps, (mail + RCPT, b"250 x\r\n250 x\r\n"), (last, b"250 x\r\n"))

    async def use(session: Session) -> list[tuple[Outcome, ...]]:
        session.cautious = True
        return [await session.deliver(envelope()._replace(body=Body.BINARYMIME), Bytes(data, True))]

    assert ends(against(peer, use)) == "delivered"


def test_a_chunk_that_nobody_takes_leaves_the_next_message_alone() -> None:
    """Its transaction stays open (RFC 3030 §2), so a MAIL behind it would be refused for that."""
    refused = b"250 x\r\n450 later\r\n503 no valid recipients\r\n"
    ok = b"250 reset\r\n250 x\r\n250 x\r\n250 x\r\n"
    peer = script(*CHUNKING, (chunk(1) + RESET + chunk(2), refused + ok))
    reported = against(peer, all_of(message(1), message(2)))
    assert (ends(reported), codes(reported)) == ("deferred delivered", [450, 250])


def test_lmtp_keeps_the_recipients_of_each_apart() -> None:
    (greeting, (_, capabilities)) = hello(b"PIPELINING")
    two = MAIL + b"RCPT TO:<a@sina.com>\r\nRCPT TO:<b@sina.com>\r\nDATA\r\n"
    taken = b"250 x\r\n" + TAKEN
    peer = script(
        greeting,
        (b"LHLO client.example\r\n", capabilities),
        (two, taken),
        (STUFFED + two, b"250 x\r\n550 x\r\n" + taken),
        (STUFFED, b"450 x\r\n250 x\r\n"),
    )

    async def use(session: Session) -> list[tuple[Outcome, ...]]:
        given = envelope("a@sina.com", "b@sina.com")
        return await asyncio.gather(session.deliver(given, LETTER), session.deliver(given, LETTER))

    assert ends(against(peer, use, lmtp=True)) == "delivered failed deferred delivered"


def test_content_that_cannot_be_sent_leaves_the_one_before_it_alone() -> None:
    peer = script(*GREETED, (GROUP, TAKEN), (wire(1) + GROUP, b"250 x\r\n" + TAKEN))
    reported = against(peer, all_of(message(1), Bytes(b"a\nb\r\n"), message(3)))
    assert ends(reported) == "delivered failed deferred"
    assert reported[1][0].reply.enhanced == "5.6.0"


class Broken:
    """Content that cannot be read to its end."""

    size = 300_000

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        yield b"Subject: x\r\n"
        raise StorageError("the disk is gone")


def test_content_that_cannot_be_read_is_never_completed() -> None:
    """The fault is our caller's to know; the peer must not take half a message for a whole one."""
    got = bytearray()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(*GREETED, (GROUP, TAKEN))(reader, writer)
        while piece := await reader.read(1000):
            got.extend(piece)

    async def use(session: Session) -> str:
        broken = asyncio.create_task(session.deliver(envelope(), Broken()))
        behind = asyncio.create_task(session.deliver(envelope(), message(2)))
        with pytest.raises(StorageError):
            await broken
        assert not session.usable
        return ends([await behind])

    assert against(peer, use) == "deferred"
    assert b"\r\n.\r\n" not in got


def test_an_address_that_cannot_be_written_concerns_its_message_only() -> None:
    peer = script(*GREETED, (GROUP, TAKEN), (wire(1) + GROUP, b"250 x\r\n" + TAKEN), (wire(3), b"250 x\r\n"))
    bad = Envelope(Address("a", "b.org"), (Recipient(Address("a\r\nQUIT", "b.org")),))

    async def use(session: Session) -> list[object]:
        return await asyncio.gather(
            session.deliver(envelope(), message(1)),
            session.deliver(bad, message(2)),
            session.deliver(envelope(), message(3)),
            return_exceptions=True,
        )

    first, second, third = against(peer, use)
    assert ends([first, third]) == "delivered delivered"
    assert isinstance(second, LocalError)


@pytest.mark.parametrize("begun", [True, False])
def test_who_is_cancelled_harms_nobody_before_him(begun: bool) -> None:
    """A message in line is left out; one whose envelope has left can only be stopped by ending the channel, and that
    waits for the message before it."""
    go_on = asyncio.Event()
    expected = wire(1) + GROUP if begun else wire(1)

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(*GREETED, (GROUP, b"" if begun else TAKEN))(reader, writer)
        if begun:
            writer.write(TAKEN)
        await script((expected, b""))(reader, writer)
        await go_on.wait()
        if begun:
            writer.write(b"250 x\r\n" + TAKEN)
            assert await reader.read() == b""
        else:
            writer.write(b"250 x\r\n")
            assert await reader.readexactly(6) == b"QUIT\r\n"
            writer.write(b"221 x\r\n")

    async def use(session: Session) -> list[tuple[Outcome, ...]]:
        first = asyncio.create_task(session.deliver(envelope(), message(1)))
        second = asyncio.create_task(session.deliver(envelope(), message(2)))
        await asyncio.sleep(0)
        if begun:
            while session.messages < 2:
                await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert session.fault is None
        go_on.set()
        reported = [await first]
        await session.quit()
        return reported

    assert ends(against(peer, use)) == "delivered"


def test_who_is_cancelled_while_his_own_message_is_under_way_ends_the_channel() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(*GREETED, (GROUP, b""))(reader, writer)
        assert await reader.read() == b""

    async def use(session: Session) -> bool:
        task = asyncio.create_task(session.deliver(envelope(), message(1)))
        while not session.messages:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return session.usable

    assert against(peer, use) is False


def test_quit_awaits_the_messages_under_way_and_commands_do_not_mix_with_them() -> None:
    peer = script(
        *GREETED,
        (GROUP, TAKEN),
        (wire(1) + GROUP, b"250 x\r\n" + TAKEN),
        (wire(2), b"250 x\r\n"),
        (b"QUIT\r\n", b"221 x\r\n"),
    )

    async def use(session: Session) -> list[tuple[Outcome, ...]]:
        both = asyncio.create_task(_as_one(all_of(message(1), message(2))(session)))
        while not session.messages:
            await asyncio.sleep(0)
        with pytest.raises(LocalError):
            await session.command(Noop())
        await session.quit()
        assert both.done() or await both
        return await both

    assert ends(against(peer, use)) == "delivered delivered"


async def _as_one(reported: Awaitable[list[tuple[Outcome, ...]]]) -> list[tuple[Outcome, ...]]:
    return await reported


def test_silence_is_told_to_the_whole_line() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(*GREETED, (GROUP, TAKEN), (wire(1) + GROUP, b""))(reader, writer)
        await reader.read()

    reported = against(mute, all_of(message(1), message(2), message(3)), timeouts=Timeouts(5, 5, 5, 5, 5, 0.1, 1))
    assert ends(reported) == "ambiguous deferred deferred"
    assert all("no answer to the content" in outcome.reason for outcomes in reported for outcome in outcomes)
