"""Who may use the console: accounts with the operator flag, accounts and API tokens that see some inboxes only, and the
sessions of those who have logged in.

They stand in a file of their own in the data directory, readable by its owner alone, beside accounts of any kind: the
password is the account store's business, and the flag is ours.  Of tokens and sessions only SHA-256 digests are kept;
both are 32 random octets, which a digest protects without a slow hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from posthouse.core import SettingError, StorageCorrupt, StorageError
from posthouse.service.accounts.account_file import compared
from posthouse.service.accounts.private_file import MadeNote, make_private_file

__all__ = ["ApiToken", "OperatorFile"]

_PREFIX: Final = "ph_"
_SESSIONS: Final = 10_000
_FORMAT: Final = 2
_MOST_VIEWS: Final = 100
_SCHEMA: Final = """
CREATE TABLE operator (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE token (name TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, read_only INTEGER NOT NULL, made REAL NOT NULL)
    STRICT;
CREATE TABLE session (digest BLOB PRIMARY KEY, account TEXT NOT NULL, until REAL NOT NULL) STRICT;
CREATE TABLE access (kind TEXT NOT NULL, name TEXT NOT NULL, view TEXT NOT NULL, PRIMARY KEY (kind, name, view)) STRICT;
"""


class ApiToken(NamedTuple):
    """An API token without its secret: its name, whether it may only read, when it was made (Unix time), and the views
    of the inboxes that it is limited to; None if it is not."""

    name: str
    read_only: bool
    made: float
    views: tuple[str, ...] | None = None


class OperatorFile:
    """The file; each call opens it for itself, so that all processes see a change at once.

    Raises ``StorageError`` if the file cannot be read or written.
    """

    def __init__(self, data_dir: str | Path) -> None:
        self.path = Path(data_dir) / "operators.sqlite3"
        meanwhile = (
            "While that file is missing,\n"
            "nobody can log in to the console. To begin without them, remove this note too."
        )
        self._noted = MadeNote(self.path, "operators and tokens", meanwhile)

    def note(self) -> None:
        """Note beside the file that it has been made, where it was made without a note."""
        self._noted.write()

    def loss(self) -> str:
        """The sentence about a file that was there once and is missing or empty now; "" otherwise.  Nobody can log in
        to the console meanwhile."""
        return self._noted.loss()

    def refuse_lost(self) -> None:
        """Raise ``StorageError`` if the file is lost: before a change elsewhere that needs one here too."""
        if lost := self.loss():
            raise StorageError(lost)

    # -- operators -----------------------------------------------------------------------------------------------------

    def operators(self) -> list[str]:
        """The names of the accounts with the flag."""
        with self._open() as file:
            return [name for (name,) in file.execute("SELECT name FROM operator ORDER BY name")]

    def is_operator(self, account: str) -> bool:
        """Whether an account has the flag."""
        with self._open() as file:
            found = file.execute("SELECT 1 FROM operator WHERE name = ?", (compared(account),)).fetchone()
            return found is not None

    def set_operator(self, account: str, flag: bool) -> None:
        """Set an account's flag, or take it away; its sessions end then."""
        name = compared(account)
        with self._open(make=True) as file:
            if flag:
                file.execute("INSERT OR IGNORE INTO operator VALUES (?)", (name,))
            else:
                file.execute("DELETE FROM operator WHERE name = ?", (name,))
                file.execute("DELETE FROM session WHERE account = ?", (name,))

    # -- access to some inboxes ----------------------------------------------------------------------------------------

    def views_of(self, account: str) -> tuple[str, ...] | None:
        """What an account sees of the inboxes: None for everything (an operator), nothing without access."""
        with self._open() as file:
            name = compared(account)
            if file.execute("SELECT 1 FROM operator WHERE name = ?", (name,)).fetchone() is not None:
                return None
            return _views(file, "account", name)

    def set_views(self, account: str, views: Sequence[str]) -> None:
        """Let an account see these views of the inboxes and nothing else of the console; without any, it gets in no
        longer.  Raises ``SettingError`` for an operator, who sees everything, and for too many views."""
        name = compared(account)
        with self._open(make=True) as file:
            if views and file.execute("SELECT 1 FROM operator WHERE name = ?", (name,)).fetchone() is not None:
                raise SettingError(
                    f"{account} is an operator, who sees every inbox",
                    remedy=f"take the flag away first: posthouse user operator {account} --no",
                )
            _set_views(file, "account", name, views)
            if not views:
                file.execute("DELETE FROM session WHERE account = ?", (name,))

    def limited(self) -> dict[str, tuple[str, ...]]:
        """The accounts that see some inboxes only, with their views."""
        with self._open() as file:
            rows = file.execute("SELECT DISTINCT name FROM access WHERE kind = 'account' ORDER BY name").fetchall()
            return {name: _views(file, "account", name) for (name,) in rows}

    # -- tokens --------------------------------------------------------------------------------------------------------

    def tokens(self) -> list[ApiToken]:
        """The tokens by name."""
        with self._open() as file:
            rows = file.execute("SELECT name, read_only, made FROM token ORDER BY name").fetchall()
            return [
                ApiToken(name, bool(read_only), made, _views(file, "token", name) or None)
                for name, read_only, made in rows
            ]

    def add_token(self, name: str, *, read_only: bool, now: float, views: Sequence[str] = ()) -> str:
        """Make a token, limited to these views of the inboxes if there are any; the returned text is the token, and is
        kept nowhere.  Raises ``SettingError``."""
        if not name.strip() or len(name) > 100 or not name.isprintable():
            raise SettingError("a token's name has 1 to 100 printable characters", remedy="choose another name")
        text = _PREFIX + secrets.token_urlsafe(32)
        with self._open(make=True) as file:
            try:
                file.execute("INSERT INTO token VALUES (?, ?, ?, ?)", (name, _digest(text), int(read_only), now))
                _set_views(file, "token", name, views)
            except sqlite3.IntegrityError as error:
                raise SettingError(
                    f"there is a token {name} already", remedy="choose another name, or remove that one"
                ) from error
        return text

    def remove_token(self, name: str) -> ApiToken:
        """Remove a token.  Raises ``SettingError`` if there is none of this name."""
        found = next((each for each in self.tokens() if each.name == name), None)
        if found is None:
            raise SettingError(f"there is no token {name}", remedy="see: posthouse user token-list")
        with self._open(make=True) as file:
            file.execute("DELETE FROM token WHERE name = ?", (name,))
            file.execute("DELETE FROM access WHERE kind = 'token' AND name = ?", (name,))
        return found

    def token(self, text: str) -> ApiToken | None:
        """The token that has this text."""
        if not text.startswith(_PREFIX) or len(text) > 100:
            return None
        with self._open() as file:
            row = file.execute("SELECT name, read_only, made FROM token WHERE digest = ?", (_digest(text),)).fetchone()
            return (
                None if row is None else ApiToken(row[0], bool(row[1]), row[2], _views(file, "token", row[0]) or None)
            )

    # -- sessions ------------------------------------------------------------------------------------------------------

    def begin_session(self, account: str, *, now: float, until: float) -> str:
        """Begin a session; returns its secret.  Ended ones are removed, and the oldest beyond 10,000."""
        text = secrets.token_urlsafe(32)
        with self._open(make=True) as file:
            file.execute("DELETE FROM session WHERE until <= ?", (now,))
            file.execute(
                "DELETE FROM session WHERE digest IN"
                " (SELECT digest FROM session ORDER BY until DESC LIMIT -1 OFFSET ?)",
                (_SESSIONS - 1,),
            )
            file.execute("INSERT INTO session VALUES (?, ?, ?)", (_digest(text), compared(account), until))
        return text

    def session(self, text: str, now: float) -> str | None:
        """The account of a session that lasts, while the account has the flag, or access to an inbox."""
        if not text or len(text) > 100:
            return None
        with self._open() as file:
            row = file.execute(
                "SELECT account FROM session WHERE digest = ? AND until > ? AND (account IN (SELECT name FROM operator)"
                " OR account IN (SELECT name FROM access WHERE kind = 'account'))",
                (_digest(text), now),
            ).fetchone()
            return None if row is None else str(row[0])

    def end_session(self, text: str) -> None:
        """End a session."""
        with self._open(make=True) as file:
            file.execute("DELETE FROM session WHERE digest = ?", (_digest(text),))

    def end_sessions_of(self, account: str) -> None:
        """End all sessions of an account: whoever took one of them has it no longer."""
        if self.path.exists() or self.loss():
            with self._open(make=True) as file:
                file.execute("DELETE FROM session WHERE account = ?", (compared(account),))

    # -- the file ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _open(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        self.refuse_lost()
        if not self.path.exists():
            if not make:
                with contextlib.closing(sqlite3.connect(":memory:")) as empty:
                    empty.executescript(_SCHEMA)
                    yield empty
                return
            make_private_file(self.path)
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=5, isolation_level=None)) as file:
                file.execute("BEGIN IMMEDIATE" if make else "BEGIN")
                if file.execute("PRAGMA user_version").fetchone()[0] < _FORMAT:
                    for statement in _SCHEMA.split(";")[:-1]:
                        file.execute(statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))
                    file.execute(f"PRAGMA user_version = {_FORMAT}")
                yield file
                file.execute("COMMIT")
                self._noted.seen = True
        except sqlite3.IntegrityError:
            raise
        except sqlite3.OperationalError as error:
            raise StorageError(f"{self.path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StorageCorrupt(f"{self.path} is damaged: {error}") from error
        self._noted.write()


def _views(file: sqlite3.Connection, kind: str, name: str) -> tuple[str, ...]:
    rows = file.execute("SELECT view FROM access WHERE kind = ? AND name = ? ORDER BY view", (kind, name))
    return tuple(view for (view,) in rows.fetchall())


def _set_views(file: sqlite3.Connection, kind: str, name: str, views: Sequence[str]) -> None:
    if len(views) > _MOST_VIEWS:
        raise SettingError(f"there are {len(views)} inboxes", remedy=f"name at most {_MOST_VIEWS}")
    file.execute("DELETE FROM access WHERE kind = ? AND name = ?", (kind, name))
    file.executemany("INSERT OR IGNORE INTO access VALUES (?, ?, ?)", [(kind, name, view) for view in views])


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
