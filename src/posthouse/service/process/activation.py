"""Socket activation: listening sockets that systemd has opened and handed over (``sd_listen_fds(3)``).

A socket belongs to the listener with its address, or to the one with its name (``FileDescriptorName=``).  The order of
the descriptors means nothing.  A socket that no listener has is an error, because its clients would wait for ever.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping, Sequence
from typing import Final, NamedTuple

from posthouse.core import SettingError
from posthouse.net.stream import Endpoint
from posthouse.net.system import endpoint_of
from posthouse.service.config.model import ListenerSettings

__all__ = ["InheritedSocket", "InheritedSockets"]

_FIRST: Final = 3  # SD_LISTEN_FDS_START
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class InheritedSocket(NamedTuple):
    """A socket that listens already, and the name that systemd gave it."""

    name: str
    at: Endpoint
    sock: socket.socket

    def __str__(self) -> str:
        return f'{self.at} ("{self.name}")' if self.name else str(self.at)


class InheritedSockets:
    """The sockets that this process was started with."""

    def __init__(self, sockets: Sequence[InheritedSocket] = ()) -> None:
        self._sockets = tuple(sockets)

    @classmethod
    def of_this_process(cls, environ: MutableMapping[str, str] | None = None, first: int = _FIRST) -> InheritedSockets:
        """Read the variables, and remove them so that children do not believe them.  Raises ``SettingError``."""
        environ = os.environ if environ is None else environ
        pid, count, names = (environ.pop(each, "") for each in _VARIABLES)
        if not pid or pid != str(os.getpid()) or not count.isdigit():
            return cls()
        named = names.split(":") if names else []
        found = []
        for number in range(int(count)):
            name = named[number] if number < len(named) else ""
            found.append(_inherited(first + number, name if name != "unknown" else ""))
        return cls(found)

    def of(self, listener: ListenerSettings) -> InheritedSocket | None:
        """The socket of a listener: that with its address, else the only one with its name.

        Raises ``SettingError`` if several have the name.
        """
        wanted = listener.bind._replace(host="127.0.0.1") if listener.bind.host == "localhost" else listener.bind
        for each in self._sockets:
            if each.at == wanted:
                return each
        named = [each for each in self._sockets if each.name == listener.name]
        if len(named) > 1:
            places = " and ".join(str(each.at) for each in named)
            raise SettingError(
                f'systemd gave several sockets with the name "{listener.name}", at {places}',
                where=f"listener {listener.name}",
                remedy="give each its own FileDescriptorName=, or write the address of one as bind",
            )
        return named[0] if named else None

    def see_that_all_are_used(self, listeners: Sequence[ListenerSettings]) -> None:
        """Raise ``SettingError`` if a socket belongs to no listener."""
        used = [self.of(each) for each in listeners]
        left = [str(each) for each in self._sockets if each not in used]
        if left:
            raise SettingError(
                f"systemd gave sockets that no [[listener]] has: {', '.join(left)}",
                remedy="write their address as bind of a listener, or their FileDescriptorName= as its name; or take "
                "them out of the socket unit",
            )

    def takes(self, at: Endpoint) -> InheritedSocket | None:
        """The inherited socket that listens at both families and has the IPv4 address ``at``."""
        for each in self._sockets:
            if each.at == Endpoint("::", at.port) and at.host == "0.0.0.0" and not _only_ipv6(each.sock):
                return each
        return None


def _inherited(descriptor: int, name: str) -> InheritedSocket:
    which = f"descriptor {descriptor}{f' ({name})' if name else ''}"
    os.set_inheritable(descriptor, False)
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise SettingError(
            f"{which} that systemd gave is no socket", remedy="write ListenStream= in the socket unit"
        ) from error
    listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        sock.detach()
        remedy = "write ListenStream= in the socket unit, and not Accept=yes"
        raise SettingError(f"{which} that systemd gave is no listening stream socket", remedy=remedy)
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    return InheritedSocket(name, endpoint_of(sock.getsockname()), sock)


def _only_ipv6(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
