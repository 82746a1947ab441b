"""What a sender wrote stays findable: aliases, lists, moved mailboxes in histories, filters, listings and the log."""

from __future__ import annotations

from typing import Any, cast

import pytest

from posthouse.core import CallbackSink, Result, Verdict
from posthouse.protocol.commands import Greet
from posthouse.server import Peer
from posthouse.service.directory.directory import Directory
from posthouse.service.operations.explain_text import history_sentences
from posthouse.service.operations.results import Explained, MessageHistory, QueueEntry
from posthouse.service.policy.listener_policy import ListenerPolicy
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.spool.history import Expansion, Origin, decode_arrival, packed_origin

from .operation_harness import TAKEN, OperationHarness, run
from .policy_harness import envelope

TEXT = """
hostname = "mail.example.org"
[relay]
trusted_networks = ["192.0.2.0/24"]
[[domain]]
name = "example.org"
mailboxes = ["ann", "bob"]
subaddress = "+"
aliases = { info = ["bob", "ann@example.net"], both = ["team", "carl@example.net"] }
lists.team = { members = ["ann", "bob", "zoe@example.net"], owner = "ann" }
moved = { dave = "dave@example.net" }
"""


class Desk:
    """Operations on a spool, and a session that receives into it."""

    def __init__(self) -> None:
        self.operations = OperationHarness(text=TEXT)
        self.events: list[tuple[str, dict[str, Any]]] = []

    async def receive(self, *to: str, sender: str = "me@example.com") -> str:
        """The queue id that the client is told."""
        desk = self.operations
        config = desk.daemon.config
        policy = ListenerPolicy(
            config,
            config.listener[0],
            directory=Directory(config),
            spool=desk.queue,
            clock=desk.clock,
            destination=lambda address: address.domain,
            stored=lambda stored, is_answered: None,
            log=CallbackSink(lambda event, /, **fields: self.events.append((event, fields))),
            free=lambda: 1 << 40,
        )
        session = SessionPolicy(policy, Peer("192.0.2.1", 4000, "192.0.2.9", 25))
        session.connected()
        session.greeted(Greet("EHLO", "client.example"))
        intake = session.intake(envelope(*to, sender=sender))
        assert not isinstance(intake, Verdict)
        intake.write(b"Message-ID: <one@example.com>\r\nSubject: x\r\n\r\nhello\r\n")
        answer = intake.commit()
        (verdict,) = answer if isinstance(answer, tuple) else await answer
        assert verdict.reply.code == 250
        return verdict.reply.text.rpartition(" ")[2]

    async def explained(self, what: str) -> Explained:
        return cast("Explained", await self.operations.do("explain", what=what))

    async def history(self, queue_id: str) -> MessageHistory:
        message = (await self.explained(queue_id)).message
        assert message is not None
        return message

    async def listed(self, text: str) -> list[QueueEntry]:
        return cast("list[QueueEntry]", await self.operations.do("queue list", filter=text))


def said(history: MessageHistory, lang: str = "en") -> str:
    return "\n".join(each.text for each in history_sentences(history, lang, str))


async def opened() -> Desk:
    desk = Desk()
    await desk.operations
    return desk


def test_a_history_says_what_each_address_of_the_sender_led_to() -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive("info@example.org", "team@example.org", "dave+x@example.org", "x@example.net")
        parent = await desk.history(queue_id)
        (copy_id,) = [copy.id for each in parent.expansions for copy in each.copies]
        text = said(parent)
        assert "info@example.org: an alias of 2 addresses, which means bob@example.org, ann@example.net" in text
        assert f"team@example.org: a list of 3 addresses, sent on as {copy_id} with ann@example.org as sender" in text
        assert "dave+x@example.org: a mailbox that has moved, which means dave@example.net" in text
        copy = await desk.history(copy_id)
        assert (copy.parent, copy.named_sender, copy.sender) == (queue_id, "me@example.com", "ann@example.org")
        text = said(copy)
        assert f"the client was told the queue id {queue_id}" in text
        assert "team@example.org: a list of 3 addresses, which means ann@example.org, bob@example.org" in text
        assert "The client named me@example.com as sender." in text
        for each in (parent, copy):
            assert len(said(each, "zh").splitlines()) == len(said(each).splitlines())
        assert f"邮件列表，共 3 个地址，以 ann@example.org 为发件人转发，队列编号 {copy_id}" in said(parent, "zh")

    run(scenario)


def test_a_list_alone_keeps_the_sender_that_the_client_named() -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive("team@example.org")
        history = await desk.history(queue_id)
        assert (history.parent, history.named_sender) == ("", "me@example.com")
        assert [each.id for each in (await desk.explained("me@example.com")).messages] == [queue_id]

    run(scenario)


def test_a_list_within_an_alias_is_linked() -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive("both@example.org")
        (expansion,) = (await desk.history(queue_id)).expansions
        assert (expansion.address, expansion.kind, expansion.number) == ("both@example.org", "alias", 4)
        (copy,) = expansion.copies
        (theirs,) = (await desk.history(copy.id)).expansions
        assert sorted([*expansion.recipients, *theirs.recipients]) == [
            *("ann@example.org", "bob@example.org", "carl@example.net", "zoe@example.net"),
        ]

    run(scenario)


def test_the_domainless_postmaster_is_named() -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive("Postmaster")
        assert "Postmaster: the postmaster of this host, which means postmaster@example.org" in said(
            await desk.history(queue_id)
        )

    run(scenario)


ASKED = ["info@example.org", "INFO@example.org", "team@example.org", "dave@example.org"]


@pytest.mark.parametrize("address", ASKED)
@pytest.mark.parametrize("delivered", [False, True])
def test_explain_finds_messages_by_the_address_that_the_sender_wrote(address: str, delivered: bool) -> None:
    async def scenario() -> None:
        desk = await opened()
        told = await desk.receive("info@example.org", "team@example.org", "dave@example.org")
        if delivered:
            await desk.operations.attempt(Result.DELIVERED, TAKEN)
        found = [each.id for each in (await desk.explained(address)).messages]
        copies = [copy.id for each in (await desk.history(told)).expansions for copy in each.copies]
        assert sorted(found) == sorted([told, *copies] if address.startswith("team") else [told])

    run(scenario)


def test_a_filter_selects_the_recipients_of_an_alias_and_no_others() -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive("info@example.org", "zoe@example.net", "dave@example.org")
        other = await desk.receive("bob@example.org")
        people = ["bob@example.org", "ann@example.net", "zoe@example.net", "dave@example.net"]
        for text, wanted in (
            ("to:info@example.org", people[:2]),
            ("to:INFO@example.org", people[:2]),
            ("to:info*", people[:2]),
            ("to~info@", people[:2]),
            ("to:dave@example.org", people[3:]),
            (f"to!=info@example.org id:{queue_id}", people[2:]),
            (f"to:*@example.net id:{queue_id}", people[1:]),
            ("to:*info@example.org domain:example.net", people[1:2]),
        ):
            (entry,) = await desk.listed(text)
            assert (entry.id, entry.recipients) == (queue_id, wanted), text
        assert [each.id for each in await desk.listed("to:bob@example.org")] == [queue_id, other]
        assert (await desk.operations.do("queue drop", filter="to:info@example.org")).recipients == 2
        (left,) = await desk.listed(f"id:{queue_id} state:waiting")
        assert left.recipients == people[2:]

    run(scenario)


def test_a_pattern_does_not_reach_from_one_address_into_another() -> None:
    async def scenario() -> None:
        desk = await opened()
        await desk.receive("info@example.org")
        assert await desk.listed("to:ann@*.org") == []
        assert await desk.listed("to:ann*info@example.org") == []

    run(scenario)


def test_a_recipient_that_several_addresses_led_to_is_found_by_each() -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive("dave@example.org", "dave@example.net")
        for text in ("to:dave@example.org", "to:dave@example.net"):
            (entry,) = await desk.listed(text)
            assert (entry.id, entry.recipients) == (queue_id, ["dave@example.net"])

    run(scenario)


def test_filters_find_a_message_under_its_first_lease() -> None:
    """A fresh message has no recipient rows: its envelope is asked."""

    async def scenario() -> None:
        desk = await opened()
        queue = desk.operations.queue
        now = desk.operations.clock.time()
        receipt = queue.receive()
        receipt.write(b"Subject: x\r\n\r\n")
        given = envelope("bob@example.org")
        given = given._replace(
            recipients=(given.recipients[0]._replace(originals=(envelope("info@example.org").recipients[0].address,)),)
        )
        origin = Origin(expansions=(Expansion("info@example.org", "alias", 1, (0,)),))
        await receipt.commit(given, ["example.org"], received=now, due=now, owner="w", until=now + 60, arrival=origin)
        (entry,) = await desk.listed("to:info@example.org")
        assert (entry.id, entry.originals) == (receipt.id, ["info@example.org"])
        assert [each.id for each in (await desk.explained("info@example.org")).messages] == [receipt.id]
        assert (await desk.history(receipt.id)).expansions[0].recipients == ["bob@example.org"]

    run(scenario)


def test_a_tagged_address_is_found_as_the_sender_wrote_it() -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive("bob+news@example.org")
        (entry,) = await desk.listed("to:bob+news@example.org")
        assert entry.recipients == ["bob+news@example.org"]
        assert [each.id for each in (await desk.explained("bob+news@example.org")).messages] == [queue_id]

    run(scenario)


@pytest.mark.parametrize(
    "named",
    [
        ["bob@example.org", "bob+news@example.org"],
        ["bob+a@example.org", "bob+b@example.org"],
        ["info@example.org", "bob+news@example.org"],
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_names_of_one_mailbox_are_all_found(named: list[str], turned: bool) -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive(*(reversed(named) if turned else named))
        for address in named:
            assert [each.id for each in (await desk.explained(address)).messages] == [queue_id]
            assert await desk.listed(f"to:{address}")
        history = await desk.history(queue_id)
        led = [("which means bob", "即 bob")]
        if not (turned and "info@example.org" in named):  # the alias led to the mailbox that stands there
            led.append(("another name of the same mailbox, which means bob", "同一邮箱的另一名称，即 bob"))
        for english, chinese in led:
            assert english in said(history)
            assert chinese in said(history, "zh")

    run(scenario)


def test_an_internationalized_address_is_found_in_both_spellings() -> None:
    async def scenario() -> None:
        desk = await opened()
        ids = [await desk.receive(f"bob@{domain}") for domain in ("例子.测试", "xn--fsqu00a.xn--0zwm56d")]
        for asked in ("bob@例子.测试", "bob@xn--fsqu00a.xn--0zwm56d"):
            assert sorted(each.id for each in (await desk.explained(asked)).messages) == sorted(ids)

    run(scenario)


def test_the_log_has_the_address_that_the_sender_wrote() -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive("info@example.org", "team@example.org")
        lines = [fields for event, fields in desk.events if event == "expanded"]
        assert [(each["id"] == queue_id, each["recipient"], each["kind"]) for each in lines] == [
            (True, "info@example.org", "alias"),
            (True, "team@example.org", "list"),
            (False, "team@example.org", "list"),
        ]
        assert lines[0]["to"] == "bob@example.org, ann@example.net"
        assert lines[1]["copies"] == lines[2]["id"]
        assert lines[2]["parent"] == queue_id
        await desk.receive("bob@example.org")
        assert len([event for event, _ in desk.events if event == "expanded"]) == 3

    run(scenario)


def test_queue_show_has_the_address_that_the_sender_wrote() -> None:
    async def scenario() -> None:
        desk = await opened()
        queue_id = await desk.receive("info@example.org")
        shown = await desk.operations.do("queue show", id=queue_id)
        assert [each.originals for each in shown.recipients] == [["info@example.org"]] * 2

    run(scenario)


@pytest.mark.parametrize(
    "origin",
    [
        Origin("<a@b>", "client", "TLS 1.3", "ann", "72jhzb4zx8tbr"),
        Origin("<a@b>", expansions=(Expansion("t@x", "list", 3, (0, 2), (("id", "o@x"),)),), sender="m@x", parent="p"),
    ],
)
def test_an_origin_survives_its_row(origin: Origin) -> None:
    assert decode_arrival(packed_origin(origin)) == origin
