"""Transport ``spool:``: the local daemon's queue, durable also while the daemon is down.

    spool:                          the daemon of this machine (``whereabouts`` says where it is looked for)
    spool:/var/lib/posthouse        the daemon with this ``data_dir``, or this maildrop
    spool:?key=invoice-7            a message that the daemon takes once, however often it is sent

The result's ``queue_id`` is the daemon's, or, while none runs, the id under which the message waits in the maildrop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, unquote

from posthouse.core import Content, Envelope, Handover, Outcome, Reply, Result, SettingError
from posthouse.message.headers import fields as fields_of
from posthouse.message.headers import first, split
from posthouse.sending.results import SendResult
from posthouse.service.maildrop.held_message import submit
from posthouse.service.maildrop.maildrop import Maildrop
from posthouse.service.maildrop.whereabouts import find_maildrop, maildrop_named

__all__ = ["AsyncSpoolTransport", "SpoolTransport"]

_HEAD: Final = 65_536  # octets that are searched for the Message-ID
_LONGEST_KEY: Final = 1_000


class SpoolTransport:
    """Leaves messages for the daemon.  May be shared by threads.

    Args:
        url: ``spool:`` with a directory or without one, and the parameter ``key``.
        patience: Seconds to wait for the queue id; the message is durable before.

    ``deliver`` raises ``StorageError`` if nothing was stored.  Raises ``SettingError`` for a wrong URL, and where there
    is no maildrop.
    """

    def __init__(self, url: str = "spool:", *, patience: float = 10.0) -> None:
        self._patience = patience
        place, _, query = url.partition(":")[2].partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True))
        self._key = given.pop("key", "")
        if given:
            raise SettingError(f"spool: has no parameter {next(iter(given))}", where=url, remedy="there is key")
        if len(self._key) > _LONGEST_KEY:
            raise SettingError(f"the key is longer than {_LONGEST_KEY} characters", where="spool:", remedy="hash it")
        directory = unquote(place.removeprefix("//"))
        if directory and not os.path.isabs(directory):
            remedy = "write spool:/var/lib/posthouse, or spool: alone"
            raise SettingError(f"spool: needs the whole path of a directory, not {directory}", where=url, remedy=remedy)
        self._maildrop = maildrop_named(directory) if directory else _found(find_maildrop)

    def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        """Leave one message; delivered means that it is on stable storage."""
        return self.deliver_within(envelope, content, None, False)

    def deliver_within(
        self, envelope: Envelope, content: Content, seconds: float | None, transcript: object
    ) -> SendResult:
        """``deliver``; the queue id is waited for no longer than ``seconds``.  There is no dialogue to record."""
        largest = self._maildrop.terms().max_message_size
        if largest and content.size > largest:
            reply = Reply(552, "5.3.4", f"Message too large; the daemon takes {largest} octets at most")
            return SendResult(Outcome(each, Result.FAILED, reply, reply.text) for each in envelope.recipients)
        left = submit(
            self._maildrop,
            envelope,
            content,
            message_id=_message_id(content),
            key=self._key,
            patience=self._patience if seconds is None else min(self._patience, seconds),
        )
        text = f"Ok: queued as {left.id}" if left.queue_id else f"Ok: waits for the daemon as {left.id}"
        reply = Reply(250, "2.0.0", text)
        outcomes = [
            Outcome(each, Result.DELIVERED, reply, text, self._maildrop.path, Handover.TAKEN)
            for each in envelope.recipients
        ]
        return SendResult(outcomes, queue_id=left.id)


class AsyncSpoolTransport:
    """``SpoolTransport`` for an event loop: a thread writes and waits."""

    def __init__(self, url: str = "spool:", *, patience: float = 10.0) -> None:
        self._blocking = SpoolTransport(url, patience=patience)

    async def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        """``SpoolTransport.deliver``, awaited.  A message whose caller is cancelled is sent all the same."""
        return await self.deliver_within(envelope, content, None, False)

    async def deliver_within(
        self, envelope: Envelope, content: Content, seconds: float | None, transcript: object
    ) -> SendResult:
        """``SpoolTransport.deliver_within``, awaited."""
        return await asyncio.to_thread(self._blocking.deliver_within, envelope, content, seconds, transcript)


def _found(find: Callable[[], Maildrop]) -> Maildrop:
    try:
        return find()
    except ModuleNotFoundError as error:
        remedy = "name its data_dir or maildrop, spool:/DIR, or install the daemon: pip install 'posthouse[daemon]'"
        raise SettingError(
            f"reading the daemon's configuration needs {error.name}", where="spool:", remedy=remedy
        ) from error


def _message_id(content: Content) -> str:
    """The Message-ID in the content's header section with its angle brackets, "" without one."""
    beginning = next(content.chunks(_HEAD), b"")
    found = first(fields_of(split(beginning, _HEAD).headers), b"message-id")
    if found is None:
        return ""
    value = found.value
    if not value.isascii() or not value.startswith(b"<") or not value.endswith(b">"):
        return ""
    return value.decode()
