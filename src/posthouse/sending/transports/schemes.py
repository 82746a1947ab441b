"""Transports: what ``via`` may be besides the URL of a server, and the table of URL schemes.

A transport takes one envelope and its content and returns a ``SendResult``.  A test double is any object with that
method.  The schemes of the table are those of transports that Posthouse has; a module is imported when the first URL
with its scheme is used, so that a program which sends by SMTP imports no spool and no DNS resolver.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Mapping
from typing import Final, Protocol, cast, runtime_checkable

from posthouse.core import Content, Envelope, SettingError
from posthouse.sending.results import SendResult

__all__ = ["ASYNC_SCHEMES", "SCHEMES", "Transport", "scheme_of", "transport_of"]


@runtime_checkable
class Transport(Protocol):
    """A way to send messages.  ``deliver`` may be a coroutine function: then only ``asend`` and the asynchronous
    classes can use the transport.

    Every answer about a recipient is an outcome.  An exception says that nothing was tried for any of them.
    """

    def deliver(self, envelope: Envelope, content: Content) -> SendResult | Awaitable[SendResult]:
        """Send one message; one outcome for each recipient, in the order of the envelope."""
        ...


class _Factory(Protocol):
    def __call__(self, url: str, /) -> Transport: ...


#: The scheme of a URL → ``module:object``, where the object makes a ``Transport`` of the whole URL.
SCHEMES: Final[Mapping[str, str]] = {
    "file": "posthouse.sending.transports.files:file_transport",
    "memory": "posthouse.sending.transports.memory:memory_transport",
    "mx": "posthouse.sending.transports.exchangers:MxTransport",
    "spool": "posthouse.service.maildrop.spool_transport:SpoolTransport",
}
#: What an event loop uses in place of the above.
ASYNC_SCHEMES: Final[Mapping[str, str]] = {
    "mx": "posthouse.sending.transports.exchangers:AsyncMxTransport",
    "spool": "posthouse.service.maildrop.spool_transport:AsyncSpoolTransport",
}


def scheme_of(url: str) -> str:
    """The scheme of a URL in lower case; "" if it has none."""
    scheme, colon, _ = url.strip().partition(":")
    return scheme.lower() if colon and scheme[:1].isalpha() and scheme.replace("+", "").isalnum() else ""


def transport_of(url: str, *, asynchronous: bool = False) -> Transport:
    """The transport of a URL whose scheme is in ``SCHEMES``.  Raises ``SettingError``."""
    scheme = scheme_of(url)
    where = ASYNC_SCHEMES.get(scheme, SCHEMES[scheme]) if asynchronous else SCHEMES[scheme]
    module, _, name = where.partition(":")
    try:
        factory = cast(_Factory, getattr(importlib.import_module(module), name))
    except ImportError as error:
        remedy = "install what the daemon needs: pip install 'posthouse[daemon]'"
        raise SettingError(f"{scheme}: needs a package that is not installed ({error})", remedy=remedy) from error
    return factory(url)
