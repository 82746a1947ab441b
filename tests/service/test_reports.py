"""Reports across whole daemons on loopback: a refusal there becomes a report here (RFC 3461, RFC 5321 §6.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from posthouse.message import DeliveryReport, read_dsn
from posthouse.service import Daemon, parse
from posthouse.service.daemon.routing import ConfiguredRouter
from posthouse.testing import StaticResolver

from .test_daemon import Talk, quiet

MESSAGE = (
    b"From: langrui@sohu.com\r\nTo: renping@sina.com\r\nMessage-ID: <q1@sohu.com>\r\n"
    b"Subject: =?gb2312?B?xOO6ww==?=\r\n\r\nhello\r\n"
)


SINA = """hostname = "mail.sina.com"
    [[listener]]
    bind = "127.0.0.1:0"
    [[domain]]
    name = "sina.com"
    deliver = "mailbox"
    mailboxes = ["renping"]
"""


class Post:
    """Two post houses: sohu.com takes submissions and passes them on to sina.com, and each can write to the other."""

    def __init__(self, directory: Path, *, zone: dict[str, dict[str, list[str]]] | None = None) -> None:
        self._directory = directory
        self._resolver = StaticResolver(zone or {})
        self.sohu: Daemon
        self.sina: Daemon

    async def open(self) -> None:
        self.sina = self._daemon("sina", SINA)
        await self.sina.start()
        self.sohu = self._daemon(
            "sohu",
            f"""hostname = "mail.sohu.com"
            [[listener]]
            bind = "127.0.0.1:0"
            complete_messages = false
            [relay]
            trusted_networks = ["127.0.0.0/8"]
            [[domain]]
            name = "sohu.com"
            deliver = "mailbox"
            mailboxes = ["langrui", "chief"]
            [domain.aliases]
            staff = ["langrui"]
            two = ["langrui", "staff", "renping@sina.com"]
            [domain.lists.club]
            members = ["renping@sina.com"]
            owner = "langrui"
            [[route]]
            to = "sina.com"
            via = "smtp://{self.sina.endpoints["mx"]}"
            """,
        )
        await self.sohu.start()

    def way_back(self) -> None:
        """Now that sohu.com's port is known, sina.com may write to it."""
        route = f"""[[route]]
            to = "sohu.com"
            via = "smtp://{self.sohu.endpoints["mx"]}"
        """
        again = self._daemon("again", SINA + route)
        self.sina.worker.router = ConfiguredRouter(again.config, self.sina._generation.deliverers)

    def _daemon(self, name: str, text: str) -> Daemon:
        config = parse(f'data_dir = "{self._directory / name}"\n{text}')
        return Daemon(config, log=quiet, resolver=self._resolver)

    async def close(self) -> None:
        await self.sohu.drain(5)
        await self.sina.drain(5)

    async def send(self, sender: str, *recipients: str, options: str = "") -> None:
        """Submit the message to sohu.com; a recipient may have parameters behind a space."""
        talk = await Talk.to(self.sohu)
        await talk.reply()
        await talk.say("EHLO client.example")
        assert (await talk.say(f"MAIL FROM:<{sender}>{options}")).startswith("250")
        for each in recipients:
            address, _, asked = each.partition(" ")
            assert (await talk.say(f"RCPT TO:<{address}> {asked}".rstrip())).startswith("250")
        assert (await talk.say("DATA")).startswith("354")
        talk.writer.write(MESSAGE + b".\r\n")
        assert (await talk.reply()).startswith("250")
        await talk.close()
        await self.sohu.wait_idle()
        await self.sina.wait_idle()
        await self.sohu.wait_idle()

    async def reports(self, mailbox: str = "langrui@sohu.com") -> list[DeliveryReport]:
        """The reports in a mailbox of sohu.com, which holds nothing else."""
        found = []
        for listed in await self.sohu.spool.queries.inbox(mailbox):
            kept = await self.sohu.spool.queries.kept(listed.number)
            assert kept is not None
            assert listed.sender == ""
            assert b"".join(kept[1].chunks()).startswith(b"Return-Path: <>\r\n")
            report = read_dsn(kept[1])
            assert report is not None
            found.append(report)
        return found


def tell(post: Post, scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30):
            await post.open()
            await scenario()
            assert await post.sohu.spool.queries.count() == 0
            await post.close()

    asyncio.run(whole())


def test_a_refused_recipient_comes_back_to_the_senders_mailbox(tmp_path: Path) -> None:
    post = Post(tmp_path)

    async def scenario() -> None:
        await post.send("langrui@sohu.com", "nobody@sina.com", "renping@sina.com", options=" RET=FULL ENVID=QQ+2B1")
        (report,) = await post.reports()
        assert report.reporting_mta == "mail.sohu.com"
        assert report.envelope_id == "QQ+1"
        (one,) = report.recipients
        assert (one.final.address, one.action, one.status) == ("nobody@sina.com", "failed", "5.1.1")
        assert one.remote_mta == "[127.0.0.1]"
        assert one.diagnostic.startswith("550 5.1.1 ")
        assert "no mailbox of this name" in report.text
        assert "未能送达" in report.text, "the message's Subject is Chinese"
        assert report.returned_kind == "message/rfc822"
        assert report.returned.endswith(MESSAGE)
        assert [listed.inbox for listed in await post.sina.spool.queries.inbox()] == ["renping@sina.com"]

    tell(post, scenario)


def test_a_domain_that_does_not_exist_and_one_that_takes_no_mail(tmp_path: Path) -> None:
    post = Post(tmp_path, zone={"nomail.test": {"MX": ["0 ."]}})

    async def scenario() -> None:
        await post.send("staff@sohu.com", "a@unknown.test", "b@nomail.test")
        reports = await post.reports()
        reported = {
            one.final.address: (one.action, one.status, one.remote_mta) for r in reports for one in r.recipients
        }
        assert reported == {"a@unknown.test": ("failed", "5.1.2", ""), "b@nomail.test": ("failed", "5.1.10", "")}

    tell(post, scenario)


def test_success_travels_with_the_message_and_is_reported_from_the_end(tmp_path: Path) -> None:
    """sohu.com passes the request on, so sina.com reports, by a message that comes back over the wire."""
    post = Post(tmp_path)

    async def scenario() -> None:
        post.way_back()
        await post.send(
            "langrui@sohu.com",
            "renping@sina.com NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;RP@sina.com",
            "renping@sina.com NOTIFY=NEVER",
        )
        (report,) = await post.reports()
        assert report.reporting_mta == "mail.sina.com"
        (one,) = report.recipients
        assert (one.action, one.original and one.original.address) == ("delivered", "RP@sina.com")
        assert report.returned_kind == "text/rfc822-headers"

    tell(post, scenario)


def test_a_sender_who_does_not_exist_here_is_told_to_the_postmaster(tmp_path: Path) -> None:
    post = Post(tmp_path)

    async def scenario() -> None:
        await post.send("stranger@sohu.com", "nobody@sina.com")
        assert [inbox.name for inbox in await post.sohu.spool.queries.inboxes()] == ["postmaster@sohu.com"]
        (notice,) = await post.reports("postmaster@sohu.com")
        assert "<stranger@sohu.com>" in notice.text
        await post.send("stranger@sohu.com", "nobody@sina.com NOTIFY=NEVER")
        assert len(await post.reports("postmaster@sohu.com")) == 1

    tell(post, scenario)


def test_what_has_no_sender_makes_no_report(tmp_path: Path) -> None:
    post = Post(tmp_path)

    async def scenario() -> None:
        await post.send("", "nobody@sina.com NOTIFY=SUCCESS,FAILURE,DELAY")
        assert await post.sohu.spool.queries.inboxes() == []

    tell(post, scenario)


def test_lists_have_delivered_and_aliases_have_expanded_what_they_took(tmp_path: Path) -> None:
    """RFC 3461 §5.2.7.1 and §5.2.7.3 (c); an alias of one passes the request on (§5.2.7.2)."""
    post = Post(tmp_path)

    async def scenario() -> None:
        asked = "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@sohu.com"
        await post.send("chief@sohu.com", f"two@sohu.com {asked}", f"club@sohu.com {asked}", "club@sohu.com")
        (report,) = await post.reports("chief@sohu.com")
        reported = [(one.final.address, one.action, one.status) for one in report.recipients]
        assert reported == [("two@sohu.com", "expanded", "2.0.0"), ("club@sohu.com", "delivered", "2.0.0")]
        assert report.returned == MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n"
        await post.send("chief@sohu.com", "two@sohu.com NOTIFY=FAILURE", "club@sohu.com NOTIFY=NEVER", "two@sohu.com")
        await post.send("", f"two@sohu.com {asked}")
        assert len(await post.reports("chief@sohu.com")) == 1

    tell(post, scenario)


def test_several_maildirs_of_one_message_are_told_in_one_report(tmp_path: Path) -> None:
    async def scenario() -> None:
        daemon = Daemon(
            parse(f"""data_dir = "{tmp_path}/data"
            hostname = "mail.sohu.com"
            [[listener]]
            bind = "127.0.0.1:0"
            [relay]
            trusted_networks = ["127.0.0.0/8"]
            [[domain]]
            name = "sohu.com"
            deliver = "mailbox"
            mailboxes = ["langrui"]
            [[domain]]
            name = "sina.com"
            deliver = "maildir:{tmp_path}/mail/{{domain}}/{{local}}"
            mailboxes = "any"
            [[domain]]
            name = "example.org"
            deliver = "maildir:{tmp_path}/mail/{{domain}}/{{local}}"
            mailboxes = "any"
            """),
            log=quiet,
        )
        await daemon.start()
        try:
            talk = await Talk.to(daemon)
            await talk.reply()
            await talk.say("EHLO client.example")
            assert (await talk.say("MAIL FROM:<langrui@sohu.com>")).startswith("250")
            people = ["ann@sina.com", "bob@sina.com", "eve@example.org"]
            for each in people:
                assert (await talk.say(f"RCPT TO:<{each}> NOTIFY=SUCCESS")).startswith("250")
            assert (await talk.say("DATA")).startswith("354")
            talk.writer.write(MESSAGE + b".\r\n")
            assert (await talk.reply()).startswith("250 2.0.0 Ok: queued as ")
            await talk.close()
            await daemon.wait_idle()
            assert len(list((tmp_path / "mail").glob("*/*/new/*"))) == 3
            (listed,) = await daemon.spool.queries.inbox("langrui@sohu.com")
            kept = await daemon.spool.queries.kept(listed.number)
            assert kept is not None
            report = read_dsn(b"".join(kept[1].chunks()))
            assert report is not None
            assert sorted((str(one.final.address), one.action) for one in report.recipients) == [
                (each, "delivered") for each in people
            ]
        finally:
            await daemon.drain(5)

    asyncio.run(scenario())
