"""The forms in which a caller may have a message, as types; ``outgoing`` takes them.

Apart from it, because mypyc compiles no protocol that ``isinstance`` may ask for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import IO, Any, Protocol, runtime_checkable

from posthouse.core import Address, Envelope

__all__ = ["EnvelopeLike", "MessageLike", "OutgoingMessage", "ReadableFile", "StandardMessage", "StreamedMessage"]


@runtime_checkable
class OutgoingMessage(Protocol):
    """A composed message: its envelope, and its octets with CRLF line ends and without Bcc."""

    @property
    def envelope(self) -> Envelope:
        """Sender and recipients."""
        ...

    def as_bytes(self) -> bytes:
        """The octets of the message."""
        ...


class StreamedMessage(Protocol):
    """A message that writes itself in chunks."""

    @property
    def size(self) -> int:
        """Length in octets."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The octets in order."""
        ...


class _ComposedMessage(Protocol):
    """What ``posthouse.compose`` returns."""

    @property
    def envelope(self) -> Envelope: ...

    @property
    def content(self) -> bytes: ...


class _Octets(Protocol):
    """A message that has been read, for example."""

    def as_bytes(self) -> bytes: ...


class StandardMessage(Protocol):
    """``email.message.Message`` and ``EmailMessage``; ``email`` is not imported for their sake."""

    policy: Any

    def as_bytes(self, unixfrom: bool = False, policy: Any = None) -> bytes: ...

    def get_all(self, name: str, failobj: Any = None) -> Any: ...


class ReadableFile(Protocol):
    """A file that is open for reading octets."""

    def read(self, size: int = -1, /) -> bytes: ...


#: What can be sent.  A ``str`` is none of them: it could be text or a path.
MessageLike = (
    OutgoingMessage
    | bytes
    | bytearray
    | memoryview
    | os.PathLike[str]
    | IO[bytes]
    | StandardMessage
    | _ComposedMessage
    | _Octets
    | ReadableFile
)
#: An envelope, or a pair of the sender's address (None or "" for the null reverse-path) and those of the recipients.
EnvelopeLike = Envelope | tuple[str | Address | None, str | Address | Iterable[str | Address]]
