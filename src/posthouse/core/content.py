"""Message content: octets with CRLF line ends, in memory or in storage, read in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol, runtime_checkable

__all__ = ["AsyncContent", "Bytes", "Content", "Prefixed"]


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


class Bytes:
    """Content held in memory."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        if len(self.data) <= at_most:
            if self.data:
                yield self.data
            return
        for start in range(0, len(self.data), at_most):
            yield self.data[start : start + at_most]


class Prefixed:
    """Content with a prefix, for example trace fields; the content is not copied."""

    __slots__ = ("content", "prefix")

    def __init__(self, prefix: bytes, content: Content) -> None:
        self.prefix = prefix
        self.content = content

    @property
    def size(self) -> int:
        """Length in octets, the prefix included."""
        return len(self.prefix) + self.content.size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The octets in order; the prefix shares a chunk with as much of the content as fits."""
        prefix = self.prefix
        while len(prefix) >= at_most:
            yield prefix[:at_most]
            prefix = prefix[at_most:]
        rest = self.content.chunks(at_most - len(prefix))
        first = prefix + next(rest, b"")
        if first:
            yield first
        yield from rest
