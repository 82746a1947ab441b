"""One request of HTTP/1.1 for the head of an answer (RFC 9112), at an address that was judged before.

The connection goes to the IP address that is given, whatever the name has by now; the name stands in Host and in the
TLS handshake.  Nothing of a body is read, and no more of a head than 64 KiB.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from functools import cache
from typing import Final, NamedTuple

from posthouse import __version__
from posthouse.service.inbox.link_addresses import LinkFault, WebAddress

__all__ = ["LinkAnswer", "ask_once"]

_LARGEST: Final = 64 << 10  # octets of a head
_INTERIM: Final = 5  # answers 1xx before the one that counts
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_LOCATION: Final = re.compile(rb"(?im)^location:[ \t]*([^\r\n]*?)[ \t]*\r?$")


class LinkAnswer(NamedTuple):
    """The head of an answer: its status, and the value of Location ("" without one)."""

    status: int
    location: str = ""


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def ask_once(method: str, address: WebAddress, at: str, *, own: bool, patience: float) -> LinkAnswer:
    """The answer to one request, within ``patience`` seconds.

    Args:
        method: HEAD or GET.
        address: what is asked for.
        at: the IP address that is connected to.
        own: whether this machine itself may be asked.
        patience: seconds for all of it.

    Raises ``LinkFault``: ``unreachable``, ``silent``, ``certificate``, ``tls``, ``no_http`` or ``itself``.
    """
    writer: asyncio.StreamWriter | None = None
    where = f"{at}:{address.port}" if ":" not in at else f"[{at}]:{address.port}"
    try:
        async with asyncio.timeout(patience):
            secure = address.scheme == "https"
            reader, writer = await asyncio.open_connection(
                at,
                address.port,
                limit=_LARGEST,
                ssl=_tls() if secure else None,
                server_hostname=address.host if secure else None,
            )
            if not own and writer.get_extra_info("peername")[0] == writer.get_extra_info("sockname")[0]:
                raise LinkFault("itself", at)
            writer.write(
                f"{method} {address.target} HTTP/1.1\r\nHost: {address.authority}\r\nUser-Agent: Posthouse/"
                f"{__version__} (link check)\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
            )
            await writer.drain()
            return await _head(reader, where)
    except TimeoutError:
        raise LinkFault("silent", where) from None
    except ssl.SSLCertVerificationError as error:
        raise LinkFault("certificate", error.verify_message[:200]) from None
    except ssl.SSLError as error:
        raise LinkFault("tls", (error.reason or "no answer").lower().replace("_", " ")[:200]) from None
    except OSError:
        raise LinkFault("unreachable", where) from None
    finally:
        if writer is not None:
            writer.transport.abort()


async def _head(reader: asyncio.StreamReader, where: str) -> LinkAnswer:
    for _ in range(_INTERIM):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            break
        match = _STATUS.match(head)
        if match is None:
            break
        status = int(match[1])
        if status >= 200:
            found = _LOCATION.search(head)
            return LinkAnswer(status, found[1].decode("utf-8", "replace") if found is not None else "")
    raise LinkFault("no_http", where)
