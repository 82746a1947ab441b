"""The listening sockets of a daemon: opened before anything else, kept while the configuration around them changes.

Each worker has a socket of its own at each address (SO_REUSEPORT), and the kernel spreads the connections over them.
Workers of one daemon may share a port, two daemons may not: so an ordinary socket must be able to listen there first.
Unix sockets are worker 0's.  A socket that systemd has handed over is one for all workers, which then take turns.

Where the machine has no IPv6, listeners at IPv6 addresses are left out with a warning, as long as another one is left.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from posthouse.core import SettingError
from posthouse.net.stream import Endpoint
from posthouse.net.system import endpoint_of, listening_socket, not_listening
from posthouse.service.config.model import Config, ListenerSettings
from posthouse.service.process.activation import InheritedSockets

__all__ = ["BACKLOG", "ListenerKey", "Ports", "key_of"]

#: Connections that wait in one listening socket until they are accepted.
BACKLOG = 512

#: What makes two listeners the same one, before and after a change: the address; with port 0 the name as well.
ListenerKey = tuple[Endpoint, str]


def key_of(listener: ListenerSettings) -> ListenerKey:
    """The key of a listener."""
    at = listener.bind
    return at, "" if at.port or at.is_path else listener.name


class _OpenPort(NamedTuple):
    """The sockets at one address, one for each worker that has one; ``inode`` is that of a path."""

    at: Endpoint
    sockets: tuple[socket.socket, ...]
    inode: int = 0


class Ports:
    """The listening sockets of ``workers`` processes; ``sockets`` has those of each, by address.

    ``inherited`` are sockets that listen already; ``warn`` is given a sentence for each listener that is left out.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        inherited: InheritedSockets | None = None,
        warn: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._inherited = InheritedSockets() if inherited is None else inherited
        self._warn = warn
        self._open: dict[ListenerKey, _OpenPort] = {}
        self._fresh: list[ListenerKey] = []
        self.sockets: list[dict[Endpoint, socket.socket]] = [{} for _ in range(workers)]

    def open(self, config: Config) -> Config:
        """Open what is not open yet; returns the configuration with the real addresses.

        Raises ``SettingError``; then nothing new is open.  Else ``keep`` or ``undo`` follows.
        """
        self._fresh = []
        listeners = []
        left_out: list[SettingError] = []
        try:
            self._inherited.see_that_all_are_used(config.listener)
            for listener in config.listener:
                key = key_of(listener)
                if key not in self._open:
                    try:
                        self._add(key, listener)
                    except SettingError as error:
                        if ":" not in listener.bind.host or listener.bind.is_path or not _ipv6_is_off():
                            raise
                        left_out.append(error)
                        continue
                listeners.append(replace(listener, bind=self._open[key].at))
            if not listeners and left_out:
                raise left_out[0]
        except BaseException:
            self.undo()
            raise
        for each in left_out:
            self._warn(f"{each.where} is left out, because IPv6 is off on this machine; the other listeners serve")
        return replace(config, listener=tuple(listeners))

    def fresh(self) -> list[tuple[int, Endpoint, socket.socket]]:
        """The sockets of the last ``open``: worker, address and socket."""
        found = [self._open[key] for key in self._fresh]
        return [(number, each.at, sock) for each in found for number, sock in enumerate(each.sockets)]

    def undo(self) -> None:
        """Close what the last ``open`` has opened."""
        for key in self._fresh:
            self._close(key)
        self._fresh = []

    def keep(self, config: Config) -> None:
        """Close every socket that has no listener in a configuration, as ``open`` was given it."""
        self._fresh = []
        wanted = {key_of(listener) for listener in config.listener}
        for key in [each for each in self._open if each not in wanted]:
            self._close(key)

    def close(self) -> None:
        """Close all, so that connections are refused once the workers have closed their copies."""
        for key in list(self._open):
            self._close(key)

    def _add(self, key: ListenerKey, listener: ListenerSettings) -> None:
        at = listener.bind
        inherited = self._inherited.of(listener)
        if inherited is not None:
            shared = inherited.sock.dup()
            slots = self.sockets[:1] if inherited.at.is_path else self.sockets
            self._put(key, _OpenPort(inherited.at, tuple(shared for _ in slots)))
            return
        both = self._inherited.takes(at)
        if both is not None:
            raise SettingError(
                f"the socket {both} from systemd takes IPv4 as well",
                where=str(at),
                remedy="take this listener out, or write BindIPv6Only=ipv6-only in the socket unit",
            )
        sockets: list[socket.socket] = []
        try:
            if at.host == "::" and _ipv6_is_off():  # a kernel with IPv6 off by sysctl binds it, and nothing can connect
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
            if at.port and not at.is_path:
                listening_socket(at, 1, reuse_port=False).close()
            for _ in self.sockets[:1] if at.is_path else self.sockets:
                sockets.append(listening_socket(at, BACKLOG, reuse_port=True))
                at = endpoint_of(sockets[-1].getsockname())
            inode = os.lstat(at.host).st_ino if at.is_path else 0
        except BaseException as error:
            for sock in sockets:
                sock.close()
            if isinstance(error, OSError):
                raise self._refused(error, at) from error
            raise
        self._put(key, _OpenPort(at, tuple(sockets), inode))

    def _put(self, key: ListenerKey, port: _OpenPort) -> None:
        self._open[key] = port
        self._fresh.append(key)
        for slot, sock in zip(self.sockets, port.sockets, strict=False):
            slot[port.at] = sock

    def _refused(self, error: OSError, at: Endpoint) -> SettingError:
        """The error of a listener that cannot be opened, which this daemon itself may keep from it."""
        if error.errno == errno.EADDRINUSE:
            for key, port in self._open.items():
                if not at.is_path and port.at.port == at.port:
                    if key in self._fresh:
                        cause, remedy = f"the listener at {port.at} has the port already", "give one another port"
                        return SettingError(cause, where=str(at), remedy=remedy)
                    cause = f"a listener of this daemon has the port already, at {port.at}"
                    remedy = "take that one out and reload, then put the new one in and reload again; or restart"
                    return SettingError(cause, where=str(at), remedy=remedy)
        return not_listening(error, at)

    def _close(self, key: ListenerKey) -> None:
        port = self._open.pop(key, None)
        if port is None:  # all were closed meanwhile
            return
        for slot in self.sockets:
            if slot.get(port.at) in port.sockets:
                del slot[port.at]
        for sock in port.sockets:
            sock.close()
        if port.inode:
            with contextlib.suppress(OSError):
                if os.lstat(port.at.host).st_ino == port.inode:
                    os.unlink(port.at.host)


def _ipv6_is_off() -> bool:
    """Whether this machine has no IPv6 at all, by its kernel or by a sysctl: not even ``::1``."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return True
    return False
