"""The language of searches in the inboxes: words and conditions, all of which must hold.

``invoice "due today" from:shop@x.example -tag:nightly has:attachment size>1M age<2h``

A word is looked for in sender, recipients, subject, text and the names of attachments, as any part of a word, without
regard to case; quotation marks keep words together.  ``-`` or ``!`` in front of a term excludes what meets it.

    ==========================  ======================================================================================
    from: to:                   an address, exactly (``*`` for any characters); without an ``@``, a part of name or
                                address.  ``~`` in place of ``:`` always asks for a part, ``=`` for the whole
    subject: body:              a part of it
    header: html:               a part of the header section, or of the source of the HTML
    inbox: domain: login:       the mailbox, the domain of mailboxes, or the login of the session
    tag: box:                   a tag, or an inbox by rule
    is:read is:unread           what a user has read
    has:attachment              with a file
    size age                    ``size>1M``, ``age<2h``
    before: after:              a date, or date and time, in UTC: ``2026-04-01``, ``2026-04-01T12:30``
    id: message-id:             the number or queue id, or the Message-ID
    ==========================  ======================================================================================

A colon behind anything else is a part of a word, so that a time or a web address can be searched for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from posthouse.core import SettingError, local_key
from posthouse.core.units import read_duration, read_size
from posthouse.protocol.grammar import GrammarError, domain_to_ascii
from posthouse.spool.ids import number_of
from posthouse.spool.mail_index import MailTerm

__all__ = ["MOST_TERMS", "read_query"]

#: Terms of one search, and characters of its text.
MOST_TERMS: Final = 50
_LONGEST: Final = 2000
_FIELD: Final = re.compile(r"([A-Za-z][A-Za-z-]*)(>=|<=|!=|:|=|~|>|<)")
_PEOPLE: Final = {"from": "from", "to": "to", "cc": "to", "bcc": "to", "addressed": "to", "reply-to": "to"}
_PARTS: Final = {"subject": "subject", "body": "body", "text": "body", "header": "header", "html": "html"}
_VIEWS: Final = {"tag": "tag:", "box": "box:", "login": "login:", "inbox": "", "domain": "@"}
_IS: Final = {"read": ("unread", 0), "unread": ("unread", 1)}
_HAS: Final = {"attachment": ("attachment", 1), "attachments": ("attachment", 1)}


def read_query(text: str, now: float) -> tuple[MailTerm, ...]:
    """The terms of a search; ``now`` in calendar seconds.

    Raises ``SettingError`` for a value that cannot be one of its field, or too many terms.
    """
    if len(text) > _LONGEST:
        raise SettingError(f"the search is longer than {_LONGEST} characters", remedy="search for less at one time")
    terms = []
    for negated, word, quoted in _words(text):
        term = None if quoted else _condition(word, now)
        if term is None:
            term = MailTerm("any", "~", word)
        if term.value == "" and term.field != "view":
            continue
        terms.append(term._replace(negated=term.negated is not negated))
    if len(terms) > MOST_TERMS:
        raise SettingError(f"the search has more than {MOST_TERMS} terms", remedy="search for less at one time")
    return tuple(terms)


def _words(text: str) -> list[tuple[bool, str, bool]]:
    """The words: whether each is excluded, its text without quotation marks, and whether it begins with one."""
    found = []
    at, size = 0, len(text)
    while at < size:
        if text[at].isspace():
            at += 1
            continue
        negated = text[at] in "-!" and at + 1 < size and not text[at + 1].isspace()
        at += negated
        quoted = text[at] == '"'
        made: list[str] = []
        within = False
        while at < size and (within or not text[at].isspace()):
            if text[at] == '"':
                within = not within
            else:
                made.append(text[at])
            at += 1
        found.append((negated, "".join(made), quoted))
    return found


def _condition(word: str, now: float) -> MailTerm | None:
    """The term of a condition; None if the word is none."""
    match = _FIELD.match(word)
    if match is None:
        return None
    name, op, value = match[1].lower(), match[2], word[match.end() :]
    negated = op == "!="
    op = "=" if negated else op
    if name in _PEOPLE and op in ":~=":
        exact = op == "=" or (op == ":" and "@" in value.strip("@"))
        wanted = value.strip("<>")
        return MailTerm(_PEOPLE[name], "=" if exact else "~", wanted, negated)
    if name in _PARTS and op in ":~=":
        return MailTerm(_PARTS[name], "~", value, negated)
    if name in _VIEWS and op in ":=":
        named = _VIEW_NAMES.get(name, str)(value)
        return MailTerm("view", "=", f"{_VIEWS[name]}{named}", negated)
    reader = _READERS.get(name)
    return None if reader is None else reader(name, op, value, now, negated)


def _quotable(value: str) -> str:
    """The beginning of a value for an error's sentence: on one line, without signs that show nothing."""
    return "".join(sign if sign.isprintable() else " " for sign in value[:60])


def _mailbox(text: str) -> str:
    """An address, or a domain, as the spool spells mailboxes."""
    local, sign, domain = local_key(text.strip("<>")).rpartition("@")
    try:
        return f"{local}{sign}{domain if domain.isascii() else domain_to_ascii(domain)}"
    except GrammarError:
        return f"{local}{sign}{domain}"


def _domain(text: str) -> str:
    return _mailbox(text).removeprefix("@")


_VIEW_NAMES: Final[dict[str, Callable[[str], str]]] = {"inbox": _mailbox, "domain": _domain, "tag": str.casefold}


def _state(name: str, op: str, value: str, now: float, negated: bool) -> MailTerm | None:
    known = _IS if name == "is" else _HAS
    if op not in ":=":
        return None
    if value.lower() not in known:
        remedy = f"write {' or '.join(f'{name}:{each}' for each in known)}"
        raise SettingError(f"there is no {name}:{_quotable(value)}", remedy=remedy)
    field, wanted = known[value.lower()]
    return MailTerm(field, "=", wanted, negated)


def _size(name: str, op: str, value: str, now: float, negated: bool) -> MailTerm | None:
    try:
        octets = read_size(value)
    except ValueError:
        remedy = "write a number of octets, or one with K, M or G, as in size>500K"
        raise SettingError(f'"{_quotable(value)}" is no size', remedy=remedy) from None
    return _compared("size", op, octets, negated)


def _age(name: str, op: str, value: str, now: float, negated: bool) -> MailTerm | None:
    try:
        seconds = read_duration(value)
    except ValueError:
        remedy = "write a number and a unit (s m h d w), as in age<2h"
        raise SettingError(f'"{_quotable(value)}" is no duration', remedy=remedy) from None
    turned = op.translate(str.maketrans("<>", "><"))
    return _compared("received", turned, now - seconds, negated)


def _date(name: str, op: str, value: str, now: float, negated: bool) -> MailTerm | None:
    try:
        read = datetime.fromisoformat(value.replace("/", "-"))
    except ValueError:
        remedy = f"write {name}:2026-04-01, or {name}:2026-04-01T12:30"
        raise SettingError(f'"{_quotable(value)}" is no date', remedy=remedy) from None
    moment = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return MailTerm("received", "<" if name == "before" else ">", moment.timestamp(), negated)


def _identity(name: str, op: str, value: str, now: float, negated: bool) -> MailTerm | None:
    if name == "message-id":
        return MailTerm("message-id", "=", value.strip("<>"), negated)
    if value.isascii() and value.isdigit() and len(value) < 13:
        return MailTerm("number", "=", float(value), negated)
    if number_of(value.lower()) is not None:
        return MailTerm("queue", "=", value.lower(), negated)
    raise SettingError(
        f'"{_quotable(value)}" is no number and no queue id', remedy="write id:7, or the 13 signs of a queue id"
    )


def _compared(field: str, op: str, value: float, negated: bool) -> MailTerm:
    """A comparison; ``>=`` is written as "not less"."""
    if op in ("<=", ">="):
        return MailTerm(field, "<" if op == ">=" else ">", value, not negated)
    return MailTerm(field, "=" if op == ":" or op == "~" else op, value, negated)


_Reader = Callable[[str, str, str, float, bool], MailTerm | None]
_READERS: Final[dict[str, _Reader]] = {
    "is": _state,
    "has": _state,
    "size": _size,
    "age": _age,
    "before": _date,
    "after": _date,
    "id": _identity,
    "message-id": _identity,
}
