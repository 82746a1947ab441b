"""The tables, and how a connection to them is opened.

``message`` holds a message with its content, behind all columns that are read often, so that reading those leaves the
overflow pages alone; the queue id's number is the row key, so new rows go to the right end and finished ones leave
from the left.  ``recipient`` holds one row for each recipient, ``ready`` being the time at which it may be leased: its
due time, or, while leased, the end of the lease; one index on (destination, ready) thus serves retry and lease expiry.
``destination`` has the least ``ready`` of each destination with waiting recipients, so that a destination that is
skipped costs one step however many recipients wait for it.

A message that is leased by the process that stored it, all its recipients going to one destination, or each to its
own domain (``destination`` is "" then), is *fresh*: its lease lies in its own row (``until`` is not null) and it has no
recipient rows.  Most mail is settled a moment later, and then its whole life was one insert and one delete.  Anything
else that happens to it *expands* it first.

``story`` has the beginning of each message's history, ``event`` the later events (``history_store`` says how); a fresh
message has none until it is settled or expanded, as its row has all of it (``told`` is its ``Origin``).  ``tally``
counts them, in about.  ``audit`` is what operators did; ``death`` counts the workers that died over a message.

``address`` is the recipient's address; where aliases, lists or moved mailboxes led to it, their addresses follow, each
on a line of its own.  ``recipients`` of ``story`` likewise has, behind an empty line, the other addresses that the
client named.  So both are found by what the sender wrote.

``meta`` has what the spool knows of itself: its ``kind``, that is whose mail it holds (``ownership``).

For questions (``query``) a recipient's row repeats what is asked of its message, so that nothing is joined, and
``recipient_ready`` ends with ``received``, so that it alone answers how many wait where and for how long; held ones
have an index of their own, which costs waiting ones nothing.  (``state`` ends both, at one octet: SQLite 3.40 reads
each row otherwise, only to see it.)

``file`` names the content files that are promised, each with its size and the *prefix* that is served in front of it:
octets that were known only when the file had been written.  ``PRAGMA user_version`` is the schema's number.

Chosen by measurement (4 KiB messages, groups of 20, store and settle, one thread, no other load): pages of 4 KiB gave
32,000-38,000 messages a second, 8 KiB 27,000, 16 KiB 24,000, 32 KiB 19,000.  The interval between checkpoints made
little difference from 1,000 to 16,000 pages; 2,000 keeps the log near 8 MiB and the longest stall, with nothing
settled, below 30 ms.  The index on ``until`` cost less than the noise.
"""

from __future__ import annotations

import os
import sqlite3
import time
import urllib.parse

from posthouse.core import SettingError
from posthouse.spool.sqlite.storage.durability import WalConnection

__all__ = [
    "HISTORIES",
    "HISTORY_COLUMNS",
    "MESSAGE_COLUMNS",
    "META",
    "RECIPIENT",
    "RECIPIENT_COLUMNS",
    "RECIPIENT_INDICES",
    "VERSION",
    "connect",
    "connect_readers",
    "create",
    "refuse_newer",
]

VERSION = 5

#: The columns of three tables, in their order, which is that of the rows that are inserted.
MESSAGE_COLUMNS = (
    *("id", "until", "slot", "owner", "due", "destination", "received", "size", "source", "recipients"),
    *("head", "content", "told"),
)
RECIPIENT_COLUMNS = (
    *("message", "nth", "destination", "state", "attempts", "due", "ready", "slot", "owner", "last", "received"),
    *("size", "sender", "address", "route", "warned", "token"),
)
HISTORY_COLUMNS = ("id", "sender", "recipients", "message_id", "told")

_PAGE = 4096
_CHECKPOINT = 2000  # pages
_LOG_LIMIT = 64 << 20  # a log that once grew beyond this (a long reader) is cut back
_CACHE_KIB = 16 << 10
_MAPPED = 4 << 30
_PATIENCE = 10.0  # seconds
_STATEMENTS = 512  # prepared statements kept; multi-row statements have one for each number of rows

RECIPIENT = """CREATE TABLE recipient (
    message INTEGER NOT NULL, nth INTEGER NOT NULL, destination TEXT NOT NULL, state INTEGER NOT NULL,
    attempts INTEGER NOT NULL, due REAL NOT NULL, ready REAL NOT NULL, slot INTEGER, owner TEXT NOT NULL,
    last TEXT NOT NULL, received REAL NOT NULL, size INTEGER NOT NULL, sender TEXT NOT NULL, address TEXT NOT NULL,
    route TEXT NOT NULL DEFAULT '', warned INTEGER NOT NULL DEFAULT 0, token INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (message, nth)) WITHOUT ROWID"""
RECIPIENT_INDICES = (
    "CREATE INDEX recipient_ready ON recipient (destination, ready, received, state) WHERE state = 0",
    "CREATE INDEX recipient_slot ON recipient (slot) WHERE slot IS NOT NULL",
    "CREATE INDEX recipient_held ON recipient (destination, received, state) WHERE state = 1",
)
HISTORIES = (
    """CREATE TABLE story (
        id INTEGER PRIMARY KEY, sender TEXT NOT NULL, recipients TEXT NOT NULL, message_id TEXT NOT NULL,
        told BLOB NOT NULL)""",
    """CREATE TABLE event (
        message INTEGER NOT NULL, serial INTEGER NOT NULL, told BLOB NOT NULL, PRIMARY KEY (message, serial))
        WITHOUT ROWID""",
    "CREATE TABLE tally (what TEXT PRIMARY KEY, rows INTEGER NOT NULL, octets INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO tally VALUES ('story', 0, 0)",
    """CREATE TABLE audit (
        number INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, act TEXT NOT NULL, filter TEXT NOT NULL,
        target TEXT NOT NULL, count INTEGER NOT NULL)""",
    "CREATE TABLE death (message INTEGER PRIMARY KEY, deaths INTEGER NOT NULL)",
)
META = "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_TABLES = (
    """CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        until REAL, slot INTEGER, owner TEXT, due REAL, destination TEXT,
        received REAL NOT NULL, size INTEGER NOT NULL, source TEXT NOT NULL, recipients INTEGER NOT NULL,
        head TEXT NOT NULL, content BLOB, told TEXT)""",
    "CREATE INDEX message_fresh ON message (until) WHERE until IS NOT NULL",
    RECIPIENT,
    *RECIPIENT_INDICES,
    "CREATE TABLE destination (name TEXT PRIMARY KEY, ready REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX destination_ready ON destination (ready)",
    "CREATE TABLE file (id INTEGER PRIMARY KEY, size INTEGER NOT NULL, prefix BLOB NOT NULL DEFAULT x'')",
    "CREATE TABLE corrupt (message INTEGER PRIMARY KEY, reason TEXT NOT NULL)",
    "CREATE TABLE finished (message INTEGER PRIMARY KEY, at REAL NOT NULL)",
    "CREATE INDEX finished_at ON finished (at)",
    """CREATE TABLE inbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, message TEXT NOT NULL, sender TEXT NOT NULL,
        received REAL NOT NULL, size INTEGER NOT NULL, file INTEGER, content BLOB)""",
    "CREATE UNIQUE INDEX inbox_once ON inbox (message, name)",
    "CREATE INDEX inbox_name ON inbox (name)",
    META,
    *HISTORIES,
)


def connect(path: str, *, shared: bool = True) -> sqlite3.Connection:
    """A connection for reading and writing, for the calling thread alone; transactions are begun by hand.

    It waits some seconds where another process has the file, as it may while one opens or closes it.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, cached_statements=_STATEMENTS, timeout=_PATIENCE, factory=WalConnection
    )
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        _use_log(connection)
        # NORMAL: Durable.commit syncs the log, without the lock.
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if shared else 'FULL'}")
        # Debian builds overwrite deleted rows with zeros; that doubles what a finished message writes.
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_log(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log.

    Two processes that do this to a new file at once would each wait for the other to stop reading, so SQLite turns one
    of them away without waiting: the patience of its connection does not count here.  The other needs a moment.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.005)


def _connect_read_only(path: str, *, mapped: bool = False) -> sqlite3.Connection:
    """A connection that only reads, whichever thread uses it; its users take turns.

    ``mapped`` reads the file through memory: for searches, which read much of it once.
    """
    name = urllib.parse.quote(path)
    # An existing log must be read with it; without one, a directory we may not write in can still be read.
    immutable = not os.path.exists(f"{path}-wal") and not os.access(os.path.dirname(path), os.W_OK)
    uri = f"file:{name}?mode=ro" + ("&immutable=1" if immutable else "")
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
    if mapped:
        connection.execute(f"PRAGMA mmap_size = {_MAPPED}")
    return connection


def connect_readers(path: str) -> tuple[sqlite3.Connection, sqlite3.Connection, sqlite3.Connection]:
    """The connections of a reader, for listings, for searches and for content.

    Raises ``SettingError`` if this version cannot read the file.
    """
    listing = _connect_read_only(path)
    try:
        version = refuse_newer(listing, path)
        if not version:
            raise SettingError(
                "the database has no tables: its -wal is missing, or no daemon has used it yet",
                where=path,
                remedy=f"restore {os.path.basename(path)}-wal beside it, or start the daemon once",
            )
        if version < VERSION:
            raise SettingError(
                "the spool was written by an older Posthouse, and is brought up to date when a daemon opens it",
                where=path,
                remedy="start the daemon once",
            )
        return listing, _connect_read_only(path, mapped=True), _connect_read_only(path)
    except BaseException:
        listing.close()
        raise


def refuse_newer(connection: sqlite3.Connection, path: str) -> int:
    """The schema's number in this file, 0 if it is empty.  Raises ``SettingError`` if it is newer than ours."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise SettingError(
            f"the spool was written by a newer Posthouse (format {version}, this one knows {VERSION})",
            where=path,
            remedy="run the newer version, or use another data_dir",
        )
    return int(version)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables, within the caller's transaction."""
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
