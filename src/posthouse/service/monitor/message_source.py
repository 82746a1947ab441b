"""The source of a message or of a refusal, as its record and the log have it, and the client in it."""

from __future__ import annotations

import re
from typing import Final

from posthouse.net import Endpoint

__all__ = ["client_of"]

#: ``mx 192.0.2.1:40000``; where a proxy of SMTP named another client, the one that was connected stands behind "by".
#: The listener's name may have any characters, blanks among them; an address of one link is followed by its interface.
_CLIENT: Final = re.compile(r".+ (?:[^ ]+ \(by )?\[?([0-9A-Fa-f.:]{2,45}?(?:%[^ :\]]+)?)\]?:([0-9]{1,5})\)?", re.DOTALL)


def client_of(source: str) -> Endpoint | None:
    """The client that a source names, None if it names no address and port: a unix socket, or a program here."""
    found = _CLIENT.fullmatch(source)
    return None if found is None else Endpoint(found[1], int(found[2]))
