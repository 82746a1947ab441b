"""Rules of inboxes: which messages get which tag, or stand in which inbox, by a search.

A rule's search is tested on the digest of a message as it is indexed, in Python; ``spool.sqlite.indexing`` tests the
terms of users' searches in SQL.  A test demands that both agree.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.core import LocalError
from posthouse.spool.mail_index import MailDigest, MailTerm
from posthouse.spool.model import InboxMessage

__all__ = ["InboxRule", "LONGEST_TAG", "meets", "proper_tag"]

#: Characters of a tag.
LONGEST_TAG: Final = 100


class InboxRule(NamedTuple):
    """A rule: messages that meet all ``terms`` get the ``labels`` (``tag:NAME``, ``box:NAME``)."""

    terms: tuple[MailTerm, ...]
    labels: tuple[str, ...]

    def meets(self, digest: MailDigest, place: InboxMessage) -> bool:
        """Whether a message meets all terms."""
        return meets(self.terms, digest, place)


_TEXTS: Final = {
    "from": ("author_text",),
    "to": ("people_text",),
    "subject": ("subject_text",),
    "body": ("body_text",),
    "header": ("head_text",),
    "html": ("html_text",),
    "any": ("author_text", "people_text", "subject_text", "body_text"),
}


def meets(terms: Sequence[MailTerm], digest: MailDigest, place: InboxMessage) -> bool:
    """Whether a message meets all terms.  Raises ``LocalError`` for a term that does not exist."""
    return all(_meets(term, digest, place) is not term.negated for term in terms)


def _meets(term: MailTerm, digest: MailDigest, place: InboxMessage) -> bool:
    field, op, value = term.field, term.op, term.value
    if field in _TEXTS and isinstance(value, str):
        texts = [str(getattr(digest, each)) for each in _TEXTS[field]]
        wanted = value.casefold()
        if op == "=":
            pattern = re.compile(fnmatch.translate(wanted.replace("[", "[[]").replace("?", "[?]")))
            return not wanted or any(pattern.match(line) is not None for line in texts[0].split("\n"))
        return any(wanted in text for text in texts)
    match field:
        case "view":
            return value in _views(digest, place)
        case "attachment":
            return (digest.attachments > 0) is bool(value)
        case "unread":
            return bool(value)
        case "message-id":
            return digest.message_id == value
        case "queue":
            return place.queue_id == value
        case "size" | "received" | "number" if not isinstance(value, str):
            mine = {"size": place.size, "received": place.received, "number": place.number}[field]
            return mine < value if op == "<" else mine > value if op == ">" else mine == value
    raise LocalError(f"there is no term {field!r} {op!r}")


def _views(digest: MailDigest, place: InboxMessage) -> set[str]:
    domain = place.inbox.rpartition("@")[2]
    found = {"", place.inbox, f"@{domain}", *digest.labels}
    return found | ({f"login:{digest.login}"} if digest.login else set())


def proper_tag(text: str) -> str:
    """A text as a tag: on one line, in small letters; "" if nothing is left."""
    printable = "".join(sign if sign.isprintable() else " " for sign in text[: 10 * LONGEST_TAG])
    return " ".join(printable.split()).casefold()[:LONGEST_TAG]
