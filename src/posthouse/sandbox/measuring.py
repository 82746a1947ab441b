"""A load of equal messages for a server that is named, sent without a daemon and without a queue, and measured.

Apart from ``sending.defaults``, because one letter must not pay for what counts many.
"""

from __future__ import annotations

from posthouse.client.hostname import machine_name
from posthouse.core import Address, Bytes, Envelope, Recipient, SettingError
from posthouse.net import SocketNetwork, SystemClock
from posthouse.protocol.grammar import GrammarError, parse_mailbox
from posthouse.sandbox.load import Load, LoadPlan
from posthouse.sending.defaults import PATIENCE
from posthouse.sending.urls import ServerAddress

__all__ = ["filler", "measure"]


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
    ahead: int = 0,
) -> Load:
    """A load of ``messages`` equal messages of ``size`` octets, ready to run.  With several ``recipients`` they are
    numbered: ``sink-1@…``; ``ahead`` messages stand in line in each session.  Raises ``SettingError`` for an address
    that is none."""
    writer, reader = _mailbox(sender, "--from"), _mailbox(recipient, "--to")
    readers = (
        [reader]
        if recipients == 1
        else [Address(f"{reader.local}-{number}", reader.domain) for number in range(1, recipients + 1)]
    )
    content = Bytes(filler(str(writer), str(reader), size))
    plan = LoadPlan(Envelope(writer, tuple(map(Recipient, readers))), content, messages, connections, reconnect, ahead)
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
