"""``data:`` URLs (RFC 2397)."""

from __future__ import annotations

import binascii
import re

from posthouse.core import LocalError

__all__ = ["parse_data_url"]

_HEAD = re.compile(r"(?i)data:([^,;]*)((?:;[^,;]*)*),")


def parse_data_url(url: str) -> tuple[bytes, str]:
    """The octets of a ``data:`` URL, and its content type with parameters ("" if it names none).

    Raises ``LocalError`` if the text is no such URL, or its base64 is broken.
    """
    from urllib.parse import unquote, unquote_to_bytes

    match = _HEAD.match(url)
    if match is None:
        raise LocalError(f"{url[:40]!r} is not a data: URL; write data:image/png;base64,… or attach bytes")
    parameters = [each for each in match[2].split(";") if each]
    encoded = bool(parameters) and parameters[-1].strip().lower() == "base64"
    octets = unquote_to_bytes(url[match.end() :])
    if encoded:
        parameters.pop()
        try:
            octets = b"".join(octets.split()).rstrip(b"=")
            octets = binascii.a2b_base64(octets + b"=" * (-len(octets) % 4), strict_mode=True)  # often without padding
        except binascii.Error as error:
            raise LocalError(f"the base64 of a data: URL is broken: {error}; encode the data again") from error
    kind = match[1].strip()
    if not kind and not parameters:
        return octets, ""
    return octets, "; ".join((kind or "text/plain", *map(unquote, parameters)))
