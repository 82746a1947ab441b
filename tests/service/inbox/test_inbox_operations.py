"""The operations on the inboxes and their keeper: waits, retention, finality, release, import, rules."""

from __future__ import annotations

import asyncio
import base64
import tracemalloc
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from tests.service.operation_harness import OperationHarness, run

from posthouse.core import Address, Bytes, Envelope, Recipient, SettingError
from posthouse.net import SystemClock
from posthouse.sandbox import Sandbox
from posthouse.service.daemon.inbox_keeper import InboxKeeper
from posthouse.service.inbox.mbox import mbox_entry, messages_of
from posthouse.spool.interface import StoredMessage

CONFIG = """
hostname = "mx.here.test"
[[domain]]
name = "here.test"
mailboxes = "any"
[inbox]
undo_for = "10m"
release_via = "smtp://127.0.0.1:{port}"
release_to = ["*@real.test"]
{more}
[[inbox_rule]]
search = "subject:order"
tag = "shop"
inbox = "Orders"
"""


def desk_with(more: str = "", port: int = 9) -> OperationHarness:
    return OperationHarness(text=CONFIG.format(more=more, port=port))


async def keep(desk: OperationHarness, subject: str, inbox: str = "bob@here.test", text: str = "hello") -> None:
    octets = f"Return-Path: <a@x.test>\r\nFrom: a@x.test\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()
    incoming = desk.queue.receive()
    incoming.abort()
    envelope = Envelope(Address("a", "x.test"), (Recipient(Address("bob", "here.test")),))
    message = StoredMessage(incoming.id, envelope, desk.clock.time(), len(octets))
    await desk.daemon._inbox_watch.keep(inbox, message, Bytes(octets))


async def keep_octets(desk: OperationHarness, octets: bytes) -> None:
    incoming = desk.queue.receive()
    incoming.abort()
    envelope = Envelope(Address("a", "x.test"), (Recipient(Address("bob", "here.test")),))
    message = StoredMessage(incoming.id, envelope, desk.clock.time(), len(octets))
    await desk.daemon._inbox_watch.keep("bob@here.test", message, Bytes(octets))


async def subjects(desk: OperationHarness, **given: Any) -> list[str]:
    return [each.subject for each in (await desk.do("inbox search", **given)).messages]


def keeper(desk: OperationHarness) -> InboxKeeper:
    """A keeper whose own task is stopped before it does anything."""
    made = InboxKeeper(
        desk.queue, desk.clock, lambda: desk.daemon.config, desk.daemon._inbox_watch.next, desk.daemon.log
    )
    assert made._task is not None
    made._task.cancel()
    return made


# Waiting --------------------------------------------------------------------------------------------------------------


def test_a_wait_ends_when_enough_messages_are_there() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        await keep(desk, "before")
        last = (await desk.do("inbox search", limit=1)).last
        waiting = asyncio.ensure_future(desk.do("inbox wait", to="bob@here.test", after=last, count=2, timeout=60))
        await asyncio.sleep(0)
        await keep(desk, "one")
        await keep(desk, "elsewhere", "eve@here.test")
        assert not waiting.done()
        await keep(desk, "two")
        found = await waiting
        assert (found.met, [each.subject for each in found.messages]) == (True, ["one", "two"])
        assert found.message is not None
        assert found.message.fields["subject"] == "two"
        assert all(each.unread for each in found.messages)

    run(scenario)


def test_a_wait_that_fails_says_what_came() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        await keep(desk, "wrong")
        found = await desk.do("inbox wait", query="subject:right", timeout=0)
        assert (found.met, found.messages, [each.subject for each in found.near]) == (False, [], ["wrong"])
        assert (await desk.do("inbox wait", none=True, query="subject:right", timeout=0)).met
        assert not (await desk.do("inbox wait", none=True, timeout=60)).met
        assert not (await desk.do("inbox wait", count=2, timeout=0)).met
        await keep(desk, "wrong")
        assert not (await desk.do("inbox wait", count=1, exactly=True, timeout=60)).met
        assert (await desk.do("inbox wait", count=2, exactly=True, timeout=0)).met
        for wrong in ({"to": "bob"}, {"count": 0}, {"query": "size>big"}):
            with pytest.raises(SettingError):
                await desk.do("inbox wait", timeout=0, **wrong)

    run(scenario)


# Changes --------------------------------------------------------------------------------------------------------------


def test_rules_make_inboxes_and_tags() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        await keep(desk, "Order 7")
        await keep(desk, "other")
        assert await subjects(desk, view="box:orders") == ["Order 7"]
        assert await subjects(desk, query="tag:shop") == ["Order 7"]
        views = {each.name: each.kind for each in await desk.do("inbox views")}
        assert views["box:orders"] == "box"
        with pytest.raises(SettingError, match="is no view"):
            await desk.do("inbox search", view="nonsense")

    run(scenario)


def test_the_first_views_of_each_kind_hide_no_other_kind() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        for inbox in ("a@y.test", "b@here.test", "c@here.test", "m@here.test", "z@here.test"):
            await keep(desk, "Order 7", inbox)
        names = [each.name for each in await desk.do("inbox views")]
        assert sorted(each.name for each in await desk.do("inbox views", of_each=9)) == names
        first = [each.name for each in await desk.do("inbox views", of_each=2)]
        assert first == ["", "@here.test", "@y.test", "box:orders", "tag:shop", "a@y.test", "b@here.test"]

    run(scenario)


def test_all_means_what_was_there_when_it_was_asked() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        for number in range(3):
            await keep(desk, f"m{number}")
        last = (await desk.do("inbox search")).last
        await keep(desk, "late")
        gone = await desk.do("inbox delete", all=True, until=last)
        assert (gone.deleted, await subjects(desk)) == (3, ["late"])
        assert (await desk.do("inbox mark", query="subject:late")).messages == 1
        undone = await desk.do("inbox undo", deletion=gone.undo)
        assert (undone.deletion, undone.restored) == (gone.undo, 3)
        acts = [(each.act, each.recipients) for each in await desk.do("queue audit")]
        assert acts == [("undo delete", 3), ("delete", 3)]
        with pytest.raises(SettingError, match="no deletion 99"):
            await desk.do("inbox undo", deletion=99)

    run(scenario)


def test_a_final_deletion_leaves_nothing_in_the_spool() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        await keep(desk, "one")
        await keep(desk, "large", text="x" * 100_000)
        await desk.do("inbox delete", numbers=[1, 2])
        tidy = keeper(desk).tidy
        assert not await tidy()
        assert len(await desk.queue.queries.inbox()) == 2
        await desk.clock.advance(601)
        assert await tidy()
        assert not await tidy()
        assert await desk.queue.queries.inbox() == []
        with pytest.raises(SettingError, match="nothing can be undone"):
            await desk.do("inbox undo")
        assert len(await desk.do("queue audit")) == 1

    run(scenario)


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ("keep_messages = 2", ["m3", "m4"]),
        ('keep_for = "90s"', ["m4"]),
        ('keep_size = "150"', ["m3", "m4"]),
        ("", ["m0", "m1", "m2", "m3", "m4"]),
    ],
)
def test_limits_remove_the_oldest(more: str, left: Sequence[str]) -> None:
    async def scenario() -> None:
        desk = await desk_with(more)
        tidy = keeper(desk)
        await tidy.tidy()
        for number in range(5):
            await keep(desk, f"m{number}")
            await desk.clock.advance(60)
        while await tidy.index():
            pass
        while await tidy.tidy():
            pass
        assert list(reversed(await subjects(desk))) == list(left)
        assert len(await desk.queue.queries.inbox()) == len(left)

    run(scenario)


def test_a_clock_that_is_ahead_at_the_start_takes_no_mail() -> None:
    """Not within the hour in which a time server sets it right; an hour later it is believed."""

    async def scenario() -> None:
        desk = await desk_with('keep_for = "90s"')
        await keep(desk, "one")
        desk.clock.set_calendar(desk.clock.time() + 365 * 86_400)
        tidy = keeper(desk)
        while await tidy.index():
            pass
        assert not await tidy.tidy()
        await desk.clock.advance(80)
        assert not await tidy.tidy()
        await desk.clock.advance(20)
        assert await tidy.tidy(), "90 s have certainly passed"

        await keep(desk, "two")
        while await tidy.index():
            pass
        desk.clock.set_calendar(desk.clock.time() + 365 * 86_400)
        assert not await tidy.tidy()
        await desk.clock.advance(3_601)
        assert await tidy.tidy()

    run(scenario)


def test_the_keeper_indexes_what_arrives_and_ends() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        made = InboxKeeper(
            desk.queue, SystemClock(), lambda: desk.daemon.config, desk.daemon._inbox_watch.next, desk.daemon.log
        )
        await keep(desk, "one")
        async with asyncio.timeout(60):
            while not (await desk.queue.index.view("")).messages:
                await asyncio.sleep(0)
        await made.stop()
        await made.stop()

    run(scenario)


# Moving ---------------------------------------------------------------------------------------------------------------


def test_a_release_goes_to_allowed_addresses_and_shows_the_answer() -> None:
    async def scenario() -> None:
        with Sandbox() as sandbox:
            desk = await desk_with(port=sandbox.port)
            await keep(desk, "one")
            report = await desk.do("inbox release", number=1, to="me@real.test")
            assert [(each.recipient, each.accepted) for each in report.recipients] == [("me@real.test", True)]
            assert report.recipients[0].reply.startswith("250")
            (released,) = sandbox.messages
            assert released.session.helo == "mx.here.test"  # as the daemon calls itself everywhere
            for to, error in (("me@other.test", "nothing may be released"), ("", "no recipient"), ("x", "no address")):
                with pytest.raises(SettingError, match=error):
                    await desk.do("inbox release", number=1, to=to)
            with pytest.raises(SettingError, match="number 9"):
                await desk.do("inbox release", number=9, to="me@real.test")
        with pytest.raises(SettingError, match="was not released"):
            await desk.do("inbox release", number=1, to="me@real.test")
        bare = await OperationHarness()
        with pytest.raises(SettingError, match="no server is named"):
            await bare.do("inbox release", number=1, to="me@real.test")

    run(scenario)


def test_an_import_takes_single_messages_and_mboxes() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        one = b"Subject: one\n\nFrom me\n"
        mbox = mbox_entry(b"Subject: a\r\n\r\nFrom x\r\n", "", 0.0) + mbox_entry(
            b"Subject: b\r\n\r\n>From y\r\n", "s@x", 0.0
        )
        for octets, count in ((one, 1), (mbox, 2)):
            content = base64.b64encode(octets).decode()
            assert (await desk.do("inbox import", content=content, to="Eve@here.test")).messages == count
        assert await subjects(desk, view="eve@here.test") == ["b", "a", "one"]
        for content, to in (("%%%", "eve@here.test"), ("", "eve@here.test"), ("eA==", "eve")):
            with pytest.raises(SettingError):
                await desk.do("inbox import", content=content, to=to)

    run(scenario)


@pytest.mark.parametrize(
    "octets", [b"Subject: a\r\n\r\nFrom x\r\n>From y\r\n>>From z\r\n\r\n", b"", b"From here\r\n\r\nFrom there", b"x"]
)
def test_an_mbox_gives_back_what_was_put_in(octets: bytes) -> None:
    entry = mbox_entry(octets, "ann@x.test", 1_800_000_000.0)
    assert entry.startswith(b"From ann@x.test Fri Jan 15 08:00:00 2027\n")
    once, twice = messages_of(entry), messages_of(entry + entry)
    assert twice == once * 2
    assert once[0].rstrip() == octets.rstrip()


def test_parts_source_and_extracts() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        await keep(desk, "Your code", text="Your code is 123456: https://x.test/a")
        found = await desk.do("inbox extract", number=1)
        assert (found.codes, found.links) == (["123456"], ["https://x.test/a"])
        piece = await desk.do("inbox source", number=1, start=13, octets=10)
        assert (piece.content, piece.total > 50, piece.line) == (b"<a@x.test>", True, 1)
        whole = (await desk.do("inbox source", number=1)).content
        assert (await desk.do("inbox source", number=1, start=whole.index(b"Your code is"))).line == (
            1 + whole[: whole.index(b"Your code is")].count(b"\n")
        )
        assert (await desk.do("inbox part", number=1, part="1")).content.startswith(b"Your code")
        read = await desk.do("inbox read", number=1)
        assert (read.entry.unread, [each.name for each in read.fields][:2]) == (True, ["Return-Path", "From"])
        assert any(each.rule == "missing-date" for each in await desk.do("inbox check", number=1))

    run(scenario)


def large_message() -> bytes:
    """A message with 4 files of 10 MiB each, in base64, behind a short text."""
    line = base64.encodebytes(bytes(57)).replace(b"\n", b"\r\n")
    file = line * ((10 << 20) // 57)
    head = b"Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
    text = "你好\r\n".encode()
    kind = b"\r\n--b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + text + (kind + file) * 4 + b"\r\n--b--\r\n"


async def memory_of(work: Coroutine[Any, Any, Any]) -> tuple[Any, int]:
    """The result, and the most memory that was in use for it at one time."""
    tracemalloc.start()
    try:
        found = await work
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_large_message_is_shown_by_its_beginning_and_in_bounded_memory() -> None:
    """With all of it as text, and every file decoded, it took seven times its size."""

    async def scenario() -> None:
        desk = await desk_with()
        octets = large_message()
        await keep_octets(desk, octets)
        size = len(octets)
        begin = octets[: 8 << 20]
        del octets
        await desk.do("inbox search")  # the index is made
        shown, most = await memory_of(desk.do("inbox show", number=1))
        assert most < 2 * size
        assert (shown.cut, shown.size, shown.body) == (True, size, "你好")
        assert begin.startswith(shown.text.encode())
        assert len(begin) - len(shown.text.encode()) < 100
        assert shown.text.endswith("\n")
        assert [each.size for each in shown.parts][1:] == [(10 << 20) // 57 * 57] * 4
        piece, most = await memory_of(desk.do("inbox source", number=1, start=size - 20, octets=1 << 20))
        assert piece.content.endswith(b"AAAA\r\n\r\n--b--\r\n")
        assert (piece.start, piece.total) == (size - 20, size)
        assert most < 4 << 20

    run(scenario)


def test_a_small_message_is_shown_whole() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        await keep_octets(desk, b"Subject: x\r\n\r\n\xff\xfe\r\n")
        shown = await desk.do("inbox show", number=1)
        assert (shown.cut, shown.raw) == (False, b"Subject: x\r\n\r\n\xff\xfe\r\n")

    run(scenario)


def test_pieces_of_a_source_are_the_whole() -> None:
    async def scenario() -> None:
        desk = await desk_with()
        octets = b"Subject: x\r\n\r\n" + bytes(range(97, 123)) * 30_000
        await keep_octets(desk, octets)
        for step in (1_000_000, 262_144, 262_143, 100_001):
            found = [
                (await desk.do("inbox source", number=1, start=start, octets=step)).content
                for start in range(0, len(octets), step)
            ]
            assert b"".join(found) == octets
        assert (await desk.do("inbox source", number=1, start=len(octets) + 5)).content == b""

    run(scenario)


def test_the_links_of_a_message_are_asked_for_where_the_configuration_allows_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        asked.append(line)
        replies = {b"/there": b"200 OK", b"/moved": b"302 Found\r\nLocation: /there", b"/gone": b"410 Gone"}
        writer.write(b"HTTP/1.1 " + replies[line.split()[1]] + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    asked: list[bytes] = []

    async def go() -> None:
        desk = await desk_with('link_networks = ["127.0.0.0/8"]')
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            await keep(desk, "links", text=f"{base}/there {base}/moved\r\n{base}/gone")
            report = await desk.do("inbox links", number=1)
        assert [(each.result, each.kind, each.status) for each in report.links] == [
            ("works", "ok", 200),
            ("works", "moved", 200),
            ("broken", "gone", 410),
        ]
        assert report.links[1].place == f"{base}/there"
        assert (report.works, report.broken, report.unclear) == (2, 1, 0)
        with pytest.raises(SettingError):
            await desk.do("inbox links", number=99)
        assert [each.unread for each in (await desk.do("inbox search")).messages] == [True]

    run(go)
    assert sorted(asked)[0] == b"GET /gone HTTP/1.1\r\n"
