"""Failure reports of DMARC: a message about one message that failed, for the owner of its author's domain (RFC 9991).

The form is that of RFC 6591: a text for people, fields for programs, and the header section of the message.  A report
shows what somebody wrote to somebody else, so it is made only if the record asks for it (``DmarcRecord.wants``) and the
operator wants it; it never has the body, and the addresses of the recipients only where the message itself names them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from posthouse.core import Address, Body, Envelope, LocalError, Recipient
from posthouse.mailauth.dmarc.dmarc_result import DmarcResult
from posthouse.mailauth.results import AuthenticationResults, write_results
from posthouse.message.compose import Composed
from posthouse.message.dates import format_date
from posthouse.message.encode import base64_body, fold, quoted_printable
from posthouse.message.headers import split, unfold
from posthouse.message.mailboxes import Mailbox, write_mailbox

__all__ = ["FailedMessage", "FailedSignature", "compose_failure"]

#: Octets of the header section that is returned.
_LARGEST: Final = 65_536
_LONGEST: Final = 500  # characters of a value in the text
_RESULTS: Final = 2_000  # of a field
_MOST_SIGNATURES: Final = 10
_NO_LINE: Final = re.compile(rb"[\x00\r\n]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class FailedSignature(NamedTuple):
    """A DKIM signature that did not pass: the tags ``d``, ``s`` and ``i``."""

    domain: str
    selector: str
    identity: str = ""


class FailedMessage(NamedTuple):
    """The message that a failure report is about.

    Args:
        headers: Its header section.
        mail_from: The reverse-path, None for a null one.
        source_ip: The client's address.
        arrived: When it came, seconds since 1970.
        results: What this host found out about it.
        delivery: What became of it.
        signatures: Signatures of aligned domains that did not pass.
        spf_domain: An aligned domain for which SPF did not pass, "" if there is none.
        spf_record: Its SPF record.
    """

    headers: bytes
    mail_from: Address | None
    source_ip: str
    arrived: float
    results: AuthenticationResults
    delivery: Literal["delivered", "spam", "policy", "reject", "other"]
    signatures: Sequence[FailedSignature] = ()
    spf_domain: str = ""
    spf_record: str = ""


def compose_failure(
    failed: FailedMessage,
    dmarc: DmarcResult,
    *,
    sender: Address,
    to: Sequence[Address],
    user_agent: str,
    date: tuple[float, int],
    message_id: str,
) -> Composed:
    """Compose a failure report: its envelope with the null reverse-path, and its content, which is ASCII.

    Args:
        failed: The message.
        dmarc: Its result, which is a failure.
        sender: The address in From; the report must pass DMARC for its domain, or it may cause reports itself.
        to: Where the report goes (``find_destinations``).
        user_agent: The program that reports, with its version.
        date: Seconds since 1970, and the zone's offset in minutes.
        message_id: Without ``<`` and ``>``.

    Raises:
        LocalError: There is no address to go to, or an address is not in ASCII.
    """
    if not to or not all(each.is_ascii for each in (*to, sender)):
        raise LocalError("a failure report needs addresses in ASCII to go to and to come from")
    boundary = f"={hashlib.sha256(message_id.encode()).hexdigest()[:32]}="  # no line of the parts begins with it
    header = [
        ("Date", (format_date(*date),)),
        ("From", write_mailbox(Mailbox("DMARC failure reports", sender))),
        ("To", [f"{each}{',' if number < len(to) else ''}" for number, each in enumerate(to, 1)]),
        ("Subject", ("DMARC", "failure", "report", "about", _plain(dmarc.author_domain))),
        ("Message-ID", (f"<{message_id}>",)),
        ("Auto-Submitted", ("auto-generated",)),
        ("MIME-Version", ("1.0",)),
        ("Content-Type", ("multipart/report;", "report-type=feedback-report;", f'boundary="{boundary}"')),
    ]
    content = b"".join(fold(*each) for each in header) + b"\r\n"
    for part in (_text(failed, dmarc, date[1]), _fields(failed, dmarc, user_agent, date[1]), _returned(failed.headers)):
        content += b"--" + boundary.encode() + b"\r\n" + part
    content += b"--" + boundary.encode() + b"--\r\n"
    envelope = Envelope(sender=None, recipients=tuple(map(Recipient, to)), body=Body.SEVENBIT)
    return Composed(envelope, content)


def _text(failed: FailedMessage, dmarc: DmarcResult, offset: int) -> bytes:
    text = (
        f"A message with the author domain {_plain(dmarc.author_domain)} came from {_plain(failed.source_ip)}\r\n"
        f"at {format_date(failed.arrived, offset)} and failed DMARC:\r\n{_plain(dmarc.reason)}.\r\n"
    )
    return (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + quoted_printable(text.encode())
    )


def _fields(failed: FailedMessage, dmarc: DmarcResult, user_agent: str, offset: int) -> bytes:
    """The part for programs (RFC 5965 §3, RFC 6591 §3.1, RFC 9991 §3)."""
    methods = [name for name, passed in (("dkim", dmarc.dkim_aligned), ("spf", dmarc.spf_aligned)) if not passed]
    results = unfold(write_results(failed.results).partition(b":")[2]).decode().replace("\t", " ").strip()
    fields = [
        ("Feedback-Type", "auth-failure"),
        ("User-Agent", user_agent),
        ("Version", "1"),
        ("Original-Mail-From", "<>" if failed.mail_from is None else f"<{failed.mail_from}>"),
        ("Arrival-Date", format_date(failed.arrived, offset)),
        ("Source-IP", failed.source_ip),
        ("Reported-Domain", dmarc.author_domain),
        ("Authentication-Results", results),
        ("Auth-Failure", "dmarc"),
        ("Delivery-Result", failed.delivery),
        ("Identity-Alignment", ", ".join(methods) or "none"),
    ]
    for each in failed.signatures[:_MOST_SIGNATURES]:
        fields += [
            ("DKIM-Domain", each.domain),
            ("DKIM-Identity", each.identity or f"@{each.domain}"),
            ("DKIM-Selector", each.selector),
        ]
    if failed.spf_domain:
        fields.append(("SPF-DNS", f'txt : {failed.spf_domain} : "{failed.spf_record}"'))
    written = b"".join(fold(name, _plain(value, _RESULTS).split()) for name, value in fields)
    if written.isascii():
        return b"Content-Type: message/feedback-report\r\n\r\n" + written
    encoded = base64_body(written) + b"\r\n"
    return b"Content-Type: message/feedback-report\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded


def _returned(headers: bytes) -> bytes:
    section = split(headers).headers[:_LARGEST]
    lines = section.split(b"\r\n")
    plain = section.isascii() and not any(len(line) > 998 or _NO_LINE.search(line) for line in lines)
    encoding = b"" if plain else b"Content-Transfer-Encoding: base64\r\n"
    written = section if plain else base64_body(section)
    return b"Content-Type: text/rfc822-headers\r\n" + encoding + b"\r\n" + written + b"\r\n"


def _plain(text: str, at_most: int = _LONGEST) -> str:
    return _CONTROL.sub("?", text[:at_most])
