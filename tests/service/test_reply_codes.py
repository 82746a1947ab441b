"""Every reply code that the catalogue gives an occasion is reached, over a live socket, at a whole daemon.

``WAYS`` has a row for each occasion that the catalogue tells of.  A code with an occasion and without a way fails the
test, and so does a code that is reached and has none: the manual's page of reply codes is held to what happens.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from posthouse.codes.code_lookup import ALL_BASIC, explain_enhanced
from posthouse.core import EventSink, Reply, StorageError, StorageFull
from posthouse.protocol.readers import ReplyReader
from posthouse.service import Daemon
from posthouse.service.accounts import AccountFile
from posthouse.service.config_file import parse
from posthouse.spool import Spool, SqliteSpool
from posthouse.testing import StaticResolver

SETTINGS: Final = """
hostname = "mx.example.org"
data_dir = "{data_dir}"
[[listener]]
bind = "127.0.0.1:0"
name = "door"
{listener}
[relay]
{relay}
[spool]
{spool}
[[domain]]
name = "sina.com"
mailboxes = ["renping", "liming", "zhaolei", "任平"]
moved = {{ wanghong = "wanghong@sohu.com" }}
paused = ["zhaolei"]
lists.bianji = {{ members = ["renping", "liming"] }}
[[domain]]
name = "told.example"
mailboxes = ["renping"]
moved = {{ wanghong = "wanghong@sohu.com" }}
moved_action = "tell"
[[domain]]
name = "full.example"
mailboxes = ["renping"]
quota = 1000
[[domain]]
name = "later.example"
mailboxes = ["renping"]
quota = 1000
quota_action = "defer"
"""
MAIL: Final = ("EHLO sohu.com", "MAIL FROM:<langrui@sohu.com>")
RCPT: Final = (*MAIL, "RCPT TO:<renping@sina.com>")
DATA: Final = (*RCPT, "DATA")
MESSAGE: Final = "Subject: hi\r\n\r\nhello\r\n."
CIRCLES: Final = "Received: from a.example by b.example; Mon, 23 Nov 2026 08:46:22 +0100\r\n" * 100 + "\r\n."


def plain(password: str) -> str:
    """The initial response of PLAIN (RFC 4616)."""
    return base64.b64encode(f"\0langrui@sina.com\0{password}".encode()).decode()


class Way(NamedTuple):
    """How a code is reached: settings, what storage does, and lines said one after another; the last reply counts."""

    code: int
    enhanced: str
    lines: tuple[str, ...] = ()
    listener: str = ""
    relay: str = ""
    spool: str = ""
    queue: str = ""
    before: str = ""  # "connect": another session is open; "drain": the daemon shuts down after the lines


WAYS: Final = (
    Way(211, "2.0.0", ("HELP",)),
    Way(214, "2.0.0", ("HELP MAIL",)),
    Way(220, ""),
    Way(221, "2.0.0", ("QUIT",)),
    Way(235, "2.7.0", ("EHLO sohu.com", f"AUTH PLAIN {plain('correct horse')}"), 'auth = "offered"'),
    Way(250, "", ("EHLO sohu.com",)),
    Way(250, "", ("HELO sohu.com",)),
    Way(250, "2.1.0", MAIL),
    Way(250, "2.1.5", RCPT),
    Way(250, "2.0.0", ("RSET",)),
    Way(250, "2.0.0", ("NOOP",)),
    Way(250, "2.0.0", (*RCPT, "BDAT 4\r\na:b")),
    Way(250, "2.0.0", (*DATA, MESSAGE)),
    Way(251, "2.1.5", (*MAIL, "RCPT TO:<wanghong@sina.com>")),
    Way(251, "2.1.5", ("VRFY wanghong@sina.com",), "vrfy = true"),
    Way(252, "2.5.0", ("VRFY renping@sina.com",)),
    Way(252, "2.5.0", ("EXPN bianji",)),
    Way(252, "2.5.0", ("VRFY someone@example.net",), "vrfy = true"),
    Way(252, "2.6.8", ("VRFY 任平@sina.com",), "vrfy = true"),
    Way(334, "", ("EHLO sohu.com", "AUTH PLAIN"), 'auth = "offered"'),
    Way(354, "", DATA),
    Way(421, "4.3.2", before="drain"),
    Way(421, "4.7.0", listener="max_connections = 1", before="connect"),
    Way(421, "4.7.0", listener="max_connections_per_host = 1", before="connect"),
    Way(421, "4.7.0", ("\r\n".join(["GIVE ME MAIL"] * 21),)),
    Way(421, "4.4.2", listener="command_timeout = 0.1", before="silence"),
    Way(450, "4.2.1", (*MAIL, "RCPT TO:<zhaolei@sina.com>")),
    Way(451, "4.3.0", (*DATA, MESSAGE), queue="failing"),
    Way(451, "4.3.0", (*MAIL, "RCPT TO:<renping@full.example>"), queue="failing"),
    Way(452, "4.3.1", MAIL, spool='min_free = "900T"'),
    Way(452, "4.3.1", (*DATA, MESSAGE), queue="full"),
    Way(452, "4.2.2", ("EHLO sohu.com", "MAIL FROM:<> SIZE=1001", "RCPT TO:<renping@later.example>")),
    Way(452, "4.5.3", (*RCPT, "RCPT TO:<liming@sina.com>"), "max_recipients = 1"),
    Way(500, "5.5.2", ("FETCH",)),
    Way(500, "5.5.2", ("NOOP " + "x" * 3000,)),
    Way(500, "5.5.2", ("NO\rOP",)),
    Way(501, "5.1.3", (*MAIL, "RCPT TO:<renping@>")),
    Way(501, "5.5.4", ("EHLO sohu.com", "MAIL FROM:<langrui@sohu.com> SIZE=many")),
    Way(501, "5.5.4", ("RSET all",)),
    Way(502, "5.5.1", ("TURN",)),
    Way(502, "5.5.1", ("STARTTLS",)),
    Way(502, "5.5.1", ("AUTH PLAIN",)),
    Way(503, "5.5.1", ("MAIL FROM:<langrui@sohu.com>",)),
    Way(503, "5.5.1", (*MAIL, "DATA")),
    Way(504, "5.5.4", ("HELP ME",)),
    Way(521, "", listener="closed = true"),
    Way(530, "5.7.0", MAIL, 'kind = "submission"'),
    Way(530, "5.7.0", MAIL, 'tls = "starttls"\ntls_required = true'),
    Way(535, "5.7.8", ("EHLO sohu.com", f"AUTH PLAIN {plain('wrong')}"), 'auth = "offered"'),
    Way(550, "5.1.1", (*MAIL, "RCPT TO:<nobody@sina.com>")),
    Way(550, "5.7.1", (*MAIL, "RCPT TO:<someone@example.net>")),
    Way(551, "5.1.6", (*MAIL, "RCPT TO:<wanghong@told.example>")),
    Way(551, "5.1.6", ("VRFY wanghong@told.example",), "vrfy = true"),
    Way(552, "5.3.4", ("EHLO sohu.com", "MAIL FROM:<langrui@sohu.com> SIZE=65537"), "max_message_size = 65536"),
    Way(552, "5.3.4", (*DATA, "x" * 65_537 + "\r\n."), "max_message_size = 65536"),
    Way(552, "5.2.2", ("EHLO sohu.com", "MAIL FROM:<> SIZE=1001", "RCPT TO:<renping@full.example>")),
    Way(553, "5.6.7", (*MAIL, "RCPT TO:<任平@sina.com>")),
    Way(553, "5.1.4", ("VRFY renping",), "vrfy = true"),
    Way(554, "5.5.1", (*MAIL, "RCPT TO:<nobody@sina.com>", "DATA")),
    Way(554, "5.4.6", (*DATA, CIRCLES)),
    Way(554, "5.5.2", (*DATA, "Subject: hi\n\r\n.")),
    Way(555, "5.5.4", ("EHLO sohu.com", "MAIL FROM:<langrui@sohu.com> COLOUR=red")),
)
#: Given as the sending SMTP: no receiver says it on the wire.
AS_SENDER: Final = frozenset({556})
#: Not reached here: accounts that cannot be read, and (``test_secured``) a password in clear.
ELSEWHERE: Final = frozenset({454, 538})


class Trouble:
    """A receipt whose message cannot be stored."""

    id = "NOWHERE"
    size = 0

    def __init__(self, error: StorageError) -> None:
        self._error = error

    def write(self, chunk: bytes) -> None:
        pass

    def commit(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error

    def abort(self) -> None:
        pass


class NoAnswer:
    """Queries of a spool that cannot be read."""

    def __init__(self, error: StorageError) -> None:
        self._error = error

    async def inboxes(self) -> Any:
        raise self._error


class Troubled(SqliteSpool):
    """A spool on a disk that is full, or that fails."""

    _error: StorageError

    @classmethod
    def on(cls, how: str) -> Troubled:
        spool = cls.ephemeral()
        spool._error = StorageFull("no room") if how == "full" else StorageError("no answer")
        spool.queries = NoAnswer(spool._error)
        return spool

    def receive(self, announced: int = 0) -> Any:
        return Trouble(self._error)


def quiet(event: str, /, **fields: object) -> None:
    """A log that nobody reads."""


def daemon_for(
    way: Way, data_dir: Path, *, zone: Any = None, queue: Spool | None = None, log: EventSink = quiet
) -> Daemon:
    if "auth" in way.listener:
        AccountFile(data_dir).add("langrui@sina.com", "correct horse", (), 0.0)
    text = SETTINGS.format(data_dir=data_dir, listener=way.listener, relay=way.relay, spool=way.spool)
    return Daemon(parse(text), log=log, resolver=StaticResolver(zone or {}), spool=queue)


class Talk:
    """A raw client that reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._replies = ReplyReader(2_048, 256)

    @classmethod
    async def to(cls, daemon: Daemon) -> Talk:
        endpoint = daemon.endpoints["door"]
        return cls(*await asyncio.open_connection(endpoint.host, endpoint.port))

    async def reply(self) -> Reply | None:
        """The next reply, or None at the end."""
        while (reply := self._replies.reply()) is None:
            data = await self._reader.read(65_536)
            if not data:
                return None
            self._replies.feed(data)
        return reply

    async def say(self, line: str) -> Reply | None:
        self._writer.write(line.encode() + b"\r\n")
        return await self.reply()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(bounded())


def name(way: Way) -> str:
    said = (way.lines[-1] if way.lines else way.before or "greeting")[:30].splitlines()[0]
    return f"{way.code} {way.enhanced} {said}".encode("ascii", "replace").decode()


def test_every_code_with_an_occasion_has_a_way() -> None:
    occasions = {code for code, entry in ALL_BASIC.items() if not entry.peers_only}
    ways = {way.code for way in WAYS} | AS_SENDER | ELSEWHERE
    assert not occasions - ways, "the catalogue gives these an occasion, and nothing here reaches them"
    assert not ways - occasions, "these are reached, and the catalogue says that only peers send them"


@pytest.mark.parametrize("way", WAYS, ids=name)
def test_a_code_is_reached(way: Way, tmp_path: Path) -> None:
    async def scenario() -> None:
        daemon = daemon_for(way, tmp_path, queue=Troubled.on(way.queue) if way.queue else None)
        await daemon.start()
        talks = [await Talk.to(daemon)]
        reply = await talks[0].reply()
        if way.before == "connect":
            assert reply is not None
            assert reply.code == 220
            talks.append(await Talk.to(daemon))
            reply = await talks[1].reply()
        for line in way.lines:
            assert reply is not None
            assert reply.code < 500 or line == "DATA", f"{reply} came before {line}"
            reply = await talks[-1].say(line)
        draining = asyncio.ensure_future(daemon.drain(5)) if way.before == "drain" else None
        if way.before in ("drain", "silence"):
            reply = await talks[0].reply()
        while way.code == 421 and reply is not None and reply.code == 500:
            reply = await talks[0].reply()
        assert reply is not None
        assert (reply.code, reply.enhanced) == (way.code, way.enhanced)
        assert not reply.enhanced or explain_enhanced(reply.enhanced) is not None
        for talk in talks:
            await talk.close()
        await (draining or daemon.drain(5))

    run(scenario)


def test_a_null_mx_is_recorded_as_556(tmp_path: Path) -> None:
    async def scenario() -> None:
        way = Way(556, "5.1.10", relay='trusted_networks = ["127.0.0.0/8"]')
        reported: list[tuple[str, dict[str, object]]] = []

        def log(event: str, /, **fields: object) -> None:
            reported.append((event, fields))

        daemon = daemon_for(way, tmp_path, zone={"nomail.test": {"MX": ["0 ."]}}, log=log)
        await daemon.start()
        talk = await Talk.to(daemon)
        await talk.reply()
        for line in (*MAIL, "RCPT TO:<someone@nomail.test>", "DATA"):
            await talk.say(line)
        stored = await talk.say(MESSAGE)
        assert stored is not None
        assert stored.code == 250
        await talk.close()
        await daemon.wait_idle()
        failed = next(fields for event, fields in reported if event == "failed")
        assert failed["id"] == stored.text.rpartition(" ")[2]
        assert str(failed["reply"]).startswith("556 5.1.10 ")
        await daemon.drain(5)

    run(scenario)
