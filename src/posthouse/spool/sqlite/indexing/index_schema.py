"""Tables of the mail index, and how connections to them are opened.

``mail`` has narrow rows, so that a list of 50 reads some pages of the file; ``mail_text`` has the text of each, behind
the full-text index ``words``.  ``place`` says which mailboxes a message is in.  ``member`` is derived from ``place``,
``label`` and ``mail``: the messages of each view, by number, so that a page of any view is one step in a tree.  ``box``
has the counts of the views, kept by the statements that change ``member`` (``index_writes``).

The full-text index has the trigrams of the text without their positions (``detail = column``): it gives candidates,
and ``mail_text`` decides.  So any part of a word is found, in any language; a pair of Chinese characters is found by a
trigram that is added to the text for it (``pairs_of``).

The log is synced at checkpoints only (``synchronous = NORMAL``).  A crash of the machine may lose the last changes,
which are then made again from the spool; of read marks and tags the last seconds may be missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import urllib.parse
from typing import Final

from posthouse.core import StorageError
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["INDEX_FORMAT", "MAIL_COLUMNS", "TEXT_COLUMNS", "open_index", "open_index_reader", "pairs_of"]

INDEX_FORMAT: Final = 1
MAIL_COLUMNS: Final = (
    *("id", "queue", "received", "size", "unread", "sender", "author", "author_address", "recipients", "subject"),
    *("preview", "message_id", "date", "attachments", "html", "login", "source", "envelope"),
)
TEXT_COLUMNS: Final = ("author", "people", "subject", "body", "head", "html")
_PATIENCE: Final = 10.0  # seconds
_TABLES: Final = (
    """CREATE TABLE mail (
        id INTEGER PRIMARY KEY, queue TEXT NOT NULL, received REAL NOT NULL, size INTEGER NOT NULL,
        unread INTEGER NOT NULL DEFAULT 1, sender TEXT NOT NULL, author TEXT NOT NULL, author_address TEXT NOT NULL,
        recipients TEXT NOT NULL, subject TEXT NOT NULL, preview TEXT NOT NULL, message_id TEXT NOT NULL,
        date REAL NOT NULL, attachments INTEGER NOT NULL, html INTEGER NOT NULL, login TEXT NOT NULL,
        source TEXT NOT NULL, envelope TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX mail_queue ON mail (queue)",
    "CREATE INDEX mail_unread ON mail (id) WHERE unread = 1",
    "CREATE INDEX mail_message_id ON mail (message_id) WHERE message_id <> ''",
    """CREATE TABLE place (
        number INTEGER PRIMARY KEY, mail INTEGER NOT NULL, inbox TEXT NOT NULL, domain TEXT NOT NULL,
        deletion INTEGER)""",
    "CREATE INDEX place_mail ON place (mail)",
    "CREATE INDEX place_inbox ON place (inbox, number)",
    "CREATE INDEX place_deletion ON place (deletion) WHERE deletion IS NOT NULL",
    "CREATE TABLE label (mail INTEGER NOT NULL, view TEXT NOT NULL, PRIMARY KEY (mail, view)) WITHOUT ROWID",
    "CREATE TABLE member (view TEXT NOT NULL, mail INTEGER NOT NULL, PRIMARY KEY (view, mail)) WITHOUT ROWID",
    "CREATE INDEX member_mail ON member (mail)",
    """CREATE TABLE box (
        view TEXT PRIMARY KEY, messages INTEGER NOT NULL, unread INTEGER NOT NULL, octets INTEGER NOT NULL)
        WITHOUT ROWID""",
    "CREATE INDEX box_empty ON box (view) WHERE messages <= 0",
    """CREATE TABLE deletion (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL, messages INTEGER NOT NULL,
        final REAL NOT NULL)""",
    "CREATE TABLE reach (last INTEGER NOT NULL)",
    "INSERT INTO reach VALUES (0)",
    f"CREATE TABLE mail_text (id INTEGER PRIMARY KEY, {', '.join(f'{each} TEXT NOT NULL' for each in TEXT_COLUMNS)})",
    f"""CREATE VIRTUAL TABLE words USING fts5({", ".join(TEXT_COLUMNS)}, content = 'mail_text', content_rowid = 'id',
        tokenize = 'trigram', detail = column, columnsize = 0)""",
)
#: What conditions without text ask for, so that a search reads 20 octets of a message in place of its row.
_FLAGS: Final = "CREATE INDEX IF NOT EXISTS mail_flags ON mail (id, unread, attachments, size, received)"
_CJK: Final = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]{2,}")
_MOST_PAIRS: Final = 20_000


def pairs_of(*texts: str) -> str:
    """What is added to a text so that pairs of its ideographs and syllables are found: each pair behind U+0001."""
    found: dict[str, None] = {}
    for text in texts:
        for match in _CJK.finditer(text):
            run = match[0]
            found.update(dict.fromkeys(run[at : at + 2] for at in range(len(run) - 1)))
            if len(found) > _MOST_PAIRS:
                break
    return "".join(f"\x01{pair}" for pair in found)


def open_index(path: str) -> sqlite3.Connection:
    """A connection for reading and writing, whichever thread uses it; the tables are made if there are none.

    Raises ``StorageError`` if a newer version wrote it.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        leave_to_owner(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("BEGIN IMMEDIATE")
        version = _format_of(connection, path)
        if version == 0:
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {INDEX_FORMAT}")
        connection.execute(_FLAGS)  # an older file may be without it
        connection.execute("COMMIT")
        connection.execute("CREATE TEMP TABLE chosen (mail INTEGER PRIMARY KEY)")
    except BaseException:
        connection.close()
        raise
    return connection


def open_index_reader(path: str) -> sqlite3.Connection:
    """A connection that only reads, whichever thread uses it."""
    uri = f"file:{urllib.parse.quote(path)}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_PATIENCE)
    try:
        connection.execute("PRAGMA mmap_size = 1073741824")
        connection.execute("PRAGMA cache_size = -16384")
        _format_of(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _format_of(connection: sqlite3.Connection, path: str) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > INDEX_FORMAT:
        raise StorageError(
            f"the mail index {path} was written by a newer Posthouse (format {version}, this one knows {INDEX_FORMAT});"
            " run the newer version, or delete the file, which is then made again"
        )
    return int(version)
