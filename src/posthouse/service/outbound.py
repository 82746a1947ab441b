"""Sending without a daemon and without a queue to a server that is named: one message, or a load of them.

Nothing is kept here.  Whoever calls hears an outcome for each recipient and decides; what was deferred is not tried
again.  ``service.direct`` does the same without a server.
"""

from __future__ import annotations

from typing import Final

from posthouse.client import Timeouts
from posthouse.client.load import Load, Plan
from posthouse.client.submit import ServerAddress, submit
from posthouse.net import SocketNetwork, SystemClock
from posthouse.protocol import Transcript
from posthouse.protocol.grammar import GrammarError, parse_mailbox
from posthouse.service.names import machine_name
from posthouse.words import Address, Bytes, Content, Envelope, Outcome, Recipient, SettingError

__all__ = ["PATIENCE", "filler", "measure", "to_server"]

#: Somebody is watching: shorter than what a relay allows, and still within reason for a busy server (seconds).
PATIENCE: Final = Timeouts(connect=30.0, greeting=60.0, command=60.0, data=120.0, block=180.0, final=600.0, quit=2.0)


async def to_server(
    server: ServerAddress, envelope: Envelope, content: Content, *, transcript: Transcript | None = None
) -> tuple[Outcome, ...]:
    """Hand the message to ``server``.  Raises as ``client.submit``."""
    return await submit(
        server,
        envelope,
        content,
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname=machine_name(),
        timeouts=PATIENCE,
        transcript=transcript,
    )


def measure(
    server: ServerAddress,
    *,
    sender: str,
    recipient: str,
    recipients: int,
    size: int,
    messages: int,
    connections: int,
    reconnect: bool,
) -> Load:
    """A load of ``messages`` equal messages of ``size`` octets, ready to run.  With several ``recipients`` they are
    numbered: ``sink-1@…``.  Raises ``SettingError`` for an address that is none."""
    writer, reader = _mailbox(sender, "--from"), _mailbox(recipient, "--to")
    readers = (
        [reader]
        if recipients == 1
        else [Address(f"{reader.local}-{number}", reader.domain) for number in range(1, recipients + 1)]
    )
    content = Bytes(filler(str(writer), str(reader), size))
    plan = Plan(Envelope(writer, tuple(map(Recipient, readers))), content, messages, connections, reconnect)
    return Load(server, plan, network=SocketNetwork(), clock=SystemClock(), hostname=machine_name(), timeouts=PATIENCE)


def _mailbox(text: str, where: str) -> Address:
    try:
        return parse_mailbox(text)
    except GrammarError as error:
        raise SettingError(f'"{text}" is no mailbox: {error}', where=where, remedy="write user@domain") from error


def filler(sender: str, recipient: str, size: int) -> bytes:
    """A message of ``size`` octets, or of its header fields if that is more: lines of printable ASCII."""
    head = f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: a measurement\r\n\r\n".encode()
    line = b"All that travels here is counted, and nobody reads it: 0123456789 ABCDEF\r\n"
    wanted = size - len(head)
    if wanted < 2:
        return head
    body = line * (wanted // len(line))
    rest = wanted - len(body)
    if rest == 1:  # no room for a line end of its own: the last line but one gives up an octet
        return head + body[: -len(line)] + line[:-3] + line[-2:] + b"\r\n"
    return head + body + (line[: rest - 2] + b"\r\n" if rest else b"")
