"""Operations: what the event loop hands to the writer's thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from posthouse.core import AttemptTrace, StorageError
from posthouse.spool.history import Origin
from posthouse.spool.model import Lease, Settlement
from posthouse.spool.sqlite.storage.schema import MESSAGE_COLUMNS

__all__ = ["Accept", "Call", "NewMessage", "Op", "RecordAttempt"]

_ID: Final = MESSAGE_COLUMNS.index("id")


class Op:
    """One operation on its way through the writer.  ``future`` gets ``result`` or ``error``.

    ``fresh``: a fresh message comes, or one is settled for good, and nothing else is done.
    """

    __slots__ = ("check", "error", "finished", "fresh", "future", "octets", "refused", "result")

    def __init__(self, future: asyncio.Future[Any], octets: int = 0, *, fresh: bool = False) -> None:
        self.future = future
        self.fresh = fresh
        self.octets = octets
        self.result: Any = None
        self.error: StorageError | None = None
        #: Called on the loop when it is decided, with success or not, before the future is.
        self.finished: Callable[[bool], None] | None = None
        #: Called on the loop when it is committed: what is wrong with a file that the rows promise, or "".
        self.check: Callable[[], str] | None = None
        #: Called on the loop when it has failed, before the future has its exception.
        self.refused: Callable[[], object] | None = None


class Call(Op):
    """An operation that is a function of the connection, within the group's transaction."""

    __slots__ = ("function",)

    def __init__(self, future: asyncio.Future[Any], function: Callable[[sqlite3.Connection], Any]) -> None:
        super().__init__(future)
        self.function = function


class NewMessage(NamedTuple):
    """A message's rows: ``row`` for ``message``; ``recipients`` unless it is fresh, and then the beginning of its
    ``story``; ``file`` the content file's size, and the prefix in front of it, if content is in a file."""

    row: tuple[Any, ...]
    recipients: Sequence[tuple[Any, ...]] = ()
    file: tuple[int, bytes] | None = None
    history: tuple[Any, ...] | None = None

    @property
    def number(self) -> int:
        """The number of its queue id."""
        return int(self.row[_ID])


class Accept(Op):
    """Store a message."""

    __slots__ = ("new",)

    def __init__(self, future: asyncio.Future[Any], new: NewMessage, result: object, octets: int) -> None:
        fresh = not new.recipients and new.file is None and new.history is None
        super().__init__(future, octets, fresh=fresh)
        self.new = new
        self.result = result


class RecordAttempt(Op):
    """Record an attempt; ``fresh`` if, as far as the loop knows, it settles a fresh message, or its part of one, for
    good, and nothing else."""

    __slots__ = ("arrival", "at", "files", "number", "reports", "settlements", "trace", "work")

    def __init__(
        self,
        future: asyncio.Future[Any],
        number: int,
        work: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage],
        fresh: bool,
        *,
        at: float,
        trace: AttemptTrace | None,
        arrival: Origin | None,
    ) -> None:
        super().__init__(future, fresh=fresh)
        self.at = at
        self.trace = trace
        self.arrival = arrival  # of a fresh one
        self.number = number
        self.work = work
        self.settlements = settlements
        self.reports = reports
        self.files: list[int] = []
