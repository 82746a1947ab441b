"""The open listeners of a daemon: each keeps its socket while the server behind it is replaced.

A listener is opened once.  A connection gets its session from the server that stands behind the listener at that
moment, so a change of the configuration reaches the next connection and no other.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection, Mapping

from posthouse.net import Endpoint, Handler, Listener, Network, SocketNetwork
from posthouse.server import Server
from posthouse.service.daemon.generation import OpenServer
from posthouse.service.process.ports import ListenerKey

__all__ = ["OpenListeners"]


class _OpenListener:
    """A listener; ``handler`` makes the handler of a new connection."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.listener: Listener | None = None

    def handler(self) -> Handler:
        return self.server.session()

    def close(self) -> None:
        if self.listener is not None:
            self.listener.close()


class OpenListeners:
    """Listeners by their key, and those of other workers that are taken for a while."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._open: dict[ListenerKey, _OpenListener] = {}
        self._taken: dict[int, list[tuple[Endpoint, Listener]]] = {}

    def address(self, key: ListenerKey) -> Endpoint | None:
        """Where a listener listens, with its real port."""
        found = self._open.get(key)
        return found.listener.local if found is not None and found.listener is not None else None

    def addresses(self, servers: Mapping[ListenerKey, OpenServer]) -> dict[str, Endpoint]:
        """Where each of ``servers`` listens, by the name of its listener."""
        found = {each.settings.name: self.address(key) for key, each in servers.items()}
        return {name: address for name, address in found.items() if address is not None}

    async def put(self, servers: Mapping[ListenerKey, OpenServer]) -> Collection[ListenerKey]:
        """Open the listeners that are not open, then let ``servers`` answer all of them; returns the keys of the new.

        Raises ``SettingError`` if one cannot be opened; then nothing has changed.
        """
        fresh: dict[ListenerKey, _OpenListener] = {}
        try:
            for key, each in servers.items():
                if key not in self._open:
                    made = fresh[key] = _OpenListener(each.server)
                    made.listener = await self._network.listen(each.settings.bind, made.handler)
        except BaseException:
            for made in fresh.values():
                made.close()
            raise
        self._open |= fresh
        for key, each in servers.items():
            self._open[key].server = each.server
        return fresh.keys()

    def close_others(self, kept: Collection[ListenerKey]) -> list[ListenerKey]:
        """Close the listeners that are not among ``kept``; returns their keys.  Their sessions stay."""
        gone = [key for key in self._open if key not in kept]
        for key in gone:
            self._open.pop(key).close()
        addresses = {key[0] for key in gone}
        for taken in self._taken.values():
            for endpoint, listener in taken:
                if endpoint in addresses:
                    listener.close()
        return gone

    async def take(self, worker: int, sockets: Mapping[Endpoint, socket.socket]) -> None:
        """Accept the connections of another worker as well, until ``leave``."""
        if worker in self._taken or not isinstance(self._network, SocketNetwork):
            return
        taken = self._taken[worker] = []
        for endpoint, sock in sockets.items():
            found = self._open.get((endpoint, ""))
            if found is not None:
                with contextlib.suppress(OSError):  # closed meanwhile, because the daemon stops
                    taken.append((endpoint, await self._network.accept(sock, found.handler)))

    def leave(self, worker: int) -> None:
        """Accept the connections of another worker no longer; those that were accepted stay."""
        for _, listener in self._taken.pop(worker, []):
            listener.close()

    def close(self) -> None:
        """Close all."""
        for worker in list(self._taken):
            self.leave(worker)
        self.close_others(())
