"""Charsets of reply texts that are not UTF-8: GB18030, Windows-1252, Latin-1, and UTF-8 that was cut."""

from __future__ import annotations

import re

__all__ = ["in_other_charset"]

# Patterns as texts: they are compiled when the first such reply comes.
_GB18030_CHARACTER = rb"(?:[\x81-\xfe][\x40-\x7e\x80-\xfe]|[\x81-\xfe][0-9][\x81-\xfe][0-9])"
_GB18030 = rb"(?:[\x00-\x7f]|" + _GB18030_CHARACTER + rb")*"
_GB18030_WORD = _GB18030_CHARACTER + rb"{2}"


def in_other_charset(octets: bytes) -> str:
    """The text of a reply line that is not wholly UTF-8, with the charset in which it was read.

    Replies name no charset (RFC 5321 has ASCII, RFC 6531 UTF-8).  UTF-8 that was cut within characters, as by hosts
    that cut their lines at a length, has more whole characters than faults; a fault is shown as U+FFFD.  Characters of
    three octets decide before GB18030 is tried, those of two octets after it, because many of them are GB18030 too.
    Two or more characters of GB18030 in a row, and none that is not in it, are taken for Chinese; in Latin-1 single
    letters beyond ASCII stand among others.  Windows-1252 has quotation marks and dashes where Latin-1 has controls.
    """
    cut = octets.decode("utf-8", "replace")
    faults = cut.count("\ufffd")
    if len(re.findall("[\u0800-\ufffc\U00010000-\U0001ffff]", cut)) > faults:
        return cut
    if re.fullmatch(_GB18030, octets, re.DOTALL) is not None and re.search(_GB18030_WORD, octets) is not None:
        try:
            return octets.decode("gb18030") + " [read as GB18030]"
        except UnicodeDecodeError:
            pass
    if len(re.findall("[\x80-\ufffc]", cut)) > faults:
        return cut
    text = octets.decode("latin-1")
    if re.search(r"[\x80-\x9f]", text) is not None:
        try:
            return octets.decode("cp1252") + " [read as Windows-1252]"
        except UnicodeDecodeError:
            pass
    return text + " [read as Latin-1]"
