"""Record of a connection that several calls use one after another: each has its own part of the dialogue."""

from __future__ import annotations

from posthouse.core import Phase, Reply
from posthouse.sending.connection.dialogue_record import DialogueRecord

__all__ = ["PooledRecord"]


class PooledRecord(DialogueRecord):
    """Passes everything on to the record of the call that uses the connection now."""

    def __init__(self, current: DialogueRecord) -> None:
        #: The record of the call.
        self.current = current

    def said(self, wire: bytes) -> None:
        self.current.said(wire)

    def heard(self, reply: Reply) -> None:
        self.current.heard(reply)

    @property
    def tail(self) -> tuple[str, ...]:
        return self.current.tail

    def take(self) -> tuple[str, ...]:
        return self.current.take()

    @property
    def last_reply(self) -> Reply | None:
        return self.current.last_reply

    @property
    def opening_phase(self) -> Phase:
        return self.current.opening_phase
