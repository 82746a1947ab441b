"""Host names resolved by the system: its hosts file, its DNS settings, its order of preference.

This is for programs that name one server (``localhost``, ``mail.example.org``).  The relay asks the DNS itself
(``net.resolver``), because it must tell "no such name" from "no answer now" for certain.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from typing import Any

from posthouse.core import LocalError, TimedOut, Unreachable
from posthouse.net.stream import Endpoint
from posthouse.net.system import address_of, endpoint_of

__all__ = ["NoSuchHost", "addresses_blocking", "addresses_of"]

# The codes of getaddrinfo for name servers that gave no answer now.
_NOT_NOW = frozenset((socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM, socket.EAI_MEMORY))


class NoSuchHost(Unreachable):
    """The system knows no address for this name."""


async def addresses_of(host: str, port: int, *, timeout: float = 30.0) -> list[Endpoint]:
    """The addresses of ``host`` (a name, or an IP address with or without brackets) in the system's order; never empty.

    Raises ``NoSuchHost`` if it has no address, ``TimedOut`` after ``timeout`` seconds, ``Unreachable`` if the system
    cannot say now.
    """
    known = _known(host, port)
    if known is not None:
        return known
    import asyncio  # blocking code does without

    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(_name_of(host), port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise _no_answer(host, timeout) from error
    except (OSError, UnicodeError) as error:
        raise _unknown(host, error) from error
    return _places(host, found)


def addresses_blocking(host: str, port: int, *, timeout: float | None = None) -> list[Endpoint]:
    """``addresses_of`` without an event loop.  Nothing can end a look-up of the system early, so with a ``timeout`` a
    thread makes it, and is left behind if it takes longer; without one there is no thread."""
    known = _known(host, port)
    if known is not None:
        return known
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(socket.getaddrinfo(_name_of(host), port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.append(error)

    if timeout is None:
        ask()
    else:
        import threading

        thread = threading.Thread(target=ask, name="posthouse-look-up", daemon=True)
        thread.start()
        thread.join(timeout)
        if not answers:
            raise _no_answer(host, timeout)
    found = answers[0]
    if isinstance(found, Exception):
        raise _unknown(host, found) from found
    return _places(host, found)


def _name_of(host: str) -> str:
    return host.removeprefix("[").removesuffix("]").removeprefix("IPv6:")


def _known(host: str, port: int) -> list[Endpoint] | None:
    """The address that ``host`` is; None for a name."""
    name = _name_of(host)
    with contextlib.suppress(LocalError):  # an address needs no thread that waits for the system
        if "/" not in name:
            return [endpoint_of(address_of(Endpoint(name, port))[1])]
    return None


def _no_answer(host: str, seconds: float) -> TimedOut:
    return TimedOut(f"the system did not say within {seconds:g} seconds where {host} is")


def _unknown(host: str, error: Exception) -> Unreachable:
    """The exception of a look-up that has failed."""
    if isinstance(error, UnicodeError):
        return NoSuchHost(f'"{host}" cannot be the name of a host')
    said = getattr(error, "strerror", None) or error
    if isinstance(error, socket.gaierror) and error.errno not in _NOT_NOW:
        return NoSuchHost(f"there is no host {host}: {said}")
    return Unreachable(f"the system cannot say now where {host} is: {said}")


def _places(host: str, found: Iterable[Any]) -> list[Endpoint]:
    places = dict.fromkeys(Endpoint(str(address[0]), int(address[1])) for _, _, _, _, address in found)
    if not places:
        raise NoSuchHost(f"{host} has no address")
    return list(places)
