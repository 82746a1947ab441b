"""What a listener's policy allows, and what its intake stores; each refusal has its reply code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Reply, StorageBusy, StorageError, StorageFull, Verdict
from posthouse.protocol.commands import Mail, Rcpt
from posthouse.service.policy.header_scan import HeaderScan
from posthouse.service.policy.recipients import recipient_verdict
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.testing import ManualClock

from .policy_harness import PolicyHarness, address, bring_in, envelope, now

LISTENER = '[[listener]]\nbind = "127.0.0.1:0"\n'
HOUSE = """
[relay]
trusted_networks = ["10.0.0.0/8"]
[[domain]]
name = "example.org"
mailboxes = ["bob", "ann", "wen"]
aliases = { info = ["bob", "zoe@example.net"] }
moved = { eve = "eve@example.net" }
paused = ["ann"]
lists.team = { members = ["bob", "wen"] }
[[domain]]
name = "small.test"
mailboxes = ["bob"]
quota = 1000
[[domain]]
name = "later.test"
mailboxes = ["bob"]
quota = 1000
quota_action = "defer"
[[domain]]
name = "gone.test"
mailboxes = ["bob"]
moved = { tom = "tom@example.net" }
moved_action = "tell"
"""
TRUSTED = "10.1.2.3"


def desk(
    settings: str = "",
    *,
    free: int | None = 1 << 40,
    zone: Callable[[float], int] | None = lambda now: 0,
    clock: Any = None,
    top: str = "",
) -> PolicyHarness:
    text = f'hostname = "mx.example.org"\n{top}\n{LISTENER}{settings}\n{HOUSE}'
    return PolicyHarness(text, free=free, zone=zone, clock=clock)


def rcpt(at: PolicyHarness, to: str, host: str = "192.0.2.1") -> Reply:
    session = at.session(host)
    assert now(session.mail(Mail(address("me@example.com")))) == Reply(250, "2.1.0", "Sender OK")
    return now(session.rcpt(envelope(), Rcpt(address(to)), ()))


def test_the_banner_names_the_host() -> None:
    session = desk().connect()
    assert now(session.connected()) == Reply(220, "", "mx.example.org ESMTP Posthouse")


@pytest.mark.parametrize(
    ("to", "code", "enhanced"),
    [
        ("bob@example.org", 250, "2.1.5"),
        ("BOB@example.org", 250, "2.1.5"),
        ("info@example.org", 250, "2.1.5"),
        ("team@example.org", 250, "2.1.5"),
        ("postmaster@small.test", 250, "2.1.5"),
        ("Postmaster", 250, "2.1.5"),
        ("eve@example.org", 251, "2.1.5"),
        ("tom@gone.test", 551, "5.1.6"),
        ("ann@example.org", 450, "4.2.1"),
        ("nobody@example.org", 550, "5.1.1"),
        ("x@example.net", 550, "5.7.1"),
    ],
)
def test_recipients(to: str, code: int, enhanced: str) -> None:
    at = desk()
    reply = rcpt(at, to) if "@" in to else now(at.session().rcpt(envelope(), Rcpt(Address(to)), ()))
    assert (reply.code, reply.enhanced) == (code, enhanced)
    refusals = [fields for event, fields in at.events if event == "refused"]
    assert len(refusals) == (0 if reply.positive else 1)
    assert all(each["reason"] for each in refusals)


@pytest.mark.parametrize(
    ("to", "code", "enhanced"),
    [("bob@small.test", 552, "5.2.2"), ("bob@later.test", 452, "4.2.2"), ("bob@example.org", 250, "2.1.5")],
)
def test_one_source_gives_the_verdict_on_a_full_mailbox(to: str, code: int, enhanced: str) -> None:
    found = desk().policy.directory.resolve(address(to))
    reply = recipient_verdict(found, used=1000).reply
    assert (reply.code, reply.enhanced) == (code, enhanced)
    assert recipient_verdict(found, used=999).reply.code == 250
    assert recipient_verdict(found, used=999, size=2).reply.code == code


def test_where_a_mailbox_moved_to_is_said() -> None:
    assert "<eve@example.net>" in rcpt(desk(), "eve@example.org").text
    assert "<tom@example.net>" in rcpt(desk(), "tom@gone.test").text


def test_trusted_networks_may_send_anywhere() -> None:
    assert rcpt(desk(), "x@example.net", TRUSTED).code == 250
    assert rcpt(desk(), "nobody@example.org", TRUSTED).code == 550


def test_submission_is_for_trusted_networks() -> None:
    at = desk('kind = "submission"')
    assert now(at.session().mail(Mail(None))) == Reply(530, "5.7.0", "Authentication required")
    assert rcpt(at, "x@example.net", TRUSTED).code == 250


@pytest.mark.parametrize("auth", ["off", "offered", "required"])
def test_submission_is_closed_to_others_whatever_auth_says(auth: str) -> None:
    at = desk(f'kind = "submission"\nauth = "{auth}"')
    assert now(at.session().mail(Mail(None))).code == 530
    assert rcpt(at, "x@example.net", TRUSTED).code == 250


def test_lmtp_never_relays() -> None:
    at = desk('kind = "lmtp"')
    assert rcpt(at, "x@example.net", TRUSTED).code == 550
    assert rcpt(at, "bob@example.org").code == 250


def test_connections_are_counted() -> None:
    at = desk("max_connections = 3\nmax_connections_per_host = 2")
    first = at.session("192.0.2.1")
    at.session("192.0.2.1")
    refused = at.connect("192.0.2.1", 3)
    assert now(refused.connected()).code == 421
    refused.disconnected()  # was never counted in
    at.session("192.0.2.2")
    full = at.connect("192.0.2.3", 4)
    assert now(full.connected()) == Reply(421, "4.7.0", "Too many connections; try again later")
    full.disconnected()
    first.disconnected()
    first.disconnected()
    at.session("192.0.2.3")
    assert now(at.connect("192.0.2.3", 5).connected()).code == 421


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_ipv6_network_counts_as_one_host(one: str, other: str, same: bool) -> None:
    at = desk("max_connections_per_host = 1")
    first = at.session(one)
    assert now(at.connect(other).connected()).code == (421 if same else 220)
    first.disconnected()
    assert now(at.connect(one).connected()).code == 220


def test_clients_of_a_unix_socket_are_not_one_host() -> None:
    at = desk("max_connections = 3\nmax_connections_per_host = 1")
    first, *_ = [at.session("") for _ in range(3)]
    assert now(at.connect("").connected()) == Reply(421, "4.7.0", "Too many connections; try again later")
    first.disconnected()
    at.session("192.0.2.1")
    assert now(at.connect("192.0.2.1").connected()).code == 421


def test_a_closed_listener_takes_no_mail_and_still_counts() -> None:
    at = desk("closed = true\nmax_connections = 1")
    first = at.connect("192.0.2.1", 1)
    assert now(first.connected()) == Reply(521, "", "mx.example.org takes no mail")
    assert now(at.connect("192.0.2.1", 2).connected()).code == 421
    first.disconnected()
    assert now(at.connect("192.0.2.1", 3).connected()).code == 521


def test_draining_sends_away() -> None:
    at = desk()
    at.policy.draining = True
    assert now(at.connect("192.0.2.1", 1).connected()).enhanced == "4.3.2"


def test_a_declared_size_is_judged_at_mail() -> None:
    at = desk("max_message_size = 65536")
    session = at.session()
    assert now(session.mail(Mail(None, size=65_536))).code == 250
    reply = now(session.mail(Mail(None, size=65_537)))
    assert (reply.code, reply.enhanced) == (552, "5.3.4")


def test_a_low_disk_puts_mail_off() -> None:
    assert now(desk(free=67_108_863).session().mail(Mail(None))).enhanced == "4.3.1"
    at = desk(free=67_108_864 + 500)
    assert now(at.session().mail(Mail(None, size=500))).code == 250
    assert now(at.session().mail(Mail(None, size=501))) == Reply(452, "4.3.1", "No room for mail now; try again later")


def test_a_directory_that_is_gone_is_no_full_disk(tmp_path: Path) -> None:
    at = desk(free=None, top=f'data_dir = "{tmp_path / "gone"}"')
    assert now(at.session().mail(Mail(None))).code == 250  # the spool is asked, and knows what is wrong


def test_mail_is_put_off_while_the_storage_cannot_be_reached() -> None:
    at = desk()
    session = at.session()
    at.spool.reachable = False
    assert now(session.mail(Mail(None))) == Reply(451, "4.3.2", "Cannot take mail now; try again later")
    at.spool.reachable = True
    assert now(session.mail(Mail(None))).code == 250


@pytest.mark.parametrize(("domain", "code", "enhanced"), [("small.test", 552, "5.2.2"), ("later.test", 452, "4.2.2")])
def test_a_full_mailbox(domain: str, code: int, enhanced: str) -> None:
    at = desk()
    at.spool.inbox_sizes[f"bob@{domain}"] = 1000
    reply = rcpt(at, f"bob@{domain}")
    assert (reply.code, reply.enhanced) == (code, enhanced)


def test_a_quota_counts_what_has_just_come() -> None:
    at = desk()
    assert rcpt(at, "bob@small.test").code == 250
    bring_in(at.session(), envelope("bob@small.test"), b"\r\n", b"x" * 998)
    assert rcpt(at, "bob@small.test").code == 552
    assert at.spool.asked == 1


def test_a_declared_size_beyond_the_quota() -> None:
    at = desk()
    answer = at.session().rcpt(envelope()._replace(size=1001), Rcpt(address("bob@small.test")), ())
    assert now(answer).code == 552


# The content --------------------------------------------------------------------------------------------------------

MESSAGE = b"Subject: hi\r\n\r\nhello\r\n"


@pytest.mark.parametrize("commits", ["future", "coroutine"])
def test_a_letter_is_stored_behind_its_trace_field(commits: str) -> None:
    at = desk()
    at.spool.commits = commits
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), MESSAGE[:10], MESSAGE[10:])
    assert reply == Reply(250, "2.0.0", "Ok: queued as Q1")
    ((message, content, destinations),) = at.spool.stored
    trace, _, rest = content.partition(b"\r\nSubject")
    assert trace.startswith(b"Received: from client.example ([192.0.2.1])\r\n\tby mx.example.org with ESMTP id Q1")
    assert b"for <bob@example.org>" in trace
    assert b"Subject" + rest == MESSAGE
    assert message.source == "mx 192.0.2.1:4000"
    assert destinations == ("example.org",)
    assert [each.message for each in at.woken] == [message]
    assert at.events[-1][0] == "accepted"


def test_several_recipients_are_not_told_of_each_other() -> None:
    at = desk()
    bring_in(at.session(greet="HELO"), envelope("bob@example.org", "wen@example.org"), MESSAGE)
    content = at.spool.stored[0][1]
    assert b" with SMTP id " in content
    assert b"for <" not in content


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("message", "gap"),
    [
        (b"Hello Ren Ping,\r\nhow are you?\r\n", b"\r\n"),
        (b"see http://example.org\r\n", b"\r\n"),
        (b" indented\r\n", b"\r\n"),
        (b"no line end", b"\r\n"),
        (b"x" * 1200, b"\r\n"),
        (b"Subject: hi\r\n\r\nhello\r\n", b""),
        (b"Subject : old\r\n\r\nhello\r\n", b""),
        (b"Subject: no body", b""),
        (b"X" * 900 + b": long\r\n\r\nhello\r\n", b""),
        (b"\r\nbody only\r\n", b""),
        (b"", b""),
    ],
)
def test_a_message_without_header_fields_stays_a_body(message: bytes, gap: bytes, piece: int) -> None:
    at = desk()
    pieces = [message[start : start + piece] for start in range(0, len(message), piece)]
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), *pieces)
    assert reply.code == 250
    trace, mark, rest = at.spool.stored[0][1].partition(b" +0000\r\n")
    assert (trace[:9], mark) == (b"Received:", b" +0000\r\n")
    assert rest == gap + message


def test_a_letter_that_fails_while_its_first_line_is_stored() -> None:
    at = desk()
    at.spool.write_error = StorageFull("no room")
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), b"only this")
    assert (reply.code, reply.enhanced) == (452, "4.3.1")
    assert at.spool.receipts[0].ended == "aborted"


def test_the_trace_tells_local_time_and_asks_for_the_zone_once_a_minute() -> None:
    asked: list[float] = []

    def zone(now: float) -> int:
        asked.append(now)
        return 480

    clock = ManualClock(1_800_000_000.0)  # 2027-01-15 08:00:00 UTC
    at = desk(zone=zone, clock=clock)
    for _ in range(3):
        bring_in(at.session(), envelope("bob@example.org"), MESSAGE)
    assert len(asked) == 1
    assert all(b"; Fri, 15 Jan 2027 16:00:00 +0800\r\n" in content for _, content, _ in at.spool.stored)
    clock.set_calendar(1_800_000_059.0)
    bring_in(at.session(), envelope("bob@example.org"), MESSAGE)
    assert len(asked) == 1
    clock.set_calendar(1_800_000_060.0)
    bring_in(at.session(), envelope("bob@example.org"), MESSAGE)
    assert asked == [1_800_000_000.0, 1_800_000_060.0]


def test_the_machines_own_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    try:
        at = desk(zone=None)
        bring_in(at.session(), envelope("bob@example.org"), MESSAGE)
        assert b" +0530\r\n" in at.spool.stored[0][1]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_too_large_a_letter_is_dropped_and_the_session_goes_on() -> None:
    at = desk("max_message_size = 65536")
    session = at.session()
    (reply,) = bring_in(session, envelope("bob@example.org"), MESSAGE, b"x" * 65_536, b"more")
    assert (reply.code, reply.enhanced) == (552, "5.3.4")
    assert at.spool.receipts[0].ended == "aborted"
    assert bring_in(session, envelope("bob@example.org"), MESSAGE)[0].code == 250
    assert bring_in(session, envelope("bob@example.org"), b"\r\n", b"x" * 65_534)[0].code == 250


@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize(("hops", "code"), [(2, 250), (3, 554)])
def test_going_in_circles(piece: int, hops: int, code: int) -> None:
    at = PolicyHarness(LISTENER + HOUSE.replace("[relay]", "[relay]\nmax_hops = 3"))
    message = b"received: by x\r\n\twith y\r\n" * hops + b"Subject: hi\r\n\r\nReceived: in the body\r\n" * 9
    chunks = [message[start : start + piece] for start in range(0, len(message), piece)]
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), *chunks)
    assert reply.code == code
    assert code == 250 or reply.enhanced == "5.4.6"


def test_going_in_circles_without_a_body() -> None:
    at = PolicyHarness(LISTENER + HOUSE.replace("[relay]", "[relay]\nmax_hops = 3"))
    assert bring_in(at.session(), envelope("bob@example.org"), b"Received: x\r\n" * 3)[0].code == 554


def in_pieces(content: bytes, piece: int) -> list[bytes]:
    return [content[start : start + piece] for start in range(0, len(content), piece)]


@pytest.mark.parametrize("piece", [2, 1000, 16_384, 1_000_000])
@pytest.mark.parametrize(
    "filling", [b"X-Filler: " + b"x" * 1200 + b"\r\n", (b"X-Fold: a\r\n " + b"y" * 70 + b"\r\n") * 15]
)
@pytest.mark.parametrize(("hops", "code"), [(99, 250), (100, 554)])
def test_hops_are_counted_beyond_64_kib_of_header(piece: int, filling: bytes, hops: int, code: int) -> None:
    at = desk()
    content = (b"Received: by x\r\n" + filling) * hops + b"Subject: hi\r\n\r\nReceived: in the body\r\n" * 9
    assert content.index(b"Subject") > 100_000
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), *in_pieces(content, piece))
    assert (reply.code, reply.enhanced) == (code, "5.4.6" if code == 554 else "2.0.0")
    if code == 554:
        assert "it has 100 Received fields (limit 100)" in reply.text


@pytest.mark.parametrize("piece", [1, 7, 500, 100_000])
def test_a_received_field_is_found_wherever_a_piece_ends(piece: int) -> None:
    at = PolicyHarness(LISTENER + HOUSE.replace("[relay]", "[relay]\nmax_hops = 4"))
    content = (
        b"Received: one\r\nX: " + b"a" * 2000 + b"received: no\r\nReceived : two\r\n received: folded\r\n"
        b"X-Received: no\r\nRECEIVED:three\r\n"
    )
    session = at.session()
    assert bring_in(session, envelope("bob@example.org"), *in_pieces(content + b"\r\n", piece))[0].code == 250
    assert bring_in(session, envelope("bob@example.org"), *in_pieces(content, piece))[0].code == 250
    four = content + b"Received: four"
    for ending in (b"", b"\r\n", b"\r\n\r\n"):
        assert bring_in(session, envelope("bob@example.org"), *in_pieces(four + ending, piece))[0].code == 554


def round_trips(times: int, *, host: bytes = b"MX.example.org") -> bytes:
    field = (
        b"Received: from a ([192.0.2.1])\r\n\tby " + host + b" with ESMTP id Q1\r\n\tfor <bob@example.org>; date\r\n"
    )
    return (field + b"Received: by elsewhere\r\nARC-Seal: " + b"x" * 900 + b"\r\n") * times


@pytest.mark.parametrize("fold", [b"\r\n\t", b"\r\n        ", b" "])  # other hosts fold fields in their own way
@pytest.mark.parametrize("piece", [50, 1_000_000])
@pytest.mark.parametrize(("times", "code"), [(9, 250), (10, 554)])
def test_a_message_that_comes_back_again_and_again_is_refused_before_its_hops_are_too_many(
    piece: int, times: int, code: int, fold: bytes
) -> None:
    at = desk()
    content = (round_trips(times) + b"Subject: hi\r\n\r\n" + round_trips(20)).replace(b"\r\n\t", fold)
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), *in_pieces(content, piece))
    assert reply.code == code
    if code == 554:
        assert reply.text == "This message goes in circles: mx.example.org has had it 10 times before"


def test_only_our_own_received_fields_are_passes() -> None:
    at = desk()
    content = round_trips(40, host=b"notmx.example.org") + b"\r\n"
    assert bring_in(at.session(), envelope("bob@example.org"), content)[0].code == 250


@pytest.mark.parametrize("piece", [700, 1_000_000])
@pytest.mark.parametrize(("lines", "code"), [(880, 250), (930, 552)])
def test_a_header_section_has_a_largest_size(piece: int, lines: int, code: int) -> None:
    at = desk("max_header_size = 65536")
    content = (b"X-Field: " + b"x" * 60 + b"\r\n") * lines + b"\r\n" + b"x" * 70_000
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), *in_pieces(content, piece))
    assert (reply.code, reply.enhanced) == (code, "5.3.4" if code == 552 else "2.0.0")
    assert code == 250 or reply.text == "Header section too large (limit 65536 octets)"


@pytest.mark.parametrize("first", [b"", b"Subject: hi\r\n"])
def test_a_body_without_an_empty_line_before_it_is_no_header_section(first: bytes) -> None:
    at = desk("max_header_size = 65536")
    content = first + b"words without a colon, line by line\r\n" * 5000
    assert bring_in(at.session(), envelope("bob@example.org"), *in_pieces(content, 10_000))[0].code == 250


@pytest.mark.parametrize("piece", [300, 16_384])
def test_the_message_id_is_found_in_a_header_section_that_comes_in_pieces(piece: int) -> None:
    scan = HeaderScan(desk().policy.intake.headers)
    content = b"X: " + b"x" * 20_000 + b"\r\nMESSAGE-ID:\r\n <a@b>\r\nY: " + b"y" * 60_000 + b"\r\n\r\n"
    for each in in_pieces(content, piece):
        assert not scan.done
        scan.write(each)
    assert scan.done
    assert (scan.message_id, scan.gap, scan.refusal) == ("<a@b>", b"", None)


@pytest.mark.parametrize(
    ("error", "code", "enhanced"),
    [(StorageFull("x"), 452, "4.3.1"), (StorageBusy("x"), 451, "4.3.0"), (StorageError("x"), 451, "4.3.0")],
)
@pytest.mark.parametrize("when", ["write_error", "late_error", "commit_error"])
@pytest.mark.parametrize("commits", ["future", "coroutine", "at once"])
def test_storage_that_fails(commits: str, when: str, error: StorageError, code: int, enhanced: str) -> None:
    at = desk()
    at.spool.commits = commits
    setattr(at.spool, when, error)
    (reply,) = bring_in(at.session(), envelope("bob@example.org"), MESSAGE, b"x" * 1000, b"y")
    assert (reply.code, reply.enhanced) == (code, enhanced)
    assert at.spool.receipts[0].ended == "aborted"
    assert not at.woken


def test_lmtp_answers_for_each_recipient() -> None:
    at = desk('kind = "lmtp"')
    to = envelope("bob@example.org", "wen@example.org", "info@example.org")
    assert [each.code for each in bring_in(at.session(greet="LHLO"), to, MESSAGE)] == [250, 250, 250]
    at.spool.commit_error = StorageFull("x")
    assert [each.code for each in bring_in(at.session(greet="LHLO"), to, MESSAGE)] == [452, 452, 452]


def test_an_alias_is_expanded_in_what_is_stored() -> None:
    at = desk()
    bring_in(at.session(), envelope("info@example.org", "eve@example.org"), MESSAGE)
    ((message, _, destinations),) = at.spool.stored
    assert [str(each.address) for each in message.envelope.recipients] == [
        "bob@example.org",
        "zoe@example.net",
        "eve@example.net",
    ]
    assert destinations == ("example.org", "example.net", "example.net")


def test_a_list_and_a_mailbox_are_two_messages_with_one_answer() -> None:
    at = desk()
    (reply,) = bring_in(at.session(), envelope("wen@example.org", "team@example.org"), MESSAGE)
    assert reply.text == "Ok: queued as Q1"
    (first, _, _), (second, content, _) = at.spool.stored
    assert str(first.envelope.sender) == "me@example.com"
    assert str(second.envelope.sender) == "postmaster@example.org"
    assert b" id Q2" in content
    assert content.endswith(MESSAGE)


def test_a_vanished_peer_leaves_nothing() -> None:
    at = desk()
    intake = at.session().intake(envelope("bob@example.org"))
    assert not isinstance(intake, Verdict)
    intake.write(MESSAGE)
    intake.abort()
    assert at.spool.receipts[0].ended == "aborted"


# Questions ----------------------------------------------------------------------------------------------------------


def test_vrfy_and_expn_are_off() -> None:
    session = desk().session()
    reply = now(session.verify("bob"))
    assert (reply.code, reply.enhanced) == (252, "2.5.0")
    reply = now(session.expand("team"))
    assert (reply.code, reply.enhanced) == (252, "2.5.0")  # RFC 5321 §7.3: neither success nor failure


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("wen", 250, "<wen@example.org>"),
        ("<WEN@example.org>", 250, "<wen@example.org>"),
        ("bob", 553, "<bob@small.test>"),
        ("team@example.org", 250, "<team@example.org>"),
        ("eve", 251, "<eve@example.net>"),
        ("tom@gone.test", 551, "<tom@example.net>"),
        ("nobody", 550, "No mailbox"),
        ("nobody@example.org", 550, "No mailbox"),
        ("a b@c@d", 550, "No mailbox"),
        ("x@example.net", 252, ""),
        ("Postmaster", 250, "<postmaster@example.org>"),
    ],
)
def test_vrfy(text: str, code: int, words: str) -> None:
    reply = now(desk("vrfy = true").session().verify(text))
    assert reply.code == code
    assert words in reply.text


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("team", 250, "<bob@example.org>\n<wen@example.org>"),
        ("<team@example.org>", 250, "<bob@example.org>\n<wen@example.org>"),
        ("info", 550, "not a mailing list"),
        ("wen", 550, "not a mailing list"),
        ("nobody", 550, "No mailbox"),
    ],
)
def test_expn(text: str, code: int, words: str) -> None:
    reply = now(desk("expn = true").session().expand(text))
    assert reply.code == code
    assert words in reply.text


def test_help() -> None:
    session = desk().session()
    summary = now(session.help(""))
    assert summary.code == 211
    assert "RCPT" in summary.text
    assert now(session.help("rcpt")).code == 214
    assert "RCPT TO:" in now(session.help("rcpt")).text
    assert now(session.help("cooking")).code == 504


@pytest.mark.parametrize(
    ("settings", "on", "off"),
    [
        ("", "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT HELP", "LHLO VRFY EXPN"),
        ("vrfy = true", "HELO EHLO VRFY", "LHLO EXPN STARTTLS AUTH"),
        ('tls = "starttls"', "EHLO STARTTLS", "LHLO AUTH"),
        ("expn = true", "HELO EHLO EXPN", "LHLO VRFY"),
        ('kind = "lmtp"', "LHLO MAIL", "HELO EHLO VRFY EXPN"),
        ('kind = "submission"\nvrfy = true\nexpn = true', "EHLO VRFY EXPN", "LHLO"),
    ],
)
def test_help_lists_only_what_is_on(settings: str, on: str, off: str) -> None:
    session = desk(settings).session()
    listed = now(session.help("")).text.split()
    assert set(on.split()) <= set(listed)
    assert not set(off.split()) & set(listed)
    for word in (*on.split(), *off.split()):
        page = now(session.help(word))
        assert page.code == 214
        assert any(words in page.text for words in ("Switched off", "Not here", "Not offered")) is (word in off.split())


def test_help_knows_the_older_spellings() -> None:
    session = desk().session()
    assert now(session.help("HELLO")) == now(session.help("helo"))
    assert now(session.help("rest")) == now(session.help("RSET"))
    assert "HELLO" in now(session.help("helo")).text
    assert now(session.help("MAIL FROM")) == now(session.help("MAIL"))


def refused_lines(at: PolicyHarness) -> list[dict[str, Any]]:
    return [fields for event, fields in at.events if event == "refused"]


def flood(session: SessionPolicy, times: int) -> None:
    for _ in range(times):
        session.rcpt(envelope(), Rcpt(address("x@example.net")), ())


def test_the_refusals_of_one_session_are_summed_up_beyond_a_rate() -> None:
    clock = ManualClock()
    at = desk(clock=clock)
    session = at.session()

    async def scenario() -> None:
        flood(session, 12_345)
        assert len(refused_lines(at)) == 30
        await clock.advance(61.0)
        flood(session, 1)
        session.refused("session", Reply(421, "4.7.0", "Too many refused recipients"))
        session.disconnected()

    asyncio.run(scenario())
    more, one, end = refused_lines(at)[30:]
    assert (more["more"], more["source"]) == (12_315, "mx 192.0.2.1:4000")
    assert more["reason"].startswith("12,315 more refusals in this session")
    assert one["recipient"] == "x@example.net"
    assert end["reply"].startswith("421 4.7.0")


def test_the_end_of_a_session_is_logged_after_a_flood() -> None:
    at = desk(clock=ManualClock())
    session = at.session()
    flood(session, 1000)
    session.refused("session", Reply(421, "4.7.0", "Too many refused recipients"))
    session.disconnected()
    assert [each.get("more") for each in refused_lines(at)[29:]] == [None, None, 971]


def test_the_refusals_of_all_sessions_are_summed_up_beyond_a_rate() -> None:
    clock = ManualClock()
    at = desk("max_connections_per_host = 1", clock=clock)
    at.session()

    async def scenario() -> None:
        for _ in range(10_000):
            assert now_in_loop(at.connect().connected()).code == 421
        assert len(refused_lines(at)) == 500
        await clock.advance(9.0)
        assert len(refused_lines(at)) == 500
        await clock.advance(2.0)
        assert refused_lines(at)[500] == {
            "more": 9500,
            "reason": "9,500 more events of this name, too many to be written one by one",
        }
        for _ in range(10_000):
            at.connect().connected()
        assert len(refused_lines(at)) == 501 + 11 * 20
        at.policy.end()
        assert refused_lines(at)[-1]["more"] == 10_000 - 11 * 20
        assert clock.waiting == 0

    asyncio.run(scenario())


def now_in_loop(answer: Any) -> Reply:
    assert isinstance(answer, Verdict)
    return answer.reply
