"""Who hears what (RFC 3461 §5.2), that it is stored with what it tells, and that nothing can go round in circles."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import (
    Address,
    AttemptTrace,
    Bytes,
    Content,
    Envelope,
    Handover,
    Notify,
    OriginalRecipient,
    Outcome,
    Recipient,
    Reply,
    Result,
    Ret,
    StorageFull,
)
from posthouse.core.event_sink import CallbackSink
from posthouse.delivery.model import Delivery
from posthouse.message import Action, DeliveryReport, is_report, read_dsn
from posthouse.relay.recording.dsn import DsnWriter, original_of, status_of
from posthouse.relay.recording.retry import RetrySchedule
from posthouse.relay.routes import RouteRule, RouteTable
from posthouse.relay.worker import Worker
from posthouse.spool import SqliteSpool
from posthouse.spool.history import QueueEvent
from posthouse.spool.interface import Lease, QueuedRecipient, RecipientState, Report, Settlement, StoredMessage
from posthouse.testing import ManualClock

from .fakes import FakeDeliverer

NOW = 1_000_000_000.0
CLOCK = 1_800_000_000.0  # of a new ManualClock
SENDER = Address("langrui", "sohu.com")
POSTMASTER = Address("postmaster", "sohu.com")
MESSAGE = b"From: langrui@sohu.com\r\nMessage-ID: <q1@sohu.com>\r\n\r\nhello\r\n"
NO, LATER, YES = Reply(550, "5.1.1", "nobody"), Reply(451, "4.2.1", "not now"), Reply(250, "2.1.5", "ok")
HOST = "mx.sina.com[192.0.2.7]:25"
ANYTHING = Notify.SUCCESS | Notify.FAILURE | Notify.DELAY
EVERY_NOTIFY = [None, *(Notify(number) for number in range(8))]


def dsn_writer(**changes: Any) -> DsnWriter:
    arguments: dict[str, Any] = {
        "hostname": "mail.sohu.com",
        "postmaster": POSTMASTER,
        "destination": lambda address: address.domain,
        "random": Random(1),
    }
    return DsnWriter(**{**arguments, **changes})


def waiting(
    notify: Notify | None = None, address: Address | None = None, *, key: int = 0, **changes: Any
) -> QueuedRecipient:
    recipient = Recipient(address or Address("renping", "sina.com"), notify)
    return QueuedRecipient(key, recipient, recipient.address.domain, RecipientState.WAITING, 0, NOW, **changes)


def end(
    one: QueuedRecipient,
    state: RecipientState,
    reply: Reply | None = NO,
    handover: Handover = Handover.FINAL,
    *,
    warned: bool = False,
    peer: str = HOST,
) -> tuple[QueuedRecipient, Settlement]:
    result = {RecipientState.DELIVERED: Result.DELIVERED, RecipientState.FAILED: Result.FAILED}.get(
        state, Result.DEFERRED
    )
    outcome = Outcome(one.recipient, result, reply, "in words for the operator", peer, handover)
    return one, Settlement(one.key, state, NOW, outcome, warned=warned)


def message(sender: Address | None = SENDER, **fields: Any) -> StoredMessage:
    return StoredMessage(
        "Q1", Envelope(sender, (Recipient(Address("renping", "sina.com")),), **fields), NOW - 60, len(MESSAGE)
    )


def reports(
    ends: Sequence[tuple[QueuedRecipient, Settlement]], content: bytes = MESSAGE, **options: Any
) -> list[Report]:
    sender = options.pop("sender", SENDER)
    about = original_of(message(sender), Bytes(content))
    return dsn_writer(**options).reports(about, ends, now=NOW, until=NOW + 99)


def read(report: Report) -> DeliveryReport:
    found = read_dsn(report.content)
    assert found is not None
    return found


# -- what NOTIFY asks for


@pytest.mark.parametrize("notify", EVERY_NOTIFY)
def test_failure_is_told_if_asked_for_or_if_nothing_was_said(notify: Notify | None) -> None:
    """RFC 3461 §5.2.6."""
    status = status_of(*end(waiting(notify), RecipientState.FAILED), NOW)
    assert (status is not None) is (notify is None or Notify.FAILURE in notify)
    if status is not None:
        assert (status.action, status.status, status.remote, status.expired) == (
            Action.FAILED,
            "5.1.1",
            "mx.sina.com",
            False,
        )


@pytest.mark.parametrize("notify", EVERY_NOTIFY)
@pytest.mark.parametrize("handover", Handover)
def test_success_is_told_only_if_asked_for_and_nobody_else_tells(notify: Notify | None, handover: Handover) -> None:
    """RFC 3461 §5.2.1, §5.2.2 (b) (e), §5.2.3."""
    status = status_of(*end(waiting(notify), RecipientState.DELIVERED, YES, handover), NOW)
    asked = notify is not None and Notify.SUCCESS in notify
    expected = {Handover.FINAL: Action.DELIVERED, Handover.RELAYED: Action.RELAYED}.get(handover) if asked else None
    assert (None if status is None else status.action) == expected


@pytest.mark.parametrize("notify", EVERY_NOTIFY)
def test_a_delay_is_told_once_and_not_against_a_wish(notify: Notify | None) -> None:
    """RFC 3461 §5.2.5."""
    status = status_of(*end(waiting(notify), RecipientState.WAITING, LATER, warned=True), NOW, NOW + 5)
    assert (status is not None) is (notify is None or Notify.DELAY in notify)
    if status is not None:
        assert (status.action, status.until) == (Action.DELAYED, NOW + 5)
    assert status_of(*end(waiting(notify, warned=True), RecipientState.WAITING, LATER, warned=True), NOW) is None
    assert status_of(*end(waiting(notify), RecipientState.WAITING, LATER), NOW) is None


def test_held_recipients_are_nobodys_news() -> None:
    assert status_of(*end(waiting(ANYTHING), RecipientState.HELD), NOW) is None


@pytest.mark.parametrize("reply", [None, LATER])
def test_giving_up_is_told_apart_from_a_refusal(reply: Reply | None) -> None:
    status = status_of(*end(waiting(), RecipientState.FAILED, reply), NOW)
    assert status is not None
    assert (status.expired, status.status) == (True, "5.4.7")


@pytest.mark.parametrize(
    ("peer", "remote"),
    [
        ("mx.sina.com[192.0.2.7]:25", "mx.sina.com"),
        ("mx.sina.com[2001:db8::1]:25", "mx.sina.com"),
        ("mx.sina.com", "mx.sina.com"),
        ("192.0.2.7:25", "[192.0.2.7]"),
        ("[192.0.2.7]", "[192.0.2.7]"),
        ("[2001:db8::1]:25", "[IPv6:2001:db8::1]"),
        ("renping@sina.com", ""),
        ("/var/mail/sina.com/renping", ""),
        ("", ""),
    ],
)
def test_who_said_it_is_named_if_it_was_another_host(peer: str, remote: str) -> None:
    status = status_of(*end(waiting(), RecipientState.FAILED, peer=peer), NOW)
    assert status is not None
    assert status.remote == remote


# -- the report


def test_a_report_goes_the_way_of_all_mail() -> None:
    (report,) = reports([end(waiting(), RecipientState.FAILED)])
    assert report.envelope.sender is None
    assert report.envelope.recipients == (Recipient(SENDER),)
    assert report.envelope.ret is None
    assert report.destinations == ("sohu.com",)
    assert report.due == NOW
    assert read(report).returned == MESSAGE
    assert "in words for the operator" not in read(report).text


def test_what_ends_together_is_told_together() -> None:
    ends = [
        end(waiting(None, Address("a", "x.test"), key=0), RecipientState.FAILED),
        end(waiting(Notify.NEVER, Address("b", "x.test"), key=1), RecipientState.FAILED),
        end(waiting(ANYTHING, Address("c", "x.test"), key=2), RecipientState.DELIVERED, YES, Handover.RELAYED),
        end(waiting(None, Address("d", "x.test"), key=3), RecipientState.WAITING, LATER),
        end(waiting(None, Address("e", "x.test"), key=4), RecipientState.FAILED, LATER),
    ]
    (report,) = reports(ends)
    reported = [(one.final.address, one.action, one.status) for one in read(report).recipients]
    assert reported == [
        ("a@x.test", "failed", "5.1.1"),
        ("c@x.test", "relayed", "2.1.5"),
        ("e@x.test", "failed", "5.4.7"),
    ]


def test_envelope_id_and_original_recipient_are_given_back() -> None:
    orcpt = OriginalRecipient("rfc822", "Ren+Ping@old.test")
    one = waiting(Notify.FAILURE)
    one = one._replace(recipient=one.recipient._replace(orcpt=orcpt))
    about = original_of(message(envid="QQ=314", ret=Ret.HDRS), Bytes(MESSAGE))
    (report,) = dsn_writer().reports(about, [end(one, RecipientState.FAILED)], now=NOW)
    found = read(report)
    assert found.envelope_id == "QQ=314"
    assert found.recipients[0].original == orcpt
    assert found.returned_kind == "text/rfc822-headers"


def test_many_recipients_are_told_in_several_reports() -> None:
    ends = [end(waiting(None, Address(f"u{n}", "x.test"), key=n), RecipientState.FAILED) for n in range(600)]
    reported = [read(report) for report in reports(ends)]
    assert [len(found.recipients) for found in reported] == [250, 250, 100]


def test_a_sender_in_u_labels_needs_no_smtputf8() -> None:
    (report,) = reports([end(waiting(), RecipientState.FAILED)], sender=Address("langrui", "搜狐.中国"))
    assert report.envelope.recipients[0].address.domain == "xn--u2u404a.xn--fiqs8s"
    assert not report.envelope.smtputf8
    (report,) = reports([end(waiting(), RecipientState.FAILED)], sender=Address("郎锐", "搜狐.中国"))
    assert report.envelope.smtputf8


def test_what_the_operator_dropped_is_told() -> None:
    about = original_of(message(), Bytes(MESSAGE))
    (report,) = dsn_writer().dropped(about, [waiting(), waiting(Notify.NEVER)], now=NOW)
    (one,) = read(report).recipients
    assert (one.action, one.status, one.remote_mta) == ("failed", "5.0.0", "")


def test_content_that_is_gone_or_large() -> None:
    assert original_of(message(), None).content == b""
    large = original_of(message(), Bytes(MESSAGE + b"x" * 1_000_000), 1_000)
    assert (len(large.content), large.whole) == (1_000, False)
    (report,) = dsn_writer().reports(original_of(message(), None), [end(waiting(), RecipientState.FAILED)], now=NOW)
    assert read(report).returned == b""


# -- aliases, and senders that do not exist


def test_a_report_follows_aliases_and_goes_to_nobody_who_does_not_exist() -> None:
    ends_of = {SENDER: (Address("one", "a.test"), Address("two", "b.test"))}
    (report,) = reports(
        [end(waiting(), RecipientState.FAILED)], addressees=lambda address: ends_of.get(address, (address,))
    )
    assert report.destinations == ("a.test", "b.test")
    nobody = {SENDER: ()}
    found = reports([end(waiting(), RecipientState.FAILED)], addressees=lambda address: nobody.get(address, (address,)))
    assert [one.envelope.recipients[0].address for one in found] == [POSTMASTER]
    assert not is_report(found[0].content), "it is a notice"
    one = end(waiting(ANYTHING), RecipientState.DELIVERED, YES)
    assert reports([one], addressees=lambda address: nobody.get(address, (address,))) == []


# -- no loops


def test_a_message_without_a_sender_is_never_answered() -> None:
    every = [
        end(waiting(ANYTHING, key=0), RecipientState.FAILED),
        end(waiting(ANYTHING, key=1), RecipientState.DELIVERED, YES),
        end(waiting(ANYTHING, key=2), RecipientState.WAITING, LATER, warned=True),
    ]
    assert reports(every, sender=None) == []


def test_a_report_that_fails_is_told_to_the_postmaster_once() -> None:
    (first,) = reports([end(waiting(), RecipientState.FAILED)])
    back = end(waiting(Notify.NEVER, SENDER), RecipientState.FAILED)
    (notice,) = reports([back], first.content, sender=None)
    assert notice.envelope.sender is None
    assert [one.address for one in notice.envelope.recipients] == [POSTMASTER]
    assert read(notice).returned == first.content
    for whom in (POSTMASTER, Address("admin", "elsewhere.test")):
        assert reports([end(waiting(None, whom), RecipientState.FAILED)], notice.content, sender=None) == []
    delivered = end(waiting(ANYTHING, SENDER), RecipientState.DELIVERED, YES)
    assert reports([delivered], first.content, sender=None) == []


def test_a_report_to_the_postmaster_that_fails_is_not_told_to_him() -> None:
    (first,) = reports([end(waiting(), RecipientState.FAILED)])
    assert reports([end(waiting(None, POSTMASTER), RecipientState.FAILED)], first.content, sender=None) == []
    admin = Address("Admin", "corp.test")
    ends_of = {POSTMASTER: (Address("admin", "corp.test"),)}
    failed = [end(waiting(None, admin), RecipientState.FAILED)]
    found = reports(failed, first.content, sender=None, addressees=lambda address: ends_of.get(address, (address,)))
    assert found == [], "nor to the same person under another name"


@settings(max_examples=60, deadline=None)
@given(
    sender=st.sampled_from([None, SENDER, POSTMASTER, Address("nobody", "sohu.com")]),
    content=st.sampled_from([MESSAGE, b"", b"Auto-Submitted: auto-replied\r\n\r\n"]),
    notify=st.sampled_from(EVERY_NOTIFY),
    states=st.lists(
        st.sampled_from([RecipientState.FAILED, RecipientState.DELIVERED, RecipientState.WAITING]),
        min_size=1,
        max_size=4,
    ),
)
def test_whatever_fails_the_chain_ends(
    sender: Address | None, content: bytes, notify: Notify | None, states: list[RecipientState]
) -> None:
    """Two relays, each with its postmaster at the other: if every report fails, there are two reports and no more."""
    relays = [
        dsn_writer(
            postmaster=Address("boss", f"relay{1 - n}.test"),
            addressees=lambda address: () if address.local == "nobody" else (address,),
        )
        for n in (0, 1)
    ]
    made = relays[0].reports(
        original_of(message(sender), Bytes(content)),
        [end(waiting(notify, key=n), state, warned=True) for n, state in enumerate(states)],
        now=NOW,
    )
    for generation in range(1, 4):
        assert all(report.envelope.sender is None for report in made)
        assert generation <= 2 or not made
        made = [
            another
            for report in made
            for another in relays[generation % 2].reports(
                original_of(StoredMessage("Q2", report.envelope, NOW, 0), Bytes(report.content)),
                [end(waiting(None, one.address), RecipientState.FAILED) for one in report.envelope.recipients],
                now=NOW,
            )
        ]


def test_only_the_command_that_a_host_refused_is_named() -> None:
    one, settlement = end(waiting(), RecipientState.FAILED)
    settlement = settlement._replace(outcome=settlement.outcome._replace(command="RCPT TO"))
    (report,) = reports([(one, settlement)])
    assert "mx.sina.com said: 550 5.1.1 nobody (in reply to RCPT TO)" in " ".join(read(report).text.split())
    ours = settlement._replace(outcome=settlement.outcome._replace(peer=""))
    (report,) = reports([(one, ours)])
    text = " ".join(read(report).text.split())
    assert "This mail system says: 550 5.1.1 nobody" in text
    assert "in reply to" not in text
    (recipient,) = read(report).recipients
    assert recipient.remote_mta == ""
    assert b"Diagnostic-Code: x-posthouse; 550 5.1.1 nobody" in report.content


def test_a_recipient_whose_domain_alone_is_beyond_ascii_is_named_in_ascii() -> None:
    (report,) = reports([end(waiting(None, Address("joe", "例子.cn")), RecipientState.FAILED)])
    assert b"Final-Recipient: rfc822; joe@xn--fsqu00a.cn\r\n" in report.content
    assert "joe@例子.cn" in read(report).text
    (report,) = reports([end(waiting(None, Address("任平", "例子.cn")), RecipientState.FAILED)])
    assert read(report).recipients[0].final == OriginalRecipient("utf-8", "任平@例子.cn")


def test_plain_mail_owes_nothing() -> None:
    """What every message is asked, so it must be right about the cheap case."""
    some = dsn_writer()
    assert not some.owes(
        message(), [end(waiting(), RecipientState.DELIVERED, YES), end(waiting(), RecipientState.WAITING, LATER)]
    )
    assert not some.owes(message(), [end(waiting(warned=True), RecipientState.WAITING, LATER, warned=True)])
    assert some.owes(message(), [end(waiting(), RecipientState.FAILED)])
    assert some.owes(message(), [end(waiting(Notify.SUCCESS), RecipientState.DELIVERED, YES)])
    assert some.owes(message(), [end(waiting(), RecipientState.WAITING, LATER, warned=True)])


# -- with a worker and a queue


class RunningRelay:
    """A worker on an ephemeral spool; mail to sohu.com is kept by ``home``, all other mail is ``deliverer``'s."""

    def __init__(self, deliverer: FakeDeliverer, spool: type[SqliteSpool] = SqliteSpool, **options: Any) -> None:
        self.clock = ManualClock()
        self.spool = spool.ephemeral(time=self.clock.time, keep_finished=1e9)
        self.home = FakeDeliverer()
        self.log: list[tuple[str, dict[str, object]]] = []
        table = RouteTable([RouteRule("sohu.com", self.home)], RouteRule("*", deliverer))
        self.worker = Worker(
            self.spool,
            table,
            clock=self.clock,
            random=Random(1),
            owner="w1",
            schedule=RetrySchedule(),
            dsn_writer=dsn_writer(destination=table.destination),
            log=CallbackSink(lambda event, /, **facts: self.log.append((event, facts))),
            **options,
        )

    async def arrive(self, *recipients: Recipient, sender: Address | None = SENDER, wait: bool = True) -> str:
        receipt = self.spool.receive()
        receipt.write(MESSAGE)
        domains = [one.address.domain for one in recipients]
        now = self.clock.time()
        stored = await receipt.commit(Envelope(sender, recipients), domains, received=now, due=now)
        self.worker.new_mail.put(stored)
        if wait:
            await self.worker.idle()
        return receipt.id

    async def state(self, queue_id: str) -> list[RecipientState]:
        entry = await self.spool.queries.entry(queue_id)
        assert entry is not None
        return [one.state for one in entry.recipients]

    def reported(self) -> list[DeliveryReport]:
        """The reports that arrived at home."""
        found = [read_dsn(job.content) for job, _ in self.home.jobs]
        return [one for one in found if one is not None]


def play(make: Callable[[], RunningRelay], scenario: Callable[[RunningRelay], Awaitable[None]]) -> RunningRelay:
    async def whole() -> RunningRelay:
        relay = make()
        async with asyncio.timeout(20), relay.spool:
            await relay.worker.start()
            await scenario(relay)
            stopping = asyncio.ensure_future(relay.worker.stop(5.0))
            await relay.clock.advance(30.0)
            await stopping
        return relay

    return asyncio.run(whole())


RENPING = Recipient(Address("renping", "sina.com"))


def test_a_failure_is_settled_for_good_and_its_report_arrives_at_once() -> None:
    async def scenario(relay: RunningRelay) -> None:
        queue_id = await relay.arrive(RENPING)
        assert await relay.state(queue_id) == [RecipientState.FAILED]
        (found,) = relay.reported()
        assert [(one.final.address, one.action) for one in found.recipients] == [("renping@sina.com", "failed")]
        assert await relay.spool.queries.count() == 0

    relay = play(lambda: RunningRelay(FakeDeliverer(Result.FAILED)), scenario)
    assert [event for event, _ in relay.log] == ["failed", "report", "delivered"]


class Sited(FakeDeliverer):
    sited = True

    def site_now(self, target: str) -> str | None:
        return target


class SlowContent(SqliteSpool):
    """Content comes some turns of the event loop later; ``taken`` is what another worker could lease by then."""

    taken: Sequence[Lease] = ()

    async def open_content(self, message: StoredMessage) -> Content:
        for _ in range(20):
            await asyncio.sleep(0)
        self.taken = await self.lease("another", CLOCK, CLOCK + 60, limit=10)
        return await super().open_content(message)


@pytest.mark.parametrize("turns", range(4))
def test_the_lease_of_an_outcome_known_when_the_worker_stops_is_kept_for_its_report(turns: int) -> None:
    """Else another worker would hand the message over again."""
    deliverer = Sited(Result.FAILED, hold=True)

    async def scenario(relay: RunningRelay) -> None:
        loop = asyncio.get_running_loop()

        def answer_after(left: int) -> None:
            if left:
                loop.call_soon(answer_after, left - 1)
            else:
                deliverer.let_go()

        queue_id = await relay.arrive(RENPING, wait=False)
        while not deliverer.jobs:
            await asyncio.sleep(0)
        answer_after(turns)
        await relay.worker.stop(0.0)
        assert isinstance(relay.spool, SlowContent)
        assert not relay.spool.taken
        expected = RecipientState.WAITING if deliverer.cancelled else RecipientState.FAILED
        assert await relay.state(queue_id) == [expected]

    play(lambda: RunningRelay(deliverer, SlowContent), scenario)


def test_giving_up_after_five_days_is_reported_with_the_last_reason() -> None:
    async def scenario(relay: RunningRelay) -> None:
        queue_id = await relay.arrive(RENPING)
        await relay.clock.advance(4.9 * 86_400)
        assert await relay.state(queue_id) == [RecipientState.WAITING]
        await relay.clock.advance(86_400)
        assert await relay.state(queue_id) == [RecipientState.FAILED]
        last = relay.reported()[-1]
        assert (last.recipients[0].action, last.recipients[0].status) == ("failed", "5.4.7")
        assert "451 4.2.0 not now" in last.text

    play(lambda: RunningRelay(FakeDeliverer(Result.DEFERRED)), scenario)


def test_a_delay_is_told_once_at_the_first_attempt_after_four_hours() -> None:
    async def scenario(relay: RunningRelay) -> None:
        queue_id = await relay.arrive(RENPING, RENPING._replace(notify=Notify.FAILURE))
        await relay.clock.advance(3.9 * 3600)
        assert relay.reported() == []
        await relay.clock.advance(4.2 * 3600)
        (late,) = relay.reported()
        assert [(one.final.address, one.action) for one in late.recipients] == [("renping@sina.com", "delayed")]
        assert late.recipients[0].retry_until
        await relay.clock.advance(86_400)
        assert len(relay.reported()) == 1
        assert await relay.state(queue_id) == [RecipientState.WAITING, RecipientState.WAITING]

    play(lambda: RunningRelay(FakeDeliverer(Result.DEFERRED)), scenario)


def test_a_late_warning_stands_once_in_the_history_however_many_attempts_follow() -> None:
    async def scenario(relay: RunningRelay) -> None:
        queue_id = await relay.arrive(RENPING, RENPING._replace(notify=Notify.FAILURE))
        await relay.clock.advance(4.2 * 3600)
        for _ in range(3):
            await relay.clock.advance(86_400)
        history = await relay.spool.queries.history(queue_id)
        noted = [event for event in history if isinstance(event, QueueEvent)]
        assert [event.keys for event in noted if event.kind == "warned"] == [(0,)]
        assert len(relay.reported()) == 1

    play(lambda: RunningRelay(FakeDeliverer(Result.DEFERRED)), scenario)


def test_success_is_reported_where_it_is_asked_for() -> None:
    async def scenario(relay: RunningRelay) -> None:
        await relay.arrive(RENPING, RENPING._replace(notify=Notify.SUCCESS), RENPING._replace(notify=Notify.FAILURE))
        (found,) = relay.reported()
        assert [one.action for one in found.recipients] == ["delivered"]

    play(lambda: RunningRelay(FakeDeliverer()), scenario)


class SlowForOne(FakeDeliverer):
    """Answers for example.org only when it is let go, for others at once."""

    def __init__(self, answer: Result) -> None:
        super().__init__(answer, hold=True)

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        if job.recipients[0].address.domain != "example.org":
            return self.outcomes(job)
        return await super().deliver(job, target)


TWO_PLACES = (
    RENPING._replace(notify=ANYTHING),
    Recipient(Address("ann", "example.org"), ANYTHING),
)


@pytest.mark.parametrize("result", [Result.DELIVERED, Result.FAILED])
def test_mailboxes_of_one_instant_share_a_report(result: Result) -> None:
    deliverer = SlowForOne(result)

    async def scenario(relay: RunningRelay) -> None:
        queue_id = await relay.arrive(*TWO_PLACES, wait=False)
        while not deliverer.running:
            await asyncio.sleep(0)
        assert relay.reported() == []
        deliverer.let_go()
        await relay.worker.idle()
        (found,) = relay.reported()
        assert {one.final.address for one in found.recipients} == {"renping@sina.com", "ann@example.org"}
        assert {str(state) for state in await relay.state(queue_id)} == {result.value}
        assert await relay.spool.queries.count() == 0

    play(lambda: RunningRelay(deliverer), scenario)


def test_a_report_waits_a_second_for_other_mailboxes_and_no_longer() -> None:
    deliverer = SlowForOne(Result.DELIVERED)

    async def scenario(relay: RunningRelay) -> None:
        await relay.arrive(*TWO_PLACES, wait=False)
        while not deliverer.running:
            await asyncio.sleep(0)
        await relay.clock.advance(0.9)
        assert relay.reported() == []
        await relay.clock.advance(0.2)
        (first,) = relay.reported()
        assert [one.final.address for one in first.recipients] == ["renping@sina.com"]
        deliverer.let_go()
        await relay.worker.idle()
        assert [one.final.address for one in relay.reported()[1].recipients] == ["ann@example.org"]

    play(lambda: RunningRelay(deliverer), scenario)


def test_outcomes_that_share_a_report_are_recorded_when_the_report_is_stored() -> None:
    class Sulking(SqliteSpool):
        refusals = 2
        records: ClassVar[list[tuple[int, int]]] = []

        async def record(
            self,
            lease: Lease,
            settlements: Sequence[Settlement],
            reports: Sequence[Report] = (),
            *,
            trace: AttemptTrace | None = None,
        ) -> None:
            self.records.append((len(settlements), len(reports)))
            if self.refusals:
                self.refusals -= 1
                raise StorageFull("the disk is full")
            await super().record(lease, settlements, reports, trace=trace)

    deliverer = SlowForOne(Result.FAILED)

    async def scenario(relay: RunningRelay) -> None:
        queue_id = await relay.arrive(*TWO_PLACES, wait=False)
        while not deliverer.running:
            await asyncio.sleep(0)
        deliverer.let_go()
        await relay.clock.advance(10.0)
        await relay.worker.idle()
        assert await relay.state(queue_id) == [RecipientState.FAILED] * 2
        assert len(relay.reported()) == 1
        assert Sulking.records[:4] == [(1, 1), (1, 1), (1, 1), (1, 0)]

    play(lambda: RunningRelay(deliverer, Sulking), scenario)


@pytest.mark.parametrize(("notify", "sender"), [(Notify.NEVER, SENDER), (Notify.FAILURE, SENDER), (None, None)])
def test_a_delay_that_nobody_is_told_of_is_not_noted(notify: Notify | None, sender: Address | None) -> None:
    async def scenario(relay: RunningRelay) -> None:
        queue_id = await relay.arrive(RENPING._replace(notify=notify), sender=sender)
        await relay.clock.advance(86_400)
        assert relay.reported() == []
        history = await relay.spool.queries.history(queue_id)
        assert [event for event in history if isinstance(event, QueueEvent)] == []
        entry = await relay.spool.queries.entry(queue_id)
        assert entry is not None
        assert not entry.recipients[0].warned

    play(lambda: RunningRelay(FakeDeliverer(Result.DEFERRED)), scenario)


def test_nobody_hears_of_what_nobody_sent() -> None:
    async def scenario(relay: RunningRelay) -> None:
        queue_id = await relay.arrive(RENPING, sender=None)
        assert await relay.state(queue_id) == [RecipientState.FAILED]
        assert relay.home.jobs == []

    play(lambda: RunningRelay(FakeDeliverer(Result.FAILED)), scenario)


def test_a_report_that_fails_ends_with_a_notice() -> None:
    async def scenario(relay: RunningRelay) -> None:
        relay.home.answer = Result.FAILED
        await relay.arrive(RENPING)
        to = [str(person.address) for job, _ in relay.home.jobs for person in job.recipients]
        assert to == ["langrui@sohu.com", "postmaster@sohu.com"]
        await relay.clock.advance(20 * 86_400)
        assert len(relay.home.jobs) == 2
        assert await relay.spool.queries.count() == 0

    play(lambda: RunningRelay(FakeDeliverer(Result.FAILED)), scenario)


def test_a_report_that_cannot_be_written_leaves_the_failure_to_an_operator() -> None:
    class Broken(SqliteSpool):
        async def open_content(self, message: StoredMessage) -> Content:
            if message.envelope.sender is not None and self.armed:
                raise OSError("a disk that sulks")
            return await super().open_content(message)

        armed = False

    class Arming(FakeDeliverer):
        broken: Broken

        def outcomes(self, job: Delivery) -> list[Outcome]:
            self.broken.armed = True
            return super().outcomes(job)

    def broken() -> RunningRelay:
        deliverer = Arming(Result.FAILED)
        relay = RunningRelay(deliverer, Broken)
        deliverer.broken = relay.spool
        return relay

    async def scenario(relay: RunningRelay) -> None:
        queue_id = await relay.arrive(RENPING)
        assert await relay.state(queue_id) == [RecipientState.HELD]
        assert relay.home.jobs == []

    relay = play(broken, scenario)
    assert [event for event, _ in relay.log] == ["fault", "held"]
