"""Lint rules for the header section (RFC 5322, RFC 2047, RFC 6532, RFC 6854)."""

from __future__ import annotations

import re
from datetime import UTC
from typing import Final

from posthouse.message.lint.finding import Level
from posthouse.message.lint.linted import LintedMessage
from posthouse.message.reading import HeaderField, ReadMailbox

__all__ = ["check_header"]

#: Fields that may occur at most once (RFC 5322 §3.6, RFC 2045 §3, RFC 8058).
_ONCE: Final = (
    *("from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references"),
    *("mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id"),
    *("list-unsubscribe", "list-unsubscribe-post", "list-id"),
)
_ADDRESS_FIELDS: Final = ("from", "sender", "reply-to", "to", "cc", "bcc")
_ID_FIELDS: Final = ("message-id", "in-reply-to", "references", "content-id")
#: Fields whose words are for programs, so that an encoded word in them is not read.
_FOR_PROGRAMS: Final = frozenset(
    (
        *_ID_FIELDS,
        *("date", "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "received"),
        *("list-unsubscribe", "list-unsubscribe-post", "list-help", "list-post", "list-archive", "dkim-signature"),
        *("return-path", "auto-submitted", "precedence"),
    )
)
_ID: Final = re.compile(rb"<[^<>@\s\[\]()\"]+@(?:[^<>@\s\[\]()\"]+|\[[^\[\]\s]+\])>")
_WORD: Final = re.compile(rb"=\?([^?\s]{1,100})\?([^?\s]{0,10})\?([^?\n]{0,2000})\?=")
_AUTO: Final = re.compile(r"(?i)(?:no|auto-generated|auto-replied|auto-notified)\b")
_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
_LONGEST_WORD: Final = 75  # octets of an encoded word (RFC 2047 §2)


def check_header(linted: LintedMessage) -> None:
    """Apply the rules."""
    _presence(linted)
    _repeats(linted)
    _originator(linted)
    _recipients(linted)
    _date(linted)
    _ids(linted)
    for field in linted.message.headers:
        _octets_of(linted, field)
    _subject(linted)
    _others(linted)


def _presence(linted: LintedMessage) -> None:
    findings = linted.findings
    if not linted.message.headers:
        findings.error(
            "no-header",
            1,
            "The message has no header section.",
            "Begin it with fields such as From and Date, and put an empty line in front of the text.",
            "RFC 5322 §2.1",
        )
        return
    for name in ("From", "Date"):
        if not linted.all(name.lower()):
            findings.error(
                f"missing-{name.lower()}", 1, f"There is no {name} field.", f"Add a {name} field.", "RFC 5322 §3.6"
            )
    if not linted.all("message-id"):
        findings.warning(
            "missing-message-id",
            1,
            "There is no Message-ID field; large receivers take such mail for spam.",
            "Add a Message-ID that no other message has.",
            "RFC 5322 §3.6.4",
        )


def _repeats(linted: LintedMessage) -> None:
    for name in _ONCE:
        fields = linted.all(name)
        for field in fields[1:]:
            linted.findings.error(
                "repeated-field",
                linted.line_of(field),
                f"{field.name} occurs {len(fields)} times; programs differ in which they read, and Gmail refuses it.",
                f"Keep one {field.name} field.",
                "RFC 5322 §3.6",
            )


def _originator(linted: LintedMessage) -> None:
    message, findings = linted.message, linted.findings
    fields = linted.all("from")
    if not fields:
        return
    line = linted.line_of(fields[0])
    authors = message.mailboxes("from")
    named = [each for each in authors if each.address is not None]
    if not named:
        findings.error(
            "bad-from", line, "From names no mailbox.", "Write it as Name <local@domain>.", "RFC 5322 §3.6.2"
        )
    if any(each.group for each in authors):
        findings.warning(
            "group-in-from",
            line,
            "From has a group; many receivers refuse it.",
            "Name one mailbox.",
            "RFC 6854 §1",
        )
    if len(named) > 1 and not linted.all("sender"):
        findings.error(
            "missing-sender",
            line,
            f"From names {len(named)} authors, and no Sender field says which of them sent the message.",
            "Add a Sender field with one mailbox, or name one author.",
            "RFC 5322 §3.6.2",
        )
    for each in named:
        _author(linted, line, each)
    senders = linted.all("sender")
    if senders and len([each for each in message.mailboxes("sender") if each.address]) != 1:
        findings.error(
            "bad-sender",
            linted.line_of(senders[0]),
            "Sender does not name exactly one mailbox.",
            "Name one mailbox.",
            "RFC 5322 §3.6.2",
        )


def _author(linted: LintedMessage, line: int, author: ReadMailbox) -> None:
    address = author.address
    if address is None:
        return
    if "." not in address.domain and not address.is_literal:
        linted.findings.warning(
            "unqualified-from",
            line,
            f"The domain of {address} has no dot; receivers cannot reply to it, and many refuse it.",
            "Use an address that is valid on the internet.",
            "RFC 5321 §2.3.5",
        )
    shown = re.search(r"[^\s<>@]+@[^\s<>@]+\.[^\s<>@]+", author.name)
    if shown is not None and shown[0].lower() != str(address).lower():
        linted.findings.warning(
            "misleading-name",
            line,
            f"The display name shows the address {shown[0]}, and the message is from {address}.",
            "Leave addresses out of the display name.",
        )


def _recipients(linted: LintedMessage) -> None:
    findings = linted.findings
    if not any(linted.all(name) for name in ("to", "cc", "bcc")) and linted.message.headers:
        findings.warning(
            "no-recipient-field",
            1,
            "There is neither To nor Cc; filters take such mail for spam.",
            "Add a To field; for recipients who are not to see each other: To: undisclosed-recipients:;",
            "RFC 5322 §3.6.3",
        )
    for field in linted.all("bcc"):
        findings.warning(
            "bcc-left",
            linted.line_of(field),
            "A Bcc field shows the blind recipients to everybody who gets the message.",
            "Take the field out before the message is sent.",
            "RFC 5322 §3.6.3",
        )
    for defect in linted.message.defects:
        if defect.field.lower() in _ADDRESS_FIELDS and "charset" not in defect.code:
            findings.error(
                "bad-address",
                linted.line_at(defect.offset),
                f"{defect.field}: {defect.text}.",
                'Write each mailbox as Name <local@domain>, with quotes around a name that has commas: "Li, Lei".',
                "RFC 5322 §3.4",
            )


def _date(linted: LintedMessage) -> None:
    fields = linted.all("date")
    if not fields:
        return
    line, date = linted.line_of(fields[0]), linted.message.date
    if date is None or any(each.code == "odd-date" for each in linted.message.defects):
        linted.findings.error(
            "bad-date",
            line,
            f"The date {fields[0].value[:60]!r} is {'no date' if date is None else 'not written as RFC 5322 has it'}.",
            "Write it as: Sun, 29 Nov 2026 12:00:00 +0000.",
            "RFC 5322 §3.3",
        )
    if date is None or linted.now is None:
        return
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    ahead = aware.timestamp() - linted.now
    if ahead > _HOUR:
        linted.findings.warning(
            "future-date",
            line,
            f"The date is {_span(ahead)} in the future; filters take such mail for spam.",
            "Set the clock of the host that writes it, and the zone.",
        )
    elif ahead < -7 * _DAY:
        linted.findings.note(
            "old-date",
            line,
            f"The date is {_span(-ahead)} ago; programs that sort by date show the message far below.",
            "Date it when it is sent, if it is new.",
        )


def _span(seconds: float) -> str:
    return f"{seconds / _DAY:.0f} days" if seconds >= 2 * _DAY else f"{seconds / _HOUR:.0f} hours"


def _ids(linted: LintedMessage) -> None:
    for name in _ID_FIELDS:
        for field in linted.all(name):
            value = field.raw.partition(b":")[2]
            rest = _ID.sub(b"", value).strip()
            several = len(_ID.findall(value))
            wrong = bool(rest) or not several or (several > 1 and name in ("message-id", "content-id"))
            if wrong:
                linted.findings.error(
                    "bad-id",
                    linted.line_of(field),
                    f"{field.name} is not written as <local@domain>; replies cannot be joined to a thread by it.",
                    f"Write {field.name} as <words@domain>, without spaces and encoded words within.",
                    "RFC 5322 §3.6.4",
                )


def _octets_of(linted: LintedMessage, field: HeaderField) -> None:
    """What any field can break: octets beyond ASCII, encoded words, lines of white space, white space before ":"."""
    findings, line, raw = linted.findings, linted.line_of(field), field.raw
    name = field.name.lower()
    if raw[len(field.name) : len(field.name) + 1] in (b" ", b"\t"):
        findings.error(
            "space-before-colon",
            line,
            f"White space stands between {field.name} and its colon; some programs do not see such a field.",
            "Take it out.",
            "RFC 5322 §4.5",
        )
    value = raw.partition(b":")[2]
    if not raw.isascii():
        utf8 = _is_utf8(raw)
        findings.add(
            "raw-8bit-header",
            Level.WARNING if utf8 else Level.ERROR,
            line,
            f"{field.name} has octets beyond ASCII"
            + (", which only hosts with SMTPUTF8 take." if utf8 else " that are not UTF-8."),
            "Write words as encoded words (=?utf-8?q?…?=), and file names by RFC 2231.",
            "RFC 2047, RFC 6532",
        )
    if re.search(rb"\n[ \t]+\r?\n", value):
        findings.error(
            "empty-folded-line",
            line,
            f"{field.name} has a line of white space alone; some programs take it for the end of the header section.",
            "Take the line out.",
            "RFC 5322 §3.2.2",
        )
    for match in _WORD.finditer(value):
        _encoded_word(linted, field, match, for_programs=name in _FOR_PROGRAMS)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _encoded_word(linted: LintedMessage, field: HeaderField, word: re.Match[bytes], *, for_programs: bool) -> None:
    findings, line = linted.findings, linted.line_of(field)
    if for_programs:
        findings.error(
            "encoded-word-for-programs",
            line,
            f"{field.name} has an encoded word, which programs do not decode there.",
            f"Write the value of {field.name} in ASCII, and fold it only at white space.",
            "RFC 2047 §5",
        )
    if len(word[0]) > _LONGEST_WORD:
        findings.error(
            "long-encoded-word",
            line,
            f"An encoded word in {field.name} has {len(word[0])} octets.",
            f"Make several of at most {_LONGEST_WORD} octets.",
            "RFC 2047 §2",
        )
    if word[2].lower() not in (b"q", b"b"):
        findings.error(
            "bad-encoded-word",
            line,
            f"An encoded word in {field.name} has an encoding other than Q and B.",
            "Use Q or B.",
            "RFC 2047 §4",
        )
    elif b" " in word[3] or b"\t" in word[3]:
        findings.error(
            "bad-encoded-word",
            line,
            f"An encoded word in {field.name} has white space within; readers show it undecoded.",
            "Write a space as _ (Q) or within the base64 (B).",
            "RFC 2047 §2",
        )


def _subject(linted: LintedMessage) -> None:
    if linted.message.headers and not linted.message.subject.strip():
        fields = linted.all("subject")
        linted.findings.warning(
            "no-subject",
            linted.line_of(fields[0]) if fields else 1,
            "The message has no subject.",
            "Add a Subject that says what it is about.",
        )


def _others(linted: LintedMessage) -> None:
    for field in linted.all("auto-submitted"):
        if _AUTO.match(field.value) is None:
            linted.findings.error(
                "bad-auto-submitted",
                linted.line_of(field),
                f"Auto-Submitted has the value {field.value[:40]!r}, which no program knows.",
                "Write auto-generated, auto-replied or no.",
                "RFC 3834 §5",
            )
    received = linted.all("received")
    for field in linted.all("return-path"):
        if not received:
            linted.findings.note(
                "return-path-set",
                linted.line_of(field),
                "Return-Path is set before the message was delivered; the last host replaces it.",
                "Give the reverse-path in the envelope (MAIL FROM).",
                "RFC 5321 §4.4",
            )
