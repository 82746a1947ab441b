"""Reports that go through a real Postfix, both ways (RFC 3461 to 3464).

``home`` is a house whose people write to the world, all of it by way of Postfix; ``world`` is a house behind Postfix.
Postfix offers DSN, as we do, so whoever ends a recipient's way tells of it, and what the sender asked for must reach
him through all that lies between::

    langrui@home.test → home → Postfix (→ world (→ a house that refuses))
                          ↑______________↓  the report, whoever wrote it
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.core import Address, Bytes, Envelope, Notify, OriginalRecipient, Recipient, Result, Ret
from posthouse.message import Action, DeliveryReport, read_report
from posthouse.protocol import Offer

from .conftest import Postfix
from .peers import Post, address, behind_trace, opened, run, session_with

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
LETTER = (
    b"From: langrui@home.test\r\nTo: renping@box.test\r\nSubject: a letter\r\nMessage-ID: <one@home.test>\r\n"
    b"Date: Mon, 23 Nov 2026 08:46:22 +0800\r\n\r\nWords that only the letter has.\r\n"
)
#: Both have to travel as xtext.
ENVID = "a+b=c 007"
ORCPT = OriginalRecipient("rfc822", "ren+ping=x@elsewhere.test")
postfix_is_here = pytest.mark.system("postfix", "postfix")


def home(postfix: Postfix, data_dir: Path) -> contextlib.AbstractAsyncContextManager[Post]:
    """The house that letters leave from, and that reports come back to."""
    return opened(HOME.format(port=postfix.homeward.port, postfix=postfix.doors["bdat"]), data_dir / "home")


@contextlib.asynccontextmanager
async def world(postfix: Postfix, data_dir: Path, *, offer: Offer | None = None) -> AsyncIterator[Post]:
    """The house behind Postfix, and the one behind that, which refuses."""
    async with opened(REFUSING, data_dir / "refusing") as refusing:
        text = WORLD.format(
            port=postfix.onward.port, postfix=postfix.doors["data"], refusing=f"127.0.0.1:{refusing.endpoint.port}"
        )
        async with opened(text, data_dir / "world", offer=offer) as post:
            yield post


async def write(post: Post, to: str, notify: Notify | None, *, ret: Ret | None = None, envid: str = ENVID) -> None:
    """Hand a letter from langrui@home.test in, and have it passed on to Postfix."""
    recipient = Recipient(address(to), notify, ORCPT)
    asked = Envelope(Address("langrui", "home.test"), (recipient,), ret=ret, envid=envid)
    before = len(post.told("delivered"))
    async with session_with(post.endpoint) as session:
        (outcome,) = await session.deliver(asked, Bytes(LETTER))
    assert outcome.result is Result.DELIVERED
    await post.until("delivered", before + 1)


async def report_to(post: Post) -> tuple[DeliveryReport, bytes]:
    """The one report in langrui's mailbox, waited for; and the letter that it came as."""
    while True:
        before = len(post.told("delivered"))  # asked first: what is delivered while we look must not be waited for
        if letters := await post.letters():
            break
        await post.until("delivered", before + 1)
    ((letter,),) = letters.values()
    assert list(letters) == ["langrui@home.test"]
    assert letter.startswith(b"Return-Path: <>\r\n")
    report = read_report(letter)
    assert report is not None
    return report, letter


async def removed(postfix: Postfix, recipient: str) -> None:
    """Postfix has done all that it will do about its message to ``recipient``."""
    while True:
        log = postfix.log.read_text() if postfix.log.exists() else ""
        ids = re.findall(rf" ([0-9A-F]+): to=<{re.escape(recipient)}>", log)
        if ids and f"{ids[-1]}: removed" in log:
            return
        await asyncio.sleep(0.02)


# -- Postfix tells us


@postfix_is_here
@pytest.mark.parametrize("ret", [Ret.HDRS, Ret.FULL])
def test_postfix_bounces_what_it_took_from_us(tmp_path: Path, postfix: Postfix, ret: Ret) -> None:
    async def story() -> None:
        async with home(postfix, tmp_path) as post:
            await write(post, "renping@refused.test", Notify.FAILURE, ret=ret)
            report, _ = await report_to(post)
            await post.house.wait_idle()  # the report lies in the mailbox a moment before its end is recorded
            assert await post.house.queue.count() == 0
            assert not post.told("report")
        assert (report.reporting_mta, report.envelope_id) == ("postfix.test", ENVID)
        (about,) = report.recipients
        assert (about.action, about.status) == (Action.FAILED, "5.1.1")
        assert (about.final.address, about.original) == ("renping@refused.test", ORCPT)
        assert b"Message-ID: <one@home.test>" in report.returned
        assert (b"Words that only the letter has." in report.returned) is (ret is Ret.FULL)

    run(story)


@postfix_is_here
def test_postfix_tells_of_success_where_it_was_asked_and_never_where_it_was_not(
    tmp_path: Path, postfix: Postfix
) -> None:
    """What it took for itself we do not report: it offers DSN, so it was asked, and answers."""

    async def story() -> None:
        async with home(postfix, tmp_path) as post:
            await write(post, "never@refused.test", Notify.NEVER)
            await removed(postfix, "never@refused.test")
            await write(post, "nothing@discarded.test", Notify.FAILURE | Notify.DELAY)
            await removed(postfix, "nothing@discarded.test")
            await write(post, "renping@discarded.test", Notify.SUCCESS)
            report, _ = await report_to(post)  # the only one
            assert not post.told("report")
        assert (report.reporting_mta, report.envelope_id) == ("postfix.test", ENVID)
        (about,) = report.recipients
        assert (about.action, about.status[0]) == (Action.DELIVERED, "2")
        assert (about.final.address, about.original) == ("renping@discarded.test", ORCPT)

    run(story)


@postfix_is_here
def test_postfix_says_relayed_where_we_offer_no_dsn(tmp_path: Path, postfix: Postfix) -> None:
    """The other side of RFC 3461 §5.2.2: the last station that knows of DSN is the one that tells."""

    async def story() -> None:
        async with world(postfix, tmp_path, offer=Offer(dsn=False)) as last, home(postfix, tmp_path) as post:
            await write(post, "renping@box.test", Notify.SUCCESS)
            report, _ = await report_to(post)
            assert behind_trace(await last.only_letter(), stations=3) == LETTER
            assert not post.told("report")
            assert not last.told("report")
        (about,) = report.recipients
        assert (report.reporting_mta, about.action) == ("postfix.test", Action.RELAYED)

    run(story)


# -- we tell, through Postfix


@postfix_is_here
@pytest.mark.parametrize("ret", [Ret.HDRS, Ret.FULL])
def test_we_bounce_what_we_took_from_postfix(tmp_path: Path, postfix: Postfix, ret: Ret) -> None:
    """Accepted for a domain of others, and refused there: our report goes back through Postfix, and says all that the
    sender, three stations away, has asked for."""

    async def story() -> None:
        async with world(postfix, tmp_path) as last, home(postfix, tmp_path) as post:
            await write(post, "renping@fails.test", Notify.FAILURE, ret=ret)
            report, letter = await report_to(post)
            assert len(last.told("report")) == 1
            await last.house.wait_idle()
            assert await last.house.queue.count() == 0
            assert await post.house.queue.count() == 0
        assert b"by postfix.test (Postfix) " in letter.partition(b"\r\n\r\n")[0]
        assert (report.reporting_mta, report.envelope_id) == ("world.test", ENVID)
        (about,) = report.recipients
        assert (about.action, about.status) == (Action.FAILED, "5.1.1")
        assert (about.final.address, about.original) == ("renping@fails.test", ORCPT)
        assert about.remote_mta == "[127.0.0.1]"
        assert about.diagnostic.startswith("550 5.1.1 ")
        assert b"Message-ID: <one@home.test>" in report.returned
        assert (b"Words that only the letter has." in report.returned) is (ret is Ret.FULL)

    run(story)


@postfix_is_here
def test_we_tell_of_success_what_was_asked_through_postfix(tmp_path: Path, postfix: Postfix) -> None:
    async def story() -> None:
        async with world(postfix, tmp_path) as last, home(postfix, tmp_path) as post:
            await write(post, "renping@box.test", Notify.SUCCESS)
            report, _ = await report_to(post)
            assert behind_trace(await last.only_letter(), stations=3) == LETTER
            assert len(last.told("report")) == 1
            assert not post.told("report")
        assert (report.reporting_mta, report.envelope_id) == ("world.test", ENVID)
        (about,) = report.recipients
        assert (about.action, about.status[0]) == (Action.DELIVERED, "2")
        assert (about.final.address, about.original) == ("renping@box.test", ORCPT)
        assert b"Words that only the letter has." not in report.returned

    run(story)


@postfix_is_here
def test_never_is_kept_through_postfix(tmp_path: Path, postfix: Postfix) -> None:
    async def story() -> None:
        async with world(postfix, tmp_path) as last, home(postfix, tmp_path) as post:
            await write(post, "renping@fails.test", Notify.NEVER)
            await last.until("failed", 1)
            await last.house.wait_idle()
            assert not last.told("report")
            assert await last.house.queue.count() == 0
            await removed(postfix, "renping@fails.test")
            assert await post.letters() == {}

    run(story)


@postfix_is_here
def test_nobody_hears_of_a_report_that_postfix_cannot_deliver(tmp_path: Path, postfix: Postfix) -> None:
    """Our report has no sender, so Postfix tells nobody of its end; nothing goes round."""

    async def story() -> None:
        async with world(postfix, tmp_path) as last:
            asked = Envelope(address("langrui@refused.test"), (Recipient(address("renping@fails.test")),))
            async with session_with(last.endpoint) as session:
                (outcome,) = await session.deliver(asked, Bytes(LETTER))
            assert outcome.result is Result.DELIVERED
            await removed(postfix, "langrui@refused.test")
            await last.house.wait_idle()
            assert len(last.told("report")) == 1
            assert len(last.told("accepted")) == 1
            assert await last.house.queue.count() == 0

    run(story)
