"""Delivery by SMTP and LMTP: which hosts are tried, what is made of their answers, how content is fitted to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import pytest

from posthouse.core import (
    Address,
    Body,
    Bytes,
    Envelope,
    Handover,
    Notify,
    OriginalRecipient,
    Outcome,
    Recipient,
    Result,
    Ret,
)
from posthouse.delivery.model import Delivery
from posthouse.delivery.mx import LocalIdentity
from posthouse.delivery.smtp import LmtpDeliverer, SmtpDeliverer
from posthouse.net import Endpoint, Stream
from posthouse.testing import ManualClock, MemoryNetwork, StaticResolver, StreamFault

ZONE = {
    "sina.com": {"MX": ["10 mx1.sina.com", "20 mx2.sina.com"]},
    "mx1.sina.com": {"A": ["192.0.2.1"]},
    "mx2.sina.com": {"A": ["192.0.2.2"]},
    "nomail.test": {"MX": ["0 ."]},
}
MX1, MX2 = Endpoint("192.0.2.1", 25), Endpoint("192.0.2.2", 25)
FULL = ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES")


class Peer:
    """A receiving SMTP that answers by a table: the first key that a command begins with gives its reply, 250 if none
    does.  ``None`` as a reply ends the connection.  ``said`` keeps the commands, ``contents`` all content."""

    def __init__(self, extensions: Sequence[str] = (), *, lmtp: bool = False, **replies: str | None) -> None:
        self.extensions = extensions
        self.lmtp = lmtp
        self.replies: dict[str, str | None] = {name.replace("_", " "): reply for name, reply in replies.items()}
        self.until_next_session: dict[str, str | None] = {}
        self.said: list[str] = []
        self.contents: list[bytes] = []
        self.sessions = 0

    def __call__(self) -> _Talk:
        self.sessions += 1
        self.until_next_session.clear()
        return _Talk(self)

    def verbs(self) -> list[str]:
        return [line.split()[0] for line in self.said]


class _Talk:
    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.buffer = b""
        self.in_data = False
        self.chunk: int | None = None
        self.taken = 0
        self.stream: Stream | None = None

    def connected(self, stream: Stream) -> None:
        self.stream = stream
        self.answer("greeting", "220 mx ready")

    def answer(self, command: str, usual: str = "250 OK") -> str | None:
        assert self.stream is not None
        replies = {**self.peer.replies, **self.peer.until_next_session}
        reply = next((reply for key, reply in replies.items() if command.startswith(key)), usual)
        if reply is None:
            self.stream.close()
        else:
            self.stream.write(reply.encode() + b"\r\n")
            if reply.startswith("421"):
                self.stream.close()
        return reply

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self.step():
            pass

    def step(self) -> bool:
        if self.in_data:
            content, dot, rest = self.buffer.partition(b"\r\n.\r\n")
            if not dot:
                return False
            self.in_data, self.buffer = False, rest
            self.final(content + b"\r\n")
            return True
        if self.chunk is not None:
            if len(self.buffer) < self.chunk:
                return False
            content, self.buffer = self.buffer[: self.chunk], self.buffer[self.chunk :]
            self.chunk = None
            self.final(content)
            return True
        line, end, rest = self.buffer.partition(b"\r\n")
        if not end:
            return False
        self.buffer = rest
        self.command(line.decode())
        return True

    def command(self, line: str) -> None:
        assert self.stream is not None
        self.peer.said.append(line)
        verb = line.split()[0]
        if verb in ("EHLO", "LHLO"):
            lines = ["mx", *self.peer.extensions]
            self.answer(line, "".join(f"250-{each}\r\n" for each in lines[:-1]) + f"250 {lines[-1]}")
        elif verb == "BDAT":
            self.chunk = int(line.split()[1])
        elif verb == "DATA":
            self.in_data = self.answer(line, "354 go on" if self.taken else "503 no recipients") == "354 go on"
        elif verb == "QUIT":
            self.answer(line, "221 bye")
            self.stream.close()
        else:
            reply = self.answer(line)
            if verb == "RCPT" and reply is not None:
                self.taken += reply.startswith("2")

    def final(self, content: bytes) -> None:
        self.peer.contents.append(content)
        taken, self.taken = self.taken, 0
        for n in range(taken if self.peer.lmtp else 1):
            self.answer(f"final{n}")

    def eof_received(self) -> None:
        if self.stream is not None:
            self.stream.close()

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def disconnected(self, error: Exception | None) -> None: ...


class World:
    def __init__(self, peers: dict[Endpoint, Peer]) -> None:
        self.peers = peers
        self.clock = ManualClock()
        self.network = MemoryNetwork(self.clock)
        self.resolver = StaticResolver(ZONE)

    def deliverer(self, kind: type[SmtpDeliverer] = SmtpDeliverer, **options: Any) -> SmtpDeliverer:
        return kind(
            self.resolver,
            network=self.network,
            clock=self.clock,
            random=Random(1),
            hostname="client.test",
            **options,
        )


def tell(peers: dict[Endpoint, Peer], scenario: Callable[[World], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        world = World(peers)
        for endpoint, peer in peers.items():
            await world.network.listen(endpoint, peer)
        async with asyncio.timeout(20):
            return await world.clock.run(scenario(world))

    return asyncio.run(whole())


def job(
    *recipients: str, content: bytes = b"Subject: hi\r\n\r\nhello\r\n", sender: str = "a@sohu.com", **fields: Any
) -> Delivery:
    people = tuple(Recipient(Address(*each.rsplit("@", 1))) for each in recipients or ("b@sina.com",))
    envelope = Envelope(Address(*sender.rsplit("@", 1)), people, **fields)
    return Delivery(envelope, Bytes(content))


def deliver(
    peers: dict[Endpoint, Peer],
    a_job: Delivery | None = None,
    target: str = "sina.com",
    kind: type[SmtpDeliverer] = SmtpDeliverer,
    faults: dict[Endpoint, StreamFault] | None = None,
    **options: Any,
) -> Sequence[Outcome]:
    async def scenario(world: World) -> Sequence[Outcome]:
        world.network.faults.update(faults or {})
        deliverer = world.deliverer(kind, **options)
        try:
            return await deliverer.deliver(a_job or job(), target)
        finally:
            await deliverer.close()

    outcomes: Sequence[Outcome] = tell(peers, scenario)
    return outcomes


def one(outcomes: Sequence[Outcome]) -> tuple[Result, int, str]:
    (outcome,) = outcomes
    return outcome.result, outcome.reply.code if outcome.reply else 0, outcome.peer


# -- which host


def test_the_best_exchange_takes_it() -> None:
    first, second = Peer(), Peer()
    assert one(deliver({MX1: first, MX2: second})) == (Result.DELIVERED, 250, "mx1.sina.com[192.0.2.1]:25")
    assert first.contents == [b"Subject: hi\r\n\r\nhello\r\n"]
    assert first.said[-1] == "QUIT"
    assert second.sessions == 0


@pytest.mark.parametrize(
    "first",
    [
        Peer(greeting="421 too busy"),
        Peer(greeting="450 later"),
        Peer(greeting="554 no mail here"),
        Peer(greeting=None),
        Peer(greeting="gibberish"),
        Peer(MAIL=None),
    ],
    ids=["421", "450", "554", "hangs up", "no SMTP", "lost before any answer"],
)
def test_the_next_exchange_is_tried_when_the_first_does_not_take_part(first: Peer) -> None:
    second = Peer()
    assert one(deliver({MX1: first, MX2: second})) == (Result.DELIVERED, 250, "mx2.sina.com[192.0.2.2]:25")
    assert first.sessions == 1


def test_an_exchange_that_is_down_or_silent_is_passed_over() -> None:
    second = Peer()
    assert one(deliver({MX2: second}))[0] is Result.DELIVERED
    assert one(deliver({MX2: Peer()}, faults={MX1: StreamFault(silent=True)}))[0] is Result.DELIVERED


@pytest.mark.parametrize(
    ("reply", "result"), [("550 5.1.1 nobody", Result.FAILED), ("451 4.7.1 greylisted", Result.DEFERRED)]
)
def test_what_a_host_answered_for_a_recipient_is_not_asked_elsewhere(reply: str, result: Result) -> None:
    second = Peer()
    outcomes = deliver({MX1: Peer(RCPT=reply), MX2: second})
    assert one(outcomes) == (result, int(reply[:3]), "mx1.sina.com[192.0.2.1]:25")
    assert second.sessions == 0


def test_each_recipient_has_its_own_outcome_in_order() -> None:
    peer = Peer(FULL, **{"RCPT TO:<no": "550 5.1.1 nobody", "RCPT TO:<later": "450 4.2.1 not now"})
    outcomes = deliver({MX1: peer}, job("no@sina.com", "yes@sina.com", "later@sina.com"))
    assert [outcome.result for outcome in outcomes] == [Result.FAILED, Result.DELIVERED, Result.DEFERRED]
    assert [outcome.recipient.address.local for outcome in outcomes] == ["no", "yes", "later"]


def test_a_loss_after_the_dot_is_ambiguous_and_nobody_else_is_asked() -> None:
    second = Peer()
    (outcome,) = deliver({MX1: Peer(final=None), MX2: second})
    assert outcome.result is Result.AMBIGUOUS
    assert second.sessions == 0


def test_nobody_can_be_reached() -> None:
    (outcome,) = deliver({})
    assert outcome.result is Result.DEFERRED
    assert outcome.reply is not None
    assert (outcome.reply.code, outcome.reply.enhanced, outcome.peer) == (451, "4.4.1", "")
    for word in ("mx1.sina.com", "192.0.2.1:25", "mx2.sina.com", "192.0.2.2:25"):
        assert word in outcome.reason


def test_the_host_that_refuses_for_now_counts_more_than_one_that_is_down() -> None:
    (outcome,) = deliver({MX2: Peer(greeting="421 busy")})
    assert (outcome.result, str(outcome.reply), outcome.peer) == (Result.DEFERRED, "421 busy", "mx2.sina.com")
    for word in ("mx1.sina.com", "192.0.2.1:25", "mx2.sina.com", "421 busy"):
        assert word in outcome.reason


@pytest.mark.parametrize(
    ("peer", "enhanced"),
    [
        (Peer(greeting=None), "4.4.2"),
        (Peer(EHLO=None), "4.4.2"),
        (Peer(MAIL=None), "4.4.2"),
        (Peer(RCPT=None), "4.4.2"),
        (Peer(DATA=None), "4.4.2"),
        (Peer(greeting="gibberish"), "4.5.0"),
        (Peer(MAIL="gibberish"), "4.5.0"),
        (Peer(RCPT="2500 ok"), "4.5.0"),
        (Peer(DATA="250 odd"), "4.5.0"),
        (Peer(final0=None), "4.4.2"),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value.replies),
)
def test_a_host_that_was_reached_is_not_called_unreachable(peer: Peer, enhanced: str) -> None:
    (outcome,) = deliver({Endpoint("192.0.2.9", 25): peer}, target="192.0.2.9:25")
    assert outcome.result is (Result.AMBIGUOUS if "final0" in peer.replies else Result.DEFERRED)
    assert outcome.reply is not None
    assert (outcome.reply.code, outcome.reply.enhanced, outcome.peer) == (451, enhanced, "")
    assert "192.0.2.9:25" in outcome.reason


def test_a_recipient_that_was_accepted_before_the_connection_broke_has_a_code() -> None:
    peer = Peer(RCPT="250 ok", DATA=None, **{"RCPT TO:<no": "550 5.1.1 nobody"})
    peer.replies = dict(reversed(peer.replies.items()))
    lost, refused = deliver({MX1: peer}, job("b@sina.com", "no@sina.com"))
    assert (refused.result, str(refused.reply)) == (Result.FAILED, "550 5.1.1 nobody")
    assert lost.result is Result.DEFERRED
    assert (lost.reply and lost.reply.enhanced, lost.peer) == ("4.4.2", "")


@pytest.mark.parametrize(
    ("target", "peers"),
    [("192.0.2.9:2600", {}), ("[192.0.2.9]", {}), ("192.0.2.9:2600", {Endpoint("192.0.2.9", 2600): Peer(MAIL=None)})],
)
def test_a_chosen_host_is_named_once(target: str, peers: dict[Endpoint, Peer]) -> None:
    (outcome,) = deliver(peers, target=target)
    assert outcome.reason.count("192.0.2.9") == 1, outcome.reason


def test_a_chosen_name_is_named_once_beside_its_address() -> None:
    (outcome,) = deliver({}, target="mx1.sina.com:2600")
    assert outcome.reason.count("mx1.sina.com") == outcome.reason.count("192.0.2.1") == 1, outcome.reason


def test_all_refuse_the_session_for_good() -> None:
    peers = {MX1: Peer(greeting="554 no mail here"), MX2: Peer(greeting="521 nor here")}
    assert one(deliver(peers)) == (Result.FAILED, 554, "mx1.sina.com")


def test_one_of_all_refuses_only_for_now() -> None:
    peers = {MX1: Peer(greeting="554 no mail here"), MX2: Peer(greeting="421 later")}
    assert one(deliver(peers)) == (Result.DEFERRED, 421, "mx2.sina.com")


@pytest.mark.parametrize(
    ("peer", "command"),
    [
        (Peer(greeting="554 no mail here"), "the connection"),
        (Peer(EHLO="550 no"), ""),  # HELO is taken
        (Peer(EHLO="450 no"), "EHLO"),
        (Peer(EHLO="502 no", HELO="550 nor so"), "HELO"),
        (Peer(EHLO="502 no", HELO="450 not now"), "HELO"),
    ],
)
def test_the_command_that_opens_a_session_is_named_if_it_is_refused(peer: Peer, command: str) -> None:
    (outcome,) = deliver({MX1: peer, MX2: peer})
    assert outcome.command == command
    assert ("refused HELO: " in outcome.reason) is (command == "HELO")


def test_where_there_is_nowhere_to_go_the_reply_is_ours() -> None:
    assert one(deliver({}, target="nomail.test")) == (Result.FAILED, 556, "")
    assert one(deliver({}, target="nowhere.test")) == (Result.FAILED, 550, "")
    assert one(deliver({MX1: Peer()}, target="[192.0.2.1]", is_self=LocalIdentity([], [MX1]))) == (
        Result.FAILED,
        554,
        "",
    )


def test_a_chosen_host_and_a_literal() -> None:
    peer = Peer()
    assert one(deliver({Endpoint("192.0.2.9", 2600): peer}, target="192.0.2.9:2600"))[0] is Result.DELIVERED
    assert one(deliver({MX1: peer}, target="[192.0.2.1]"))[0] is Result.DELIVERED


# -- LMTP


def test_lmtp_has_a_reply_for_each_recipient() -> None:
    at = Endpoint("192.0.2.9", 24)
    peer = Peer(FULL, lmtp=True, final1="452 4.2.2 mailbox full")
    outcomes = deliver({at: peer}, job("a@x.test", "b@x.test", "c@x.test"), "192.0.2.9:24", LmtpDeliverer)
    assert [outcome.result for outcome in outcomes] == [Result.DELIVERED, Result.DEFERRED, Result.DELIVERED]
    assert peer.said[0] == "LHLO client.test"


def test_lmtp_never_goes_to_a_domains_exchangers() -> None:
    peer = Peer(lmtp=True)
    (outcome,) = deliver({MX1: peer}, kind=LmtpDeliverer)
    assert outcome.result is Result.DEFERRED
    assert peer.sessions == 0


# -- content

EIGHT = "Subject: hi\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße, 你好\r\n".encode()
UTF8_HEADER = "Subject: 你好\r\n\r\nhello\r\n".encode()


def test_8bit_goes_as_it_is_where_it_can() -> None:
    peer = Peer(FULL)
    assert one(deliver({MX1: peer}, job(content=EIGHT, body=Body.EIGHTBITMIME)))[0] is Result.DELIVERED
    assert peer.contents == [EIGHT]
    assert any("BODY=8BITMIME" in line for line in peer.said)


@pytest.mark.parametrize("body", [Body.EIGHTBITMIME, Body.SEVENBIT], ids=["announced", "unannounced"])
@pytest.mark.parametrize("times", [1, 5000], ids=["short", "long"])
def test_8bit_is_converted_for_a_host_without_8bitmime(body: Body, times: int) -> None:
    from email import message_from_bytes

    peer = Peer(("PIPELINING",))
    head, _, text = EIGHT.partition(b"\r\n\r\n")
    content = head + b"\r\n\r\n" + text * times

    async def scenario(world: World) -> Sequence[Outcome]:
        deliverer = world.deliverer(idle=0.0)
        outcomes = await deliverer.deliver(job(content=content, body=body), "sina.com")
        await deliverer.close()
        return outcomes

    async def whole() -> Sequence[Outcome]:
        world = World({MX1: peer})
        await world.network.listen(MX1, peer)
        async with asyncio.timeout(20):  # a thread converts: the clock must not jump meanwhile, so nobody moves it
            return await scenario(world)

    assert one(asyncio.run(whole()))[0] is Result.DELIVERED
    (sent,) = peer.contents
    assert sent.isascii()
    assert not any("BODY=8BITMIME" in line for line in peer.said)
    assert message_from_bytes(sent).get_payload(decode=True).replace(b"\r\n", b"\n") == (text * times).replace(
        b"\r\n", b"\n"
    )


def test_what_cannot_be_converted_fails_with_its_status() -> None:
    content = EIGHT.replace(b"text/plain; charset=utf-8", b"message/partial")
    (outcome,) = deliver({MX1: Peer()}, job(content=content, body=Body.EIGHTBITMIME))
    assert outcome.result is Result.FAILED
    assert outcome.reply is not None
    assert outcome.reply.enhanced.startswith("5.6.")
    assert outcome.peer == ""
    assert "not sent to mx1.sina.com[192.0.2.1]:25" in outcome.reason


def test_a_signed_message_that_cannot_travel_is_returned_and_nothing_of_it_is_sent() -> None:
    signed = (
        b"Subject: t\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed (x); micalg=pgp-sha256;\r\n"
        b' protocol="application/pgp-signature"; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n'
        b"Content-Transfer-Encoding: 8bit\r\n\r\nsign\xc3\xa9\r\n--b\r\n"
        b"Content-Type: application/pgp-signature\r\n\r\nxxxx\r\n--b--\r\n"
    )
    peer = Peer(("PIPELINING",))
    (outcome,) = deliver({MX1: peer}, job(content=signed, body=Body.EIGHTBITMIME))
    assert outcome.result is Result.FAILED
    assert outcome.reply is not None
    assert outcome.reply.enhanced == "5.6.3"
    assert outcome.peer == "", "this host decided"
    assert "signed" in outcome.reason
    assert "MAIL" not in peer.verbs()
    peer = Peer(FULL)
    assert one(deliver({MX1: peer}, job(content=signed, body=Body.EIGHTBITMIME)))[0] is Result.DELIVERED
    assert peer.contents == [signed]


def test_undeclared_8_bit_content_is_declared_where_that_is_known() -> None:
    peer = Peer(("8BITMIME",))
    assert one(deliver({MX1: peer}, job(content=EIGHT)))[0] is Result.DELIVERED
    assert peer.said[1] == "MAIL FROM:<a@sohu.com> BODY=8BITMIME"


# -- addresses


def test_a_recipient_that_cannot_be_written_fails_and_the_others_go() -> None:
    peer = Peer()
    first, second, third = deliver({MX1: peer}, job("a@sina.com", "b@xn--zz.test", "c@sina.com"))
    assert [each.result for each in (first, second, third)] == [Result.DELIVERED, Result.FAILED, Result.DELIVERED]
    assert (str(second.reply)[:9], second.peer) == ("553 5.1.3", "")
    assert "b@xn--zz.test cannot be written" in second.reason
    assert len(peer.contents) == 1


def test_a_domain_with_an_underscore_that_was_promised_is_written() -> None:
    peer = Peer()
    (outcome,) = deliver({MX1: peer}, job("b@b_c.test", sender="a@my_host.test"))
    assert outcome.result is Result.DELIVERED
    assert peer.said[1:3] == ["MAIL FROM:<a@my_host.test>", "RCPT TO:<b@b_c.test>"]


def test_a_sender_that_cannot_be_written_fails_all() -> None:
    peer = Peer()
    outcomes = deliver({MX1: peer}, job("a@sina.com", "c@sina.com", sender="b@xn--zz.test"))
    assert [(each.result, str(each.reply)[:9], each.peer) for each in outcomes] == [
        (Result.FAILED, "553 5.1.7", "")
    ] * 2
    assert peer.verbs() == ["EHLO", "QUIT"]


def test_ascii_announced_as_8bit_goes_anywhere_unchanged() -> None:
    peer = Peer()
    assert one(deliver({MX1: peer}, job(body=Body.EIGHTBITMIME)))[0] is Result.DELIVERED
    assert peer.contents == [b"Subject: hi\r\n\r\nhello\r\n"]


# -- SMTPUTF8


def test_utf8_goes_where_it_is_taken() -> None:
    peer = Peer(FULL)
    assert one(deliver({MX1: peer}, job("用户@sina.com", smtputf8=True)))[0] is Result.DELIVERED
    assert any(line.startswith("MAIL") and "SMTPUTF8" in line for line in peer.said)
    assert any("用户@sina.com" in line for line in peer.said)


@pytest.mark.parametrize("extensions", [FULL, ("8BITMIME",), ()], ids=["SMTPUTF8", "8BITMIME", "none"])
@pytest.mark.parametrize("text", ["hello", "Grüße"])
def test_smtputf8_is_asked_for_only_where_a_local_part_or_the_header_needs_it(
    extensions: tuple[str, ...], text: str
) -> None:
    peer = Peer(extensions)
    content = f"Subject: hi\r\n\r\n{text}\r\n".encode()
    asked = job("b@例子.test", content=content, sender="a@bücher.test", smtputf8=True, body=Body.EIGHTBITMIME)
    assert one(deliver({MX1: peer}, asked))[0] is Result.DELIVERED
    assert peer.said[1].split(" BODY=")[0] == "MAIL FROM:<a@xn--bcher-kva.test>"
    assert peer.said[2] == "RCPT TO:<b@xn--fsqu00a.test>"


def test_smtputf8_stays_where_the_header_needs_it() -> None:
    peer = Peer(FULL)
    asked = job("b@例子.test", content=UTF8_HEADER, smtputf8=True, body=Body.EIGHTBITMIME)
    assert one(deliver({MX1: peer}, asked))[0] is Result.DELIVERED
    assert "SMTPUTF8" in peer.said[1]
    assert peer.said[2] == "RCPT TO:<b@xn--fsqu00a.test>"


def test_a_recipient_that_needs_smtputf8_fails_and_the_others_go() -> None:
    peer = Peer(("8BITMIME", "PIPELINING"))
    outcomes = deliver({MX1: peer}, job("b@sina.com", "用户@sina.com", "c@sina.com", smtputf8=True))
    assert [outcome.result for outcome in outcomes] == [Result.DELIVERED, Result.FAILED, Result.DELIVERED]
    assert outcomes[1].reply is not None
    assert outcomes[1].reply.enhanced == "5.6.7"
    assert outcomes[1].peer == ""
    assert "not sent to mx1.sina.com[192.0.2.1]:25" in outcomes[1].reason
    assert not any("SMTPUTF8" in line for line in peer.said)


@pytest.mark.parametrize(
    "needy",
    [job(content=UTF8_HEADER, smtputf8=True, body=Body.EIGHTBITMIME), job(sender="发件人@sohu.com", smtputf8=True)],
    ids=["header", "sender"],
)
def test_a_message_that_needs_smtputf8_fails_clearly(needy: Delivery) -> None:
    peer = Peer(("8BITMIME",))
    (outcome,) = deliver({MX1: peer}, needy)
    assert outcome.result is Result.FAILED
    assert outcome.reply is not None
    assert outcome.reply.enhanced == "5.6.7"
    assert peer.contents == []


# -- sessions between messages


def test_a_session_is_used_again_and_ended_when_it_has_waited() -> None:
    peer = Peer(FULL)

    async def scenario(world: World) -> None:
        deliverer = world.deliverer(idle=5.0)
        for _ in range(3):
            assert one(await deliverer.deliver(job(), "sina.com"))[0] is Result.DELIVERED
        assert peer.sessions == 1
        assert "QUIT" not in peer.verbs()
        await world.clock.sleep(6.0)
        assert peer.verbs().count("QUIT") == 1
        assert one(await deliverer.deliver(job(), "sina.com"))[0] is Result.DELIVERED
        assert peer.sessions == 2
        await deliverer.close()
        assert peer.verbs().count("QUIT") == 2
        assert world.network.open == 0

    tell({MX1: peer}, scenario)


def test_a_session_is_not_used_for_ever() -> None:
    peer = Peer(FULL)

    async def scenario(world: World) -> None:
        deliverer = world.deliverer(messages=2)
        for _ in range(5):
            await deliverer.deliver(job(), "sina.com")
        await deliverer.close()

    tell({MX1: peer}, scenario)
    assert peer.sessions == 3
    assert len(peer.contents) == 5


@pytest.mark.parametrize("reply", [None, "421 4.4.2 idle for too long"])
def test_a_kept_session_that_died_is_replaced_at_once(reply: str | None) -> None:
    peer = Peer()

    async def scenario(world: World) -> None:
        deliverer = world.deliverer()
        await deliverer.deliver(job(), "sina.com")
        peer.until_next_session["MAIL"] = reply
        assert one(await deliverer.deliver(job(), "sina.com"))[0] is Result.DELIVERED
        await deliverer.close()

    tell({MX1: peer}, scenario)
    assert peer.sessions == 2
    assert len(peer.contents) == 2


def test_sessions_cut_while_waiting_are_noticed() -> None:
    peer = Peer()

    async def scenario(world: World) -> None:
        deliverer = world.deliverer()
        await deliverer.deliver(job(), "sina.com")
        world.network.cut(MX1)
        await world.clock.sleep(0.1)
        assert one(await deliverer.deliver(job(), "sina.com"))[0] is Result.DELIVERED
        await deliverer.close()

    tell({MX1: peer}, scenario)
    assert peer.sessions == 2


def test_cancelling_leaves_nothing_open() -> None:
    async def scenario(world: World) -> None:
        deliverer = world.deliverer()
        world.network.faults[MX1] = StreamFault(silent=True)
        task = asyncio.ensure_future(deliverer.deliver(job(), "sina.com"))
        await world.clock.sleep(1.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await deliverer.close()
        await world.clock.sleep(1.0)
        assert world.network.open == 0

    tell({}, scenario)


# -- what the sender asked to be told


def asked() -> Delivery:
    """A message with every request of RFC 3461, to recipients who ask for this and that."""
    everything = Notify.SUCCESS | Notify.FAILURE | Notify.DELAY
    people = (
        Recipient(Address("one", "sina.com"), everything, OriginalRecipient("rfc822", "Uno+1@old.test")),
        Recipient(Address("two", "sina.com"), Notify.FAILURE),
        Recipient(Address("three", "sina.com"), Notify.NEVER),
        Recipient(Address("four", "sina.com")),
    )
    envelope = Envelope(Address("a", "sohu.com"), people, ret=Ret.FULL, envid="QQ=1")
    return Delivery(envelope, Bytes(b"Subject: hi\r\n\r\nhello\r\n"))


def test_requests_for_reports_are_passed_on_to_a_host_that_knows_them() -> None:
    """RFC 3461 §5.2.1: ENVID, RET and NOTIFY as they came, ORCPT unchanged, and added for who waits for news."""
    peer = Peer(("PIPELINING", "DSN", "8BITMIME"))
    job = asked()
    outcomes = deliver({MX1: peer}, job)
    assert [outcome.handover for outcome in outcomes] == [Handover.TAKEN] * 4
    assert [outcome.recipient for outcome in outcomes] == list(job.recipients), "named for the host only"
    mail, *rcpts = [line for line in peer.said if line.startswith(("MAIL", "RCPT"))]
    assert mail.endswith(" RET=FULL ENVID=QQ+3D1")
    assert rcpts == [
        "RCPT TO:<one@sina.com> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;Uno+2B1@old.test",
        "RCPT TO:<two@sina.com> NOTIFY=FAILURE ORCPT=rfc822;two@sina.com",
        "RCPT TO:<three@sina.com> NOTIFY=NEVER",
        "RCPT TO:<four@sina.com>",
    ]


def test_requests_for_reports_are_not_made_of_a_host_that_does_not_know_them() -> None:
    """RFC 3461 §5.2.2 (a)."""
    peer = Peer(("PIPELINING", "8BITMIME"))
    outcomes = deliver({MX1: peer}, asked())
    assert [outcome.handover for outcome in outcomes] == [Handover.RELAYED] * 4
    mail, *rcpts = [line for line in peer.said if line.startswith(("MAIL", "RCPT"))]
    assert not any(word in line for line in [mail, *rcpts] for word in ("RET=", "ENVID=", "NOTIFY=", "ORCPT="))
