"""The lines of an envelope, which are remembered for each address, are those that ``write_command`` writes."""

from __future__ import annotations

from itertools import product

import pytest

from posthouse.client.features import Features, commands_of, lines_of
from posthouse.core import Address, Body, Bytes, Envelope, LocalError, Notify, OriginalRecipient, Recipient, Ret
from posthouse.protocol import write_command

ANN, BOB, U_LABEL = Address("ann", "example.net"), Address("b ob", "example.org"), Address("ann", "例子.test")
CONTENT = Bytes(b"Subject: hi\r\n\r\nhello\r\n")
BARE = Features(True, False, False, None, False, False, False, False, False, 0)
PEERS = [
    BARE._replace(declares_size=size, eightbit=eightbit, dsn=dsn, require_tls=tls)
    for size, eightbit, dsn, tls in product((False, True), repeat=4)
]
RECIPIENTS: list[tuple[Recipient, ...]] = [
    (Recipient(ANN),),
    (Recipient(U_LABEL),),
    (Recipient(BOB), Recipient(U_LABEL)),
    (Recipient(ANN), Recipient(BOB)),
    (Recipient(ANN, Notify.NEVER),),
    (Recipient(BOB), Recipient(ANN, None, OriginalRecipient("rfc822", "x@example.org"))),
]
ENVELOPES = [
    Envelope(sender, recipients, body, ret=ret, envid=envid, require_tls=tls)
    for sender in (None, ANN, U_LABEL)
    for recipients in RECIPIENTS
    for body in Body
    for ret, envid, tls in ((None, None, False), (Ret.HDRS, None, False), (None, "id", False), (None, None, True))
]


@pytest.mark.parametrize("features", PEERS, ids=str)
def test_lines_are_those_of_the_commands(features: Features) -> None:
    for envelope in ENVELOPES:
        for _ in range(2):  # the second time they are remembered
            mail, recipients = commands_of(envelope, CONTENT.size, features, False)
            expected = (mail, write_command(mail)), [(each, write_command(each)) for each in recipients]
            assert lines_of(envelope, CONTENT, features, False) == expected


def test_an_address_that_cannot_be_written_says_why() -> None:
    envelope = Envelope(ANN, (Recipient(Address("a\r\nQUIT", "b.org")),))
    with pytest.raises(LocalError, match="RCPT cannot be sent"):
        lines_of(envelope, CONTENT, BARE, False)
    with pytest.raises(LocalError, match="MAIL cannot be sent"):
        lines_of(Envelope(Address("ann", ""), (Recipient(ANN),)), CONTENT, BARE, False)
