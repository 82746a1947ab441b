"""Changes of the mail index in SQL, each a function of a connection within the caller's transaction.

Every change has the same three steps for the messages that it ``chosen``: their counts are taken off the views that
they are in, the change is made and their views derived anew, and their counts are added to these views.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence

from posthouse.spool.mail_index import Deletion, MailDigest
from posthouse.spool.model import InboxMessage
from posthouse.spool.sqlite.indexing.index_schema import MAIL_COLUMNS, TEXT_COLUMNS, pairs_of

__all__ = ["add", "clear", "delete", "forget", "mark", "reached", "tag", "undo"]

_INSERT_MAIL = f"INSERT INTO mail VALUES ({','.join('?' * len(MAIL_COLUMNS))})"
_INSERT_TEXT = f"INSERT OR REPLACE INTO mail_text VALUES ({','.join('?' * (1 + len(TEXT_COLUMNS)))})"
_TEXTS = ", ".join(TEXT_COLUMNS)
_COUNT = """INSERT INTO box
    SELECT member.view, {sign}count(*), {sign}sum(mail.unread), {sign}sum(mail.size)
    FROM chosen CROSS JOIN member INDEXED BY member_mail ON member.mail = chosen.mail
        CROSS JOIN mail ON mail.id = chosen.mail
    WHERE true GROUP BY member.view
    ON CONFLICT (view) DO UPDATE SET messages = messages + excluded.messages, unread = unread + excluded.unread,
        octets = octets + excluded.octets"""
_SUBTRACT, _ADD = _COUNT.format(sign="-"), _COUNT.format(sign="")
_SHOWN = "FROM chosen CROSS JOIN place ON place.mail = chosen.mail WHERE place.deletion IS NULL"
_DERIVE = (
    "DELETE FROM member WHERE mail IN (SELECT mail FROM chosen)",
    f"INSERT OR IGNORE INTO member SELECT place.inbox, place.mail {_SHOWN}",
    f"INSERT OR IGNORE INTO member SELECT '@' || place.domain, place.mail {_SHOWN} AND place.domain <> ''",
    f"INSERT OR IGNORE INTO member SELECT '', place.mail {_SHOWN}",
    """INSERT OR IGNORE INTO member SELECT 'login:' || mail.login, mail.id
        FROM chosen CROSS JOIN mail ON mail.id = chosen.mail
        WHERE mail.login <> '' AND EXISTS (SELECT 1 FROM member WHERE view = '' AND mail = chosen.mail)""",
    """INSERT OR IGNORE INTO member SELECT label.view, label.mail
        FROM chosen CROSS JOIN label ON label.mail = chosen.mail
        WHERE EXISTS (SELECT 1 FROM member WHERE view = '' AND mail = chosen.mail)""",
)


@contextlib.contextmanager
def _changing(connection: sqlite3.Connection, mails: Iterable[int]) -> Iterator[list[int]]:
    """The three steps, with the change in the middle, which gets the numbers of the messages; ``mails`` may name some
    that are made by the change."""
    connection.execute("DELETE FROM chosen")
    # A number may be that of a further place of its message.
    connection.executemany(
        "INSERT OR IGNORE INTO chosen SELECT coalesce((SELECT mail FROM place WHERE number = ?1), ?1)",
        [(each,) for each in mails],
    )
    connection.execute(_SUBTRACT)
    yield [mail for (mail,) in connection.execute("SELECT mail FROM chosen ORDER BY mail").fetchall()]
    for statement in _DERIVE:
        connection.execute(statement)
    connection.execute(_ADD)
    connection.execute("DELETE FROM box WHERE messages <= 0")


def reached(connection: sqlite3.Connection) -> int:
    """The number of the last place that is indexed."""
    return int(connection.execute("SELECT last FROM reach").fetchone()[0])


def clear(connection: sqlite3.Connection) -> None:
    """Have everything indexed again."""
    connection.execute("UPDATE reach SET last = 0")


def add(connection: sqlite3.Connection, found: Sequence[tuple[InboxMessage, MailDigest]], last: int) -> None:
    """Index places, up to the number ``last``; those that are known get their rows and text again."""
    mails: dict[str, int] = {}
    for message, _ in found:
        if message.queue_id not in mails:
            row = connection.execute("SELECT id FROM mail WHERE queue = ?", (message.queue_id,)).fetchone()
            mails[message.queue_id] = message.number if row is None else row[0]
    with _changing(connection, mails.values()):
        described: set[int] = set()
        for message, digest in found:
            number = mails[message.queue_id]
            domain = message.inbox.rpartition("@")[2] if "@" in message.inbox else ""
            connection.execute(
                "INSERT OR IGNORE INTO place VALUES (?, ?, ?, ?, NULL)", (message.number, number, message.inbox, domain)
            )
            if number not in described:
                described.add(number)
                _describe(connection, number, message, digest)
            labels = [(number, view) for view in digest.labels]
            connection.executemany("INSERT OR IGNORE INTO label VALUES (?, ?)", labels)
        connection.execute("UPDATE reach SET last = max(last, ?)", (last,))


def _describe(connection: sqlite3.Connection, number: int, message: InboxMessage, digest: MailDigest) -> None:
    known = connection.execute("SELECT unread FROM mail WHERE id = ?", (number,)).fetchone()
    if known is not None:
        connection.execute("DELETE FROM mail WHERE id = ?", (number,))
    connection.execute(
        _INSERT_MAIL,
        (
            *(number, message.queue_id, message.received, message.size, 1 if known is None else known[0]),
            *(message.sender, *digest[:6], digest.date, digest.attachments, int(digest.html)),
            *(digest.login, digest.source, digest.envelope),
        ),
    )
    _drop_text(connection, [number])
    author, people, subject, body, head, html = digest[-6:]
    texts = (author, people, subject, body + pairs_of(author, people, subject, body, html), head, html)
    connection.execute(_INSERT_TEXT, (number, *texts))
    marks = ",".join("?" * (1 + len(texts)))
    connection.execute(f"INSERT INTO words (rowid, {_TEXTS}) VALUES ({marks})", (number, *texts))


def _drop_text(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    for number in numbers:
        texts = connection.execute(f"SELECT {_TEXTS} FROM mail_text WHERE id = ?", (number,)).fetchone()
        if texts is not None:
            marks = ",".join("?" * (1 + len(texts)))
            connection.execute(
                f"INSERT INTO words (words, rowid, {_TEXTS}) VALUES ('delete', {marks})", (number, *texts)
            )
            connection.execute("DELETE FROM mail_text WHERE id = ?", (number,))


def mark(connection: sqlite3.Connection, numbers: Collection[int], unread: bool) -> int:
    """Mark messages as read or unread."""
    changed = 0
    with _changing(connection, numbers) as mails:
        for number in mails:
            changed += connection.execute(
                "UPDATE mail SET unread = ? WHERE id = ? AND unread <> ?", (int(unread), number, int(unread))
            ).rowcount
    return changed


def tag(connection: sqlite3.Connection, numbers: Collection[int], tags: Collection[str], remove: bool) -> int:
    """Give messages tags, or take them away."""
    statement = (
        "DELETE FROM label WHERE mail = ? AND view = ?"
        if remove
        else "INSERT OR IGNORE INTO label SELECT id, ?2 FROM mail WHERE id = ?1"
    )
    with _changing(connection, numbers) as mails:
        connection.executemany(statement, [(number, f"tag:{each}") for number in mails for each in tags])
        (known,) = connection.execute("SELECT count(*) FROM chosen JOIN mail ON mail.id = chosen.mail").fetchone()
    return int(known)


def delete(
    connection: sqlite3.Connection,
    numbers: Collection[int],
    inbox: str,
    now: float,
    final: float,
    who: str,
    into: Deletion | None,
    places: bool,
) -> Deletion:
    """Hide messages, or their places in one mailbox, or single places."""
    if into is None:
        made = connection.execute(
            "INSERT INTO deletion (at, who, messages, final) VALUES (?, ?, 0, ?)", (now, who, final)
        ).lastrowid
        into = Deletion(int(made or 0), now, who, 0, final)
    hidden = 0
    which, more = ("AND inbox = ?", (inbox,)) if inbox else ("", ())
    column = "number" if places else "mail"
    with _changing(connection, numbers) as mails:
        for number in numbers if places else mails:
            rows = connection.execute(
                f"UPDATE place SET deletion = ? WHERE {column} = ? AND deletion IS NULL {which}",
                (into.number, number, *more),
            ).rowcount
            hidden += rows > 0
    connection.execute("UPDATE deletion SET messages = messages + ? WHERE number = ?", (hidden, into.number))
    return into._replace(messages=into.messages + hidden)


def undo(connection: sqlite3.Connection, deletion: int, now: float) -> int:
    """Show the messages of a deletion again, unless it is final."""
    open_ = connection.execute("SELECT 1 FROM deletion WHERE number = ? AND final > ?", (deletion, now)).fetchone()
    if open_ is None:
        return 0
    rows = connection.execute("SELECT DISTINCT mail FROM place WHERE deletion = ?", (deletion,)).fetchall()
    with _changing(connection, [mail for (mail,) in rows]):
        connection.execute("UPDATE place SET deletion = NULL WHERE deletion = ?", (deletion,))
    connection.execute("DELETE FROM deletion WHERE number = ?", (deletion,))
    return len(rows)


def forget(connection: sqlite3.Connection, places: Collection[int]) -> None:
    """Remove places, and messages without any."""
    mails: set[int] = set()
    for number in places:
        row = connection.execute("SELECT mail FROM place WHERE number = ?", (number,)).fetchone()
        if row is not None:
            mails.add(row[0])
    gone: list[int] = []
    with _changing(connection, mails):
        connection.executemany("DELETE FROM place WHERE number = ?", [(number,) for number in places])
        for mail in mails:
            if connection.execute("SELECT 1 FROM place WHERE mail = ? LIMIT 1", (mail,)).fetchone() is None:
                gone.append(mail)
                connection.execute("DELETE FROM mail WHERE id = ?", (mail,))
                connection.execute("DELETE FROM label WHERE mail = ?", (mail,))
    _drop_text(connection, gone)
    connection.execute(
        "DELETE FROM deletion WHERE NOT EXISTS (SELECT 1 FROM place WHERE place.deletion = deletion.number)"
    )
