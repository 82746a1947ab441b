"""Message content: octets with CRLF line ends, in memory (``core.content_in_memory``) or in storage, read in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol, runtime_checkable

__all__ = ["AsyncContent", "Content"]


@runtime_checkable
class Content(Protocol):
    """The content of one message, not dot-stuffed.  Reading does not change it, and may be repeated."""

    @property
    def size(self) -> int:
        """Length in octets."""
        ...

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The octets in order, in chunks of at most ``at_most`` octets; no chunk if the content is empty."""
        ...


@runtime_checkable
class AsyncContent(Protocol):
    """The content of one message in storage that must not be read in the event loop.  Reading may be repeated."""

    @property
    def size(self) -> int:
        """Length in octets."""
        ...

    def stream(self, at_most: int = 262_144) -> AsyncIterator[bytes]:
        """The octets in order, in chunks of at most ``at_most`` octets; no chunk if the content is empty."""
        ...
