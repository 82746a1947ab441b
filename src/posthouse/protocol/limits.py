"""Limits on the input of a peer, each with the least value that RFC 5321 §4.5.3.1 allows."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Limits"]


class Limits(NamedTuple):
    """Limits in octets (line ends included) or counts.

    Content lines have no limit of their own (least: 1,000): content is bounded by its size and is never held as
    lines.
    """

    #: A command line.  Least: 512, plus what each extension adds (SIZE 26, 8BITMIME 17, DSN 598, SMTPUTF8 10 …).
    command_line: int = 2_048
    #: A base64 line inside AUTH (RFC 4954 §4 asks for 12,288).
    auth_line: int = 12_288
    #: A local part.  Least: 64.
    local_part: int = 64
    #: A domain.  Least: 255.
    domain: int = 255
    #: A path with its brackets.  Least: 256.
    path: int = 256
    #: Recipients in one transaction.  Least: 100.
    recipients: int = 1_000
    #: A message.  Least: 65,536 (RFC 5321 §4.5.3.1.7).
    message: int = 52_428_800
    #: One BDAT chunk; larger ones are read and dropped.
    chunk: int = 52_428_800
    #: One line of a reply.  Least: 512; real servers exceed it.
    reply_line: int = 2_048
    #: Lines of one reply.
    reply_lines: int = 256
    #: Errors in one session before it is ended with 421: illegal commands, refused MAIL and DATA, refused content.  A
    #: message that is accepted sets this count and the next two back to 0.
    errors: int = 20
    #: Commands in one session that bring no message (HELO, EHLO, NOOP, RSET, VRFY, EXPN, HELP, and BDAT with a few
    #: octets) before it is ended with 421.
    idle_commands: int = 1_000
    #: Refused recipients in one session, beyond those that the open transaction has, before it is ended with 421.
    refused_recipients: int = 100
    #: Transactions in one session before it is ended with 421, or 0 for no limit.
    transactions: int = 0
