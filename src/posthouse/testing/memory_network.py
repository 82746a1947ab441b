"""In-memory network for tests: no sockets, no waiting, one order of events, and faults on demand.

``MemoryNetwork`` keeps the promises of ``posthouse.net.stream`` and always shows the worst behaviour that they allow:
an end that has closed answers octets with a reset, and a reset destroys what the other end has not read yet.  A real
network does so sometimes; here a test always finds a last reply that is lost without ``close_gently``.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable

from posthouse.core import LocalError, SettingError, Unreachable
from posthouse.net.clock import Clock
from posthouse.net.no_handler import Nobody
from posthouse.net.stream import Endpoint, Handler, HandlerFactory
from posthouse.testing.memory_stream import MemoryStream, StreamFault

__all__ = ["MemoryListener", "MemoryNetwork", "SILENCE"]

SILENCE = 127.0
"""Seconds after which a system gives up connecting to an address that does not answer."""

_FATAL = (KeyboardInterrupt, SystemExit)


class MemoryListener:
    """``Listener`` of a ``MemoryNetwork``."""

    def __init__(self, network: MemoryNetwork, local: Endpoint, factory: HandlerFactory) -> None:
        self.local = local
        self.factory = factory
        self._network = network

    def close(self) -> None:
        self._network.unlisten(self)


class MemoryNetwork:
    """``Network`` inside this process; a listener may have any IP address or path.

    ``faults`` has the faults by endpoint, ``everywhere`` those of all other endpoints; both are read when a channel is
    opened and may be changed at any time::

        network.faults[Endpoint("192.0.2.1", 25)] = StreamFault(refuse=True)

    ``on_error`` gets the exceptions of handlers; by default the loop's exception handler gets them.
    """

    def __init__(self, clock: Clock, *, on_error: Callable[[BaseException], None] | None = None) -> None:
        self.clock = clock
        self.faults: dict[Endpoint, StreamFault] = {}
        self.everywhere = StreamFault()
        self._on_error = on_error
        self._listeners: dict[Endpoint, MemoryListener] = {}
        self._open: dict[MemoryStream, Endpoint] = {}
        self._port = 49_151

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> MemoryStream:
        fault = self.faults.get(endpoint, self.everywhere)
        ours = self._our_end(endpoint, source)
        if fault.silent:
            await self.clock.sleep(SILENCE)
            raise Unreachable(f"{endpoint} did not answer in time")
        await self.clock.sleep(2 * fault.delay)
        listener = self._listener(endpoint)
        if fault.refuse or listener is None:
            raise Unreachable(f"{endpoint} refused the connection")
        theirs = self._accepted(listener.factory)
        here = MemoryStream(self, handler, (ours, endpoint), fault, fault.reset_after_answers)
        far = Endpoint("") if endpoint.is_path else ours
        there = MemoryStream(self, theirs, (endpoint, far), fault, fault.reset_after)
        for stream, other in ((here, there), (there, here)):
            stream.join(other)
            self._open[stream] = endpoint
        asyncio.get_running_loop().call_soon(there.begin)
        here.begin()
        return here

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> MemoryListener:
        """As ``Network.listen``; ``backlog`` has no effect."""
        if not endpoint.is_path:
            _check_address(endpoint.host, SettingError)
            if not endpoint.port:
                endpoint = Endpoint(endpoint.host, self._new_port())
        if endpoint in self._listeners:
            remedy = "stop it or choose another port"
            raise SettingError("another program already listens there", where=str(endpoint), remedy=remedy)
        listener = self._listeners[endpoint] = MemoryListener(self, endpoint, factory)
        return listener

    def cut(self, endpoint: Endpoint) -> None:
        """Reset every channel that was opened to ``endpoint``, as if its machine had failed."""
        for stream in [stream for stream, where in self._open.items() if where == endpoint]:
            stream.reset(f"the connection to {stream.peer} was reset on its way")

    @property
    def open(self) -> int:
        """The number of open ends of channels."""
        return len(self._open)

    def report(self, error: BaseException) -> None:
        """Report an exception of a handler."""
        if self._on_error is not None:
            self._on_error(error)
            return
        context = {"message": "a handler raised; its channel was closed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)

    def _our_end(self, endpoint: Endpoint, source: str) -> Endpoint:
        if endpoint.is_path:
            return Endpoint("")
        version = _check_address(endpoint.host, LocalError)
        host = source or ("::1" if version == 6 else "127.0.0.1")
        if _check_address(host, LocalError) != version:
            raise Unreachable(f"{endpoint} cannot be reached from the source address {source}")
        return Endpoint(host, self._new_port())

    def _accepted(self, factory: HandlerFactory) -> Handler:
        try:
            return factory()
        except _FATAL:
            raise
        except BaseException as error:
            self.report(error)
            return Nobody()

    def _listener(self, endpoint: Endpoint) -> MemoryListener | None:
        """The listener of that endpoint, or of all addresses of its family."""
        every = Endpoint("::" if ":" in endpoint.host else "0.0.0.0", endpoint.port)
        return self._listeners.get(endpoint) or self._listeners.get(every)

    def _new_port(self) -> int:
        self._port = self._port + 1 if self._port < 65_535 else 49_152
        return self._port

    def unlisten(self, listener: MemoryListener) -> None:
        """Remove ``listener``."""
        if self._listeners.get(listener.local) is listener:
            del self._listeners[listener.local]

    def forget(self, stream: MemoryStream) -> None:
        """Remove a ``stream`` that has ended."""
        self._open.pop(stream, None)


def _check_address(host: str, fault: type[LocalError] | type[SettingError]) -> int:
    """The IP version of ``host``.  Raises ``fault`` if it is a name."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError as error:
        raise fault(f"{host} is not an IP address; ask a resolver first") from error
