"""Histories and dry runs: as data, and as sentences."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest

from posthouse.core import Result, SettingError
from posthouse.relay.recording.retry import RetrySchedule
from posthouse.relay.scheduling.outlook import SiteOutlook
from posthouse.service.operations.explain import what_is
from posthouse.service.operations.explain_text import Sentence, address_sentences, history_sentences
from posthouse.service.operations.reasons_zh import chinese_reason
from posthouse.service.operations.results import AddressForecast, AttemptEntry, EventEntry, Explained, MessageHistory
from posthouse.spool.history import Origin

from .operation_harness import LATER, NEVER, TAKEN, TRACE, OperationHarness, run

ZONES = {
    "far.test": {"MX": ["10 mx.far.test", "20 backup.far.test"]},
    "mx.far.test": {"A": ["192.0.2.7"], "AAAA": ["2001:db8::7"]},
    "backup.far.test": {"A": ["192.0.2.8"]},
    "nomail.test": {"MX": ["0 ."]},
}


def clock_words(at: float) -> str:
    """A moment as seconds since the test began."""
    return f"T+{at - 1_800_000_000.0:.0f}"


def text_of(found: MessageHistory | AddressForecast, lang: str = "en", *, transcript: bool = False) -> str:
    """All sentences, each in a line, indented by depth."""
    sentences: list[Sentence]
    if isinstance(found, MessageHistory):
        sentences = list(history_sentences(found, lang, clock_words, transcript=transcript))
    else:
        sentences = list(address_sentences(found, lang, clock_words))
    assert all("\n" not in each.text and "{" not in each.text for each in sentences)
    return "\n".join("  " * each.depth + each.text for each in sentences)


async def explained(desk: OperationHarness, what: str) -> Explained:
    found: Explained = await desk.do("explain", what=what)
    return found


async def story_of(desk: OperationHarness, queue_id: str) -> MessageHistory:
    message = (await explained(desk, queue_id)).message
    assert message is not None
    return message


def test_a_life_from_acceptance_to_delivery() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        arrival = Origin("<a@here.test>", "client.example", "TLS 1.3", "ann")
        queue_id = await desk.store("bob@far.test", arrival=arrival)
        await desk.attempt(Result.DEFERRED, LATER, trace=TRACE)
        waiting = await story_of(desk, queue_id)
        assert waiting.queued
        (now,) = waiting.standing
        assert (now.state, now.attempts, now.due, now.why) == (
            "waiting",
            1,
            desk.clock.time() + 300,
            "the other side asked for 5 minutes",
        )
        text = text_of(waiting)
        assert "from me@here.test to bob@far.test" in text
        assert (
            "accepted from mx 192.0.2.1:40000, which calls itself client.example, authenticated as ann, by TLS 1.3"
            in text
        )
        assert "attempt 1, for far.test" in text
        assert "mx.far.test [192.0.2.7:25]" in text
        assert "resolve 20 ms, connect 100 ms, greet <1 ms, final 2.0 s" in text
        assert "bob@far.test: deferred, 450 4.7.1 Greylisted; come again" in text
        assert "scheduled for T+300, 5 minutes later: the other side asked for 5 minutes" in text
        assert "bob@far.test: waiting for attempt 2, T+300 (in 5 minutes): the other side asked for 5 minutes" in text
        chinese = text_of(waiting, "zh")
        assert "安排在 T+300 重试，即 5 分钟之后：对方要求等待 5 分钟" in chinese
        assert "等待第 2 次尝试，时间 T+300（5 分钟后）：对方要求等待 5 分钟" in chinese
        assert "解析 20 毫秒" in chinese
        assert " ms" not in chinese
        assert "S: EHLO" not in text
        assert "    S: EHLO mx.here.test" in text_of(waiting, transcript=True)
        await desk.clock.advance(301)
        assert "bob@far.test: attempt 2 begins now" in text_of(await story_of(desk, queue_id))
        await desk.attempt(Result.DELIVERED, TAKEN)
        done = await story_of(desk, queue_id)
        assert not done.queued
        assert [each.state for each in done.standing] == ["delivered"]
        assert [type(each) for each in done.events] == [AttemptEntry, AttemptEntry]
        text = text_of(done)
        assert "bob@far.test: delivered, 250 2.0.0 OK" in text
        assert text.splitlines()[-1] == "  The message has left the queue; only its history is kept."

    run(scenario)


def test_acts_of_operators_and_several_ends() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        people = [f"r{number}@far.test" for number in range(5)]
        queue_id = await desk.store(*people, "zoe@near.test")
        await desk.attempt(Result.FAILED, NEVER, only="near.test")
        await desk.attempt(Result.DEFERRED, LATER, only="far.test")
        await desk.do("queue hold", filter="to:r0@far.test")
        await desk.do("queue reroute", filter="to:r1@far.test", via="smtp://relay.test:25")
        await desk.do("queue retry", filter="to:r2@far.test")
        await desk.do("queue drop", filter="to:r3@far.test")
        found = await story_of(desk, queue_id)
        notes = [each for each in found.events if isinstance(each, EventEntry)]
        assert [each.kind for each in notes] == ["held", "rerouted", "retried", "dropped"]
        assert all(each.who == "ann (uid 1000)" for each in notes)
        standing = {each.address: each for each in found.standing}
        assert standing["r0@far.test"].state == "held"
        assert standing["r1@far.test"].route == "smtp://relay.test:25"
        assert standing["r2@far.test"].why == "retried by ann (uid 1000)"
        assert standing["r3@far.test"].state == standing["zoe@near.test"].state == "failed"
        text = text_of(found)
        assert "r0@far.test, r1@far.test, r2@far.test and 2 more: deferred" in text
        assert "zoe@near.test: failed, 550 5.1.1 No such user" in text
        assert "r0@far.test held by ann (uid 1000)" in text
        assert "r1@far.test rerouted by ann (uid 1000): smtp://relay.test:25" in text
        assert "r1@far.test: rerouted to smtp://relay.test:25 by an operator" in text
        assert f"r0@far.test: held until an operator releases it (posthouse queue release id:{queue_id})" in text
        assert "r3@far.test dropped by ann (uid 1000)" in text
        zh = text_of(found, "zh")
        assert len(zh.splitlines()) == len(text.splitlines())
        assert "ann (uid 1000) 扣留了 r0@far.test" in zh

    run(scenario)


def test_what_remains_unknown_is_said() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("a@far.test", sender="")
        await desk.attempt(Result.AMBIGUOUS, LATER)
        text = text_of(await story_of(desk, queue_id))
        assert "from <> to a@far.test" in text
        assert "a@far.test: unknown whether it was delivered" in text

    run(scenario)


def test_a_message_that_was_given_up_is_told_apart_from_one_that_was_refused() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("a@far.test")
        await desk.attempt(Result.FAILED, LATER)
        assert "a@far.test: given up, 450 4.7.1" in text_of(await story_of(desk, queue_id))

    run(scenario)


def test_many_attempts_take_few_lines() -> None:
    """A person reads it in half a minute: a few lines for each attempt, whatever the number of recipients."""

    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store(*(f"r{number}@far.test" for number in range(500)))
        await desk.attempt(Result.DEFERRED, LATER, trace=TRACE)
        assert len(text_of(await story_of(desk, queue_id)).splitlines()) <= 12

    run(scenario)


# Which question it is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("72jhzb4zx8tbr", "message"),
        ("72JHZB4ZX8TBR", "message"),
        ("550", "code"),
        ("4.7.x", "code"),
        ("550 5.1.1 <bob@example.org>: no such user", "code"),
        ("hallo", "code"),
        ("hello", "command"),
        ("MAIL FROM:<a@b.org>", "command"),
        ("relay.max_hops", "setting"),
        ("[relay] max_hops", "setting"),
        ("bob@example.org", "address"),
        ("<1234.5678@example.org>", "message-id"),
        ("postmaster@[192.0.2.1]", "address"),
        ('"a b"@example.org', "address"),
        ("550@example.org", "address"),
    ],
)
def test_what_it_is(asked: str, kind: str) -> None:
    assert what_is(asked) == kind


def test_by_message_id() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("a@far.test", arrival=Origin("<one@here.test>"))
        for asked in ("<one@here.test>", "one@here.test"):
            found = await explained(desk, asked)
            assert found.kind == "message"
            assert found.message is not None
            assert found.message.id == queue_id
        second = await desk.store("b@far.test", arrival=Origin("<one@here.test>"))
        found = await explained(desk, "<one@here.test>")
        assert (found.kind, [each.id for each in found.messages]) == ("messages", [second, queue_id])

    run(scenario)


def test_nothing_is_known() -> None:
    async def scenario() -> None:
        with pytest.raises(SettingError, match=r"no message .* is known"):
            await explained(await OperationHarness(), "72jhzb4zx8tbr")
        with pytest.raises(SettingError, match="no mailbox"):
            await explained(await OperationHarness(), "a@b@")

    run(scenario)


# The dry run ----------------------------------------------------------------------------------------------------------


async def forecast(desk: OperationHarness, address: str) -> AddressForecast:
    found = (await explained(desk, address)).address
    assert found is not None
    return found


def test_an_address_elsewhere() -> None:
    async def scenario() -> None:
        desk = await OperationHarness(zones=ZONES)
        await desk.store("x@far.test")
        await desk.clock.advance(120)
        found = await explained(desk, "bob@far.test")
        assert (found.kind, found.messages) == ("address", [])
        assert found.address is not None
        (end,) = found.address.ends
        assert (end.way, end.target, end.waiting) == ("smtp", "far.test", 1)
        assert [(each.name, each.preference, each.addresses) for each in end.exchanges] == [
            ("mx.far.test", 10, ["[2001:db8::7]:25", "192.0.2.7:25"]),
            ("backup.far.test", 20, ["192.0.2.8:25"]),
        ]
        text = text_of(found.address)
        assert "MX of far.test: 10 mx.far.test, 20 backup.far.test" in text
        assert "in the queue for far.test: 1 waiting, 0 held, the oldest for 2 minutes" in text
        assert "A message would be tried at once at mx.far.test." in text
        chinese = text_of(found.address, "zh")
        assert "邮件会立即尝试投递到 mx.far.test。" in chinese
        assert "原因：没有适用的 [[route]]，发往该域的邮件交换主机" in chinese
        assert "下一跳：far.test 的 MX：10 mx.far.test, 20 backup.far.test" in chinese
        assert [each.sender for each in (await explained(desk, "x@far.test")).messages] == ["me@here.test"]
        assert len(await desk.do("queue list")) == 1  # nothing was sent, and nothing was stored

    run(scenario)


def test_a_suspended_site() -> None:
    async def scenario() -> None:
        desk = await OperationHarness(zones=ZONES)
        (end,) = (await forecast(desk, "bob@far.test")).ends
        desk.outlooks[end.site] = SiteOutlook(
            end.site, 1, desk.clock.monotonic() + 60, "3 connections in a row could not be opened"
        )
        found = await forecast(desk, "bob@far.test")
        (end,) = found.ends
        assert end.next is not None
        assert (end.next.state, end.next.limit, end.next.at) == ("suspended", 1, desk.clock.time() + 60)
        text = text_of(found)
        assert "site suspended until T+60 (in 1 minute): 3 connections in a row could not be opened" in text
        assert "A message would wait until T+60" in text
        assert "：连续 3 次无法建立连接" in text_of(found, "zh")

    run(scenario)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("a@nomail.test", "域名 nomail.test 不接收邮件（null MX）"),
        ("a@nowhere.test", "域名 nowhere.test 不存在"),
        ("a@chosen.test", "指定的主机 192.0.2.99:2600"),
        ("a@[192.0.2.1]", "地址 [192.0.2.1] 本身"),
    ],
)
def test_reasons_in_chinese(address: str, reason: str) -> None:
    async def scenario() -> None:
        found = await forecast(await OperationHarness(zones=ZONES), address)
        assert reason in text_of(found, "zh")

    run(scenario)


def test_every_reason_of_a_retry_in_chinese() -> None:
    schedule, day = RetrySchedule(patience=86_400.0 * 2), 86_400.0
    plans = [
        schedule.plan(attempts, 0.0, now, Random(1), asked=asked)
        for attempts in (1, 2, 9)
        for now in (60.0, 2 * day - 400.0, 2 * day - 100.0, 2 * day)
        for asked in (None, 0.5, 45.0, 7200.0)
    ] + [schedule.plan(attempts, 0.0, 60.0, Random(1), ambiguous=True) for attempts in (1, 2, 9)]
    assert {plan.why.partition(" ")[0] for plan in plans} == {"attempt", "the", "no"}
    assert len({plan.why for plan in plans}) > 6
    for plan in plans:
        assert not re.search("[A-Za-z]", chinese_reason(plan.why)), plan.why


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("a@nomail.test", "A message would fail: 556 5.1.10"),
        ("a@nowhere.test", "A message would fail: 550 5.1.2"),
        ("a@chosen.test", "goes by smtp to 192.0.2.99:2600"),
        ("ann@here.test", "A message would be delivered at once."),
        ("zoe@here.test", "Mail for this address is refused."),
        ("a@[192.0.2.1]", "A message would be tried at once at [192.0.2.1]."),
    ],
)
def test_other_addresses(address: str, sentence: str) -> None:
    async def scenario() -> None:
        found = await forecast(await OperationHarness(zones=ZONES), address)
        assert sentence in text_of(found)
        assert len(text_of(found, "zh").splitlines()) == len(text_of(found).splitlines())

    run(scenario)


def test_a_dns_that_does_not_answer_is_no_failure() -> None:
    async def scenario() -> None:
        desk = await OperationHarness(zones=ZONES)
        resolver: Any = desk.context().routing().resolver
        resolver.failing.add("far.test")
        assert "A message would be deferred: 451 4.4.3" in text_of(await forecast(desk, "bob@far.test"))

    run(scenario)


@pytest.mark.parametrize(("messages", "has_older"), [(20, False), (21, True)])
def test_what_the_list_of_an_address_leaves_out_is_said(messages: int, has_older: bool) -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        for _ in range(messages):
            await desk.store("bob@far.test")
        found = await explained(desk, "bob@far.test")
        assert (len(found.messages), found.has_older) == (20, has_older)

    run(scenario)


def test_an_alias_leads_to_all_its_ends() -> None:
    async def scenario() -> None:
        found = await forecast(await OperationHarness(zones=ZONES), "team@here.test")
        assert found.kind == "alias"
        assert [(each.recipient, each.way) for each in found.ends] == [
            ("ann@here.test", "mailbox"),
            ("bob@far.test", "smtp"),
        ]

    run(scenario)


@pytest.mark.parametrize(
    "reason",
    [
        "not sent to mx.test[192.0.2.1]:25: the message has 408 octets and this host takes at most 100 (SIZE)",
        "not sent to mx.test[192.0.2.1]:25: an address or the header needs SMTPUTF8, which this host does not offer",
        "not sent to mx.test[192.0.2.1]:25: the address needs SMTPUTF8, which this host does not offer",
        "not sent to mx.test[192.0.2.1]:25: the content has 8-bit octets and this host does not offer 8BITMIME",
        "not sent to mx.test[192.0.2.1]:25: the content is binary and this host does not offer BINARYMIME",
        "not sent: the address c@xn--zz.test cannot be written in SMTP: a label begins with xn--",
        "tried the configured host: 192.0.2.1:25 refused the connection",
        "tried the address itself: 192.0.2.1:25 refused the connection",
    ],
)
def test_what_this_side_decides_is_said_in_chinese(reason: str) -> None:
    said = chinese_reason(reason)
    assert not re.search("[a-z]{3}", re.sub(r"mx\.test|c@xn--zz\.test", "", said)), said
