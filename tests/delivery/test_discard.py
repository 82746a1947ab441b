"""Delivery to nowhere."""

from __future__ import annotations

import asyncio

from posthouse.core import Address, Bytes, Envelope, Recipient, Result
from posthouse.delivery.discard import DiscardDeliverer
from posthouse.delivery.model import Delivery

RECIPIENTS = (Recipient(Address("renping", "sina.com")), Recipient(Address("rp", "sina.com")))


def test_discarded_means_delivered_and_says_so() -> None:
    delivery = Delivery(Envelope(None, RECIPIENTS), Bytes(b"Subject: x\r\n\r\n"))
    outcomes = asyncio.run(DiscardDeliverer().deliver(delivery, "hold.test"))
    assert DiscardDeliverer().deliver_now(delivery, "hold.test") == outcomes
    assert [one.recipient for one in outcomes] == list(RECIPIENTS)
    for outcome in outcomes:
        assert outcome.result is Result.DELIVERED
        assert "discarded" in outcome.reason
        assert outcome.peer == "hold.test"
