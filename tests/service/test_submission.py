"""Submission (RFC 6409): what becomes of a message that an account or a trusted network hands in, octet for octet."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest

from posthouse.core import Envelope, Reply
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol.commands import Mail
from posthouse.protocol.sasl import Authenticated
from posthouse.service.accounts import AccountStore
from posthouse.service.policy.session_policy import SessionPolicy

from .policy_harness import PolicyHarness, address, bring_in, envelope, now

TRUSTED = '[relay]\ntrusted_networks = ["192.0.2.0/24"]\n'
DOMAIN = '[[domain]]\nname = "x.test"\nmailboxes = "any"\n'
TO = envelope("bob@x.test", sender="ann@x.test")
WHOLE = b"Date: Mon, 23 Nov 2026 08:46:22 +0100\r\nMessage-ID: <1@x.test>\r\nFrom: ann@x.test\r\n"
BARE = b"From: ann@x.test\r\nSubject: hi\r\n"
ADDED = re.compile(rb"Date: \w{3}, \d+ \w{3} \d{4} [\d:]{8} [+-]\d{4}\r\nMessage-ID: <Q1@mx\.test>\r\n")


class Store(AccountStore):
    """The account ann."""

    async def identities(self, user: str) -> Sequence[str] | None:
        return ("ann@x.test", "@ours.test", "ann@b\u00fccher.test") if user == "ann" else None


def harness(kind: str = "submission", more: str = "", trusted: str = TRUSTED) -> PolicyHarness:
    text = f'hostname = "mx.test"\n[[listener]]\nbind = "127.0.0.1:0"\nkind = "{kind}"\n{more}\n{trusted}{DOMAIN}'
    return PolicyHarness(text, accounts=Store())


def logged_in(made: PolicyHarness, host: str = "198.51.100.7") -> SessionPolicy:
    session = made.session(host)
    assert now(session.logged_in(Authenticated("ann", "PLAIN"))).code == 235
    return session


def stored(made: PolicyHarness) -> bytes:
    """The message that was stored, without our Received field."""
    ((_, content, _),) = made.spool.stored
    match = re.match(rb"Received: [^\r]*\r\n(?:\t[^\r]*\r\n)+", content)
    assert match is not None
    return content[match.end() :]


def submit(made: PolicyHarness, session: SessionPolicy, *chunks: bytes) -> bytes:
    (reply,) = bring_in(session, TO, *chunks)
    assert reply.code == 250, reply
    return stored(made)


@pytest.mark.parametrize("way", ["login on submission", "trusted on submission", "login on mx", "trusted on mx"])
def test_date_and_message_id_are_added_to_what_is_submitted(way: str) -> None:
    made = harness(way.rpartition(" ")[2], 'auth = "offered"')
    session = logged_in(made) if way.startswith("login") else made.session("192.0.2.1")
    content = submit(made, session, BARE + b"\r\nbody\r\n")
    added = ADDED.match(content)
    assert added is not None, content
    assert content[added.end() :] == BARE + b"\r\nbody\r\n"


@pytest.mark.parametrize(
    ("kind", "host", "content"),
    [
        ("mx", "198.51.100.7", BARE + b"Bcc: c@x.test\r\n\r\nbody\r\n"),
        ("mx", "192.0.2.1", b"Received: from a by b; c\r\n" + BARE + b"Bcc: c@x.test\r\n\r\nbody\r\n"),
        ("mx", "192.0.2.1", BARE + b"RECEIVED : from a by b; c\r\n\r\nbody\r\n"),
        ("lmtp", "192.0.2.1", BARE + b"Bcc: c@x.test\r\n\r\nbody\r\n"),
    ],
)
def test_what_is_relayed_from_elsewhere_is_not_touched(kind: str, host: str, content: bytes) -> None:
    made = harness(kind)
    session = made.session(host, greet="LHLO" if kind == "lmtp" else "EHLO")
    assert submit(made, session, content) == content


def test_a_catcher_shows_what_a_program_sends() -> None:
    text = '[[listener]]\nbind = "127.0.0.1:0"\nauth = "offered"\n[[domain]]\nname = "*"\nmailboxes = "any"\n'
    made = PolicyHarness(f'hostname = "mx.test"\naccounts = "any"\n{text}', accounts=Store())
    content = BARE + b"Bcc: c@x.test\r\n\r\nbody\r\n"
    assert submit(made, logged_in(made), content) == content


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (WHOLE + b"\r\nbody\r\n", WHOLE + b"\r\nbody\r\n"),
        (WHOLE + b"Bcc :a@x.test,\r\n b@x.test\r\nTo: x\r\n\r\nBcc: b\r\n", WHOLE + b"To: x\r\n\r\nBcc: b\r\n"),
        (b"BCC: a\r\n" + WHOLE + b"bcc: b\r\n\r\n", WHOLE + b"\r\n"),
        (WHOLE + b"bcc: b\r\n", WHOLE),
        (WHOLE + b"bcc: b", WHOLE),
        (WHOLE + b"Subject: the bcc of it\r\n\r\n\xff\x00\r\n", WHOLE + b"Subject: the bcc of it\r\n\r\n\xff\x00\r\n"),
        (WHOLE, WHOLE),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_blind_recipients_go_and_the_rest_stays_octet_for_octet(content: bytes, kept: bytes, size: int) -> None:
    made = harness()
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    assert submit(made, logged_in(made), *chunks) == kept


@pytest.mark.parametrize(
    ("content", "behind"),
    [
        (b"\r\nbody\r\n", b"\r\nbody\r\n"),
        (b"no field\r\n\r\nBcc: x\r\n", b"\r\nno field\r\n\r\nBcc: x\r\n"),
        (b"no field", b"\r\nno field"),
        (b"n" * 5_000, b"\r\n" + b"n" * 5_000),
        (b"", b""),
        (b"X: y", b"X: y"),
        (b"X: y\r\ntext that no empty line is before\r\n", b"X: y\r\ntext that no empty line is before\r\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_message_without_a_header_section_gets_one(content: bytes, behind: bytes, size: int) -> None:
    made = harness()
    kept = submit(made, logged_in(made), *[content[at : at + size] for at in range(0, len(content), size)])
    kept = kept.replace(b"\r\nFrom: ann@x.test", b"", 1)
    added = ADDED.match(kept)
    assert added is not None
    assert kept[added.end() :] == behind


@pytest.mark.parametrize(("sender", "field"), [("ann@x.test", b"From: ann@x.test\r\n"), (None, b"")])
def test_a_message_that_names_no_author_gets_its_sender(sender: str | None, field: bytes) -> None:
    """What ``curl`` and scripts submit often has no From, and large hosts refuse it then; a report has no sender."""
    made = harness()
    kept = Envelope(address(sender) if sender else None, TO.recipients)
    (reply,) = bring_in(made.session("192.0.2.1"), kept, b"Date: x\r\nMessage-ID: <1@x.test>\r\n\r\nbody\r\n")
    assert reply.code == 250
    assert stored(made) == field + b"Date: x\r\nMessage-ID: <1@x.test>\r\n\r\nbody\r\n"


def test_a_message_without_an_empty_line_is_given_on_in_the_end() -> None:
    """Text that never has an empty line is not held in memory: the body streams once it is too long for a section."""
    made = harness(more="max_header_size = 65536")
    piece = WHOLE + b"Bcc: secret@x.test\r\n" + b"text without colon\r\n" * 10_000
    session = logged_in(made)
    intake = session.intake(TO)
    assert not hasattr(intake, "reply")
    intake.write(piece)  # type: ignore[union-attr]
    assert made.spool.receipts[0].size > 65_536
    assert b"secret" not in made.spool.receipts[0].content
    intake.abort()  # type: ignore[union-attr]
    assert made.spool.receipts[0].ended == "aborted"


def test_sizes_are_those_of_what_the_client_sent() -> None:
    """A message of the announced size is taken although something is added; one over it is refused though Bcc goes."""
    most = 65_536
    made = harness(more=f"max_message_size = {most}")
    content = BARE + b"\r\n"
    assert len(submit(made, logged_in(made), content + b"x" * (most - len(content)))) > most
    made = harness(more=f"max_message_size = {most}")
    content = WHOLE + b"Bcc: c@x.test\r\n\r\n"
    (reply,) = bring_in(logged_in(made), TO, content + b"x" * (most - len(content) + 1))
    assert reply.code == 552
    assert not made.spool.stored


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("size", [4_096, 1_000_000])
def test_the_header_section_is_measured_as_it_was_sent(over: int, size: int) -> None:
    made = harness(more="max_header_size = 65536")
    head = BARE + b"X: "
    content = head + b"y" * (65_536 - len(head) + over) + b"\r\n\r\nbody\r\n"
    (reply,) = bring_in(logged_in(made), TO, *[content[at : at + size] for at in range(0, len(content), size)])
    assert reply.code == (552 if over else 250)


# -- who may send as whom ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "code"),
    [
        ("ann@x.test", 250),
        ("ANN+shop@X.TEST", 250),
        ("anyone@ours.test", 250),
        ("ann@xn--bcher-kva.test", 250),
        ("boss@x.test", 553),
        ("ann@sub.ours.test", 553),
        ("ann@ours.test.evil.test", 553),
    ],
)
@pytest.mark.parametrize("host", ["198.51.100.7", "192.0.2.1"])
def test_the_sender_is_an_identity_of_the_account(sender: str, code: int, host: str) -> None:
    """Also from a trusted network, which lets everybody else send as whom they like."""
    session = logged_in(harness(), host)
    assert now(session.mail(Mail(address(sender)))).code == code


@pytest.mark.parametrize(
    ("host", "login", "asserted", "kept"),
    [
        ("198.51.100.7", True, "ann@x.test", "ann@x.test"),
        ("198.51.100.7", True, "boss@x.test", ""),
        ("198.51.100.7", True, "", ""),
        ("198.51.100.7", True, None, None),
        ("198.51.100.7", False, "ann@x.test", ""),
        ("198.51.100.7", False, None, None),
        ("192.0.2.1", False, "boss@x.test", "boss@x.test"),
        ("192.0.2.1", True, "boss@x.test", ""),
    ],
)
def test_who_submitted_a_message_first_is_believed_of_its_account_and_of_trusted_hosts(
    host: str, login: bool, asserted: str | None, kept: str | None
) -> None:
    """AUTH= of MAIL (RFC 4954 §5); from others it becomes ``<>``."""
    made = harness("mx", 'auth = "offered"')
    session = logged_in(made, host) if login else made.session(host)
    (reply,) = bring_in(session, TO._replace(auth=asserted), WHOLE + b"\r\n")
    assert reply.code == 250
    assert made.spool.stored[0][0].envelope.auth == kept


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (b"From: Ann <ann@x.test>\r\n", 250),
        (b"From: ann@x.test, Bob <b@ours.test>\r\nSender: ann@x.test\r\n", 250),
        (b"From: boss@x.test\r\n", 553),
        (b"From: ann@x.test, boss@x.test\r\n", 553),
        (b"From: Team: ann@x.test, boss@x.test;\r\n", 553),
        (b"From: boss@x.test <ann@x.test>\r\n", 553),
        (b'From: "boss@x.test" <ann@x.test>\r\n', 553),
        (b"From: =?utf-8?q?boss=40x.test?= <ann@x.test>\r\n", 553),
        (b'From: "ann@x.test" <ann@x.test>\r\n', 250),
        (b"From :\r\n boss@x.test\r\n", 553),
        (b"From: ann@x.test\r\nSender: boss@x.test\r\n", 553),
        (b"From: ann@x.test\r\nFrom: boss@x.test\r\n", 553),
        (b"From: ann@x.test\r\nFrom: ann@x.test\r\n", 553),
        (b"Subject: none\r\n", 553),
    ],
)
@pytest.mark.parametrize("size", [3, 100_000])
def test_from_is_checked_when_told_to(fields: bytes, code: int, size: int) -> None:
    made = harness(more="check_from = true")
    content = fields + b"To: b@x.test\r\n\r\nFrom: boss@x.test\r\n"
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    (reply,) = bring_in(logged_in(made), TO, *chunks)
    assert reply.code == code
    assert reply.enhanced == ("2.0.0" if code == 250 else "5.7.1")
    if code == 553:
        assert not made.spool.stored
        assert made.spool.receipts[0].ended == "aborted"
        (refused,) = (fields for event, fields in made.events if event == "refused")
        assert refused["command"] == "DATA"
    else:
        assert bring_in(logged_in(harness()), TO, content)[0].code == 250


def test_without_a_login_or_the_setting_from_is_not_looked_at() -> None:
    forged = b"From: boss@x.test\r\n\r\n"
    assert bring_in(harness(more="check_from = true").session("192.0.2.1"), TO, forged)[0].code == 250
    assert bring_in(logged_in(harness()), TO, forged)[0].code == 250


# -- the trace field ---------------------------------------------------------------------------------------------------


def first_lines(made: PolicyHarness) -> bytes:
    ((_, content, _),) = made.spool.stored
    return content.partition(b" id ")[0]


@pytest.mark.parametrize("secret", [b"198.51.100.7", b"client.example"])
def test_our_received_field_leaves_the_client_out_if_told_to(secret: bytes) -> None:
    made = harness(more="hide_client = true")
    theirs = b"Received: from client.example ([198.51.100.7]) by elsewhere.test; x\r\n"
    content = submit(made, logged_in(made), theirs + WHOLE + b"\r\n")
    assert first_lines(made) == b"Received: from localhost\r\n\tby mx.test with ESMTPA"
    assert secret in content, "a field from elsewhere stays"
    assert made.spool.stored[0][0].source.startswith("submission 198.51.100.7:"), "the log and the history name it"

    made = harness()
    submit(made, logged_in(made), WHOLE + b"\r\n")
    assert secret in first_lines(made)


@pytest.mark.parametrize(("more", "shown"), [("", True), ("hide_login = true", False), ("hide_client = true", False)])
@pytest.mark.parametrize("kind", ["submission", "mx"])
def test_our_received_field_names_the_login_unless_told_not_to(kind: str, more: str, shown: bool) -> None:
    made = harness(kind, f'auth = "offered"\n{more}' if kind == "mx" else more)
    submit(made, logged_in(made), WHOLE + b"\r\n")
    assert (b"(Authenticated sender: ann)" in made.spool.stored[0][1]) is shown
    assert b" with ESMTPA id " in made.spool.stored[0][1]


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize(("more", "shown"), [("", True), ("hide_login = true", False), ("hide_client = true", False)])
def test_a_verified_certificate_is_named_in_the_trace_field_and_the_history(
    more: str, shown: bool, verified: bool
) -> None:
    made = harness(more=more)
    session = logged_in(made)
    info = TlsInfo(
        "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", 128, verified=verified, certificate=b"DER", common_name="ann"
    )
    session.tls_started(info)
    assert now(session.logged_in(Authenticated("ann", "EXTERNAL"))).code == 235
    submit(made, session, WHOLE + b"\r\n")
    trace = made.spool.stored[0][1].partition(b"; ")[0]
    assert b"\r\n\ttls TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 (TLSv1.2)" in trace
    assert (b"\r\n\t(Client certificate: ann)" in trace) is (shown and verified)
    proved = ", certificate of ann" if verified else ""
    assert made.spool.origins[0].tls == f"TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256{proved}"
    assert made.spool.origins[0].user == "ann"


@pytest.mark.parametrize("host", ["198.51.100.7", "192.0.2.1"])
def test_mail_from_elsewhere_keeps_its_trace(host: str) -> None:
    made = harness("mx", "hide_client = true")
    submit(made, made.session(host), b"Received: x\r\n" + WHOLE + b"\r\n")
    assert host.encode() in first_lines(made)


@pytest.mark.parametrize("name", ["DESKTOP-3507CD", "[192.168.1.5]", "mx.test", "x.y.z.invalid"])
def test_any_name_in_ehlo_is_taken(name: str) -> None:
    """RFC 5321 §4.1.4: a server must not refuse for it."""
    from posthouse.protocol.commands import Greet

    session = harness().connect("198.51.100.7")
    asyncio.run(asyncio.sleep(0))
    reply: Reply = now(session.greeted(Greet("EHLO", name)))
    assert reply.code == 250
