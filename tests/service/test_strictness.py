"""What a listener tolerates from whom, and where it is remarked: the log, the history, and the mail that goes on."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from posthouse.codes import LENIENCIES, remark_text
from posthouse.core import Address, Remark, SettingError
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import LENIENT, STRICT
from posthouse.protocol.writers import write_content
from posthouse.sandbox import Sink
from posthouse.server import Peer
from posthouse.service import ConfigError, Daemon
from posthouse.service.config.advice import advice
from posthouse.service.config.model import Config
from posthouse.service.config_file import default_config, parse
from posthouse.service.operations.explain_address import address_of
from posthouse.service.operations.explain_message import history_of
from posthouse.service.operations.explain_text import history_sentences
from posthouse.service.operations.registry import OPERATIONS
from posthouse.service.operations.results import AttemptEntry
from posthouse.spool import Accepted, SqliteSpool
from posthouse.testing import StaticResolver

from .policy_harness import PolicyHarness

show_of = OPERATIONS["inbox show"].run
TRUSTED, STRANGER = "10.1.2.3", "192.0.2.1"
OWN = "first.example"


def leniency(listener: str, host: str, *, domains: str = '[[domain]]\nname = "first.example"') -> Any:
    text = f'[[listener]]\nbind = "127.0.0.1:0"\n{listener}\n[relay]\ntrusted_networks = ["10.0.0.0/8"]\n{domains}'
    return PolicyHarness(text).policy.leniency(Peer(host, 4000))


@pytest.mark.parametrize(
    ("listener", "host", "expected"),
    [
        ("", STRANGER, STRICT),
        ('kind = "mx"', STRANGER, STRICT),
        ("", TRUSTED, LENIENT._replace(commands=False, domain=OWN)),
        ('kind = "submission"', TRUSTED, LENIENT._replace(commands=False, domain=OWN)),
        ('kind = "lmtp"', STRANGER, LENIENT._replace(commands=False)),
        ('kind = "lmtp"', "", LENIENT._replace(commands=False, domain=OWN)),
        ('strictness = "strict"', TRUSTED, STRICT),
        ('kind = "submission"\nstrictness = "strict"', TRUSTED, STRICT),
        ('strictness = "lenient"', STRANGER, LENIENT),
        ('strictness = "lenient"', TRUSTED, LENIENT._replace(domain=OWN)),
    ],
)
def test_what_is_tolerated_from_whom(listener: str, host: str, expected: Any) -> None:
    assert leniency(listener, host) == expected


def test_where_all_domains_are_ours_a_bare_local_part_needs_no_trust() -> None:
    assert leniency('strictness = "lenient"', STRANGER, domains='[[domain]]\nname = "*"').domain


def test_the_catcher_is_lenient_in_all() -> None:
    assert default_config().listener[0].strictness == "lenient"


@pytest.mark.parametrize("value", ["lax", "", "LENIENT"])
def test_other_values_are_mistakes(value: str) -> None:
    with pytest.raises(ConfigError, match='write "strict" or "lenient"'):
        parse(f'[[listener]]\nbind = "127.0.0.1:0"\nstrictness = "{value}"')


def test_a_lenient_mx_is_advised_against() -> None:
    config = parse('[[listener]]\nbind = "0.0.0.0:25"\nstrictness = "lenient"')
    assert any('strictness = "lenient"' in sentence for sentence in advice(config))
    assert not any("strictness" in sentence for sentence in advice(default_config()))


# A daemon -------------------------------------------------------------------------------------------------------------


class Log:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]


class Client:
    """A raw client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, octets: bytes) -> str:
        """The last line of the reply to ``octets``."""
        self.writer.write(octets)
        line = b"---- "
        while line[3:4] == b"-":
            line = await self.reader.readline()
        return line.decode().rstrip()

    async def send(self, content: bytes, mail: str = "<a@b.example>", rcpt: str = "<c@d.example>") -> str:
        """Send one message after EHLO; the last reply."""
        for command, code in ((f"MAIL FROM:{mail}", "250"), (f"RCPT TO:{rcpt}", "250"), ("DATA", "354")):
            reply = await self.say(command.encode() + b"\r\n")
            if not reply.startswith(code):
                return reply
        return await self.say(content)


@contextlib.asynccontextmanager
async def running(config: Config, log: Log) -> AsyncIterator[tuple[Daemon, Client]]:
    daemon = Daemon(config, log=log, resolver=StaticResolver({}), spool=SqliteSpool.ephemeral())
    await daemon.start()
    (endpoint,) = daemon.endpoints.values()
    client = Client(*await asyncio.open_connection(endpoint.host, endpoint.port))
    try:
        async with asyncio.timeout(20):
            assert (await client.say(b"")).startswith("220")
            assert (await client.say(b"EHLO x\r\n")).startswith("250")
            yield daemon, client
    finally:
        client.writer.close()
        await daemon.drain(5)


def catcher(tmp_path: Path) -> Config:
    from msgspec.structs import replace

    config = default_config(str(tmp_path))
    return replace(config, listener=(replace(config.listener[0], bind=Endpoint("127.0.0.1", 0)),))


BARE = b"Subject: hi\n\none\n..two\n.three\r\r\nfour\xc3\xa9\n.\r\n\r\n.\r\n"
NORMAL = b"Subject: hi\r\n\r\none\r\n.two\r\n.three\r\nfour\xc3\xa9\r\n.\r\n\r\n"


def test_the_catcher_takes_what_developers_send_and_remarks_it(tmp_path: Path) -> None:
    log = Log()

    async def scenario() -> None:
        async with running(catcher(tmp_path), log) as (daemon, client):
            reply = await client.send(BARE, "root", "张三@例子.test")
            assert reply.startswith("250 2.0.0 Ok: queued as "), reply
            queue_id = reply.rpartition(" ")[2]
            await daemon.wait_idle()
            (message,) = await daemon.spool.queries.inbox("张三@xn--fsqu00a.test")
            kept = await daemon.spool.queries.kept(message.number)
            assert kept is not None
            content = b"".join(kept[1].chunks())
            assert content.endswith(NORMAL)
            assert write_content(content)
            (accepted, *_) = await daemon.spool.queries.history(queue_id)
            assert isinstance(accepted, Accepted)
            kinds = [each.kind for each in accepted.arrival.remarks]
            assert sorted(kinds) == sorted(["no-brackets", "no-domain", "utf8-address", "bare-lf", "cr-cr-lf", "8bit"])
            history = await history_of(daemon.context(), queue_id)
            assert history is not None
            assert [each.kind for each in history.remarks] == kinds
            for lang, word in (("en", "tolerated: "), ("zh", "已宽容处理：")):
                said = [each.text for each in history_sentences(history, lang, str) if each.text.startswith(word)]
                assert len(said) == len(kinds)
            shown = await show_of(daemon.context(), number=message.number)
            assert [each.kind for each in shown.remarks] == kinds
            assert all("a strict receiver" in each.text for each in shown.remarks if each.reply)
            logged = log.of("lenient")
            assert [each["id"] for each in logged] == [queue_id]
            assert len(logged[0]["remarks"].split("; ")) == len(kinds)
            assert "LF without CR in line 1 (and 4 more): 554 5.5.2" in logged[0]["remarks"]

    asyncio.run(scenario())


def test_addresses_that_leniency_reads_reach_the_next_host(tmp_path: Path) -> None:
    heard: list[str] = []
    log = Log()

    async def scenario() -> None:
        sink = Sink(network=SocketNetwork(), clock=SystemClock(), hostname="next.test")
        place = await sink.listen(Endpoint("127.0.0.1", 0))
        config = parse(
            f'data_dir = "{tmp_path}"\nhostname = "mx.test"\n[[listener]]\nbind = "127.0.0.1:0"\n'
            '[relay]\ntrusted_networks = ["127.0.0.0/8"]\n[[domain]]\nname = "d.example"\n'
            f'[[route]]\nto = "*"\nvia = "smtp://{place}"'
        )
        async with running(config, log) as (daemon, client):
            for rcpt in ("<a..b@docomo.example>", "<a@my_host.example>", "<a.@au.example.>", "<a@例子.test>"):
                reply = await client.send(BARE, "<langrui@d.example>", rcpt)
                assert reply.startswith("250 2.0.0 Ok: queued as "), reply
                queue_id = reply.rpartition(" ")[2]
                await daemon.wait_idle()
                history = await history_of(daemon.context(), queue_id)
                assert history is not None
                for event in history.events:
                    assert isinstance(event, AttemptEntry)
                    heard.extend(line for each in event.connections for line in each.lines if "RCPT" in line)
        await sink.stop()
        assert sink.messages == 4
        assert set(sink.tolerated) == {"underscore"}, "what goes on is well formed"

    asyncio.run(scenario())
    assert [each.partition("RCPT TO:")[2].partition(" ")[0] for each in heard] == [
        '<"a..b"@docomo.example>',
        "<a@my_host.example>",
        '<"a."@au.example>',
        "<a@xn--fsqu00a.test>",
    ]


@pytest.mark.parametrize(
    "body", [b"Subject: hi\n\n.one\n..two\n.\nend\n", b"Subject: hi\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n"]
)
def test_smtplib_with_octets_of_any_line_end_reaches_the_catcher(body: bytes, tmp_path: Path) -> None:
    """``sendmail(from, to, message.as_bytes())`` sends LF as it is, and doubles dots behind LF."""

    async def scenario() -> bytes:
        async with running(catcher(tmp_path), Log()) as (daemon, _):
            (place,) = daemon.endpoints.values()

            def send() -> None:
                with smtplib.SMTP(place.host, place.port, "client.test", timeout=10) as client:
                    client.sendmail("a@b.example", ["c@d.example"], body)

            await asyncio.to_thread(send)
            await daemon.wait_idle()
            (message,) = await daemon.spool.queries.inbox("c@d.example")
            kept = await daemon.spool.queries.kept(message.number)
            assert kept is not None
            return b"".join(kept[1].chunks())

    content = asyncio.run(scenario()).rstrip(b"\r\n")  # smtplib adds a line end to LF
    assert content.endswith(b"Subject: hi\r\n\r\n.one\r\n..two\r\n.\r\nend")


def test_a_strict_listener_stays_strict_and_remarks_nothing(tmp_path: Path) -> None:
    log = Log()
    config = parse(
        f'data_dir = "{tmp_path}"\nhostname = "mx.test"\n[[listener]]\nbind = "127.0.0.1:0"\n'
        '[[domain]]\nname = "d.example"\nmailboxes = "any"'
    )

    async def scenario() -> None:
        async with running(config, log) as (_, client):
            for mail in ("a@b.example", "<root>", "<a..b@c.example>", "<a@b_c.example>", "<a@b.example.>"):
                assert (await client.send(NORMAL, mail)).startswith("501"), mail
            assert (await client.send(NORMAL, "<张三@b.example>")).startswith("550 5.6.7")
            assert (await client.send(BARE)).startswith("554 5.5.2")
            assert await client.reader.read() == b""
        assert not log.of("lenient")

    asyncio.run(scenario())


def test_a_trusted_host_may_leave_its_domain_out_and_the_mail_goes_on(tmp_path: Path) -> None:
    """cron through msmtp: MAIL FROM:<root>, lines that end in LF; and what goes on is well formed."""
    log = Log()
    config = parse(
        f'data_dir = "{tmp_path}"\nhostname = "mx.test"\n[[listener]]\nbind = "127.0.0.1:0"\n'
        '[relay]\ntrusted_networks = ["127.0.0.0/8"]\n[[domain]]\nname = "d.example"\nmailboxes = ["root"]'
    )

    async def scenario() -> None:
        async with running(config, log) as (daemon, client):
            reply = await client.send(BARE, "<root>", "<root>")
            assert reply.startswith("250 2.0.0 Ok: queued as "), reply
            await daemon.wait_idle()
            (message,) = await daemon.spool.queries.inbox("root@d.example")
            assert message.sender == "root@d.example"
            assert (await client.send(NORMAL, "a@b.example")).startswith("501")  # the form of commands is not tolerated

    asyncio.run(scenario())


# Texts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(LENIENCIES))
def test_a_remark_tells_developers_what_the_world_would_have_said(kind: str) -> None:
    remark = Remark(kind, "554 5.5.2 No", 3, "", 12)
    english, chinese = remark_text(remark), remark_text(remark, "zh")
    assert 'a strict receiver would have answered "554 5.5.2 No"' in english
    assert "in line 3 (and 11 more)" in english
    assert "严格的接收SMTP 会应答 554 5.5.2 No" in chinese
    assert "第 3 行" in chinese
    assert "另有 11 处" in chinese
    assert "RCPT TO:<a..b@c>" in remark_text(Remark(kind, "501 no", 0, "RCPT TO:<a..b@c>"))


def test_explain_reads_addresses_as_they_were_written() -> None:
    assert address_of("<a..b@docomo.example>") == Address("a..b", "docomo.example")
    with pytest.raises(SettingError, match="is no mailbox"):
        address_of("a b@docomo.example")


def test_an_address_that_only_leniency_reads_is_written_quoted() -> None:
    assert str(Address("a..b", "docomo.example")) == '"a..b"@docomo.example'
