"""The file of the built-in accounts: one of its own in the data directory, with no password in it.

Of each password it keeps SCRAM keys for SHA-256 and SHA-1 (RFC 5803) and an Argon2id hash (RFC 9106): with neither can
anybody log in, and each mechanism of ``protocol.sasl`` but CRAM-MD5 can be served.  The file is SQLite's, separate from
the spool, so that a backup of mail holds no accounts.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from posthouse.core import SettingError, StorageCorrupt, StorageError
from posthouse.protocol.sasl import NotPrepared, ScramKeys, derive_keys, prepare, read_keys, write_keys
from posthouse.service.accounts.private_file import MadeNote, make_private_file
from posthouse.service.accounts.store import is_address
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = [
    "Account",
    "AccountFile",
    "SCRAM_ITERATIONS",
    "StoredAccount",
    "VERSION",
    "compared",
    "decoy_secret",
    "stored_row",
]

#: Also to be used for the challenge of an unknown account, which must look like any other.
SCRAM_ITERATIONS: Final = 10_000
#: The format of the file.
VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE account (
    name       TEXT PRIMARY KEY,
    sha256     TEXT NOT NULL,
    sha1       TEXT NOT NULL,
    argon2     TEXT NOT NULL,
    identities TEXT NOT NULL,
    active     INTEGER NOT NULL,
    made       REAL NOT NULL,
    changed    REAL NOT NULL
) STRICT
"""


class Account(NamedTuple):
    """An account without its secrets: as whom it may send, whether it may log in, when it was made and its password was
    last set (Unix time)."""

    name: str
    identities: tuple[str, ...]
    active: bool
    made: float
    changed: float


class StoredAccount(NamedTuple):
    """What is stored of an account, with its secrets."""

    sha256: str
    sha1: str
    argon2: str
    identities: tuple[str, ...]
    active: bool

    def __repr__(self) -> str:
        return f"StoredAccount(identities={self.identities!r}, active={self.active})"  # logs show repr


class AccountFile:
    """The file, for reading and changing accounts; each call opens it for itself, so that all processes see a change at
    once.  Methods take milliseconds, and those that set or check a password some 50.

    Raises ``StorageError`` if the file cannot be read or written.
    """

    def __init__(self, data_dir: str | Path) -> None:
        self.path = Path(data_dir) / "accounts.sqlite3"
        meanwhile = (
            "While that file is missing, logins are answered 454,\n"
            "and no account can be made. To begin without accounts, remove this note too."
        )
        self.noted = MadeNote(self.path, "accounts", meanwhile)

    def note(self) -> None:
        """Note beside the file that it has been made, where it was made without a note."""
        self.noted.write()

    def loss(self) -> str:
        """The sentence about a file that was there once and is missing or empty now; "" otherwise, also for a file
        that cannot be read.  Logins are answered 454 meanwhile."""
        return self.noted.loss()

    # -- changes -------------------------------------------------------------------------------------------------------

    def add(self, name: str, password: str, identities: Sequence[str], now: float) -> Account:
        """Make an account.  Raises ``SettingError`` if it exists, or if its name or password cannot be one."""
        name, stored = _prepared_name(name), _stored(password)
        identities = tuple(identities) or _own_identities(name)
        with self._open(make=True) as file:
            for (other,) in file.execute("SELECT name FROM account"):
                if other != name and other.casefold() == name.casefold():
                    raise SettingError(
                        f"there is an account {other} already, which people would take for this one",
                        remedy="choose a name that differs in more than case",
                    )
            try:
                file.execute(
                    "INSERT INTO account VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
                    (name, *stored, "\n".join(identities), now, now),
                )
            except sqlite3.IntegrityError as error:
                raise SettingError(
                    f"there is an account {name} already", remedy="change its password with: posthouse user passwd"
                ) from error
        return Account(name, identities, True, now, now)

    def set_password(self, name: str, password: str, now: float) -> None:
        """Set an account's password.  Raises ``SettingError`` if there is no such account."""
        sha256, sha1, argon2 = _stored(password)
        self._change(name, "sha256 = ?, sha1 = ?, argon2 = ?, changed = ?", (sha256, sha1, argon2, now))

    def set_identities(self, name: str, identities: Sequence[str]) -> None:
        """Set as whom an account may send; none named: as its own name, as ``add`` does."""
        self._change(name, "identities = ?", ("\n".join(identities or _own_identities(compared(name))),))

    def set_active(self, name: str, active: bool) -> None:
        """Let an account log in, or no longer."""
        self._change(name, "active = ?", (int(active),))

    def remove(self, name: str) -> None:
        """Remove an account.  Raises ``SettingError`` if there is no such account."""
        with self._open() as file:
            if not file.execute("DELETE FROM account WHERE name = ?", (compared(name),)).rowcount:
                raise _unknown(name)

    def _change(self, name: str, assignment: str, values: tuple[object, ...]) -> None:
        with self._open() as file:
            changed = file.execute(
                f"UPDATE account SET {assignment} WHERE name = ?",
                (*values, compared(name)),
            )
            if not changed.rowcount:
                raise _unknown(name)

    # -- questions -----------------------------------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """All accounts by name."""
        with self._open() as file:
            rows = file.execute("SELECT name, identities, active, made, changed FROM account ORDER BY name")
            return [_account(row) for row in rows]

    def find(self, name: str) -> Account | None:
        """One account."""
        with self._open() as file:
            row = file.execute(
                "SELECT name, identities, active, made, changed FROM account WHERE name = ?", (compared(name),)
            ).fetchone()
            return None if row is None else _account(row)

    def keys(self, name: str, hash_name: str) -> ScramKeys | None:
        """The SCRAM keys of an account that may log in."""
        return self.keys_in(self.stored(name), hash_name)

    def keys_in(self, stored: StoredAccount | None, hash_name: str) -> ScramKeys | None:
        """The SCRAM keys in what is stored of an account, if it may log in."""
        if stored is None or not stored.active:
            return None
        try:
            return read_keys({"sha256": stored.sha256, "sha1": stored.sha1}[hash_name])
        except ValueError as error:
            raise StorageCorrupt(f"{self.path}: the keys of an account cannot be read ({error})") from error

    def stored(self, name: str) -> StoredAccount | None:
        """What is stored of an account."""
        with self._open() as file:
            return stored_row(file, name)

    def check(self, name: str, password: str) -> bool:
        """Whether this is the password of an account that may log in; takes as long for one that does not exist."""
        decoy = _decoy()  # made before anything else, so that the first unknown account costs no more than a known one
        stored = self.stored(name)
        active = stored is not None and stored.active
        right = _argon2_matches(compared(password), decoy if stored is None or not active else stored.argon2)
        return right and active

    # -- the file ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _open(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        known = self.noted.known()
        try:
            found = self.path.exists()
        except OSError as error:  # a directory that this user may not search
            raise StorageError(f"{self.path} cannot be used: {error.strerror}") from error
        if not found:
            if known:
                raise StorageError(self.noted.lost("missing"))
            if not make:
                with _no_accounts() as empty:
                    yield empty
                return
            make_private_file(self.path)
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=5, isolation_level=None)) as file:
                file.execute("PRAGMA synchronous = FULL")
                file.execute("BEGIN IMMEDIATE" if make else "BEGIN")
                version = file.execute("PRAGMA user_version").fetchone()[0]
                if version == 0 and not file.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                    # Nothing was ever written into it, or all was taken out of it.
                    if known:
                        raise StorageError(self.noted.lost("empty"))
                    if not make:
                        with _no_accounts() as empty:
                            yield empty
                        return
                    file.execute(_SCHEMA)
                    file.execute(f"PRAGMA user_version = {VERSION}")
                elif version == 0:
                    raise StorageError(f"{self.path} is not a file of accounts; put the right one back")
                elif version != VERSION:
                    raise StorageError(f"{self.path} has format {version}; this Posthouse reads {VERSION}")
                yield file
                file.execute("COMMIT")
                self.noted.seen = True
        except sqlite3.OperationalError as error:
            raise StorageError(f"{self.path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StorageCorrupt(f"{self.path} is damaged: {error}") from error
        self.noted.write()


@contextlib.contextmanager
def _no_accounts() -> Iterator[sqlite3.Connection]:
    """A file in memory without accounts, for questions before the first one is made."""
    with contextlib.closing(sqlite3.connect(":memory:")) as empty:
        empty.execute(_SCHEMA)
        yield empty


# Names and passwords --------------------------------------------------------------------------------------------------


def _account(row: tuple[str, str, int, float, float]) -> Account:
    name, identities, active, made, changed = row
    return Account(name, tuple(filter(None, identities.split("\n"))), bool(active), made, changed)


def stored_row(file: sqlite3.Connection, name: str) -> StoredAccount | None:
    """What is stored of an account.  All rows are fetched, so that no lock is left."""
    query = "SELECT sha256, sha1, argon2, identities, active FROM account WHERE name = ?"
    for sha256, sha1, argon2, identities, active in file.execute(query, (compared(name),)).fetchall():
        return StoredAccount(sha256, sha1, argon2, tuple(filter(None, identities.split("\n"))), bool(active))
    return None


def _unknown(name: str) -> SettingError:
    return SettingError(f"there is no account {name}", remedy="see: posthouse user list")


def _own_identities(name: str) -> tuple[str, ...]:
    """The identities of an account for which none are named."""
    return (name,) if is_address(name) else ()


def _prepared_name(name: str) -> str:
    try:
        prepared = prepare(name, new=True)
    except NotPrepared as error:
        raise SettingError(f"this cannot be an account's name: {error}", remedy="choose another name") from error
    if not prepared or len(prepared.encode()) > 255:
        raise SettingError("an account's name has 1 to 255 octets", remedy="choose another name")
    if prepared != prepared.strip():
        raise SettingError("an account's name does not begin or end with a space", remedy="choose another name")
    return prepared


def compared(text: str) -> str:
    """A name or password as it was stored; one that could not have been stays as it is, and matches nothing."""
    try:
        return prepare(text)
    except NotPrepared:
        return text


def _stored(password: str) -> tuple[str, str, str]:
    """What is kept of a password: SCRAM keys for SHA-256 and SHA-1, and the Argon2id hash."""
    if not password or len(password.encode()) > 1_024:
        raise SettingError("a password has 1 to 1,024 octets", remedy="choose another password")
    try:
        prepared = prepare(password, new=True)
    except NotPrepared as error:
        raise SettingError(f"this cannot be a password: {error}", remedy="choose another password") from error
    if not prepared:
        raise SettingError("nothing of this password is left when it is prepared", remedy="choose another password")
    sha256, sha1 = (
        write_keys(derive_keys(prepared, secrets.token_bytes(16), SCRAM_ITERATIONS, each))
        for each in ("sha256", "sha1")
    )
    return sha256, sha1, _argon2_of(prepared)


def _argon2_of(password: str) -> str:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    # The settings with the least memory that OWASP's list has: 19 MiB, two passes, one lane; some 20 ms.
    hashed = Argon2id(salt=secrets.token_bytes(16), length=32, iterations=2, lanes=1, memory_cost=19_456)
    return hashed.derive_phc_encoded(password.encode())


def _argon2_matches(password: str, stored: str) -> bool:
    from cryptography.exceptions import InvalidKey
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        Argon2id.verify_phc_encoded(password.encode(), stored)
    except InvalidKey:
        return False
    return True


_DECOYS: Final[list[str]] = []


def _decoy() -> str:
    """A hash that no password has been stored with, so that an unknown account costs what a known one does."""
    if not _DECOYS:
        _DECOYS.append(_argon2_of(secrets.token_hex(16)))
    return _DECOYS[0]


def decoy_secret(data_dir: str | Path) -> bytes:
    """Octets that stay the same for this data directory: unknown accounts get their salts from them.

    They are those of a file that is made at the first call, readable by its owner alone.
    """
    path = Path(data_dir) / "accounts.decoy"
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        leave_to_owner(str(path), descriptor)
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
    return hmac.digest(path.read_bytes().ljust(32, b"\0"), b"posthouse unknown accounts", hashlib.sha256)
