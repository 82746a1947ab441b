"""Content checks in a running daemon: from the socket to the Maildir, or to the queue as held, or to a refusal."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Reply, Verdict
from posthouse.server import CheckedMessage, CheckFactory, CheckResult
from posthouse.service import OPERATIONS, Daemon, parse
from posthouse.service.operations.explain_text import history_sentences

from .policy_harness import PolicyHarness, bring_in, envelope

CONFIG = """
hostname = "mx.example.org"
data_dir = "{root}/spool"
[[listener]]
bind = "127.0.0.1:0"
kind = "{kind}"
[[domain]]
name = "example.org"
mailboxes = ["bob", "ann"]
deliver = "maildir:{root}/mail/{{local}}"
maildir_line_ends = "crlf"
lists.team = {{ members = ["bob"], owner = "ann" }}
"""
MESSAGE = b"From: me@example.com\r\nSubject: x\r\n\r\nhello\r\n"


class Marker:
    """The example of a check: adds a field, and looks for markers in the content as it streams.

    A message with REFUSE is refused, one with QUARANTINE is quarantined.  It keeps the end of each piece, because a
    marker may come in two.
    """

    def __init__(self, message: CheckedMessage) -> None:
        self._message = message
        self._tail = b""
        self._found: set[bytes] = set()

    def write(self, chunk: bytes) -> None:
        data = self._tail + chunk
        self._found.update(re.findall(rb"REFUSE|QUARANTINE", data))
        self._tail = data[-9:]

    def finish(self, size: int, fields: bytes) -> CheckResult:
        if b"REFUSE" in self._found:
            return CheckResult(refusal=Verdict(Reply(550, "5.7.1", "Refused by content"), "marker REFUSE"))
        field = f"X-Check: {size} octets from {self._message.peer.host} for {self._message.hostname}\r\n"
        return CheckResult(field.encode(), quarantine="marker QUARANTINE" if self._found else "")

    def abort(self) -> None:
        self._found.clear()


class Lookup:
    """A check that asks somebody, and gives its result once the answer is there."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answered = asyncio.Event()

    def __call__(self, message: CheckedMessage) -> Lookup:
        return self

    def write(self, chunk: bytes) -> None:
        pass

    def finish(self, size: int, fields: bytes) -> Awaitable[CheckResult]:
        return self._wait(fields)

    async def _wait(self, fields: bytes) -> CheckResult:
        self.asked.set()
        await self.answered.wait()
        return CheckResult(b"X-Lookup: after %d fields\r\n" % fields.count(b"\r\n"))

    def abort(self) -> None:
        pass


class Broken(Marker):
    def finish(self, size: int, fields: bytes) -> CheckResult:
        raise OSError("scanner is gone")


class Client:
    """A client that says lines and hears replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, data: bytes, replies: int = 1) -> list[str]:
        """Send octets; so many replies, the last line of each."""
        self._writer.write(data)
        found = []
        while len(found) < replies:
            line = (await self._reader.readline()).decode().rstrip("\r\n")
            assert line, "the connection has ended"
            if line[3:4] != "-":
                found.append(line)
        return found

    async def message(self, content: bytes, *to: str, verb: bytes = b"EHLO", replies: int = 1) -> list[str]:
        """Bring one message in; the replies to its content."""
        lines = [verb + b" client.example", b"MAIL FROM:<me@example.com>"]
        lines += [f"RCPT TO:<{each}>".encode() for each in to] + [b"DATA"]
        before = await self.say(b"\r\n".join(lines) + b"\r\n", len(lines))
        assert before[-1].startswith("354")
        return await self.say(content + b".\r\n", replies)


class Host:
    """A daemon with checks, and what came of it."""

    def __init__(self, root: Path, checks: Sequence[CheckFactory], kind: str) -> None:
        self.root = root
        self.writers: list[asyncio.StreamWriter] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.daemon = Daemon(
            parse(CONFIG.format(root=root, kind=kind)),
            log=lambda event, /, **fields: self.events.append((event, fields)),
            checks=checks,
        )

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]

    async def client(self) -> Client:
        (endpoint,) = self.daemon.endpoints.values()
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        self.writers.append(writer)
        client = Client(reader, writer)
        assert (await client.say(b""))[0].startswith("220")
        return client

    async def do(self, name: str, **given: Any) -> Any:
        return await OPERATIONS[name].run(self.daemon.context("ann"), **given)

    async def mail(self, local: str = "bob") -> list[bytes]:
        """The messages in a Maildir, once the relay has nothing left to do."""
        await self.daemon.wait_idle()
        return [file.read_bytes() for file in sorted(self.root.glob(f"mail/{local}/new/*"))]


def run(
    root: Path, scenario: Callable[[Host], Awaitable[None]], *checks: CheckFactory, kind: str = "mx"
) -> list[tuple[str, dict[str, Any]]]:
    async def main() -> Host:
        async with asyncio.timeout(60):
            host = Host(root, checks, kind)
            await host.daemon.start()
            try:
                await scenario(host)
            finally:
                for writer in host.writers:
                    writer.close()
                    await writer.wait_closed()
                await host.daemon.drain(5.0)
            return host

    return asyncio.run(main()).events


def fields_of(content: bytes) -> list[str]:
    """The names of the header fields, in their order."""
    head = content.partition(b"\r\n\r\n")[0]
    return [line.partition(b":")[0].decode() for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]


def test_a_check_adds_a_field_above_received(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        client = await host.client()
        (reply,) = await client.message(MESSAGE, "bob@example.org")
        assert reply.startswith("250 2.0.0 Ok: queued as ")
        (content,) = await host.mail()
        assert fields_of(content) == [
            "Return-Path",
            "X-Original-To",
            "Delivered-To",
            "X-Check",
            "Received",
            "From",
            "Subject",
        ]
        assert b"\r\nX-Check: %d octets from 127.0.0.1 for mx.example.org\r\n" % len(MESSAGE) in content
        assert content.endswith(MESSAGE)

    run(tmp_path, scenario, Marker)


@pytest.mark.parametrize("size", [1_000, 3_000_000])
def test_content_of_any_size_is_checked_and_kept_whole(tmp_path: Path, size: int) -> None:
    message = MESSAGE + b"0123456789012345678901234567890123456789\r\n" * (size // 42)

    async def scenario(host: Host) -> None:
        client = await host.client()
        assert (await client.message(message, "bob@example.org"))[0].startswith("250")
        (content,) = await host.mail()
        assert fields_of(content)[:5] == ["Return-Path", "X-Original-To", "Delivered-To", "X-Check", "Received"]
        assert content.endswith(message)

    run(tmp_path, scenario, Marker)


def test_a_message_without_header_section_stays_a_body(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        client = await host.client()
        await client.message(b"only a body\r\n", "bob@example.org")
        (content,) = await host.mail()
        assert fields_of(content) == ["Return-Path", "X-Original-To", "Delivered-To", "X-Check", "Received"]
        assert content.endswith(b"\r\n\r\nonly a body\r\n")

    run(tmp_path, scenario, Marker)


@pytest.mark.parametrize("kind", ["mx", "lmtp"])
def test_a_check_refuses(tmp_path: Path, kind: str) -> None:
    replies = 2 if kind == "lmtp" else 1

    async def scenario(host: Host) -> None:
        client = await host.client()
        to = ("bob@example.org", "ann@example.org")
        verb = b"LHLO" if kind == "lmtp" else b"EHLO"
        said = await client.message(MESSAGE + b"REFUSE\r\n", *to, verb=verb, replies=replies)
        assert said == ["550 5.7.1 Refused by content"] * replies
        assert await client.message(MESSAGE, *to, verb=verb, replies=replies) != said
        assert len(await host.mail()) == 1
        (refusal,) = host.logged("refused")
        assert (refusal["command"], refusal["reason"]) == ("DATA", "marker REFUSE")

    run(tmp_path, scenario, Marker, kind=kind)


def test_a_quarantined_message_is_held_until_it_is_released(tmp_path: Path) -> None:
    queue_id = ""

    async def bring(host: Host) -> None:
        nonlocal queue_id
        client = await host.client()
        (reply,) = await client.message(MESSAGE + b"QUARANTINE\r\n", "bob@example.org")
        queue_id = reply.removeprefix("250 2.0.0 Ok: queued as ")
        assert await host.mail() == []
        (logged,) = host.logged("quarantined")
        assert (logged["id"], logged["reason"]) == (queue_id, "marker QUARANTINE")

    async def look(host: Host) -> None:  # after a restart
        assert await host.mail() == []
        entry = await host.daemon.spool.queries.entry(queue_id)
        assert entry is not None
        assert [(each.state, each.last) for each in entry.recipients] == [("held", "marker QUARANTINE")]
        explained = await host.do("explain", what=queue_id)
        reported = [each.text for each in history_sentences(explained.message, "en", lambda at: "then")]
        assert "held on arrival: marker QUARANTINE" in reported
        await host.do("queue release", filter=f"id:{queue_id}")
        (content,) = await host.mail()
        assert fields_of(content)[:5] == ["Return-Path", "X-Original-To", "Delivered-To", "X-Check", "Received"]

    run(tmp_path, bring, Marker)
    run(tmp_path, look, Marker)


def test_what_goes_to_a_list_is_checked_once(tmp_path: Path) -> None:
    asked: list[CheckedMessage] = []

    def factory(message: CheckedMessage) -> Marker:
        asked.append(message)
        return Marker(message)

    async def scenario(host: Host) -> None:
        client = await host.client()
        await client.message(MESSAGE, "ann@example.org", "team@example.org")
        for local in ("ann", "bob"):
            (content,) = await host.mail(local)
            assert fields_of(content)[:5] == ["Return-Path", "X-Original-To", "Delivered-To", "X-Check", "Received"]
        ids = re.findall(rb"with ESMTP id (\S+);", b"".join(await host.mail("ann") + await host.mail("bob")))
        assert len(set(ids)) == 2
        assert [len(message.envelope.recipients) for message in asked] == [2]
        assert asked[0].queue_id.encode() in ids

    run(tmp_path, scenario, factory)


def test_several_checks_and_one_that_waits(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        client, other = await host.client(), await host.client()
        bringing = asyncio.ensure_future(client.message(MESSAGE, "bob@example.org"))
        await lookup.asked.wait()
        assert (await other.say(b"NOOP\r\n"))[0].startswith("250")  # nobody else waits
        assert not bringing.done()
        assert await host.mail() == []
        lookup.answered.set()
        assert (await bringing)[0].startswith("250")
        (content,) = await host.mail()
        assert fields_of(content) == [
            "Return-Path",
            "X-Original-To",
            "Delivered-To",
            "X-Lookup",
            "X-Check",
            "Received",
            "From",
            "Subject",
        ]
        assert b"X-Lookup: after 1 fields\r\n" in content

    lookup = Lookup()
    run(tmp_path, scenario, Marker, lookup)


@pytest.mark.parametrize("to", ["bob@example.org", "team@example.org"])
def test_a_message_is_not_stored_when_its_client_vanishes_while_it_is_checked(tmp_path: Path, to: str) -> None:
    """The client will send it again."""

    async def scenario(host: Host) -> None:
        client = await host.client()
        bringing = asyncio.ensure_future(client.message(MESSAGE, to))
        await lookup.asked.wait()
        writer = host.writers.pop()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()  # a reset: after a mere end, the client might still read the reply
        while host.daemon.sessions:
            await asyncio.sleep(0)
        lookup.answered.set()
        while not host.logged("refused"):
            await asyncio.sleep(0)
        (refusal,) = host.logged("refused")
        assert refusal["reason"] == "the connection ended before the message was stored"
        assert host.logged("accepted") == []
        assert await host.mail() == []
        with pytest.raises((AssertionError, ConnectionError)):
            await bringing

    lookup = Lookup()
    run(tmp_path, scenario, Marker, lookup)


def test_a_check_that_fails_costs_one_451(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        client = await host.client()
        (reply,) = await client.message(MESSAGE, "bob@example.org")
        assert reply == "451 4.3.0 Cannot check this message now; try again later"
        assert (await client.say(b"NOOP\r\n"))[0].startswith("250")
        assert await host.mail() == []
        (refusal,) = host.logged("refused")
        assert refusal["reason"] == "content check Broken: OSError: scanner is gone"
        (fault,) = host.logged("fault")
        assert isinstance(fault["error"], OSError)

    run(tmp_path, scenario, Marker, Broken)


def test_a_message_too_large_is_not_checked_to_its_end() -> None:
    made: list[Marker] = []

    class Counted(Marker):
        def __init__(self, message: CheckedMessage) -> None:
            super().__init__(message)
            self.ended = ""
            made.append(self)

        def finish(self, size: int, fields: bytes) -> CheckResult:
            self.ended += "finished"
            return super().finish(size, fields)

        def abort(self) -> None:
            self.ended += "aborted"

    at = PolicyHarness(
        'hostname = "mx.example.org"\n[[listener]]\nbind = "127.0.0.1:0"\nmax_message_size = 65536\n'
        '[[domain]]\nname = "example.org"\nmailboxes = "any"\n',
        checks=[Counted],
    )
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), b"a: b\r\n" * 5_000, b"a: b\r\n" * 10_000)
    assert reply.code == 552
    assert [check.ended for check in made] == ["aborted"]  # type: ignore[attr-defined]
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), MESSAGE)
    assert reply.code == 250
    assert [check.ended for check in made] == ["aborted", "finished"]  # type: ignore[attr-defined]
