"""Questions to the mail index, in SQL; nothing here writes.

A page of a view without terms is read from the tree of its members.  A search with text reads the candidates of the
full-text index, newest first, until the page is full.  A number or an id is looked up.  Other terms are tested on each
message of the view, in a tree of narrow rows.  A search
goes through the messages in stretches and ends after a time limit: the page then says where the next one begins.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from posthouse.core import LocalError
from posthouse.spool.mail_index import ALL_MAIL, Deletion, MailPage, MailPlace, MailRow, MailTerm, MailView
from posthouse.spool.sqlite.indexing.index_schema import MAIL_COLUMNS

__all__ = ["by_queue_id", "count", "deletions", "final", "oldest", "places", "row", "search", "view", "views"]

_LAST: Final = (1 << 63) - 1
_COLUMNS: Final = ", ".join(f"m.{each}" for each in MAIL_COLUMNS)
_STRETCH: Final = 20_000  # numbers that one statement of a search looks at
_SECONDS: Final = 1.5
_MEMBER: Final = "EXISTS (SELECT 1 FROM member AS v WHERE v.view = ? AND v.mail = m.id)"
_TEXT_FIELDS: Final = {
    "any": ("author", "people", "subject", "body"),
    "from": ("author",),
    "to": ("people",),
    "subject": ("subject",),
    "body": ("body",),
    "header": ("head",),
    "html": ("html",),
}
_COMPARED: Final = {"size": "m.size", "received": "m.received", "number": "m.id"}
#: Fields whose value is that of one message, or of a few.
_POINTING: Final = frozenset({"number", "queue", "message-id"})
_COMMON: Final = frozenset("abcdefghijklmnopqrstuvwxyz .")
_MOST_TRIGRAMS: Final = 6
_Stopwatch = Callable[[], float]


class _IndexSearch:
    """The terms of a search as SQL: predicates with their values, and what is asked of the full-text index."""

    def __init__(self, view: str, terms: Sequence[MailTerm]) -> None:
        self.view = view
        self.predicates: list[str] = []
        self.values: list[str | float | int] = []
        self.match: list[str] = []
        self.texts = self.pointed = self.tested = False
        self._seen_by = next((str(each.value).split("\n") for each in terms if each.field == "seen-by"), None)
        for term in terms:
            if term.field == "seen-by":
                continue
            self.tested |= term.field != "views"  # their messages are listed once for each statement
            self.pointed |= term.field in _POINTING and term.op == "=" and not term.negated
            predicate, values = self._predicate(term)
            self.predicates.append(f"NOT ({predicate})" if term.negated else predicate)
            self.values += values

    def _predicate(self, term: MailTerm) -> tuple[str, list[str | float | int]]:
        field, op, value = term.field, term.op, term.value
        if field in _TEXT_FIELDS and isinstance(value, str):
            return self._text(_TEXT_FIELDS[field], op, value.casefold(), term.negated)
        match field, op:
            case "view", "=":
                return _MEMBER, [value]
            case "views", "=":
                names = str(value).split("\n")
                marks = ", ".join("?" * len(names))
                return f"m.id IN (SELECT v.mail FROM member AS v WHERE v.view IN ({marks}))", list(names)
            case "unread", "=":
                return "m.unread = ?", [value]
            case "attachment", "=":
                return "(m.attachments > 0) = ?", [value]
            case "message-id", "=":  # the second condition is that of the partial index
                return "m.message_id = ?" + (" AND m.message_id <> ''" if value else ""), [value]
            case "queue", "=":
                return "m.queue = ?", [value]
            case (("size" | "received" | "number"), ("<" | ">" | "=")):
                return f"{_COMPARED[field]} {op} ?", [value]
        raise LocalError(f"there is no term {field!r} {op!r}")

    def _text(self, columns: Sequence[str], op: str, value: str, negated: bool) -> tuple[str, list[str | float | int]]:
        self.texts = True
        value = value.replace("\x01", "")
        if not value:
            return "1", []
        pieces = value.split("*") if op == "=" else [value]
        if not negated:
            for piece in pieces:
                self._ask(columns, piece)
        tests, values = [], list[str | float | int]()
        for column in columns:
            test, more = _holds(f"t.{column}", op, value)
            if column == "people" and self._seen_by is not None:
                test, more = _seen_people(self._seen_by, op, value)
            tests.append(test)
            values += more
        return f"({' OR '.join(tests)})", values

    def _ask(self, columns: Sequence[str], piece: str) -> None:
        """Ask the full-text index for the trigrams of a piece of text; a pair of ideographs has one of its own."""
        if len(piece) >= 3:
            trigrams = _rarest(piece[:60])
        elif len(piece) == 2 and min(piece) >= "\u2e80" and "head" not in columns:
            trigrams, columns = {f"\x01{piece}": None}, ("body",)
        else:
            return
        asked = " AND ".join('"' + each.replace('"', '""') + '"' for each in trigrams)
        self.match.append(f"{{{' '.join(columns)}}} : ({asked})")

    def select(self, what: str, low: int, high: int) -> tuple[str, list[Any]]:
        """The statement that selects ``what`` of the messages with numbers from ``low`` up to, not with, ``high``."""
        text = "JOIN mail_text AS t ON t.id = m.id" if self.texts else ""
        if self.match:
            source = f"words CROSS JOIN mail AS m ON m.id = words.rowid {text}"
            terms = ["words MATCH ?", "words.rowid < ?", "words.rowid >= ?", _MEMBER]
            values: list[Any] = [" AND ".join(self.match), high, low, self.view]
            order = "words.rowid"
        elif self.pointed or (self.predicates and not self.texts and self.view == ALL_MAIL):
            # One message, found by a tree of its own; or conditions that a tree of narrow rows answers: it is read in
            # place of the members, each of which would be looked up.
            source = f"mail AS m {text if self.pointed else 'INDEXED BY mail_flags'}"
            terms = ["m.id < ?", "m.id >= ?", _MEMBER]
            values = [high, low, self.view]
            order = "m.id"
        else:
            narrow = "INDEXED BY mail_flags" if self.predicates and not self.texts else ""
            source = f"member AS w CROSS JOIN mail AS m {narrow} ON m.id = w.mail {text}"
            terms = ["w.view = ?", "w.mail < ?", "w.mail >= ?"]
            values = [self.view, high, low]
            order = "w.mail"
        where = " AND ".join([*terms, *self.predicates])
        return f"SELECT {what} FROM {source} WHERE {where} ORDER BY {order} DESC", [*values, *self.values]

    def stretches(self, connection: sqlite3.Connection, before: int, after: int) -> Iterator[tuple[int, int]]:
        """The stretches of numbers to look at, the newest first: from, and up to."""
        # Two questions: SQLite answers each from an end of the tree, and would read all of it for both at one time.
        ends = "SELECT (SELECT min(mail) FROM member WHERE view = ?1), (SELECT max(mail) FROM member WHERE view = ?1)"
        lowest, highest = connection.execute(ends, (self.view,)).fetchone()
        if lowest is None:
            return
        lowest = max(lowest, after + 1)
        high = min(before or _LAST, highest + 1)
        size = _STRETCH if self.tested and not self.pointed else _LAST
        while high > lowest:
            low = max(lowest, high - size)
            yield low, high
            high = low


def _holds(text: str, op: str, value: str) -> tuple[str, list[str | float | int]]:
    """Whether an expression of SQL has this text in it, or a line that is it."""
    if op != "=":
        return f"instr({text}, ?) > 0", [value]
    if "*" in value:
        return f"(char(10) || {text} || char(10)) GLOB ?", [f"*\n{_glob(value)}\n*"]
    return f"instr(char(10) || {text} || char(10), char(10) || ? || char(10)) > 0", [value]


def _seen_people(views: Sequence[str], op: str, value: str) -> tuple[str, list[str | float | int]]:
    """Whether recipients have this text whom one sees that sees these views: those of the header section, the mailboxes
    among the views, and all of a message that is in none of these mailboxes, but in another of the views."""
    mailboxes = [each for each in views if "@" in each and not each.startswith(("tag:", "login:", "box:"))]
    marks = ", ".join("?" * len(mailboxes))
    # The text in front of the line UNNAMED; nothing of one that has no such line, from before there was any.
    lines = "char(10) || t.people"
    named, of_named = _holds(f"substr({lines}, 1, max(0, instr({lines}, char(10) || char(1)) - 1))", op, value)
    own, of_own = _holds("p.inbox", op, value)
    whole, of_whole = _holds("t.people", op, value)
    granted = " OR ".join(
        "substr(p.inbox, -length(?)) = ?" if each.startswith("@") else "p.inbox = ?" for each in mailboxes
    )
    of_granted = [name for each in mailboxes for name in ((each, each) if each.startswith("@") else (each,))]
    place = f"SELECT 1 FROM place AS p WHERE p.mail = m.id AND p.deletion IS NULL AND ({granted or 0}) AND {own}"
    member = f"SELECT 1 FROM member AS v WHERE v.mail = m.id AND v.view IN ({marks})"
    predicate = f"({named} OR EXISTS ({place}) OR ({whole} AND NOT EXISTS ({member})))"
    return predicate, [*of_named, *of_granted, *of_own, *of_whole, *mailboxes]


def _rarest(piece: str) -> dict[str, None]:
    """Some trigrams of a text, those first that have few letters of a to z: the lists of common ones are long, and each
    that is asked for is read to its end."""
    trigrams = dict.fromkeys(piece[at : at + 3] for at in range(len(piece) - 2))
    common = {each: sum(sign in _COMMON for sign in each) for each in trigrams}
    return dict.fromkeys(sorted(trigrams, key=lambda each: common[each])[:_MOST_TRIGRAMS])


def _glob(pattern: str) -> str:
    """A pattern with ``*`` for GLOB, whose other signs stand for themselves."""
    return "".join(f"[{sign}]" if sign in "?[" else sign for sign in pattern)


def search(
    connection: sqlite3.Connection,
    view: str,
    terms: Sequence[MailTerm],
    limit: int,
    before: int,
    after: int,
    stopwatch: _Stopwatch = time.monotonic,
) -> MailPage:
    """One page."""
    question = _IndexSearch(view, terms)
    found: list[tuple[Any, ...]] = []
    end = stopwatch() + _SECONDS
    for low, high in question.stretches(connection, before, after):
        statement, values = question.select(_COLUMNS, low, high)
        found += connection.execute(f"{statement} LIMIT ?", (*values, limit + 1 - len(found))).fetchall()
        if len(found) > limit:
            return MailPage(_rows(connection, found[:limit]), found[limit - 1][0])
        if stopwatch() > end and low > after + 1:
            return MailPage(_rows(connection, found), low)
    return MailPage(_rows(connection, found))


def count(
    connection: sqlite3.Connection, name: str, terms: Sequence[MailTerm], stopwatch: _Stopwatch = time.monotonic
) -> tuple[MailView, bool]:
    """Counts of the messages that meet all terms, and whether all were looked at."""
    if not terms:
        return view(connection, name), True
    question = _IndexSearch(name, terms)
    counts = [0, 0, 0]
    end = stopwatch() + _SECONDS
    for low, high in question.stretches(connection, 0, 0):
        statement, values = question.select("count(*), total(m.unread), total(m.size)", low, high)
        statement = statement.rpartition(" ORDER BY ")[0]
        some = connection.execute(statement, values).fetchone()
        counts = [known + int(more) for known, more in zip(counts, some, strict=True)]
        if stopwatch() > end:
            return MailView(name, *counts), False
    return MailView(name, *counts), True


def _rows(connection: sqlite3.Connection, found: Sequence[tuple[Any, ...]]) -> tuple[MailRow, ...]:
    rows = []
    for number, queue, received, size, unread, *texts, attachments, html, login, source, envelope in found:
        inboxes = connection.execute(
            "SELECT inbox, number FROM place WHERE mail = ? AND deletion IS NULL ORDER BY number LIMIT 100", (number,)
        ).fetchall()
        tags = connection.execute(
            "SELECT substr(view, 5) FROM label WHERE mail = ? AND view >= 'tag:' AND view < 'tag;' ORDER BY view",
            (number,),
        ).fetchall()
        rows.append(
            MailRow._make(
                [
                    *(number, queue, received, size, bool(unread), *texts, attachments, bool(html), login, source),
                    tuple(envelope.split("\n")) if envelope else (),
                    tuple(inbox for inbox, _ in inboxes),
                    tuple(each for (each,) in tags),
                    tuple(place for _, place in inboxes),
                ]
            )
        )
    return tuple(rows)


def row(connection: sqlite3.Connection, number: int) -> MailRow | None:
    """One message, by the number of one of its places."""
    return _one(connection, "m.id = coalesce((SELECT mail FROM place WHERE number = ?1), ?1)", number)


def by_queue_id(connection: sqlite3.Connection, queue_id: str) -> MailRow | None:
    """One message, by its queue id."""
    return _one(connection, "m.queue = ?", queue_id)


def _one(connection: sqlite3.Connection, which: str, value: str | int) -> MailRow | None:
    shown = _MEMBER.replace("?", "''")
    found = connection.execute(f"SELECT {_COLUMNS} FROM mail AS m WHERE {which} AND {shown}", (value,)).fetchall()
    return _rows(connection, found)[0] if found else None


def places(connection: sqlite3.Connection, inbox: str, limit: int, after: int) -> list[tuple[MailPlace, MailRow]]:
    """The newest places, the oldest of them first."""
    named, values = ("p.inbox = ? AND ", [inbox]) if inbox else ("", [])
    found = connection.execute(
        f"SELECT p.number, p.inbox, {_COLUMNS} FROM place AS p CROSS JOIN mail AS m ON m.id = p.mail"
        f" WHERE {named}p.number > ? AND p.deletion IS NULL ORDER BY p.number DESC LIMIT ?",
        (*values, after, limit),
    ).fetchall()
    found.reverse()
    rows = _rows(connection, [each[2:] for each in found])
    return [(MailPlace(number, name), each) for (number, name, *_), each in zip(found, rows, strict=True)]


def views(connection: sqlite3.Connection, prefix: str, limit: int, after: str | None) -> list[MailView]:
    """Views by name."""
    rows = connection.execute(
        "SELECT view, messages, unread, octets FROM box"
        " WHERE view >= ?1 AND view < ?2 AND (view > ?3 OR ?3 IS NULL) ORDER BY view LIMIT ?4",
        (prefix, f"{prefix}\U0010ffff", after, limit),
    )
    return [MailView(*each) for each in rows]


def view(connection: sqlite3.Connection, name: str) -> MailView:
    """One view."""
    found = connection.execute("SELECT view, messages, unread, octets FROM box WHERE view = ?", (name,)).fetchone()
    return MailView(name, 0, 0, 0) if found is None else MailView(*found)


def deletions(connection: sqlite3.Connection, now: float) -> list[Deletion]:
    """The deletions that can be undone."""
    rows = connection.execute(
        "SELECT number, at, who, messages, final FROM deletion WHERE final > ? AND messages > 0"
        " ORDER BY number DESC LIMIT 100",
        (now,),
    )
    return [Deletion(*each) for each in rows]


def final(connection: sqlite3.Connection, now: float, limit: int, deletion: int) -> list[tuple[Deletion, int]]:
    """Places whose deletion is final."""
    rows = connection.execute(
        "SELECT deletion.*, place.number FROM deletion CROSS JOIN place ON place.deletion = deletion.number"
        " WHERE deletion.final <= ?1 AND (deletion.number = ?2 OR ?2 = 0) ORDER BY deletion.number LIMIT ?3",
        (now, deletion, limit),
    )
    return [(Deletion(*fields), number) for *fields, number in rows]


def oldest(connection: sqlite3.Connection, limit: int) -> list[MailRow]:
    """The messages with the least numbers."""
    statement = (
        f"SELECT {_COLUMNS} FROM member AS w CROSS JOIN mail AS m ON m.id = w.mail WHERE w.view = ?"
        " ORDER BY w.mail LIMIT ?"
    )
    return list(_rows(connection, connection.execute(statement, (ALL_MAIL, limit)).fetchall()))
