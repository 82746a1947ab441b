"""Targets for what the inboxes read: searches of users, HTML of messages, digests, and mboxes."""

from __future__ import annotations

from posthouse.console.html_bounds import bounded_html
from posthouse.console.mail_html import safe_document
from posthouse.core import SettingError
from posthouse.service.inbox.inbox_rules import meets
from posthouse.service.inbox.mail_digest import digest_of
from posthouse.service.inbox.mail_query import MOST_TERMS, read_query
from posthouse.service.inbox.mbox import mbox_entry, messages_of
from posthouse.spool.model import InboxMessage

__all__ = ["mail_digests", "mail_html", "mail_queries", "mboxes"]

_NOW = 1_764_500_000.0
_PLACE = InboxMessage(1, "bob@x.test", "72mhfmgjc0w83", "a@x.test", _NOW, 100)


def mail_queries(data: bytes) -> None:
    """Searches: terms that a rule can test, or a sentence."""
    try:
        terms = read_query(data.decode("utf-8", "replace"), _NOW)
    except SettingError as error:
        assert "\n" not in str(error)
        return
    assert len(terms) <= MOST_TERMS
    meets(terms, digest_of()(_PLACE, b"Subject: x\r\n\r\ny", ()), _PLACE)


def mail_digests(data: bytes) -> None:
    """Digests: bounded text without control characters in what lists show."""
    made = digest_of()(_PLACE, data, ())
    for text in (made.author, made.subject, made.preview, made.recipients):
        assert len(text) <= 500
        assert text.isprintable()
    assert all("\x00" not in text for text in made if isinstance(text, str))


def mail_html(data: bytes) -> None:
    """HTML: no element that runs or fetches is left, whatever was written."""
    source = data.decode("utf-8", "replace")
    bounded = bounded_html(source)
    assert bounded.count("<") <= 3 * source.count("<") + 400
    document = safe_document(source, {}).partition("<body>")[2].lower()
    for element in ("<script", "<iframe", "<object", "<form", "<svg", "<meta", "<link", "<base"):
        assert element not in document, element


def mboxes(data: bytes) -> None:
    """Mboxes: what is put into one comes out of it, but for blank lines at its end and line ends."""
    whole = messages_of(data)[0]
    (again,) = messages_of(mbox_entry(whole, "a@x.test", _NOW))
    assert again.rstrip(b"\r\n") == whole.rstrip(b"\r\n")
    assert all(b"\n" not in each.replace(b"\r\n", b"") for each in messages_of(data))
