"""``memory:``: messages stay in this process, for tests of programs that send.

    posthouse.send(message, via="memory:")
    assert posthouse.sending.memory().messages[-1].envelope.recipients

``memory:NAME`` is a box of its own.  A box keeps the last 1,000 messages.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from posthouse.core import Content, Envelope, Outcome, Reply, Result
from posthouse.sending.results import SendResult

if TYPE_CHECKING:
    from posthouse.message.reading import ReadMessage

__all__ = ["MemoryTransport", "SentMessage", "memory", "memory_transport"]

_MOST: Final = 1_000
_KEPT: Final = Reply(250, "2.0.0", "kept in memory")


class SentMessage(NamedTuple):
    """A message that was sent: its envelope, and its octets as they would have left."""

    envelope: Envelope
    content: bytes

    def read(self) -> ReadMessage:
        """The message, read."""
        from posthouse.message.reading import read_octets

        return read_octets(self.content)


class MemoryTransport:
    """A box of messages.  Threads may share it."""

    def __init__(self) -> None:
        self._messages: deque[SentMessage] = deque(maxlen=_MOST)
        self._count = 0
        self._lock = threading.Lock()

    @property
    def messages(self) -> list[SentMessage]:
        """The last 1,000 messages, the newest last."""
        with self._lock:
            return [*self._messages]

    def clear(self) -> None:
        """Forget the messages."""
        with self._lock:
            self._messages.clear()

    def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        """Keep the message; every recipient is *delivered*."""
        message = SentMessage(envelope, b"".join(content.chunks()))
        with self._lock:
            self._messages.append(message)
            self._count += 1
            number = self._count
        outcomes = [Outcome(each, Result.DELIVERED, _KEPT, "kept in memory", "memory") for each in envelope.recipients]
        return SendResult(outcomes, queue_id=str(number))


class _Boxes:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, MemoryTransport] = {}

    def get(self, name: str) -> MemoryTransport:
        with self._lock:
            return self._by_name.setdefault(name, MemoryTransport())


_boxes: Final = _Boxes()


def memory(name: str = "") -> MemoryTransport:
    """The box of ``memory:NAME``; it is made at its first use and lives as long as the process."""
    return _boxes.get(name)


def memory_transport(url: str) -> MemoryTransport:
    """The box that a URL names."""
    return memory(url.strip().partition(":")[2].strip("/"))
