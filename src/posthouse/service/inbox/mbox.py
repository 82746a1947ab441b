"""Files of several messages: mbox (RFC 4155, in the form *mboxrd*, whose quotation can be undone) and single messages.

In an mbox each message begins behind a line ``From SENDER DATE``, with LF line ends.  A line of a message that begins
with ``From ``, behind any number of ``>``, has one more ``>`` in the file.
"""

from __future__ import annotations

import re
import time
from typing import Final

__all__ = ["mbox_entry", "messages_of"]

_FROM: Final = re.compile(rb"(?m)^(>*From )")
_QUOTED: Final = re.compile(rb"(?m)^>(>*From )")
_SEPARATOR: Final = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\r\n]*\r?\n")
_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)")


def mbox_entry(octets: bytes, sender: str, received: float) -> bytes:
    """One message as it stands in an mbox; ``sender`` is "" for the null reverse-path, ``received`` in seconds."""
    stamp = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(max(0.0, received)))
    named = "".join(sign for sign in sender if "!" <= sign <= "~") or "MAILER-DAEMON"
    body = _FROM.sub(rb">\1", octets.replace(b"\r\n", b"\n"))
    return f"From {named} {stamp}\n".encode() + body + (b"\n" if body.endswith(b"\n") else b"\n\n")


def messages_of(octets: bytes) -> list[bytes]:
    """The messages of an mbox, or the one message that the octets are; with CRLF line ends."""
    starts = list(_SEPARATOR.finditer(octets)) if octets.startswith(b"From ") else []
    if not starts:
        return [_BARE.sub(b"\r\n", octets)]
    ends = [*(match.start() for match in starts[1:]), len(octets)]
    found = []
    for match, end in zip(starts, ends, strict=True):
        body = octets[match.end() : end]
        body = body.removesuffix(b"\n").removesuffix(b"\r") if body.endswith((b"\n\n", b"\n\r\n")) else body
        found.append(_BARE.sub(b"\r\n", _QUOTED.sub(rb"\1", body)))
    return found
