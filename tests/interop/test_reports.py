"""Reports that go through a real Postfix, both ways (RFC 3461 to 3464).

``home`` is a daemon that relays all outgoing mail to Postfix; ``world`` is a daemon behind Postfix.  Postfix and
Posthouse offer DSN, so the host where a recipient's path ends reports it, and the sender's request must reach that host
through all hops between::

    langrui@home.test → home → Postfix (→ world (→ a daemon that refuses))
                          ↑______________↓  the report
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.core import Address, Bytes, Envelope, Notify, OriginalRecipient, Recipient, Result, Ret
from posthouse.message import Action, DeliveryReport, read_dsn
from posthouse.protocol import Offer

from .conftest import Postfix
from .peers import Host, address, behind_trace, opened, run, session_with

HOME = """
hostname = "first.test"
[[listener]]
bind = "127.0.0.1:{port}"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "home.test"
mailboxes = ["langrui"]
[[route]]
to = "*"
via = "smtp://{postfix}"
"""
WORLD = """
hostname = "world.test"
[[listener]]
bind = "127.0.0.1:{port}"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "box.test"
mailboxes = ["renping"]
[[route]]
to = "fails.test"
via = "smtp://{refusing}"
[[route]]
to = "*"
via = "smtp://{postfix}"
"""
REFUSING = """
hostname = "refusing.test"
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "fails.test"
mailboxes = ["somebody"]
"""
MESSAGE = (
    b"From: langrui@home.test\r\nTo: renping@box.test\r\nSubject: a message\r\nMessage-ID: <one@home.test>\r\n"
    b"Date: Mon, 23 Nov 2026 08:46:22 +0800\r\n\r\nWords that only the message has.\r\n"
)
#: Both must be sent as xtext.
ENVID = "a+b=c 007"
ORCPT = OriginalRecipient("rfc822", "ren+ping=x@elsewhere.test")
postfix_is_here = pytest.mark.system("postfix", "postfix")


def home(postfix: Postfix, data_dir: Path) -> contextlib.AbstractAsyncContextManager[Host]:
    """The daemon that sends the messages and gets the reports."""
    return opened(HOME.format(port=postfix.homeward.port, postfix=postfix.listeners["bdat"]), data_dir / "home")


@contextlib.asynccontextmanager
async def world(postfix: Postfix, data_dir: Path, *, offer: Offer | None = None) -> AsyncIterator[Host]:
    """The daemon behind Postfix, and behind it one that refuses."""
    async with opened(REFUSING, data_dir / "refusing") as refusing:
        text = WORLD.format(
            port=postfix.onward.port, postfix=postfix.listeners["data"], refusing=f"127.0.0.1:{refusing.endpoint.port}"
        )
        async with opened(text, data_dir / "world", offer=offer) as host:
            yield host


async def write(host: Host, to: str, notify: Notify | None, *, ret: Ret | None = None, envid: str = ENVID) -> None:
    """Send a message from langrui@home.test, and wait until it is relayed to Postfix."""
    recipient = Recipient(address(to), notify, ORCPT)
    asked = Envelope(Address("langrui", "home.test"), (recipient,), ret=ret, envid=envid)
    before = len(host.logged("delivered"))
    async with session_with(host.endpoint) as session:
        (outcome,) = await session.deliver(asked, Bytes(MESSAGE))
    assert outcome.result is Result.DELIVERED
    await host.until("delivered", before + 1)


async def report_to(host: Host) -> tuple[DeliveryReport, bytes]:
    """Wait for the only report in langrui's mailbox; returns it, and the message that holds it."""
    while True:
        before = len(host.logged("delivered"))  # counted first, so that a delivery during the look-up is not missed
        if messages := await host.messages():
            break
        await host.until("delivered", before + 1)
    ((message,),) = messages.values()
    assert list(messages) == ["langrui@home.test"]
    assert message.startswith(b"Return-Path: <>\r\n")
    report = read_dsn(message)
    assert report is not None
    return report, message


async def removed(postfix: Postfix, recipient: str) -> None:
    """Wait until Postfix has removed its message to ``recipient`` from its queue."""
    while True:
        log = postfix.log.read_text() if postfix.log.exists() else ""
        ids = re.findall(rf" ([0-9A-F]+): to=<{re.escape(recipient)}>", log)
        if ids and f"{ids[-1]}: removed" in log:
            return
        await asyncio.sleep(0.02)


# -- Postfix reports


@postfix_is_here
@pytest.mark.parametrize("ret", [Ret.HDRS, Ret.FULL])
def test_postfix_reports_a_failure_to_us(tmp_path: Path, postfix: Postfix, ret: Ret) -> None:
    async def scenario() -> None:
        async with home(postfix, tmp_path) as host:
            await write(host, "renping@refused.test", Notify.FAILURE, ret=ret)
            report, _ = await report_to(host)
            await host.daemon.wait_idle()  # the report is in the mailbox a moment before its result is recorded
            assert await host.daemon.spool.queries.count() == 0
            assert not host.logged("report")
        assert (report.reporting_mta, report.envelope_id) == ("postfix.test", ENVID)
        (about,) = report.recipients
        assert (about.action, about.status) == (Action.FAILED, "5.1.1")
        assert (about.final.address, about.original) == ("renping@refused.test", ORCPT)
        assert b"Message-ID: <one@home.test>" in report.returned
        assert (b"Words that only the message has." in report.returned) is (ret is Ret.FULL)

    run(scenario)


@postfix_is_here
def test_postfix_reports_success_only_if_it_was_asked(tmp_path: Path, postfix: Postfix) -> None:
    """Postfix offers DSN, so the request was passed on to it, and the daemon sends no report."""

    async def scenario() -> None:
        async with home(postfix, tmp_path) as host:
            await write(host, "never@refused.test", Notify.NEVER)
            await removed(postfix, "never@refused.test")
            await write(host, "nothing@discarded.test", Notify.FAILURE | Notify.DELAY)
            await removed(postfix, "nothing@discarded.test")
            await write(host, "renping@discarded.test", Notify.SUCCESS)
            report, _ = await report_to(host)  # the only one
            assert not host.logged("report")
        assert (report.reporting_mta, report.envelope_id) == ("postfix.test", ENVID)
        (about,) = report.recipients
        assert (about.action, about.status[0]) == (Action.DELIVERED, "2")
        assert (about.final.address, about.original) == ("renping@discarded.test", ORCPT)

    run(scenario)


@postfix_is_here
def test_postfix_reports_relayed_if_we_do_not_offer_dsn(tmp_path: Path, postfix: Postfix) -> None:
    """The last host with DSN sends the report (RFC 3461 §5.2.2)."""

    async def scenario() -> None:
        async with world(postfix, tmp_path, offer=Offer(dsn=False)) as last, home(postfix, tmp_path) as host:
            await write(host, "renping@box.test", Notify.SUCCESS)
            report, _ = await report_to(host)
            assert behind_trace(await last.only_message(), hops=3) == MESSAGE
            assert not host.logged("report")
            assert not last.logged("report")
        (about,) = report.recipients
        assert (report.reporting_mta, about.action) == ("postfix.test", Action.RELAYED)

    run(scenario)


# -- the daemon reports, through Postfix


@postfix_is_here
@pytest.mark.parametrize("ret", [Ret.HDRS, Ret.FULL])
def test_we_report_a_failure_through_postfix(tmp_path: Path, postfix: Postfix, ret: Ret) -> None:
    """The next hop of the daemon refuses the recipient: the report goes back through Postfix, with all that the sender,
    three hops away, has asked for."""

    async def scenario() -> None:
        async with world(postfix, tmp_path) as last, home(postfix, tmp_path) as host:
            await write(host, "renping@fails.test", Notify.FAILURE, ret=ret)
            report, message = await report_to(host)
            assert len(last.logged("report")) == 1
            await last.daemon.wait_idle()
            assert await last.daemon.spool.queries.count() == 0
            assert await host.daemon.spool.queries.count() == 0
        assert b"by postfix.test (Postfix) " in message.partition(b"\r\n\r\n")[0]
        assert (report.reporting_mta, report.envelope_id) == ("world.test", ENVID)
        (about,) = report.recipients
        assert (about.action, about.status) == (Action.FAILED, "5.1.1")
        assert (about.final.address, about.original) == ("renping@fails.test", ORCPT)
        assert about.remote_mta == "[127.0.0.1]"
        assert about.diagnostic.startswith("550 5.1.1 ")
        assert b"Message-ID: <one@home.test>" in report.returned
        assert (b"Words that only the message has." in report.returned) is (ret is Ret.FULL)

    run(scenario)


@postfix_is_here
def test_we_report_success_as_asked_through_postfix(tmp_path: Path, postfix: Postfix) -> None:
    async def scenario() -> None:
        async with world(postfix, tmp_path) as last, home(postfix, tmp_path) as host:
            await write(host, "renping@box.test", Notify.SUCCESS)
            report, _ = await report_to(host)
            assert behind_trace(await last.only_message(), hops=3) == MESSAGE
            assert len(last.logged("report")) == 1
            assert not host.logged("report")
        assert (report.reporting_mta, report.envelope_id) == ("world.test", ENVID)
        (about,) = report.recipients
        assert (about.action, about.status[0]) == (Action.DELIVERED, "2")
        assert (about.final.address, about.original) == ("renping@box.test", ORCPT)
        assert b"Words that only the message has." not in report.returned

    run(scenario)


@postfix_is_here
def test_notify_never_is_kept_through_postfix(tmp_path: Path, postfix: Postfix) -> None:
    async def scenario() -> None:
        async with world(postfix, tmp_path) as last, home(postfix, tmp_path) as host:
            await write(host, "renping@fails.test", Notify.NEVER)
            await last.until("failed", 1)
            await last.daemon.wait_idle()
            assert not last.logged("report")
            assert await last.daemon.spool.queries.count() == 0
            await removed(postfix, "renping@fails.test")
            assert await host.messages() == {}

    run(scenario)


@postfix_is_here
def test_a_report_that_postfix_cannot_deliver_causes_no_report(tmp_path: Path, postfix: Postfix) -> None:
    """The report has the null reverse-path, so Postfix sends no report about it, and no loop begins."""

    async def scenario() -> None:
        async with world(postfix, tmp_path) as last:
            asked = Envelope(address("langrui@refused.test"), (Recipient(address("renping@fails.test")),))
            async with session_with(last.endpoint) as session:
                (outcome,) = await session.deliver(asked, Bytes(MESSAGE))
            assert outcome.result is Result.DELIVERED
            await removed(postfix, "langrui@refused.test")
            await last.daemon.wait_idle()
            assert len(last.logged("report")) == 1
            assert len(last.logged("accepted")) == 1
            assert await last.daemon.spool.queries.count() == 0

    run(scenario)
