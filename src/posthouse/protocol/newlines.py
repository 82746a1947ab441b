"""Is every line end CRLF?  The one question that is asked of every octet of content, in both directions.

``io.IncrementalNewlineDecoder`` is a codec and does no I/O; asked not to translate, it only notes which line ends it
has seen, in one pass.  Measured on 3.11, for a MiB of lines of 76 octets or of base64: 0.4 ms, where counting CR, LF
and CRLF and comparing took 1.5, replacing CRLF and looking for what is left 1.7, the best pattern 2.2; for 4 KiB 1.9
and 6 µs.
"""

from __future__ import annotations

from io import IncrementalNewlineDecoder

__all__ = ["only_crlf"]


def only_crlf(data: bytes) -> bool:
    """True if each CR in ``data`` stands before an LF and each LF behind a CR."""
    noting = IncrementalNewlineDecoder(None, False)
    noting.decode(data.decode("latin-1"), True)
    seen = noting.newlines
    return seen is None or seen == "\r\n"
