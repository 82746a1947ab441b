"""Simulated loss of power: the part of a spool's directory that survives if the machine stops at a given act.

``PowerLoss`` is a ``Durable`` that does the real acts and records what must survive:

* the octets of a file, as of its last ``sync``;
* a directory entry (made, renamed, removed), after the ``sync_directory`` of its directory; a rename is atomic, as on
  file systems with a journal, and is durable after a sync of either directory;
* the database, as of the last ``commit`` that returned.

``image(directory)`` writes the files that a machine finds after a loss of power now.  Without ``random`` all that was
not synced is lost; with it, each unsynced entry and octet survives by chance, and files may be cut anywhere.

**Not simulated** is SQLite's own writing.  Its documentation of WAL is taken as true: when COMMIT returns, the frames
of the transaction are written; the sync that follows (``Durable.sync_log``) makes them durable; a torn frame is found
by its checksum.  The last of these is tested: ``during_commit`` asks for an image between the writing of a commit and
its sync, in which the log ends, torn, within the transaction.  Owner files are left out: their locks end with the
machine, and their content is not read.

    durable = PowerLoss(data_dir / "spool", after=lambda act: durable.image(elsewhere / str(act)))
    spool = SqliteSpool(data_dir, durable=durable)

Acts are serialised; ``after`` is called at the end of each act, in the thread that did it.
"""

from __future__ import annotations

import os
import random as random_module
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from posthouse.spool.sqlite.storage.durability import Durable

__all__ = ["PowerLoss"]

_LOG = "-wal"


class _File:
    """One file: its written octets, and how many of them are durable."""

    __slots__ = ("octets", "safe")

    def __init__(self, octets: bytes = b"") -> None:
        self.octets = bytearray(octets)
        self.safe = len(octets)


class _Change:
    """One change of directories that is not durable yet: the path ``gone`` is removed, ``what`` appears at ``come``."""

    __slots__ = ("come", "gone", "what")

    def __init__(self, gone: str | None, come: str | None, what: _File | None) -> None:
        self.gone = gone
        self.come = come
        self.what = what

    def touches(self, directory: str) -> bool:
        return any(path is not None and os.path.dirname(path) == directory for path in (self.gone, self.come))

    def apply(self, entries: dict[str, _File | None]) -> None:
        what = entries.pop(self.gone, None) if self.gone is not None else None
        if self.come is not None:
            entries[self.come] = self.what or what


class PowerLoss(Durable):
    """The real acts in ``root`` (a spool's directory; what is there already is safe), remembered.

    ``after`` is called behind each act with the number of acts so far, ``during_commit`` before a commit returns,
    when its frames are written and not synced; either may call ``image``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        after: Callable[[int], None] | None = None,
        during_commit: Callable[[int], None] | None = None,
    ) -> None:
        self.acts = 0
        self._root = os.path.abspath(root)
        self._after = after
        self._during_commit = during_commit
        self._turn = threading.RLock()
        self._open: dict[int, _File] = {}
        self._named: dict[str, _File] = {}  # by the name it has now, safe or not
        self._entries: dict[str, _File | None] = {}  # what is safe; None for a directory
        self._changes: list[_Change] = []
        self._database: dict[str, bytes] = {}  # name: octets, of the database and its log
        self._adopt()

    def _adopt(self) -> None:
        if not os.path.isdir(self._root):
            return
        self._entries[self._root] = None
        for directory, directories, files in os.walk(self._root):
            for name in directories:
                self._entries[os.path.join(directory, name)] = None
            for name in files:
                path = os.path.join(directory, name)
                if directory == self._root:
                    self._database[path] = Path(path).read_bytes()
                elif os.path.basename(directory) != "owners":
                    self._entries[path] = self._named[path] = _File(Path(path).read_bytes())

    # -- the acts --------------------------------------------------------------------------------------------------

    def _done(self) -> None:
        self.acts += 1
        if self._after is not None:
            self._after(self.acts)

    def make_directory(self, path: str) -> None:
        with self._turn:
            super().make_directory(path)
            self._changes.append(_Change(None, path, None))
            self._done()

    def open_temp(self, path: str) -> int:
        with self._turn:
            descriptor = super().open_temp(path)
            file = self._open[descriptor] = self._named[path] = _File()
            self._changes.append(_Change(None, path, file))
            self._done()
            return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        with self._turn:
            super().write(descriptor, data)
            self._open[descriptor].octets += data
            self._done()

    def sync(self, descriptor: int) -> None:
        with self._turn:
            super().sync(descriptor)
            file = self._open[descriptor]
            file.safe = len(file.octets)
            self._done()

    def rename(self, old: str, new: str) -> None:
        with self._turn:
            super().rename(old, new)
            file = self._named[new] = self._named.pop(old)
            self._changes.append(_Change(old, new, file))
            self._done()

    def sync_directory(self, path: str) -> None:
        with self._turn:
            super().sync_directory(path)
            path = os.path.abspath(path)
            # What made an entry that is renamed here is made safe with it.
            settled = [change for change in self._changes if change.touches(path)]
            names = {change.gone for change in settled}
            for change in self._changes:
                if change in settled or change.come in names:
                    change.apply(self._entries)
            self._changes = [change for change in self._changes if change not in settled and change.come not in names]
            self._done()

    def unlink(self, path: str) -> None:
        with self._turn:
            super().unlink(path)
            if self._named.pop(path, None) is not None:
                self._changes.append(_Change(path, None, None))
            self._done()

    def commit(self, connection: sqlite3.Connection, sql: str = "COMMIT", values: Sequence[object] = ()) -> None:
        with self._turn:
            before = self._database
            super().commit(connection, sql, values)
            path = next(path for _, name, path in connection.execute("PRAGMA database_list") if name == "main")
            after = {name: Path(name).read_bytes() for name in (path, path + _LOG) if os.path.exists(name)}
            if self._during_commit is not None:
                self._database = _torn(before, after, path)
                self._during_commit(self.acts + 1)
            self._database = after
            self._done()

    # -- what survives ---------------------------------------------------------------------------------------------

    def image(self, directory: str | os.PathLike[str], random: random_module.Random | None = None) -> None:
        """Write to ``directory``, which must not exist, what is left if the power fails now."""
        with self._turn:
            entries = dict(self._entries)
            for change in self._changes:
                if random is not None and random.random() < 0.5:
                    change.apply(entries)
            os.makedirs(directory)
            if self._root not in entries:
                return
            for path, file in sorted(entries.items()):
                place = self._place(directory, path)
                if os.path.dirname(path) not in entries and path != self._root:
                    continue  # an entry of a directory that is not there itself
                if file is None:
                    os.makedirs(place, 0o700, exist_ok=True)
                else:
                    Path(place).write_bytes(file.octets[: _survive(file, random)])
            for path, octets in self._database.items():
                Path(self._place(directory, path)).write_bytes(octets)

    def _place(self, directory: str | os.PathLike[str], path: str) -> str:
        return os.path.join(directory, os.path.relpath(path, self._root))


def _survive(file: _File, random: random_module.Random | None) -> int:
    return file.safe if random is None else random.randint(file.safe, len(file.octets))


def _torn(before: dict[str, bytes], after: dict[str, bytes], path: str) -> dict[str, bytes]:
    """The database while its last transaction is written: the log has half of what it added.

    Where the log began anew (a checkpoint had emptied it), its old octets lie behind the new ones, as on a disk.
    """
    old, new = before.get(path + _LOG, b""), after.get(path + _LOG, b"")
    database = before.get(path)
    if database is None:  # it is being made; without a log there is nothing yet
        return before
    if new.startswith(old):
        cut = len(old) + (len(new) - len(old)) // 2
        log = new[:cut]
    else:
        same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        changed_end = len(new)
        while changed_end > same and new[changed_end - 1 : changed_end] == old[changed_end - 1 : changed_end]:
            changed_end -= 1
        cut = same + (changed_end - same) // 2
        log = new[:cut] + old[cut:]
    # A checkpoint within the commit comes behind its sync: the database is as it was.
    return {path: database, path + _LOG: log}
