"""Classification of bounces by status code and words."""

from __future__ import annotations

import time

import pytest

from posthouse.core import Reply
from posthouse.message.reports import BounceKind, classify_bounce

DIAGNOSTICS = [
    ("550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown in virtual mailbox table", "no-mailbox"),
    ("550-5.1.1 The email account that you tried to reach does not exist.", "no-mailbox"),
    ("550 No such user here", "no-mailbox"),
    ("553 5.3.0 <x@example.com>... Addressee unknown, relay=[192.0.2.1]", "no-mailbox"),
    ("550 用户不存在", "no-mailbox"),
    ("550 5.7.1 <a@b.example>: user unknown", "no-mailbox"),
    ("554 delivery error: dd This user doesn't have a example.com account", "no-mailbox"),
    ("550 5.2.1 The email account that you tried to reach is disabled.", "disabled"),
    ("554 30 Sorry, your message cannot be delivered. This mailbox is disabled (554.30).", "disabled"),
    ("452 4.2.2 The email account that you tried to reach is over quota.", "full"),
    ("552 5.2.2 Mailbox full", "full"),
    ("550 5.1.1 mailbox is full", "full"),
    ("422 The recipient's mailbox is over its storage limit, quota exceeded", "full"),
    ("552 5.3.4 Message size exceeds fixed limit", "too-large"),
    ("552 message too large", "too-large"),
    ("450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see http://postgrey.example/", "greylisted"),
    ("451 4.7.1 Greylisting in action, please come back later", "greylisted"),
    ("421 4.7.0 Our system has detected an unusual rate of unsolicited mail; rate limited", "rate-limited"),
    ("421 4.7.28 Too many messages from this address", "rate-limited"),
    ("554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using zen.spamhaus.org", "blocked"),
    ("550 5.7.1 Messages from [192.0.2.9] weren't sent; part of their network is on our block list (S3150)", "blocked"),
    ("554 Denied: poor reputation of the sending IP", "blocked"),
    ("550 5.7.25 The IP address sending this message does not have a PTR record setup", "blocked"),
    ("554 5.7.1 This message was classified as SPAM and may not be delivered", "spam"),
    ("550 5.7.26 This mail has been blocked because the sender is unauthenticated. SPF did not pass", "authentication"),
    ("550 5.7.1 Email rejected per DMARC policy for example.org", "authentication"),
    ("554 5.7.1 <a@b.example>: Relay access denied", "relay-denied"),
    ("550 relaying denied", "relay-denied"),
    ("550 5.7.1 Rejected by local policy", "policy"),
    ("554 5.4.6 Too many hops", "loop"),
    ("550 5.4.4 Invalid domain: domain not found", "no-domain"),
    ("556 5.1.10 The domain does not accept mail (nullMX)", "no-domain"),
    ("connect to mx.example.net[192.0.2.1]:25: Connection timed out", "network"),
    ("451 4.3.0 Temporary lookup failure; try again later", "system"),
    ("552 5.7.0 This message was blocked because its content presents a virus risk", "virus"),
    ("554 5.6.0 malformed MIME header", "content"),
    ("500 5.5.1 command not recognized", "protocol"),
    ("4.4.7 delivery time expired", "expired"),
]


@pytest.mark.parametrize(("diagnostic", "kind"), DIAGNOSTICS)
def test_a_diagnostic_has_its_kind(diagnostic: str, kind: str) -> None:
    found = classify_bounce(diagnostic)
    assert (found.kind, found.evidence != "") == (kind, True), found
    assert 0.5 <= found.confidence <= 1.0


def test_code_and_words_that_agree_are_surer_than_either() -> None:
    both = classify_bounce("550 5.1.1 User unknown")
    assert both.confidence > max(classify_bounce("550 5.1.1").confidence, classify_bounce("User unknown").confidence)


def test_words_decide_over_a_code_that_hosts_use_for_several_things() -> None:
    assert classify_bounce("550 5.7.1 relaying denied").kind is BounceKind.RELAY_DENIED
    assert classify_bounce("550 5.7.1").kind is BounceKind.POLICY
    assert classify_bounce("550 5.7.1").confidence < 0.5


def test_a_failure_of_the_address_is_hard_only_if_it_is_permanent() -> None:
    assert classify_bounce("550 5.1.1 User unknown").hard
    assert classify_bounce("450 4.1.1 User unknown").soft
    assert classify_bounce("552 5.2.2 Mailbox full").soft


def test_the_class_comes_from_the_status_before_the_reply_code() -> None:
    assert classify_bounce("smtp; 550 whatever", "4.2.2").permanent is False
    assert classify_bounce("450 nothing known").permanent is False
    assert classify_bounce("nothing known").permanent is True
    assert classify_bounce("nothing known", permanent=False).permanent is False


def test_a_reply_is_taken_as_it_is() -> None:
    assert classify_bounce(Reply(550, "5.2.1", "Mailbox disabled")).kind is BounceKind.DISABLED


def test_what_nobody_knows_is_unknown_and_unsure() -> None:
    found = classify_bounce("554 Xyzzy")
    assert (found.kind, found.permanent) == (BounceKind.UNKNOWN, True)
    assert found.confidence < 0.5


@pytest.mark.parametrize("piece", ["user ", "message ", "a", "spf ", "rate limit ", "no ", "domain x ", "(", "5.1."])
def test_long_diagnostics_take_bounded_work(piece: str) -> None:
    begun = time.process_time()
    classify_bounce(piece * 200_000)
    assert time.process_time() - begun < 20.0  # unbounded, it would be hours
