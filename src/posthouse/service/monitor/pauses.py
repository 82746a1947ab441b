"""Pauses: destinations for which operators have stopped attempts, until a time or until they are resumed.

They are kept in ``paused.json`` in ``data_dir``, which is replaced as a whole and synced, so that a restart keeps them;
each worker process reads the file again when it is told so.  Attempts that are under way when a pause begins are
finished.  Mail stays in the queue and grows older; it is given up, if it is too old, by the first attempt afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from posthouse.core import SettingError
from posthouse.net import Clock, Timer

__all__ = [
    "DestinationPause",
    "MOST_PAUSES",
    "PAUSED_FILE",
    "PauseKeeper",
    "PausedTable",
    "read_pauses",
    "write_pauses",
]

PAUSED_FILE: Final = "paused.json"
#: The most destinations that may be paused at one time.
MOST_PAUSES: Final = 1_000


class DestinationPause(Struct, frozen=True, kw_only=True):
    """A pause of one destination: since when (``at``) and ``until`` when (None: until it is resumed), both in calendar
    seconds; who asked for it, and ``why``."""

    destination: str
    at: float
    until: float | None
    who: str
    why: str = ""


class PausedTable(Protocol):
    """What leases no mail for destinations that are paused: the relay's table of destinations."""

    def pause(self, names: Iterable[str]) -> None:
        """Lease mail for no others than were leased before and are not among these."""
        ...


def read_pauses(data_dir: str, now: float) -> dict[str, DestinationPause]:
    """The pauses that have not ended, by destination.  Raises ``SettingError`` for a file that is damaged."""
    path = os.path.join(data_dir, PAUSED_FILE)
    try:
        with open(path, "rb") as file:
            found = msgspec.json.decode(file.read(), type=list[DestinationPause])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        remedy = "remove the file, which ends all pauses, or repair it"
        raise SettingError(f"the pauses cannot be read: {error}", where=path, remedy=remedy) from error
    return {each.destination: each for each in found if each.until is None or each.until > now}


def write_pauses(data_dir: str, pauses: Mapping[str, DestinationPause]) -> None:
    """Replace the file, and return when it is on stable storage.  Raises ``SettingError``."""
    path = os.path.join(data_dir, PAUSED_FILE)
    fresh = f"{path}.new"
    try:
        with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(msgspec.json.format(msgspec.json.encode(list(pauses.values()))))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
        directory = os.open(data_dir, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise SettingError(
            f"the pauses cannot be written: {error.strerror or error}", where=path, remedy="see its directory"
        ) from error


class PauseKeeper:
    """The pauses of one worker process, put into force.

    Args:
        table: is told the destinations that are paused.
        on_problem: is called with a sentence about a file that cannot be read.
    """

    def __init__(self, data_dir: str, clock: Clock, table: PausedTable, on_problem: Callable[[str], object]) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._table = table
        self._on_problem = on_problem
        self._timer: Timer | None = None
        #: The pauses in force, by destination.
        self.current: Mapping[str, DestinationPause] = {}

    def load(self) -> None:
        """Read the file, and put what it says into force; pauses that have ended are over."""
        self.stop()
        now = self._clock.time()
        try:
            self.current = read_pauses(self._data_dir, now)
        except SettingError as error:
            self._on_problem(str(error))
            return
        self._table.pause(self.current)
        ends = [each.until for each in self.current.values() if each.until is not None]
        if ends:
            self._timer = self._clock.call_later(max(0.1, min(ends) - now), self.load)

    def stop(self) -> None:
        """End no pause by time any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
