"""The handler of a connection that has none."""

from __future__ import annotations

from posthouse.net.stream import Stream

__all__ = ["Nobody"]


class Nobody:
    """The handler of a connection without one: its factory has raised, or the connection has ended."""

    def connected(self, stream: Stream) -> None:
        """End the connection: there is no handler for it."""
        stream.abort()

    def data_received(self, data: bytes) -> None:
        """Ignored."""

    def eof_received(self) -> None:
        """Ignored."""

    def pause_writing(self) -> None:
        """Ignored."""

    def resume_writing(self) -> None:
        """Ignored."""

    def disconnected(self, error: Exception | None) -> None:
        """Ignored."""
