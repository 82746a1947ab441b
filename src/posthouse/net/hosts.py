"""Host names resolved by the system: its hosts file, its DNS settings, its order of preference.

This is for programs that name one server (``localhost``, ``mail.example.org``).  The relay asks the DNS itself
(``net.resolver``), because it must tell "no such name" from "no answer now" for certain.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from posthouse.core import LocalError, TimedOut, Unreachable
from posthouse.net.stream import Endpoint
from posthouse.net.system import address_of, endpoint_of

__all__ = ["NoSuchHost", "addresses_of"]

# The codes of getaddrinfo for name servers that gave no answer now.
_NOT_NOW = frozenset((socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM, socket.EAI_MEMORY))


class NoSuchHost(Unreachable):
    """The system knows no address for this name."""


async def addresses_of(host: str, port: int, *, timeout: float = 30.0) -> list[Endpoint]:
    """The addresses of ``host`` (a name, or an IP address with or without brackets) in the system's order; never empty.

    Raises ``NoSuchHost`` if it has no address, ``TimedOut`` after ``timeout`` seconds, ``Unreachable`` if the system
    cannot say now.
    """
    name = host.removeprefix("[").removesuffix("]").removeprefix("IPv6:")
    with contextlib.suppress(LocalError):  # an address needs no thread that waits for the system
        if "/" not in name:
            return [endpoint_of(address_of(Endpoint(name, port))[1])]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise TimedOut(f"the system did not say within {timeout:g} seconds where {host} is") from error
    except UnicodeError as error:
        raise NoSuchHost(f'"{host}" cannot be the name of a host') from error
    except socket.gaierror as error:
        if error.errno in _NOT_NOW:
            raise Unreachable(f"the system cannot say now where {host} is: {error.strerror}") from error
        raise NoSuchHost(f"there is no host {host}: {error.strerror}") from error
    except OSError as error:
        raise Unreachable(f"the system cannot say now where {host} is: {error.strerror or error}") from error
    places = dict.fromkeys(Endpoint(str(address[0]), int(address[1])) for _, _, _, _, address in found)
    if not places:
        raise NoSuchHost(f"{host} has no address")
    return list(places)
