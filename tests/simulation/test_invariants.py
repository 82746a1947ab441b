"""The invariants, one at a time, on ledgers written by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.core import Address, Envelope, Notify, Recipient, Result
from posthouse.spool.interface import MessageEntry, QueuedRecipient, RecipientState, StoredMessage
from posthouse.testing.simulation.invariants import violations
from posthouse.testing.simulation.ledger import FIELD, Ledger, PromisedMessage

BOB = Recipient(Address("bob", "b.test"))
ENVELOPE = Envelope(Address("ann", "a.test"), (BOB,))
CONTENT = FIELD + b"1.1\r\nSubject: x\r\n\r\nhello\r\n"
REPORT = b"From: <postmaster@a.test>\r\n\r\n" + CONTENT
TRACE = b"Return-Path: <ann@a.test>\r\nReceived: from a.test\r\n\tby b.test\r\n"


def promised(envelope: Envelope = ENVELOPE, token: str = "1.1", spool: str = "mx", queue_id: str = "q1") -> Ledger:
    """A ledger with one message that its client was answered 250 for, and that is in a spool."""
    ledger = Ledger(lambda: 0.0)
    ledger.sent[token] = CONTENT
    ledger.results[token, "bob@b.test"] = Result.DELIVERED
    ledger.promise(PromisedMessage(spool, queue_id, token, envelope))
    return ledger


def settle(ledger: Ledger, state: RecipientState = RecipientState.DELIVERED) -> Ledger:
    ledger.settled["mx", "q1", 0] = state
    return ledger


def deliver(ledger: Ledger, content: bytes = TRACE + CONTENT, sender: object = "ann@a.test") -> Ledger:
    ledger.delivered("mx.b.test", sender, ["bob@b.test"], content)
    return ledger


def entry(state: RecipientState) -> tuple[MessageEntry, bytes]:
    message = StoredMessage("q1", ENVELOPE, 0.0, len(CONTENT))
    return MessageEntry(message, (QueuedRecipient(0, BOB, "b.test", state, 1, 0.0, "450 later"),)), CONTENT


def found(
    ledger: Ledger,
    *entries: tuple[MessageEntry, bytes],
    unseen: tuple[tuple[str, str], ...] = (),
    quiet: bool = True,
) -> list[str]:
    return violations(ledger, {"mx": entries}, unseen=unseen, quiet=quiet)


def said(ledger: Ledger, *entries: tuple[MessageEntry, bytes]) -> str:
    (sentence,) = found(ledger, *entries)
    return sentence


def test_a_delivered_message() -> None:
    assert found(deliver(settle(promised()))) == []


def test_a_message_that_waits_is_in_order_until_the_world_is_quiet() -> None:
    waiting = entry(RecipientState.WAITING)
    assert found(promised(), waiting, quiet=False) == []
    assert "bob@b.test still waits: 450 later" in said(promised(), waiting)


def test_a_promise_is_broken() -> None:
    assert "bob@b.test was promised and has vanished" in said(promised())
    assert "has vanished; its last state was waiting" in said(settle(promised(), RecipientState.WAITING))


def test_a_state_that_was_never_recorded() -> None:
    failed = entry(RecipientState.FAILED)
    first, second = found(promised(), failed)
    assert "which was never recorded" in first
    assert "the report is nowhere" in second


def test_a_delivery_without_a_copy() -> None:
    assert "was recorded as delivered and is nowhere" in said(settle(promised()))
    assert found(settle(promised()), unseen=(("mx", "b.test"),)) == []


def test_the_next_spool_has_the_copy() -> None:
    ledger = settle(promised())
    ledger.promise(PromisedMessage("other", "q2", "1.1", ENVELOPE))
    message = StoredMessage("q2", ENVELOPE, 0.0, 1)
    there = (MessageEntry(message, (QueuedRecipient(0, BOB, "b.test", RecipientState.HELD, 0, 0.0),)), CONTENT)
    assert violations(ledger, {"mx": [], "other": [there]}, unseen=(), quiet=True) == []


def test_a_failure_without_a_report() -> None:
    failed = settle(promised(), RecipientState.FAILED)
    assert "failed, and the report is nowhere" in said(failed)
    assert found(deliver(failed, REPORT, None)) == [], "a delivered report is one"


def test_a_failure_whose_report_failed_or_was_not_wanted() -> None:
    ledger = settle(promised(), RecipientState.FAILED)
    ledger.lost_reports.add("1.1")
    assert found(ledger) == []
    silent = Envelope(ENVELOPE.sender, (BOB._replace(notify=Notify.NEVER),))
    assert found(settle(promised(silent), RecipientState.FAILED)) == []
    assert found(settle(promised(Envelope(None, (BOB,))), RecipientState.FAILED)) == []


def test_an_answer_without_a_promise() -> None:
    ledger = Ledger(lambda: 0.0)
    ledger.results["1.1", "bob@b.test"] = Result.DELIVERED
    assert "was answered 250 and is in no spool" in said(ledger)


@pytest.mark.parametrize("result", [Result.FAILED, Result.DEFERRED])
def test_a_refused_message_is_delivered(result: Result) -> None:
    ledger = deliver(settle(promised()))
    ledger.results["1.1", "bob@b.test"] = result
    first, second = found(ledger)
    assert "its client was told that it was not accepted" in first
    assert f"its client was told that it was {result.value}" in second


def test_an_ambiguous_answer_allows_a_copy_and_none() -> None:
    ledger = deliver(settle(promised()))
    ledger.results["1.1", "bob@b.test"] = Result.AMBIGUOUS
    assert found(ledger) == []
    lost = Ledger(lambda: 0.0)
    lost.results["1.1", "bob@b.test"] = Result.AMBIGUOUS
    assert found(lost) == []


def test_each_accident_excuses_one_copy() -> None:
    ledger = deliver(deliver(settle(promised())))
    assert "has 2 copies, and nothing to excuse it" in said(ledger)
    ledger.excuse("mx", "q1", "bob@b.test", "crash", 1)
    assert found(ledger) == []
    deliver(ledger)
    assert "has 3 copies, and 1 accidents to excuse it" in said(ledger)
    ledger.excuse("mx", "q1", "bob@b.test", "crash", 1)
    assert len(found(ledger)) == 1, "an accident counts once"
    ledger.excuse("mx", "q1", "bob@b.test", "crash", 2)
    assert found(ledger) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (FIELD + b"9.9\r\n\r\n", "a message was delivered that no client sent"),
        (b"Subject: x\r\n\r\n", "a message was delivered that no client sent"),
        (TRACE + CONTENT.replace(b"hello", b"hullo"), "the content of 1.1 was changed"),
        (TRACE + CONTENT + b"more\r\n", "the content of 1.1 was changed"),
        (CONTENT, ""),
    ],
)
def test_content_is_compared(content: bytes, sentence: str) -> None:
    ledger = deliver(settle(promised()), content)
    assert sentence in "\n".join(ledger.violations)
    assert bool(ledger.violations) is bool(sentence)


@pytest.mark.parametrize("change", [lambda ledger: ledger.log("mx", "x"), lambda ledger: ledger.violation("mx", "y")])
def test_the_digest_is_of_the_whole_trace(change: Callable[[Ledger], None]) -> None:
    one, two = promised(), promised()
    assert one.digest == two.digest
    change(two)
    assert one.digest != two.digest
