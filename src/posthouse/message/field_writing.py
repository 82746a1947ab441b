"""Writing of header fields that the caller of ``compose`` gives, each by the grammar of its field.

A *structured* field has tokens with a meaning for programs: message identifiers, URLs, mailboxes.  An encoded word must
not stand in one except in a phrase or a comment (RFC 2047 §5), so its tokens are written as they are, with one space
between them, and what cannot be written so is a ``LocalError``.  A field that is in no table here is unstructured: its
value is text for people, in encoded words if it needs them.

    ============  ==================================================  ===============================================
    written as    fields                                              the grammar
    ============  ==================================================  ===============================================
    mailboxes     Reply-To, Resent-To, Errors-To …                    RFC 5322 §3.4; a name may become encoded words
    list id       List-Id                                             RFC 2919 §2: a phrase and ``<id>``
    phrases       Keywords                                            RFC 5322 §3.6.5
    tokens        References, List-Unsubscribe, Auto-Submitted …      ASCII without further checks; white space within
                                                                      a quoted string is kept
    text          all others                                          RFC 5322 §2.2.1, RFC 2047
    ============  ==================================================  ===============================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from posthouse.core import LocalError
from posthouse.message.encode import encoded_words, fold
from posthouse.message.mailboxes import Mailbox, check_text, parse_mailboxes, write_mailbox, write_phrase

__all__ = ["mailbox_field", "mailboxes_of", "text_field", "written_field"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MAILBOX_FIELDS = _names(
    "sender reply-to resent-from resent-sender resent-to resent-cc resent-reply-to return-receipt-to errors-to "
    "disposition-notification-to mail-followup-to mail-reply-to abuse-reports-to x-confirm-reading-to"
)
_MESSAGE_ID_FIELDS = _names("in-reply-to references resent-message-id original-message-id supersedes obsoletes")
# All List-… fields but List-Id are such fields too.
_TOKEN_FIELDS = _names(
    "resent-date delivery-date expires expiry-date deferred-delivery latest-delivery-time reply-by "
    "archived-at auto-submitted accept-language autoforwarded autosubmitted "
    "precedence priority importance sensitivity x-priority x-msmail-priority x-auto-response-suppress "
    "dkim-signature domainkey-signature arc-seal arc-message-signature arc-authentication-results "
    "authentication-results received-spf bimi-selector bimi-location bimi-indicator "
    "tls-required tls-report-domain tls-report-submitter require-recipient-valid-since mt-priority solicitation "
    "vbr-info hashcash autocrypt openpgp face x-face delivered-to x-original-to envelope-to original-recipient "
    "disposition-notification-options original-encoded-information-types conversion conversion-with-loss "
    "dl-expansion-history generate-delivery-report prevent-nondelivery-report alternate-recipient mail-copies-to "
    "newsgroups followup-to distribution path control lines xref approved injection-date "
    "feedback-id cfbl-address cfbl-feedback-id encrypted"
)
# Words of printable ASCII with single spaces; folded at the spaces and not encoded.
_PLAIN = r"[!-~]{1,900}(?: [!-~]{1,900})*"
_PLAIN_UTF8 = r"[^\x00-\x20\x7f-\xa0]{1,225}(?: [^\x00-\x20\x7f-\xa0]{1,225})*"
# Compiled, and cached by ``re``, when the first field needs them.
_TOKEN = r'(?:[^\s"]|"(?:[^"\\]|\\.)*+"|")+'
_LIST_ID = r"([^<>]*+)(<[!-;=?-~]+>)\s*"
_NOT_COMMA = r'(?:[^,"]|"(?:[^"\\]|\\.)*+"|")+'
_ESCAPED = r"\\(.)"
_LINE = 998  # octets of a line without CRLF (RFC 5322 §2.1.1)
_WORD_LINE = 76  # octets of a line with an encoded word (RFC 2047 §2)


def written_field(name: str, value: str, *, utf8: bool) -> bytes:
    """The field in octets, with its CRLF.

    Raises ``LocalError`` if the grammar of the field cannot hold the value, or the value holds a line end.
    """
    check_text(name, value)
    lowered = name.lower()
    mailboxes = mailboxes_of(name, value)
    if mailboxes is not None:
        return mailbox_field(name, mailboxes, utf8=utf8)
    if lowered == "list-id":
        return _token_field(name, _list_id(value, utf8), value, utf8=utf8)
    if lowered == "keywords":
        return _token_field(name, _phrases(value, utf8), value, utf8=utf8)
    if lowered in _MESSAGE_ID_FIELDS or lowered in _TOKEN_FIELDS or lowered.startswith("list-"):
        # RFC 6532 §3.3 lets identifiers have UTF-8.
        return _token_field(name, re.findall(_TOKEN, value), value, utf8=utf8 and lowered in _MESSAGE_ID_FIELDS)
    return text_field(name, value, utf8=utf8)


def mailboxes_of(name: str, value: str) -> list[Mailbox] | None:
    """The mailboxes of a field that holds some, None for other fields.  Raises ``LocalError`` if it should and does
    not."""
    if name.lower() not in _MAILBOX_FIELDS:
        return None
    mailboxes = parse_mailboxes(value, name)
    if not mailboxes:
        raise LocalError(f"the field {name} names no mailbox; leave it out or give one")
    return mailboxes


def mailbox_field(name: str, mailboxes: Sequence[Mailbox], *, utf8: bool) -> bytes:
    """A field of mailboxes."""
    tokens: list[str] = []
    room = _WORD_LINE - len(name) - 2
    for mailbox in mailboxes:
        tokens += write_mailbox(mailbox, utf8=utf8, room=_WORD_LINE - 1 if tokens else room)
        tokens[-1] += ","
    tokens[-1] = tokens[-1].removesuffix(",")
    return fold(name, tokens)


def text_field(name: str, value: str, *, utf8: bool) -> bytes:
    """An unstructured field."""
    check_text(name, value)
    plain = _PLAIN_UTF8 if utf8 else _PLAIN
    if "=?" not in value and re.fullmatch(plain, value):
        return fold(name, value.split(" "))
    return fold(name, encoded_words(value, _WORD_LINE - len(name) - 2))


def _token_field(name: str, tokens: Sequence[str], value: str, *, utf8: bool) -> bytes:
    """A structured field of these tokens."""
    if not tokens:
        raise LocalError(f"the field {name} is empty; leave it out or give its value")
    if not utf8 and not all(map(str.isascii, tokens)):
        raise LocalError(
            f"the field {name} can hold ASCII only: {value!r}; remove the other characters, or write a URL with "
            "percent-encoding and a domain with A-labels (xn--…)"
        )
    longest = max(len(token.encode()) for token in tokens)
    if longest + 1 > _LINE or len(name) + 2 + len(tokens[0].encode()) > _LINE:
        raise LocalError(
            f"the field {name} has a part of {longest} octets without a space, and a line of a message has at most "
            f"{_LINE}; shorten it"
        )
    return fold(name, tokens)


def _list_id(value: str, utf8: bool) -> list[str]:
    match = None if value.isascii() else re.fullmatch(_LIST_ID, value)
    if match is None:
        return re.findall(_TOKEN, value)
    return [*write_phrase(_unquoted(match[1].strip()), utf8=utf8), match[2]]


def _phrases(value: str, utf8: bool) -> list[str]:
    if value.isascii():
        return re.findall(_TOKEN, value)
    tokens: list[str] = []
    for phrase in re.findall(_NOT_COMMA, value):
        words = write_phrase(_unquoted(phrase.strip()), utf8=utf8)
        if words:
            words[-1] += ","
            tokens += words
    if tokens:
        tokens[-1] = tokens[-1].removesuffix(",")
    return tokens


def _unquoted(text: str) -> str:
    return re.sub(_ESCAPED, r"\1", text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text
