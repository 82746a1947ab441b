"""Many messages on one session: those in line leave with what is before them, and each is told of in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from posthouse.client import Session
from posthouse.core import Address, Content, Envelope, LocalError, Outcome, Recipient, Result

from .test_in_line import GREETED, GROUP, TAKEN, message, wire
from .test_session import LETTER, MAIL, against, envelope, hello, script

Message = tuple[Envelope, Content]


def letters(amount: int, taken: list[int] | None = None) -> Iterator[Message]:
    for number in range(1, amount + 1):
        if taken is not None:
            taken.append(number)
        yield envelope(), message(number)


async def reported(session: Session, messages: Iterator[Message], ahead: int = 2) -> list[tuple[Message, Outcome]]:
    return [(given, outcome) async for given, (outcome,) in session.deliver_each(messages, ahead=ahead)]


def test_each_reply_lets_the_next_content_and_the_envelope_behind_it_go_in_one_write() -> None:
    """The peer says nothing of a group before it has read all of it, so one that left in parts would be waited for."""
    peer = script(
        *GREETED,
        (GROUP, TAKEN),
        (wire(1) + GROUP, b"250 first\r\n" + TAKEN),
        (wire(2) + GROUP, b"550 second\r\n" + TAKEN),
        (wire(3) + GROUP, b"250 third\r\n" + TAKEN),
        (wire(4), b"250 fourth\r\n"),
        (b"QUIT\r\n", b"221 x\r\n"),
    )

    async def use(session: Session) -> list[tuple[bytes, str]]:
        found = await reported(session, letters(4))
        await session.quit()
        return [(given[1].data, outcome.reply.text) for given, outcome in found]  # type: ignore[attr-defined,union-attr]

    names = ["first", "second", "third", "fourth"]
    assert against(peer, use) == [(message(number).data, name) for number, name in enumerate(names, 1)]


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_no_more_is_taken_than_may_stand_in_line(ahead: int) -> None:
    taken: list[int] = []
    most = 0

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        await script(*GREETED)(reader, writer)
        while (line := await reader.readline()) not in (b"QUIT\r\n", b""):
            if line == b"DATA\r\n":
                writer.write(b"354 x\r\n")
                await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 x\r\n")
        writer.write(b"221 x\r\n")

    async def use(session: Session) -> int:
        nonlocal most
        ended = 0
        async for _, (outcome,) in session.deliver_each(letters(12, taken), ahead=ahead):
            most = max(most, len(taken) - ended)
            ended += outcome.result is Result.DELIVERED
        await session.quit()
        return ended

    assert against(peer, use) == 12
    assert most == ahead + 1


def test_a_session_that_is_lost_takes_no_more_and_tells_of_all_it_took() -> None:
    """What is left can go on with another session."""
    taken: list[int] = []
    rest = letters(6, taken)

    async def use(session: Session) -> list[Result]:
        found = [outcome.result for _, outcome in await reported(session, rest)]
        assert not session.usable
        assert await reported(session, rest) == []
        return found

    peer = script(*GREETED, (GROUP, TAKEN), (wire(1) + GROUP, b"250 x\r\n" + TAKEN), (wire(2) + GROUP, b""))
    assert against(peer, use) == [Result.DELIVERED, Result.AMBIGUOUS, Result.DEFERRED, Result.DEFERRED]
    assert taken == [1, 2, 3, 4]
    assert len(list(rest)) == 2


def test_a_message_that_is_not_for_this_peer_has_its_turn_like_the_others() -> None:
    strange = Envelope(Address("a", "b.org"), (Recipient(Address("任平", "sina.com")),))
    given: list[Message] = [(envelope(), message(1)), (strange, LETTER), (envelope(), message(2))]
    peer = script(*GREETED, (GROUP, TAKEN), (wire(1) + GROUP, b"250 x\r\n" + TAKEN), (wire(2), b"250 x\r\n"))

    async def use(session: Session) -> list[str]:
        return [outcome.result.value for _, outcome in await reported(session, iter(given))]

    assert against(peer, use) == ["delivered", "failed", "delivered"]


def test_what_our_side_meets_is_raised_in_turn_and_the_rest_goes_on() -> None:
    bad = Envelope(Address("a", "b.org"), (Recipient(Address("a\r\nQUIT", "b.org")),))
    given: list[Message] = [(envelope(), message(1)), (bad, message(2)), (envelope(), message(3))]
    peer = script(*GREETED, (GROUP, TAKEN), (wire(1) + GROUP, b"250 x\r\n" + TAKEN), (wire(3), b"250 x\r\n"))

    async def use(session: Session) -> list[object]:
        series = session.deliver_each(given)
        return [await anext(series), *await asyncio.gather(anext(series), return_exceptions=True), await anext(series)]

    first, second, third = against(peer, use)
    assert isinstance(second, LocalError)
    assert (first[0], third[0]) == (given[0], given[2])
    assert (first[1][0].result, third[1][0].result) == (Result.DELIVERED, Result.DELIVERED)


def test_recipients_that_the_peer_takes_later_hold_up_their_own_message_only() -> None:
    """452 4.5.3: the rest goes in a transaction of its own, behind what stood in line already."""
    two = MAIL + b"RCPT TO:<a@sina.com>\r\nRCPT TO:<b@sina.com>\r\nDATA\r\n"
    peer = script(
        *hello(b"PIPELINING"),
        (two, b"250 x\r\n250 x\r\n452 4.5.3 later\r\n354 x\r\n"),
        (wire(1) + GROUP, b"250 x\r\n" + TAKEN),
        (wire(2) + MAIL + b"RCPT TO:<b@sina.com>\r\nDATA\r\n", b"250 x\r\n" + TAKEN),
        (wire(1), b"250 the rest\r\n"),
    )
    given: list[Message] = [(envelope("a@sina.com", "b@sina.com"), message(1)), (envelope(), message(2))]

    async def use(session: Session) -> list[list[Result]]:
        return [[each.result for each in outcomes] async for _, outcomes in session.deliver_each(given)]

    assert against(peer, use) == [[Result.DELIVERED, Result.DELIVERED], [Result.DELIVERED]]


def test_who_is_cancelled_ends_the_channel_and_leaves_nothing_in_line() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(*GREETED, (GROUP, b""))(reader, writer)
        assert await reader.read() == b""

    async def use(session: Session) -> bool:
        task = asyncio.create_task(reported(session, letters(5)))
        while not session.messages:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return session.usable

    assert against(peer, use) is False


def test_who_leaves_early_leaves_those_in_line_under_way() -> None:
    peer = script(
        *GREETED,
        (GROUP, TAKEN),
        (wire(1) + GROUP, b"250 x\r\n" + TAKEN),
        (wire(2) + GROUP, b"250 x\r\n" + TAKEN),
        (wire(3), b"250 x\r\n"),
        (b"QUIT\r\n", b"221 x\r\n"),
    )

    async def use(session: Session) -> str:
        async for _, (outcome,) in session.deliver_each(letters(9)):
            await session.quit()
            return outcome.result.value
        return ""

    assert against(peer, use) == "delivered"


def test_a_line_of_less_than_nobody_is_refused() -> None:
    async def use(session: Session) -> None:
        with pytest.raises(LocalError, match="ahead=-1"):
            session.deliver_each([], ahead=-1)

    against(script(*GREETED), use)
