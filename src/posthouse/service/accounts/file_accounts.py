"""The built-in store of accounts: looks into the account file at once, and checks passwords in threads."""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from posthouse.protocol.sasl import ScramKeys
from posthouse.service.accounts.account_file import VERSION, AccountFile, StoredAccount, compared, stored_row
from posthouse.service.accounts.store import AccountStore

__all__ = ["FileAccounts"]

#: Password checks at one time: each takes 19 MiB and a core.
_CHECKS: Final = 2
#: Right passwords that are remembered, and for how many seconds.
_REMEMBERED: Final = 10_000
_REMEMBERED_SECONDS: Final = 600.0
#: Rows that are kept as long as the file does not change.
_ROWS: Final = 1_000
#: Nanoseconds that the file must have stayed the same before its rows are kept: two changes within one tick of the
#: kernel's clock, at most 10 ms, leave the same times.
_SETTLED: Final = 1_000_000_000


class _KeptOpen:
    """The file, open for reading as long as it is the same file: a look takes some 20 µs, and never waits.

    What was read is kept as long as the file's times, size and place stay the same; a look takes 2 µs then.  Of a file
    in SQLite's WAL mode nothing is kept: a change is in another file at first.  Posthouse does not set that mode, but
    backup tools do.  Raises ``sqlite3.Error`` or ``OSError`` where a look is not possible now, in another thread for
    example, or while an account is being written.
    """

    def __init__(self, path: Path, time_ns: Callable[[], int]) -> None:
        self._path = path
        self._time_ns = time_ns
        self._file: sqlite3.Connection | None = None
        self._which = (0, 0)
        self._rows: OrderedDict[str, StoredAccount | None] = OrderedDict()
        self._rows_of = (0, 0, 0, 0, 0)  # the state of the file that the rows are of

    def stored(self, name: str) -> StoredAccount | None:
        """What is stored of an account."""
        found = os.stat(self._path)
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if state != self._rows_of:
            self._rows.clear()
            self._rows_of = state
        elif name in self._rows:
            return self._rows[name]
        if self._file is None or self._which != state[:2]:
            self.close()
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            file = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
            if file.execute("PRAGMA user_version").fetchall() != [(VERSION,)]:
                file.close()
                raise sqlite3.DatabaseError("another format")
            self._file, self._which = file, state[:2]
        row = stored_row(self._file, name)
        settled = self._time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > _SETTLED
        # The mode is asked for behind the read, which has looked into the file's header.
        if settled and self._file.execute("PRAGMA journal_mode").fetchall() != [("wal",)]:
            self._rows[name] = row
            if len(self._rows) > _ROWS:
                self._rows.popitem(last=False)
        return row

    def close(self) -> None:
        """Close it; the next look opens it again."""
        self._rows.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


class _RightPasswords:
    """Passwords that were right within the last ten minutes, as keyed digests in the memory of this process.

    A program that logs in for each message need not pay 30 ms each time.  The digest covers the stored hash, so a
    changed password is a new one at once; wrong passwords are never remembered and always cost the whole check.
    """

    def __init__(self, stopwatch: Callable[[], float]) -> None:
        self._stopwatch = stopwatch
        self._key = secrets.token_bytes(32)
        self._digests: dict[str, tuple[bytes, float]] = {}  # by account, the oldest first

    def knows(self, name: str, stored: str, password: str) -> bool:
        """Whether this password was right, with this hash."""
        digest, until = self._digests.get(name, (b"", 0.0))
        return self._stopwatch() < until and hmac.compare_digest(digest, self._digest(stored, password))

    def add(self, name: str, stored: str, password: str) -> None:
        """Remember a password that is right."""
        self._digests.pop(name, None)
        if len(self._digests) >= _REMEMBERED:
            del self._digests[next(iter(self._digests))]
        self._digests[name] = self._digest(stored, password), self._stopwatch() + _REMEMBERED_SECONDS

    def _digest(self, stored: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{stored}\0{compared(password)}".encode("utf-8", "surrogatepass"), "sha256")


class FileAccounts(AccountStore):
    """``AccountFile`` as the store of a server: password checks are done in threads, two at a time."""

    mechanisms = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN")
    identities_seconds = 0.0  # a change counts at once

    def __init__(
        self,
        file: AccountFile,
        stopwatch: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._file = file
        self._kept = _KeptOpen(file.path, time_ns)
        self._checks = asyncio.Semaphore(_CHECKS)
        self._right = _RightPasswords(stopwatch)

    def is_right(self, user: str, password: str) -> bool:
        stored = self._stored_now(user)
        return stored is not None and stored.active and self._right.knows(user, stored.argon2, password)

    def identities_now(self, user: str) -> Sequence[str] | None:
        stored = self._stored_now(user)
        return stored.identities if stored is not None and stored.active else None

    async def check_password(self, user: str, password: str) -> bool:
        stored = await self._stored(user)
        active = stored is not None and stored.active
        if stored is not None and active and self._right.knows(user, stored.argon2, password):
            return True
        async with self._checks:
            if stored is not None and active and self._right.knows(user, stored.argon2, password):
                return True  # another session has logged in meanwhile
            right = await asyncio.to_thread(self._file.check, user, password)
        if right and stored is not None and active:
            self._right.add(user, stored.argon2, password)
        return right

    async def find_keys(self, user: str, hash_name: str) -> ScramKeys | None:
        return self._file.keys_in(await self._stored(user), hash_name)

    async def knows(self, user: str) -> bool:
        return await self._stored(user) is not None

    async def identities(self, user: str) -> Sequence[str] | None:
        stored = await self._stored(user)
        return stored.identities if stored is not None and stored.active else None

    def _stored_now(self, user: str) -> StoredAccount | None:
        """What is stored of an account; also None where a look would take time."""
        try:
            row = self._kept.stored(user)
        except (sqlite3.Error, OSError):
            return None
        self._file.noted.seen = True
        return row

    async def _stored(self, user: str) -> StoredAccount | None:
        """What is stored of an account: looked up at once, or in a thread where that takes time."""
        try:
            row = self._kept.stored(user)
        except (sqlite3.Error, OSError):
            return await asyncio.to_thread(self._file.stored, user)
        self._file.noted.seen = True
        return row

    async def close(self) -> None:
        self._kept.close()
